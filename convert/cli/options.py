"""What the commands share: options, arguments, and how far a long piece of work is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_Decorator = Callable[[Any], Any]

index_option: _Decorator = click.option(
    "--index",
    type=click.Path(path_type=Path),
    help="Labelled clips: an index.csv or its folder. [default: SER_CORPORA, ../shared/corpora]",
)


def seed_option(help: str | None = None) -> _Decorator:
    """``--seed``, whose ``help`` says of what."""
    return click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help=help)


def model_argument(command: Any) -> Any:
    """A bundled model's name or a model file, given to the command as the file's path."""
    return click.argument("model", metavar="NAME-OR-FILE", callback=_model_path)(command)


def progress(what: str) -> Callable[[int, int], None]:
    """One line on standard error, kept up to date.

    Returns:
        A callback that takes how many of ``what`` are done, and of how many.
    """

    def show(done: int, total: int) -> None:
        if 100 * done // total > 100 * (done - 1) // total:  # another percent
            click.echo(f"\r{what}: {done} of {total}", nl=done == total, err=True)

    return show


def _model_path(context: click.Context, parameter: click.Parameter, value: str) -> str:
    from ser_edge.model_file import find

    try:
        return find(value)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=parameter.metavar) from error

"""What the commands share: options, arguments, and how far a long piece of work is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ser_edge.cli.show.plot import open_figure
from ser_edge.cli.show.progress import Progress, is_shown

_Decorator = Callable[[Any], Any]


def seed_option(help: str | None = None) -> _Decorator:
    """``--seed``, whose ``help`` says of what."""
    return click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help=help)


def model_argument(command: Any) -> Any:
    """A bundled model's name or a model file, given to the command as the file's path."""
    return click.argument("model", metavar="NAME-OR-FILE", callback=_model_path)(command)


rewritten_option = click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The model file to write; it may be the same.",
)

architecture_option = click.option(
    "--architecture",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Of a SOURCE that is weights alone: what model.to_json() gives.",
)

allow_code_option = click.option(
    "--allow-code",
    is_flag=True,
    help="Run code that the source holds: only for a source whose maker you trust.",
)


def figure_for(plot: Path) -> Any:
    """An empty figure for ``--plot``: what can be wrong with the file shows before the long work.

    Raises:
        DependencyError: matplotlib is missing.
        click.BadParameter: no such format.
    """
    try:
        return open_figure(str(plot))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--plot") from error


def progress(what: str) -> Callable[[int, int], None]:
    """A line on the terminal, if there is one, kept up to date.

    Returns:
        A callback that takes how many of ``what`` are done, and of how many.
    """
    if not is_shown():
        return lambda done, total: None
    shown = Progress(what)
    context = click.get_current_context(silent=True)
    if context is not None:  # whatever happens, nothing is written behind the line
        context.call_on_close(shown.clear)
    return shown.update


def _model_path(context: click.Context, parameter: click.Parameter, value: str) -> str:
    from ser_edge.model_file import find

    try:
        return find(value)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=parameter.metavar) from error

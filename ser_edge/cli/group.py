"""The program around the commands, for ``ser-edge`` and ``ser-edge-convert``."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import click

from ser_edge.cli.options import EXIT_FAILED
from ser_edge.cli.terminal import prepare_streams, printable


class LazyGroup(click.Group):
    """Commands that are loaded when they are used, and shown with whole sentences.

    Args:
        package: where the modules of the commands lie.
        modules: the commands; each is a function in a module of its own name, with ``_`` for ``-``.
    """

    def __init__(self, *args: Any, package: str, modules: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._package = package
        self._modules = modules

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self._modules)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self._modules:
            return None
        function = name.replace("-", "_")
        module = importlib.import_module(f"{self._package}.{function}")
        command: click.Command = getattr(module, function)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self._modules:
            command = self.get_command(context, name)
            assert command is not None
            rows.append((name, command.get_short_help_str(limit=sys.maxsize)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            prepare_streams()
        except OSError as error:
            print(f"{kwargs.get('prog_name') or self.name}: {error}", file=sys.stderr)
            sys.exit(EXIT_FAILED)
        return super().main(*args, **kwargs)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _printable_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, context: click.Context) -> Any:
        with _printable_errors():
            return super().invoke(context)


@contextlib.contextmanager
def _printable_errors() -> Iterator[None]:
    """Wrong usage is told with the names that it was given, which may hold anything."""
    try:
        yield
    except click.ClickException as error:
        error.message = printable(error.message)  # type: ignore[misc]
        raise


def warn_of_unknown_variables(program: click.Group, prefix: str, known: tuple[str, ...]) -> None:
    """Say on stderr which variables in the environment look like options, but are none.

    Args:
        program: whose options are meant.
        prefix: of the variables' names.
        known: variables that are no options.
    """
    given = [name for name in os.environ if name.upper().startswith(f"{prefix}_")]
    if not given:
        return
    names = {*known, *_variables(program, prefix)}
    for name in sorted(set(given) - names):
        from difflib import get_close_matches

        nearest = get_close_matches(name.upper(), names, n=1, cutoff=0.0)
        click.echo(
            f"ser-edge: nothing reads {printable(name)} from the environment; "
            f"did you mean {nearest[0]}?",
            err=True,
        )


def _variables(program: click.Group, prefix: str) -> Iterator[str]:
    """The variables of all options, as click derives them."""
    root = click.Context(program, auto_envvar_prefix=prefix)
    for option in program.params:
        yield f"{prefix}_{(option.name or '').upper()}"
    for name in program.list_commands(root):
        command = program.get_command(root, name)
        assert command is not None
        for option in command.params:
            if isinstance(option, click.Option):
                yield f"{prefix}_{name.upper().replace('-', '_')}_{(option.name or '').upper()}"

"""The command ``ser-edge-convert``: each subcommand lives in its own module.

Exit codes: 0 done; 1 the work failed, with one line on stderr that says why; 2 wrong usage.
"""

from __future__ import annotations

import importlib
from typing import Any

import click

from ser_edge import __version__
from ser_edge.errors import SerEdgeError

# Subcommand to the module (and function of the same name) that holds it. A module is imported
# when its subcommand is asked for, so that --help does not wait for TensorFlow.
_MODULES = {
    "model": "model",
    "inspect": "inspect",
    "train": "train",
    "evaluate": "evaluate",
    "index": "index",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        module = importlib.import_module(f".{_MODULES[cmd_name]}", __package__)
        command: click.Command = getattr(module, cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (SerEdgeError, OSError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ser-edge-convert")
def main() -> None:
    """Turn trained models into files for ser-edge, and train the one that comes with it."""

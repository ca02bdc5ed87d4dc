"""The command ``ser-edge-convert``: each subcommand lives in its own module.

Exit codes: 0 done; 1 the work failed, with one line on stderr that says why; 2 wrong usage.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from ser_edge import __version__
from ser_edge.cli.group import LazyGroup
from ser_edge.cli.options import EXIT_CLOSED_PIPE
from ser_edge.cli.terminal import printable
from ser_edge.errors import SerEdgeError

# Each is a function in a module of its own name, imported when the subcommand is asked for, so
# that --help does not wait for TensorFlow.
COMMANDS = (
    "model",
    "presets",
    "fit-frontend",
    "inspect",
    "train",
    "tune",
    "calibrate",
    "evaluate",
    "index",
    "embed",
)


class _Program(LazyGroup):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Python flushes standard output once more on its way out.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(EXIT_CLOSED_PIPE)
        except (SerEdgeError, OSError) as error:
            raise click.ClickException(printable(str(error))) from error


@click.group(
    "ser-edge-convert",
    cls=_Program,
    package=__name__,
    modules=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="ser-edge-convert")
def main() -> None:
    """Turn trained models into files for ser-edge, and train the one that comes with it."""

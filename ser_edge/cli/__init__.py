"""The command line: ``ser-edge``. Results go to standard output, everything else to stderr."""

from __future__ import annotations

import gc
import importlib
import os
import sys

import click

from ser_edge import __version__
from ser_edge.cli.options import (
    EXIT_CLOSED_PIPE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_UNUSABLE,
    complain,
)
from ser_edge.errors import SerEdgeError

# Each is a function in a module of its own name, which is loaded only when the command is used.
COMMANDS = ("bench", "classify", "doctor", "info", "listen")

_EPILOG = """\b
Exit codes: 0 all went well; 1 some file failed, the others were classified;
2 wrong usage; 3 the model or the installation is unusable.

Every option can also be set in the environment: SER_EDGE_CLASSIFY_MODEL is --model of classify.
To make a model of your own: ser-edge-convert --help.
"""


class _Program(click.Group):
    """Turns what a command returns or raises into an exit code and at most one sentence."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"ser_edge.cli.{name}"), name)
        return command

    def invoke(self, context: click.Context) -> None:
        try:
            code = super().invoke(context) or 0
        except SerEdgeError as error:
            complain(str(error))
            code = EXIT_UNUSABLE
        except KeyboardInterrupt:
            code = EXIT_INTERRUPTED
        except BrokenPipeError:
            # Python flushes standard output once more on its way out.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = EXIT_CLOSED_PIPE
        except OSError as error:  # a full disk behind standard output, say
            complain(str(error))
            code = EXIT_FAILED
        context.exit(code)


@click.group(
    cls=_Program,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "SER_EDGE",
        "max_content_width": 100,
    },
    epilog=_EPILOG,
)
@click.version_option(__version__, package_name="ser-edge")
@click.option("-v", "--verbose", is_flag=True, help="Say on stderr what is done and how long.")
@click.pass_context
def program(context: click.Context, verbose: bool) -> None:
    """Tell the emotion in recorded speech, on this device, without a network."""
    if os.environ.get("NO_COLOR"):
        context.color = False
    if verbose:
        import logging

        logging.basicConfig(
            level=logging.INFO, stream=sys.stderr, format="%(relativeCreated)7.0f ms  %(message)s"
        )


def main() -> None:
    """Run the command line and leave with its exit code."""
    # Read when numpy is loaded. No matrix product here is large enough for more threads, which
    # would begin by waiting in a loop, on every core of the device.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        program(prog_name="ser-edge")
    finally:
        # All of it goes with the process. Python would first search it for garbage, again and
        # again: a ninth of the time that it takes to classify one recording.
        gc.freeze()

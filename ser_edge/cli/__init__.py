"""The command line: ``ser-edge``. Results go to standard output, everything else to stderr."""

from __future__ import annotations

import gc
import os
import sys

import click

from ser_edge import __version__
from ser_edge.cli.group import LazyGroup, warn_of_unknown_variables
from ser_edge.cli.options import (
    EXIT_CLOSED_PIPE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_UNUSABLE,
    complain,
    show_warnings,
    verbose_option,
)
from ser_edge.errors import SerEdgeError

# Each is a function in a module of its own name, which is loaded only when the command is used.
COMMANDS = ("adapt", "bench", "classify", "doctor", "info", "listen", "serve")

_PREFIX = "SER_EDGE"  # of the options' variables in the environment
# No options: all users see those.
_PASSWORD_VARIABLES = (f"{_PREFIX}_LISTEN_MQTT_PASSWORD", f"{_PREFIX}_SERVE_MQTT_PASSWORD")

_EPILOG = """\b
Exit codes: 0 all went well; 1 some file failed, the others were classified;
2 wrong usage; 3 the model or the installation is unusable.

Every option can also be set in the environment: SER_EDGE_CLASSIFY_MODEL is --model of classify.
To make a model of your own: ser-edge-convert --help.
"""


class _Program(LazyGroup):
    """Turns what a command returns or raises into an exit code and at most one sentence."""

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        command = super().get_command(context, name)
        if command is not None and verbose_option not in command.params:
            command.params.append(verbose_option)
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
    "ser-edge",
    cls=_Program,
    package=__name__,
    modules=COMMANDS,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": _PREFIX,
        "max_content_width": 100,
    },
    epilog=_EPILOG,
)
@click.version_option(__version__, package_name="ser-edge")
@click.pass_context
def program(context: click.Context) -> None:
    """Tell the emotion in recorded speech, on this device, without a network."""
    if os.environ.get("NO_COLOR"):
        context.color = False
    warn_of_unknown_variables(program, _PREFIX, _PASSWORD_VARIABLES)


program.params.append(verbose_option)


def main() -> None:
    """Run the command line and leave with its exit code."""
    # Read when numpy is loaded. No matrix product here is large enough for more threads, which
    # would begin by waiting in a loop, on every core of the device.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    show_warnings()
    # What is loaded stays: searching it for garbage, while it grows, would take a twentieth of the
    # time that it takes to classify one recording. `load_classifier` ends this.
    gc.disable()
    try:
        program(prog_name="ser-edge")
    finally:
        # All of it goes with the process. Python would first search it for garbage, again and
        # again: a ninth of the time that it takes to classify one recording.
        gc.freeze()

"""The command line: ``ser-edge``. Results go to standard output, everything else to stderr."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from ser_edge import __version__
from ser_edge.errors import AudioError, SerEdgeError

if TYPE_CHECKING:
    from ser_edge.classifier import Classifier
    from ser_edge.cli.output import Writer
    from ser_edge.cli.plot import Timeline

EXIT_FAILED = 1  # some file could not be classified; the others were
EXIT_UNUSABLE = 3  # the model or the installation is unusable: nothing was classified
EXIT_INTERRUPTED = 130  # Ctrl-C
EXIT_CLOSED_PIPE = 141  # the reader of the output went away

GATES = ("syllables", "silero", "off")  # those of ser_edge.gate, which needs numpy

_EPILOG = """\b
Exit codes: 0 all went well; 1 some file failed, the others were classified;
2 wrong usage; 3 the model or the installation is unusable.

Every option can also be set in the environment: SER_EDGE_CLASSIFY_MODEL is --model of classify.
To make a model of your own: ser-edge-convert --help.
"""

# Each in a module of its own name, which is loaded only when the command is used.
_LAZY_COMMANDS = ("bench", "listen")


class _Program(click.Group):
    """Turns what a command returns or raises into an exit code and at most one sentence."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted([*super().list_commands(context), *_LAZY_COMMANDS])

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name in _LAZY_COMMANDS:
            command: click.Command = getattr(importlib.import_module(f"ser_edge.cli.{name}"), name)
            return command
        return super().get_command(context, name)

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
def cli(context: click.Context, verbose: bool) -> None:
    """Tell the emotion in recorded speech, on this device, without a network."""
    if os.environ.get("NO_COLOR"):
        context.color = False
    if verbose:
        import logging

        logging.basicConfig(
            level=logging.INFO, stream=sys.stderr, format="%(relativeCreated)7.0f ms  %(message)s"
        )


def model_options(command: Any) -> Any:
    """The options that choose a model and how it decides."""
    for option in (
        click.option(
            "--threads",
            type=click.IntRange(1, 64),
            default=1,
            show_default=True,
            help="Threads of the model's interpreter.",
        ),
        click.option(
            "--gate",
            type=click.Choice(GATES),
            default=GATES[0],
            show_default=True,
            help="What tells speech from noise: voiced syllables, Silero's network (extra "
            "'vad'), or nothing.",
        ),
        click.option(
            "--threshold",
            type=click.FloatRange(0, 1),
            help="Probability below which an answer is 'uncertain'.  [default: the model's own]",
        ),
        click.option(
            "--model",
            default="default",
            show_default=True,
            metavar="NAME-OR-FILE",
            help="A model that comes with the package, or a .tflite of ser-edge-convert.",
        ),
    ):
        command = option(command)
    return command


@cli.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILES-OR-FOLDERS...")
@model_options
@click.option("--json", "format_", flag_value="json", help="One JSON object a line.")
@click.option("--csv", "format_", flag_value="csv", help="Comma-separated values.")
@click.option("--top", type=click.IntRange(1), help="Show only the N most probable emotions.")
@click.option("--windows", is_flag=True, help="A timeline: a result for every window.")
@click.option(
    "--hop",
    type=click.FloatRange(min=0.01),
    metavar="SECONDS",
    help="With --windows: from one window's start to the next one's.  [default: the model's own]",
)
@click.option("--channel", type=click.IntRange(1), help="Hear one channel, not the mean of all.")
@click.option(
    "--plot",
    metavar="FILE.png",
    help="With --windows: also draw the probabilities over time (needs the extra 'plot').",
)
def classify(
    paths: tuple[str, ...],
    model: str,
    threshold: float | None,
    threads: int,
    gate: str,
    format_: str | None,
    top: int | None,
    windows: bool,
    hop: float | None,
    channel: int | None,
    plot: str | None,
) -> int:
    """Tell the emotion of recordings.

    Folders are searched for audio files, with all their folders; - reads a recording from
    standard input. WAV, FLAC, OGG, Opus, MP3, AIFF and whatever else libsndfile reads, at any
    sample rate.

    \b
    Examples:
      ser-edge classify call.wav
      ser-edge classify recordings/ --csv > emotions.csv
      ser-edge classify meeting.flac --windows --hop 1
      ffmpeg -i voice.m4a -f wav - | ser-edge classify --json -
    """
    if hop is not None and not windows:
        raise click.UsageError("--hop needs --windows")
    if plot is not None and (not windows or len(paths) > 1 or os.path.isdir(paths[0])):
        raise click.UsageError("--plot needs --windows and a single recording")
    failed = False
    files: list[str] = []
    unlisted: list[tuple[str, str]] = []
    for path in paths:
        try:
            files += _audio_files(path)
        except AudioError as error:
            unlisted.append((path, str(error)))
    classifier = load_classifier(model, threshold=threshold, num_threads=threads, gate=gate)
    timeline = None if plot is None else _timeline(plot)
    writer = _writer(format_, classifier, files, windows=windows, top=top)

    def fail(file: str, message: str) -> None:
        nonlocal failed
        failed = True
        complain(message)
        writer.error(file, message)

    for path, message in unlisted:
        fail(path, message)
    with _progress(files) as remaining:
        for file in remaining:
            try:
                if timeline is not None:
                    results = timeline.follow(classifier, file, hop=hop, channel=channel)
                elif windows:
                    results = classifier.windows(file, hop=hop, channel=channel)
                else:
                    results = iter([classifier.classify(file, channel=channel)])
                for result in results:
                    writer.result(file, result)
                _log("classified %s", file)
            except AudioError as error:
                fail(file, str(error))
    return EXIT_FAILED if failed else 0


@cli.command()
@click.argument("model", default="default", metavar="[NAME-OR-FILE]")
@click.option("--json", "as_json", is_flag=True, help="The same as one JSON object.")
def info(model: str, as_json: bool) -> None:
    """Show what a model is: labels, front end, training, accuracy, size, operators, runtime."""
    from ser_edge.cli.doctor import describe

    loaded = load_classifier(model).model
    description = describe(loaded)
    if as_json:
        import json

        click.echo(json.dumps(description, indent=1))
    else:
        _echo_tree(description)


@cli.command()
@click.option("--model", default="default", metavar="NAME-OR-FILE", help="The model to check.")
def doctor(model: str) -> int:
    """Check the installation step by step, and say how to mend what is broken."""
    from ser_edge.cli.doctor import examine

    healthy = True
    for check in examine(model):
        healthy = healthy and check.ok
        mark = click.style("ok  ", fg="green") if check.ok else click.style("FAIL", fg="red")
        click.echo(f"{mark}  {check.name}: {check.finding}")
        if check.remedy:
            click.echo(f"      -> {check.remedy}")
    return 0 if healthy else EXIT_UNUSABLE


def main() -> None:
    """Run the command line and leave with its exit code."""
    # Read when numpy is loaded. No product here is large enough for more threads, which would
    # begin by waiting in a loop, on every core of the device.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        cli(prog_name="ser-edge")
    finally:
        # All of it goes with the process. Python would first search it for garbage, again and
        # again: a ninth of the time that it takes to classify one recording.
        gc.freeze()


def complain(message: str) -> None:
    """One line on standard error."""
    click.echo(f"ser-edge: {message}", err=True)


def model_path(model: str, param_hint: str = "--model") -> str:
    """The file of a bundled model by its name, or else the path itself."""
    from ser_edge.classifier import bundled_path

    try:
        return bundled_path(model)
    except ValueError as error:
        if not os.path.exists(model) and os.sep not in model and not model.endswith(".tflite"):
            raise click.BadParameter(f"{error}; nor is it a file", param_hint=param_hint) from error
        return model


def load_classifier(
    model: str, *, threshold: float | None = None, num_threads: int = 1, gate: str = GATES[0]
) -> Classifier:
    """A bundled model by its name, or a model file by its path."""
    from ser_edge.classifier import Classifier

    classifier = Classifier.from_file(
        model_path(model), num_threads=num_threads, threshold=threshold, gate=gate
    )
    _log("loaded %r", classifier.model)
    return classifier


def _audio_files(path: str) -> list[str]:
    from ser_edge.audio import find_audio_files

    return ["-"] if path == "-" else list(find_audio_files([path]))


def _timeline(plot: str) -> Timeline:
    from ser_edge.cli.plot import Timeline

    try:
        return Timeline(plot)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--plot") from None


def _writer(
    format_: str | None, classifier: Classifier, files: list[str], *, windows: bool, top: int | None
) -> Writer:
    from ser_edge.cli.output import Csv, JsonLines, Table

    if format_ == "json":
        return JsonLines(classifier.model.metadata.name)
    if format_ == "csv":
        return Csv(classifier.labels)
    return Table(files, windows=windows, top=top)


@contextlib.contextmanager
def _progress(files: list[str]) -> Iterator[Any]:
    """A bar on stderr where a person sees it and the results themselves do not show progress."""
    if len(files) > 1 and sys.stderr.isatty() and not sys.stdout.isatty():
        with click.progressbar(files, file=sys.stderr, label="Classifying") as bar:
            yield bar
    else:
        yield files


def _echo_tree(data: Any, indent: str = "") -> None:
    for key, value in data.items() if isinstance(data, dict) else enumerate(data, 1):
        if isinstance(value, (dict, list, tuple)) and value and not _is_short(value):
            click.echo(f"{indent}{key}:")
            _echo_tree(value, indent + "  ")
        else:
            click.echo(f"{indent}{key}: {_plain(value)}")


def _is_short(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and not isinstance(value[0], (dict, list, tuple))


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _log(message: str, *values: object) -> None:
    if "logging" in sys.modules:  # loaded only when somebody listens
        import logging

        logging.getLogger(__name__).info(message, *values)

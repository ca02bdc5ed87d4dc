"""What the commands share: exit codes, options, and how a model is loaded."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import click

from ser_edge.cli.terminal import printable
from ser_edge.errors import AudioWarning, SerEdgeError

if TYPE_CHECKING:
    from ser_edge.classifier import Classifier

EXIT_FAILED = 1  # some file could not be classified; the others were
EXIT_UNUSABLE = 3  # the model or the installation is unusable: nothing was classified
EXIT_INTERRUPTED = 130  # Ctrl-C
EXIT_CLOSED_PIPE = 141  # the reader of the output went away

# Those of ser_edge.gate, which cannot be imported here: it loads numpy, and the command line's
# help and `ser-edge doctor` have to work without. A test compares the two.
GATES = ("speech", "silero", "off")

# Those of ser_edge.audio.pcm, for the same reason as the gates.
SAMPLE_FORMATS = ("uint8", "int16", "int24", "int32", "float32", "float64")

threads_option = click.option(
    "--threads",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Threads of the model's interpreter.",
)
channel_option = click.option(
    "--channel", type=click.IntRange(1), help="Use one channel, not the mean of all."
)
top_option = click.option(
    "--top", type=click.IntRange(1), help="Show only the N most probable emotions."
)


def raw_options(help: str) -> Callable[[Any], Any]:
    """The options that describe raw samples; `help`: of the rate."""

    def decorate(command: Any) -> Any:
        for option in (
            click.option(
                "--format",
                type=click.Choice(SAMPLE_FORMATS),
                help="Samples of raw audio, little-endian: int16 is S16_LE of arecord, int24 "
                "S24_3LE, int32 S32_LE, float32 FLOAT_LE, uint8 U8.  [default: int16]",
            ),
            click.option(
                "--channels",
                type=click.IntRange(1, 128),
                help="Channels of raw audio.  [default: 1]",
            ),
            click.option("--rate", type=click.IntRange(1000, 768_000), metavar="HZ", help=help),
        ):
            command = option(command)
        return command

    return decorate


def model_option(help: str) -> Callable[[Any], Any]:
    """``--model``, described by `help`."""
    return click.option(
        "--model", default="default", show_default=True, metavar="NAME-OR-FILE", help=help
    )


profile_option = click.option(
    "--profile", metavar="FILE.json", help="What ser-edge adapt made: the model knows a voice."
)


class _Threshold(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks alone
    """A probability, or a label and its probability: ``0.5`` or ``angry=0.7``."""

    name = "threshold"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str | None, float]:
        if isinstance(value, tuple):
            return value
        label, found, number = str(value).rpartition("=")
        threshold: Any = click.FloatRange(0, 1).convert(cast("Any", number), param, ctx)
        return (label if found else None), threshold


class Decision(NamedTuple):
    """What :func:`decision_options` choose, by the names of :func:`load_classifier`."""

    model: str
    profile: str | None
    threshold: tuple[tuple[str | None, float], ...]
    threads: int
    gate: str
    accept_unfamiliar: bool


def decision_options(command: Callable[..., Any]) -> Any:
    """The options that choose a model and how it decides; the command gets a ``decision``."""

    @wraps(command)
    def decided(**options: Any) -> Any:
        values = {name: options.pop(name) for name in Decision._fields}
        return command(decision=Decision(**values), **options)

    decorated: Any = decided
    for option in (
        threads_option,
        click.option(
            "--gate",
            type=click.Choice(GATES),
            default=GATES[0],
            show_default=True,
            help="What tells speech from noise: a small detector, Silero's network (extra "
            "'vad'), or nothing.",
        ),
        click.option(
            "--accept-unfamiliar",
            is_flag=True,
            help="Be as sure of voices, rooms and microphones unlike those that the model learned "
            "from as of all else: more labels there, of which fewer are right.",
        ),
        click.option(
            "--threshold",
            type=_Threshold(),
            multiple=True,
            metavar="[EMOTION=]PROBABILITY",
            help="Probability below which an answer is 'uncertain', of all emotions or, as in "
            "angry=0.7, of one; may be given again.  [default: the model's own]",
        ),
        profile_option,
        model_option("A model that comes with the package, or a .tflite of ser-edge-convert."),
    ):
        decorated = option(decorated)
    return decorated


def archive_options(command: Any) -> Any:
    """The options of work that is long."""
    for option in (
        click.option(
            "--retry-errors", is_flag=True, help="With --resume: try again what had an error."
        ),
        click.option(
            "--resume", is_flag=True, help="Go on where -o FILE ends; what it has is passed over."
        ),
        click.option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write a .csv, .jsonl or .parquet (needs the extra 'archive'), which any kill "
            "leaves ready for --resume; with --scheduler a folder.",
        ),
        click.option(
            "--scheduler",
            metavar="ADDRESS",
            help="Classify on the cluster of this Dask scheduler, such as tcp://head:8786, into a "
            "folder of Parquet files (needs the extra 'cluster').",
        ),
        click.option(
            "--jobs",
            type=click.IntRange(0, 1024),
            default=1,
            show_default=True,
            help="Processes that classify, one model in each; 0: as many as there are cores.",
        ),
        click.option(
            "--files-from",
            metavar="LIST|-",
            help="Also the files that a list names, one a line, or with zero bytes between them.",
        ),
    ):
        command = option(command)
    return command


def load_classifier(
    model: str,
    *,
    profile: str | None = None,
    threshold: Sequence[tuple[str | None, float]] = (),
    threads: int = 1,
    gate: str = GATES[0],
    accept_unfamiliar: bool = False,
) -> Classifier:
    """A bundled model by its name, or a model file by its path; adapted by a profile's file."""
    from ser_edge.classifier import Classifier
    from ser_edge.model_file import find

    try:
        path = find(model)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--model") from error
    by_label = dict(threshold)
    plain = by_label.pop(None, None)
    try:
        classifier = Classifier.from_file(
            path,
            num_threads=threads,
            threshold=plain,
            thresholds={str(label): value for label, value in by_label.items()},
            gate=gate,
            profile=profile,
            accept_unfamiliar=accept_unfamiliar,
        )
    except SerEdgeError:  # some are a ValueError, too
        raise
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--threshold") from None
    if not gc.isenabled():
        gc.freeze()  # for good, or enabling it would begin by a search through all of it
        gc.enable()
    log("loaded %r", classifier.model)
    return classifier


def origin(classifier: Classifier, profile: str | None) -> dict[str, str]:
    """What results come from, by the names that they have in JSON."""
    names = {"model": classifier.model.metadata.name}
    if profile is not None:
        names["profile"] = profile_name(profile)
    return names


def profile_name(path: str) -> str:
    """What a profile is called: its file's name, without folder and ending.

    Example:
        >>> profile_name("/home/pi/voice.json")
        'voice'
    """
    return os.path.splitext(os.path.basename(path))[0]


def complain(message: str) -> None:
    """One line on standard error."""
    click.echo(f"ser-edge: {printable(message)}", err=True)


def show_warnings() -> None:
    """Let each of our warnings be one line on standard error, every time."""
    import warnings

    show_others = warnings.showwarning

    def show(message: Any, category: Any, *where: Any, **more: Any) -> None:
        if issubclass(category, AudioWarning):
            complain(str(message))
        else:
            show_others(message, category, *where, **more)

    warnings.showwarning = show
    warnings.simplefilter("always", AudioWarning)


def log(message: str, *values: object) -> None:
    """One line on standard error, with ``--verbose``."""
    if "logging" in sys.modules:  # loaded only when somebody listens
        import logging

        shown = [printable(value) if isinstance(value, str) else value for value in values]
        logging.getLogger("ser_edge").info(message, *shown)


def is_verbose(context: click.Context) -> bool:
    """Whether ``--verbose`` was given, before the command or after it."""
    return bool(context.meta.get(_VERBOSE))


def _be_verbose(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not is_verbose(context):
        import logging

        context.meta[_VERBOSE] = True
        logging.basicConfig(
            level=logging.INFO, stream=sys.stderr, format="%(relativeCreated)7.0f ms  %(message)s"
        )


_VERBOSE = "ser_edge.verbose"  # key in a context's meta, which commands share with the program

verbose_option = click.Option(
    ["-v", "--verbose"],
    is_flag=True,
    expose_value=False,
    callback=_be_verbose,
    help="Say on stderr what is done and how long.",
)

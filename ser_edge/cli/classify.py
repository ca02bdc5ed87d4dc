"""``ser-edge classify``: emotions of recordings."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from ser_edge.cli.options import (
    EXIT_FAILED,
    channel_option,
    complain,
    decision_options,
    load_classifier,
    log,
    top_option,
)
from ser_edge.cli.output import Csv, JsonLines, Table, Writer
from ser_edge.errors import AudioError

if TYPE_CHECKING:
    from ser_edge.cli.plot import Timeline
    from ser_edge.result import Result


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILES-OR-FOLDERS...")
@decision_options
@click.option("--json", is_flag=True, help="One JSON object a line.")
@click.option("--csv", is_flag=True, help="Comma-separated values.")
@top_option
@click.option("--windows", is_flag=True, help="A timeline: a result for every window.")
@click.option(
    "--hop",
    type=click.FloatRange(min=0.01),
    metavar="SECONDS",
    help="With --windows: from one window's start to the next one's.  [default: the model's own]",
)
@channel_option
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
    json: bool,
    csv: bool,
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
    if json and csv:
        raise click.UsageError("--json and --csv exclude each other")
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
    writer: Writer
    if json:
        writer = JsonLines(classifier.model.metadata.name)
    elif csv:
        writer = Csv(classifier.labels)
    else:
        writer = Table(files, windows=windows, top=top)

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
                results: Iterable[Result]
                if windows:
                    tap = None if timeline is None else timeline.add_samples
                    results = classifier.windows(file, hop=hop, channel=channel, on_chunk=tap)
                else:
                    results = [classifier.classify(file, channel=channel)]
                drawn = []
                for result in results:
                    writer.result(file, result)
                    if timeline is not None:
                        drawn.append(result)
                if timeline is not None:
                    title = "standard input" if file == "-" else os.path.basename(file)
                    timeline.save(title, drawn, classifier.labels)
                log("classified %s", file)
            except AudioError as error:
                fail(file, str(error))
    return EXIT_FAILED if failed else 0


def _audio_files(path: str) -> list[str]:
    from ser_edge.audio import find_audio_files

    return ["-"] if path == "-" else list(find_audio_files([path]))


def _timeline(plot: str) -> Timeline:
    from ser_edge.cli.plot import Timeline

    try:
        return Timeline(plot)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--plot") from None


@contextlib.contextmanager
def _progress(files: list[str]) -> Iterator[Any]:
    """A bar on stderr where a person sees it and the results themselves do not show progress."""
    if len(files) > 1 and sys.stderr.isatty() and not sys.stdout.isatty():
        with click.progressbar(files, file=sys.stderr, label="Classifying") as bar:
            yield bar
    else:
        yield files

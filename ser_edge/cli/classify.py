"""``ser-edge classify``: emotions of recordings."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ser_edge.audio.pcm import Contradiction, RawFormat
from ser_edge.cli.options import (
    EXIT_FAILED,
    Decision,
    archive_options,
    channel_option,
    complain,
    decision_options,
    load_classifier,
    log,
    origin,
    raw_options,
    top_option,
)
from ser_edge.cli.show.output import Csv, JsonLines, Table
from ser_edge.errors import AudioError

if TYPE_CHECKING:
    from ser_edge.cli.show.output import Writer
    from ser_edge.cli.show.plot import Pictures
    from ser_edge.cli.show.progress import AudioProgress


@click.command()
@click.argument("paths", nargs=-1, metavar="FILES-OR-FOLDERS...")
@decision_options
@click.option("--json", is_flag=True, help="One JSON object a line.")
@click.option("--csv", is_flag=True, help="Comma-separated values.")
@top_option
@click.option(
    "--utterances",
    is_flag=True,
    help="A result for every utterance, and a summary: as a recording over a minute gets anyway, "
    "where it is the only one.",
)
@click.option("--windows", is_flag=True, help="A timeline: a result for every window.")
@click.option("--labels", is_flag=True, help="The utterances as a label track of Audacity.")
@click.option("--vtt", is_flag=True, help="The utterances as subtitles (WebVTT).")
@click.option(
    "--hop",
    type=click.FloatRange(min=0.01),
    metavar="SECONDS",
    help="With --windows: from one window's start to the next one's.  [default: the model's own]",
)
@channel_option
@raw_options("Sample rate of raw audio on standard input, for -; WAV and others tell it.")
@click.option(
    "--no-ffmpeg", is_flag=True, help="Refuse what libsndfile does not read: M4A, WMA, video."
)
@click.option(
    "--plot",
    metavar="FILE.png|FOLDER",
    help="With --windows or --utterances: also draw the emotions over time, each recording in a "
    "picture; those of several go into a folder (needs the extra 'plot').",
)
@archive_options
def classify(
    paths: tuple[str, ...],
    decision: Decision,
    json: bool,
    csv: bool,
    top: int | None,
    utterances: bool,
    windows: bool,
    labels: bool,
    vtt: bool,
    hop: float | None,
    channel: int | None,
    rate: int | None,
    channels: int | None,
    format: str | None,
    no_ffmpeg: bool,
    plot: str | None,
    files_from: str | None,
    jobs: int,
    output: str | None,
    resume: bool,
    retry_errors: bool,
    scheduler: str | None,
) -> int:
    """Tell the emotion of recordings.

    Folders are searched for audio files, with all their folders; - reads a recording from
    standard input. WAV, FLAC, OGG, Opus, MP3, AIFF and whatever else libsndfile reads, at any
    sample rate; where ffmpeg is installed, also M4A, AAC, WMA, WebM and the sound of videos.

    \b
    Examples:
      ser-edge classify call.wav
      ser-edge classify recordings/ --csv > emotions.csv
      ser-edge classify meeting.flac --utterances --vtt > meeting.vtt
      ser-edge classify meeting.flac --windows --hop 1
      ser-edge classify archive/ --jobs 0 -o emotions.csv --resume
      ffmpeg -i rtsp://camera/ -t 60 -f wav - | ser-edge classify --json -
    """
    _exclusive(("--json", json), ("--csv", csv), ("--labels", labels), ("--vtt", vtt))
    _exclusive(("--utterances", utterances), ("--windows", windows))
    utterances = utterances or (not windows and (labels or vtt))
    if hop is not None and not windows:
        raise click.UsageError("--hop needs --windows")
    if plot is not None and not (windows or utterances):
        raise click.UsageError("--plot needs --windows or --utterances")
    if (resume and output is None) or (retry_errors and not resume):
        raise click.UsageError("--resume needs -o FILE, and --retry-errors needs --resume")
    if files_from is not None:
        from ser_edge.cli.archive import listed

        paths += listed(files_from)
    if not paths and files_from is None:
        raise click.UsageError("name files or folders, or --files-from LIST")
    many = jobs != 1 or output is not None
    if scheduler is not None and (output is None or jobs != 1):
        raise click.UsageError("--scheduler needs -o FOLDER, and excludes --jobs")
    if many and (plot is not None or "-" in paths):
        raise click.UsageError("--jobs and -o exclude --plot and - for standard input")
    if output is not None and (json or csv or top is not None):
        raise click.UsageError("-o excludes --json, --csv and --top: FILE's ending says what it is")
    if many and (labels or vtt):
        raise click.UsageError("--jobs and -o exclude --labels and --vtt")
    raw = RawFormat(rate, channels, format)
    if any(raw) and "-" not in paths:
        raise click.UsageError("--rate, --channels and --format are for raw audio: they need -")
    failed = False
    files: list[str] = []
    unlisted: list[tuple[str, str]] = []
    for path in paths:
        try:
            files += _audio_files(path)
        except AudioError as error:
            unlisted.append((path, str(error)))
    from ser_edge.audio import open_audio
    from ser_edge.cli.show.view import View

    classifier = load_classifier(**decision._asdict())
    if (labels or vtt) and len(files) + len(unlisted) > 1:
        raise click.UsageError("--labels and --vtt are for one recording")
    pictures = None if plot is None else _pictures(plot, paths, classifier.labels)
    writer: Writer
    if json:
        writer = JsonLines(origin(classifier, decision.profile))
    elif csv:
        writer = Csv(classifier.labels)
    elif labels or vtt:
        from ser_edge.cli.show.subtitles import AudacityLabels, WebVtt

        writer = AudacityLabels() if labels else WebVtt()
    else:
        timeline = windows or utterances
        writer = Table(files, windows=timeline, labels=classifier.labels, top=top)

    alone = len(files) == 1
    tally = None
    folders = any(os.path.isdir(path) for path in paths)
    if isinstance(writer, Table) and folders and not (alone or windows or utterances):
        from ser_edge.cli.show.summary import Tally

        tally = Tally()
        for _ in unlisted:
            tally.fail()
    if many and not (alone and output is None):
        from ser_edge.archive.worker import Worker
        from ser_edge.cli.archive import to_file, to_writer

        for _, message in unlisted:
            complain(message)
        worker = Worker(
            classifier,
            windows=windows,
            utterances=utterances,
            hop=hop,
            channel=channel,
            ffmpeg=not no_ffmpeg,
        )
        if scheduler is not None and output is not None:
            from ser_edge.cli.cluster import on_cluster

            code = on_cluster(scheduler, output, worker, files, resume, retry_errors)
        elif output is None:
            code = to_writer(writer, worker, files, jobs, tally)
            if tally is not None:
                click.echo(str(tally))
        else:
            source = origin(classifier, decision.profile)
            code = to_file(output, source, worker, files, jobs, resume, retry_errors)
        return code or (EXIT_FAILED if unlisted else 0)

    progress = _progress(files)

    def clear() -> None:
        if progress is not None:
            progress.clear()

    def before() -> None:
        if sys.stdout.isatty():
            clear()

    view = View(
        classifier,
        writer,
        windows=windows,
        utterances=utterances,
        hop=hop,
        alone=alone,
        before=before,
    )

    def fail(file: str, message: str) -> None:
        nonlocal failed
        failed = True
        clear()
        complain(message)
        writer.error(file, message)

    for path, message in unlisted:
        fail(path, message)
    try:
        for file in files:
            picture = None if pictures is None else pictures.begin(file)
            if progress is not None:
                progress.start(file)
            tools = [tool.add_samples for tool in (picture, progress) if tool is not None]
            try:
                audio = open_audio(
                    file,
                    channel=channel,
                    ffmpeg=not no_ffmpeg,
                    raw=raw if file == "-" and any(raw) else None,
                )
                for result in view.results(file, audio, tools):
                    if picture is not None:
                        picture.add_result(result)
                    if tally is not None:
                        tally.add(result)
                if picture is not None:
                    if utterances:
                        picture.fill_pauses()
                    picture.save()
                log("classified %s", file)
            except AudioError as error:
                fail(file, str(error))
                if tally is not None:
                    tally.fail()
            except Contradiction as error:
                raise click.UsageError(str(error)) from None
    finally:
        clear()
    if tally is not None:
        click.echo(str(tally))
    return EXIT_FAILED if failed else 0


def _audio_files(path: str) -> list[str]:
    if not os.path.isdir(path) and ":" not in path:
        return [path]
    from ser_edge.audio.folders import find_audio_files
    from ser_edge.audio.remote import find_addresses, is_address

    others: list[str] = []
    if is_address(path):
        files = list(find_addresses(path, on_other=others.append))
    elif not os.path.isdir(path):
        return [path]
    else:
        files = list(find_audio_files([path], on_other=others.append))
    if others:
        complain(f"{path}: passed over {len(others)} file{'s'[: len(others) > 1]} of other kinds")
    return files


def _pictures(plot: str, paths: Sequence[str], labels: Sequence[str]) -> Pictures:
    from ser_edge.cli.show.plot import Pictures

    single = len(paths) == 1 and not os.path.isdir(paths[0])
    try:
        return Pictures(plot, labels, single=single)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--plot") from None


def _progress(files: Sequence[str]) -> AudioProgress | None:
    if not sys.stderr.isatty():
        return None
    from ser_edge.cli.show.progress import AudioProgress

    return AudioProgress(files)


def _exclusive(*options: tuple[str, bool]) -> None:
    """Refuse options that exclude each other."""
    given = [name for name, is_given in options if is_given]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} exclude each other")

"""``ser-edge classify`` of many recordings: several processes, and files of results."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, TextIO

import click

from ser_edge.archive.formats import format_of
from ser_edge.archive.journal import Journal
from ser_edge.archive.pool import outcomes
from ser_edge.archive.table import OutputError
from ser_edge.archive.worker import Outcome, Worker
from ser_edge.cli.machine import this_machine
from ser_edge.cli.options import EXIT_FAILED, EXIT_INTERRUPTED, complain
from ser_edge.cli.show.progress import FilesProgress, is_shown

if TYPE_CHECKING:
    from ser_edge.cli.show.output import Writer
    from ser_edge.cli.show.summary import Tally

_MAX_COMMAND = 300  # characters


def listed(path: str) -> tuple[str, ...]:
    """The names in a list of files: one a line, or with zero bytes between them.

    Args:
        path: of the list; - for standard input.

    Raises:
        click.BadParameter: it cannot be read.
    """
    try:
        if path == "-":
            data = sys.stdin.buffer.read()
        else:
            with open(path, "rb") as file:
                data = file.read()
    except OSError as error:
        raise click.BadParameter(
            f"{path}: {error.strerror or error}", param_hint="--files-from"
        ) from None
    names = data.split(b"\0") if b"\0" in data else data.splitlines()
    return tuple(os.fsdecode(name) for name in names if name.strip())


def to_writer(
    writer: Writer, worker: Worker, files: Sequence[str], jobs: int, tally: Tally | None
) -> int:
    """Print outcomes in the order of the files, and count them; the exit code."""
    failed = False
    with closing(_told(outcomes(worker, files, _processes(jobs)), files, sys.stdout)) as told:
        for outcome in told:
            for result in outcome.results:
                writer.result(outcome.file, result)
                if tally is not None:
                    tally.add(result)
            if outcome.error is not None:
                failed = True
                if tally is not None:
                    tally.fail()
                writer.error(outcome.file, outcome.error)
    return EXIT_FAILED if failed else 0


def to_file(
    path: str,
    origin: dict[str, str],
    worker: Worker,
    files: Sequence[str],
    jobs: int,
    resume: bool,
    retry_errors: bool,
) -> int:
    """Write outcomes to a file.

    Args:
        path: of the file.
        origin: what results come from, by the names that they have in JSON.
        worker: what classifies.
        files: recordings; one that is named twice is classified once.
        jobs: processes, 0 for as many as there are cores.
        resume: go on with what an earlier run left.
        retry_errors: classify those again that had an error.

    Returns:
        The exit code.
    """
    try:
        form = format_of(path, worker.classifier.labels, origin)
        journal = Journal(path, form, worker.settings, resume=resume)
    except OutputError as error:
        raise click.BadParameter(str(error), param_hint="-o") from None
    with journal:
        failed = {file: journal.done.get(form.name(file)) for file in files}
        todo = [f for f, error in failed.items() if error is None or (error and retry_errors)]
        work = outcomes(worker, todo, _processes(jobs), ordered=False, inherited=[journal.file])
        try:
            with closing(_told(work, todo, None)) as told:
                for outcome in told:
                    journal.add(outcome)
        except KeyboardInterrupt:
            complain(
                f"stopped, and {files_text(len(journal.done))} done. To go on: {go_on_command()}"
            )
            return EXIT_INTERRUPTED
        except OSError as error:  # no room
            complain(
                f"{journal.part}: {error.strerror or error}; {files_text(len(journal.done))} done. "
                f"To go on: {go_on_command()}"
            )
            return EXIT_FAILED
        journal.finish(failed)
        errors = sum(journal.done.values())
        complain(
            f"{path}: {files_text(len(journal.done))}"
            + (f", {errors} with errors (--resume --retry-errors tries again)" if errors else "")
        )
    return EXIT_FAILED if errors else 0


def _told(
    work: Generator[Outcome, None, None], files: Sequence[str], results: TextIO | None
) -> Generator[Outcome, None, None]:
    """The same outcomes; their errors and warnings, and how far they are, on standard error.

    Args:
        results: where they are printed meanwhile.
    """
    progress = FilesProgress(files) if is_shown() else None
    try:
        with closing(work):
            for outcome in work:
                messages = [*outcome.warnings, *([outcome.error] if outcome.error else [])]
                if progress is not None and (messages or (results and results.isatty())):
                    progress.clear()
                for message in messages:
                    complain(message)
                yield outcome
                if progress is not None:
                    progress.add(outcome.file, outcome.seconds)
    finally:
        if progress is not None:
            progress.clear()


def _processes(jobs: int) -> int:
    return jobs or this_machine().cores


def files_text(count: int) -> str:
    """So many files, in words."""
    return f"{count} file{'s'[: count != 1]}"


def go_on_command() -> str:
    """What goes on with this run; of a command that names many files just its end."""
    words = [word for word in sys.argv[1:] if word != "--resume"]
    line = shlex.join(["ser-edge", *words, "--resume"])
    return line if len(line) <= _MAX_COMMAND else "the same command with --resume"

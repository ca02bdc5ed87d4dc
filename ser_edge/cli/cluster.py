"""``ser-edge classify --scheduler``: an archive on a cluster of Dask."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import click

from ser_edge.archive.cluster import ClusterError, Summary, classify_files
from ser_edge.archive.table import OutputError
from ser_edge.archive.worker import Worker
from ser_edge.cli.archive import files_text, go_on_command
from ser_edge.cli.options import EXIT_FAILED, EXIT_INTERRUPTED, complain
from ser_edge.cli.show.progress import FilesProgress, is_shown
from ser_edge.errors import DependencyError

_CONNECT_SECONDS = 60.0


def on_cluster(
    scheduler: str,
    output: str,
    worker: Worker,
    files: Sequence[str],
    resume: bool,
    retry_errors: bool,
) -> int:
    """Classify files on the cluster of a scheduler; the exit code.

    A scheduler that is lost is waited for, and gone on with.
    """
    try:
        import distributed
    except ImportError as error:
        raise DependencyError(
            f"--scheduler needs Dask: pip install 'ser-edge[cluster]' ({error})"
        ) from None
    open_client: Any = distributed.Client
    progress = FilesProgress(files) if is_shown() else None

    def show(count: int, _: int, seconds: float) -> None:
        if progress is not None:
            progress.add_some(count, seconds)

    try:
        while True:
            try:
                client = open_client(scheduler, timeout=_CONNECT_SECONDS)
            except (OSError, ValueError) as error:
                complain(f"no scheduler at {scheduler} ({error}). To go on: {go_on_command()}")
                return EXIT_FAILED
            try:
                with client:
                    summary = classify_files(
                        files,
                        client,
                        output,
                        worker=worker,
                        resume=resume,
                        retry_errors=retry_errors,
                        on_done=show,
                    )
                break
            except ClusterError as error:
                complain(str(error))
                resume = True
                time.sleep(1.0)
    except OutputError as error:
        raise click.BadParameter(str(error), param_hint="-o") from None
    except KeyboardInterrupt:
        complain(f"stopped; what is done is kept. To go on: {go_on_command()}")
        return EXIT_INTERRUPTED
    finally:
        if progress is not None:
            progress.clear()
    return _told(output, summary)


def _told(output: str, summary: Summary) -> int:
    errors = f", {summary.errors} with errors" if summary.errors else ""
    complain(f"{output}: {files_text(summary.files)}{errors}")
    sys.stderr.flush()
    return EXIT_FAILED if summary.errors else 0

"""An archive on a cluster of Dask: partitions to workers, one Parquet file for each."""

from __future__ import annotations

import concurrent.futures
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ser_edge.archive.partitions import Dataset, Partition, work
from ser_edge.archive.worker import Outcome, Worker
from ser_edge.errors import DependencyError, SerEdgeError

if TYPE_CHECKING:
    from distributed import Client

_PLUGIN = "ser-edge"  # name of what holds a worker's model
_PARTITION_SECONDS = 1800.0  # of audio: some ten seconds of work
_QUEUED = 3  # partitions a thread: the one that it does, and the next
_LOOK_SECONDS = 0.5
_PATIENCE_SECONDS = 300.0  # how long nothing is done and no worker takes work


class ClusterError(SerEdgeError, RuntimeError):
    """A cluster that is gone; its text is one clear sentence."""


class Summary(NamedTuple):
    """What a dataset holds at the end of a run."""

    files: int
    errors: int  # files among them


def classify_files(
    files: Iterable[str],
    client: Client,
    output: str,
    *,
    worker: Worker | None = None,
    resume: bool = False,
    retry_errors: bool = False,
    partition_seconds: float | None = None,
    on_done: Callable[[int, int, float], None] | None = None,
) -> Summary:
    """Classify files on a cluster; the results are a folder of Parquet files.

    Every file is in it exactly once. What a lost worker was at is done again by another one; where
    a partition loses one worker after the other, its files are classified one by one, and one that
    still does is an error in the dataset.

    Args:
        files: paths that all workers know, or addresses of fsspec; one named twice counts once.
        client: of Dask's scheduler. Workers with one thread each are best.
        output: the folder, which all workers know by this name, or an address.
        worker: how to classify; by default as ``Classifier.bundled()`` does.
        resume: go on with what an earlier run left.
        retry_errors: classify those again that had an error.
        partition_seconds: of audio in a partition; by default Dask's configuration
            ``ser_edge.partition_seconds``, or half an hour.
        on_done: called after each partition with its files, errors among them, seconds of audio.

    Raises:
        ClusterError: the scheduler was lost, or no worker has taken work for five minutes; what is
            done is kept.
        OutputError: the folder holds results, and `resume` is not set or they have other settings.
        DependencyError: a package is missing.
    """
    if worker is None:
        from ser_edge.classifier import Classifier

        worker = Worker(Classifier.bundled())
    dataset = Dataset(output, worker, resume=resume)
    run = _Run(client, output, worker, on_done or (lambda *_: None))
    if partition_seconds is None:
        from dask import config

        partition_seconds = float(config.get("ser_edge.partition_seconds", _PARTITION_SECONDS))
    todo = dataset.plan(files, partition_seconds)
    again = dataset.failed() if retry_errors else []
    run.all([*((each, False) for each in todo), *((each, True) for each in again)])
    return Summary(*dataset.count(run.errors))


class _Run:
    """Partitions on their way through a cluster.

    Attributes:
        errors: in each partition that is done, by its name.
    """

    def __init__(
        self,
        client: Any,
        output: str,
        worker: Worker,
        on_done: Callable[[int, int, float], None],
    ) -> None:
        try:
            import distributed
        except ImportError as error:
            raise DependencyError(
                f"a cluster needs Dask: pip install 'ser-edge[cluster]' ({error})"
            ) from None
        self._distributed: Any = distributed
        self._client = client
        self._output = output
        self._on_done = on_done
        self.errors: dict[str, int] = {}

        class Plugin(distributed.WorkerPlugin):
            """Holds the model of one of Dask's workers: unpickling it loads it."""

            def __init__(self) -> None:
                self.worker = worker

        with _telling():
            client.register_plugin(Plugin(), name=_PLUGIN)

    def all(self, partitions: Iterable[tuple[Partition, bool]]) -> None:
        """Have all partitions done; of some, what had an error."""
        waiting = deque(partitions)
        futures: dict[Any, tuple[Partition, bool]] = {}
        suspect: list[tuple[Partition, bool]] = []
        with _telling():
            try:
                while waiting or futures:
                    room = _QUEUED * max(1, sum(self._client.nthreads().values()))
                    while waiting and len(futures) < room:
                        partition, retry = waiting.popleft()
                        futures[self._submit(_partition, partition, (), retry)] = partition, retry
                    for future in self._finished(list(futures)):
                        partition, retry = futures.pop(future)
                        try:
                            self._take(partition, future)
                        except self._distributed.KilledWorker:
                            suspect.append((partition, retry))
                # When nothing else runs, a worker that dies tells which file it was.
                for partition, retry in suspect:
                    known = [self._alone(file) for file in partition.files]
                    (future,) = self._finished([self._submit(_partition, partition, known, retry)])
                    self._take(partition, future)
            finally:
                with contextlib.suppress(Exception):
                    self._client.cancel(list(futures))

    def _take(self, partition: Partition, future: Any) -> None:
        files, errors, seconds = self._result(future)
        self.errors[partition.name] = errors
        self._on_done(files, errors, seconds)

    def _submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._client.submit(function, self._output, *arguments, pure=False)

    def _finished(self, futures: Sequence[Any]) -> list[Any]:
        """Those that are done; waits for one."""
        since = time.monotonic()
        while True:
            if self._client.status != "running":
                raise ConnectionError
            done = [future for future in futures if future.status not in ("pending", "lost")]
            if any(future.status == "cancelled" for future in done):
                raise ConnectionError
            if done:
                return done
            statuses = self._statuses()
            if "running" in statuses:
                since = time.monotonic()
            elif time.monotonic() - since > _PATIENCE_SECONDS:
                raise ClusterError(
                    f"for {_PATIENCE_SECONDS:.0f} s all workers of the cluster have been paused: "
                    "they have too little memory"
                    if "paused" in statuses
                    else f"the cluster has had no worker for {_PATIENCE_SECONDS:.0f} s"
                )
            with contextlib.suppress(TimeoutError, self._distributed.TimeoutError):
                self._distributed.wait(
                    futures, timeout=_LOOK_SECONDS, return_when="FIRST_COMPLETED"
                )

    def _statuses(self) -> set[str]:
        """Of the workers: one that is paused, for it needs too much memory, takes no work."""
        identity = self._client.sync(self._client.scheduler.identity)
        return {worker["status"] for worker in identity["workers"].values()}

    def _result(self, future: Any) -> Any:
        """The result of a task that is done.

        Raises:
            KilledWorker: its workers died.
            SerEdgeError: it failed.
        """
        if future.status != "error":
            result = future.result()
            future.release()  # or it is computed again when its worker dies
            return result
        error = future.exception()
        if isinstance(error, (self._distributed.KilledWorker, SerEdgeError)):
            raise error
        raise ClusterError(f"a worker failed: {type(error).__name__}: {error}") from error

    def _alone(self, file: str) -> Outcome:
        """The outcome of a file that may end the worker that reads it."""
        (future,) = self._finished([self._submit(_one, file)])
        try:
            outcome: Outcome = self._result(future)
        except self._distributed.KilledWorker as error:
            count = error.allowed_failures + 1
            return Outcome(file, [], f"{file}: ended {count} workers that read it")
        return outcome


@contextlib.contextmanager
def _telling() -> Iterator[None]:
    """Tell that the scheduler is lost, whichever way that shows."""
    try:
        yield
    except (OSError, TimeoutError, concurrent.futures.CancelledError) as error:
        raise ClusterError("the scheduler is gone; what is done is kept") from error


def _partition(
    output: str, partition: Partition, known: Sequence[Outcome], retry: bool
) -> tuple[int, int, float]:
    """In a worker."""
    return work(output, partition, _worker(), known, retry)


def _one(_: str, file: str) -> Outcome:
    """In a worker."""
    return _worker().outcome(file)


def _worker() -> Worker:
    from distributed import get_worker

    plugin: Any = get_worker().plugins[_PLUGIN]
    worker: Worker = plugin.worker
    return worker

"""All cores of a machine: processes with one model each, which take recordings from a queue.

A process, because features are computed in Python and numpy, which take turns in one process; and
because a recording that crashes a decoder then crashes none but its own process.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, NamedTuple

from ser_edge.archive.worker import Outcome, Worker
from ser_edge.errors import DependencyError
from ser_edge.features import FloatArray

if TYPE_CHECKING:
    from typing import Protocol

    class Closable(Protocol):
        """A file or a connection."""

        def close(self) -> None: ...


MAX_DEATHS = 3  # of processes that read a file, which is then left
_QUEUED = 2  # files of a process: the one that it reads, and the next
# Outcomes that wait for one before them, when the order is kept.
_MAX_AHEAD = 10_000


class _Task(NamedTuple):
    number: int
    file: str


class _Process:
    """A process that classifies.

    Args:
        inherited: what this process has open, and a forked one must not keep open: it would hold
            a lock, or be held alive by its own end of a pipe.
    """

    def __init__(self, worker: Worker, inherited: Sequence[Closable]) -> None:
        # A fork shares what is loaded; `ser_edge.forking` makes that safe, but not for what others
        # do in threads, such as fsspec.
        forks = "fork" in multiprocessing.get_all_start_methods()
        method = "fork" if forks and threading.active_count() == 1 else "spawn"
        context: Any = multiprocessing.get_context(method)
        ours, theirs = context.Pipe()
        self.connection: Connection[Any, Any] = ours
        self.tasks: deque[_Task] = deque()
        closed = [*inherited, ours] if method == "fork" else []
        self._process = context.Process(target=_serve, args=(worker, theirs, closed), daemon=True)
        # Ctrl-C is for the parent, which ends its children: in them it stays blocked.
        if hasattr(signal, "pthread_sigmask"):
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                self._process.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        else:
            self._process.start()
        theirs.close()

    def send(self, task: _Task) -> None:
        self.tasks.append(task)
        with contextlib.suppress(OSError):  # it is dead, which `receive` will tell
            self.connection.send(task.file)

    def receive(self) -> Outcome | DependencyError:
        """The outcome of the first of its tasks.

        Raises:
            EOFError, OSError: it died.
        """
        answer: Outcome | DependencyError = self.connection.recv()
        return answer

    def reason(self) -> str:
        """Why it died."""
        self._process.join(1.0)
        code = self._process.exitcode
        return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"

    def end(self) -> None:
        """End it, whatever it does."""
        self.connection.close()
        if self.tasks:
            self._process.kill()
        self._process.join()


def _serve(worker: Worker, connection: Connection[Any, Any], inherited: Sequence[Closable]) -> None:
    """What a process does: it answers the names of files, until there are no more."""
    for each in inherited:
        each.close()
    parent = os.getppid()

    def look(_: FloatArray, __: int) -> None:
        if os.getppid() != parent:  # nobody waits for the rest of a long recording
            os._exit(1)

    try:
        while True:
            file = connection.recv()
            try:
                answer: Outcome | DependencyError = worker.outcome(file, look)
            except DependencyError as error:
                answer = error
            connection.send(answer)
    except (EOFError, OSError):
        pass


def outcomes(
    worker: Worker,
    files: Iterable[str],
    jobs: int,
    *,
    ordered: bool = True,
    inherited: Sequence[Closable] = (),
) -> Generator[Outcome, None, None]:
    """Classify files in several processes, lazily.

    Args:
        worker: what each process does.
        files: paths; they are taken as they are needed.
        jobs: number of processes, at least 1.
        ordered: whether outcomes come in the order of the files, or as they are ready.
        inherited: open files that belong to this process alone.

    Yields:
        One outcome for each file. A file whose process dies is tried again in another one; when
        :data:`MAX_DEATHS` have died of it, that is its error.

    Raises:
        DependencyError: a package is missing, without which no recording can be read.

    Example:
        >>> from ser_edge import Classifier
        >>> files = ["tests/data/synthetic.wav", "none.wav"]
        >>> for outcome in outcomes(Worker(Classifier.bundled()), files, 2):
        ...     print(len(outcome.results), outcome.error)
        1 None
        0 none.wav: No such file or directory
    """
    ahead = enumerate(files)
    again: deque[_Task] = deque()  # of processes that died
    deaths: dict[int, int] = {}
    ready: dict[int, Outcome] = {}  # what waits for its turn
    turn = 0
    processes: list[_Process] = []

    def start() -> _Process:
        return _Process(worker, [*inherited, *(process.connection for process in processes)])

    def take() -> _Task | None:
        if again:
            return again.popleft()
        if ordered and len(ready) >= _MAX_AHEAD:
            return None
        return next((_Task(*task) for task in ahead), None)

    def feed() -> None:
        for queued in range(_QUEUED):
            for process in processes:
                if len(process.tasks) == queued:
                    task = take()
                    if task is None:
                        return
                    process.send(task)

    try:
        while len(processes) < jobs and (task := take()) is not None:
            processes.append(start())
            processes[-1].send(task)
        feed()
        while busy := {process.connection: process for process in processes if process.tasks}:
            done: list[tuple[_Task, Outcome]] = []
            for connection in wait(list(busy)):
                process = busy[connection]  # type: ignore[index]
                try:
                    answer = process.receive()
                except (EOFError, OSError):
                    processes.remove(process)
                    reason = process.reason()
                    process.end()
                    first, *others = process.tasks
                    again.extend(others)
                    count = deaths[first.number] = deaths.get(first.number, 0) + 1
                    if count < MAX_DEATHS:
                        again.appendleft(first)
                    else:
                        done.append((first, Outcome(first.file, [], _death(first.file, reason))))
                    processes.append(start())
                    continue
                if isinstance(answer, DependencyError):
                    raise answer
                done.append((process.tasks.popleft(), answer))
            feed()
            for task, outcome in done:
                if ordered:
                    ready[task.number] = outcome
                else:
                    yield outcome
            while turn in ready:
                yield ready.pop(turn)
                turn += 1
    finally:
        for process in processes:
            process.end()


def _death(file: str, reason: str) -> str:
    return f"{file}: ended {MAX_DEATHS} processes that read it ({reason})"

"""The workers and what waits for them: jobs of the service's clients, done beside its event loop.

Workers are processes, one model in each, since features are computed in Python and numpy, which
take turns in one process; and because a recording that crashes a decoder then crashes none but its
own worker, which is replaced. Without processes the jobs are done by a thread of the service.
"""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from ser_edge.errors import ModelError
from ser_edge.web.work.channel import PIECE_BYTES, Channel
from ser_edge.web.work.worker import UNUSABLE, Answer, Settings, Worker

if TYPE_CHECKING:
    from ser_edge.web.work.worker import Readable

_START_SECONDS = 120.0  # until a worker has loaded its model, on a slow card
_RETRY_SECONDS = 1.0  # after a worker that did not start
_LOOK_SECONDS = 0.5  # between two looks at what takes too long

# Only sys, which is built in, is imported before the path is that of the service: no file in the
# current folder is taken for a module.
_CODE = (
    "import sys; sys.path[:] = sys.argv[2:]; from ser_edge.web.work.worker import main; main()"
)  # fmt: skip


# A worker keeps the memory that a recording took for the next one. The C library would give it
# back after each, and a tenth of the time would go into fetching it again. Limits that glibc takes.
_KEPT_BYTES = 1 << 23 if sys.maxsize > 1 << 32 else 1 << 19
_KEEP_MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": str(_KEPT_BYTES),
    "MALLOC_MMAP_THRESHOLD_": str(_KEPT_BYTES),
}


class Busy(Exception):
    """Too many jobs wait already."""


class WorkerLost(Exception):
    """The job's worker died, or took too long and was ended; its text is one clear sentence."""


class Job:
    """What a worker has to do, and who waits for it."""

    def __init__(self, order: dict[str, Any], bodies: Sequence[Readable]) -> None:
        self.order = {**order, "bodies": len(bodies)}
        self.bodies = bodies
        self.done: Future[Answer] = Future()


class _Process:
    """A worker in a process of its own, started again when it dies."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.deadline: float | None = None  # of its job, by the monotonic clock
        self.late = False

    def start(self) -> None:
        """Load the model.

        Raises:
            ModelError: the worker does not start.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CODE, str(theirs.fileno()), *sys.path],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**_KEEP_MEMORY, **os.environ},
                start_new_session=True,  # Ctrl-C is the service's, which ends its workers
            )
        self._channel = Channel(ours)
        try:
            self._channel.send(json.dumps(self._settings._asdict()).encode())
            answer = Answer.parse(self._channel.receive(_START_SECONDS))
        except socket.timeout:
            self.close()
            raise ModelError(f"a worker does not start within {_START_SECONDS:.0f} s") from None
        except (EOFError, OSError):
            self.close()
            raise ModelError("a worker ended while it loaded the model") from None
        if answer.error is not None:
            self.close()
            raise ModelError(answer.payload.decode("utf-8", "surrogateescape"))

    def run(self, job: Job) -> Answer:
        """Have a job done.

        Raises:
            WorkerLost: the worker died of it, or was ended.
        """
        self.late = False
        channel = self._channel
        messages = [json.dumps(job.order).encode()]
        try:
            for body in job.bodies:
                size = PIECE_BYTES
                while size == PIECE_BYTES:
                    piece = body.read(PIECE_BYTES)
                    channel.send(*messages, piece)
                    messages = []
                    size = len(piece)
            if messages:
                channel.send(*messages)
            return Answer.parse(channel.receive())
        except (EOFError, OSError):
            self.close()
            reason = "took too long" if self.late else "ended the process that read it"
            raise WorkerLost(f"the recording {reason}") from None

    def kill(self) -> None:
        """End it and what it started; for another thread."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it."""
        self.kill()
        if self._process is not None:
            self._process.wait()
            self._process = None
            self._channel.close()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None


class _Thread:
    """A worker in a thread of the service: no second process, so less memory."""

    deadline: float | None = None
    late = False
    alive = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def start(self) -> None:
        self._worker = Worker(self._settings)

    def run(self, job: Job) -> Answer:
        return self._worker.run(job.order, job.bodies)

    def kill(self) -> None:
        pass  # a thread cannot be ended

    close = kill


class Pool:
    """Does jobs, the oldest first; those that cannot wait and the others take turns.

    Args:
        settings: how the workers classify.
        size: how many processes; with 0 a thread of this process does the jobs.
        max_waiting: jobs that may wait; those of live audio are not counted.
        max_seconds: after which a worker that is not done is replaced.
        report: called with a sentence when a worker is lost.

    Raises:
        ModelError: a worker cannot be started.
    """

    def __init__(
        self,
        settings: Settings,
        size: int,
        *,
        max_waiting: int = 64,
        max_seconds: float = 300.0,
        report: Callable[[str], None],
    ) -> None:
        self._max_waiting = max_waiting
        self._max_seconds = max_seconds
        self._report = report
        self._changed = threading.Condition()
        self._live: deque[Job] = deque()
        self._jobs: deque[Job] = deque()
        self._was_live = False  # the job that was begun last
        self._closing = False
        self.lost = 0  # workers
        self._workers: list[Any] = (
            [_Process(settings) for _ in range(size)] if size else [_Thread(settings)]
        )
        try:
            for worker in self._workers:
                worker.start()
        except BaseException:
            for worker in self._workers:
                worker.close()
            raise
        self._threads = [
            threading.Thread(target=self._serve, args=[worker], daemon=True)
            for worker in self._workers
        ]
        self._threads.append(threading.Thread(target=self._watch, daemon=True))
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._jobs) + len(self._live)

    def submit(
        self,
        order: dict[str, Any],
        bodies: Sequence[Readable] = (),
        *,
        live: bool = False,
        soon: bool = False,
    ) -> Future[Answer]:
        """Queue a job.

        Args:
            order: what to do, for :class:`ser_edge.web.work.worker.Worker`.
            bodies: recordings or samples, which must stay open until it is done.
            live: whether it is a window of live audio.
            soon: whether it need not wait for all others: of somebody who did not ask before.

        Raises:
            Busy: too many wait already.
        """
        job = Job(order, bodies)
        with self._changed:
            if self._closing or (not live and len(self._jobs) >= self._max_waiting):
                raise Busy
            (self._live if live or soon else self._jobs).append(job)
            self._changed.notify()
        return job.done

    def outcome(self, samples: Any, profile: dict[str, str] | None) -> Any:
        """What a window of live audio gives; waits for it.

        Args:
            samples: float32, shape (n,).
            profile: as in an order.

        Raises:
            ModelError: the model failed.
            WorkerLost: the worker did.
        """
        order = {"job": "outcome", "profile": profile}
        answer = self.submit(order, [io.BytesIO(samples.tobytes())], live=True).result()
        if answer.error is not None:
            raise ModelError(answer.payload.decode("utf-8", "surrogateescape"))
        return json.loads(answer.payload)

    def close(self) -> None:
        """Finish what is being done, and end the workers."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout=10.0)
        for worker in self._workers:
            worker.close()

    def _serve(self, worker: Any) -> None:
        """A worker's thread in this process."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._live or self._jobs)
                # A client may send its live audio as fast as it likes.
                first, second = (
                    (self._jobs, self._live) if self._was_live else (self._live, self._jobs)
                )
                queue = first or second
                if not queue:
                    return
                self._was_live = queue is self._live
                job = queue.popleft()
            if not job.done.set_running_or_notify_cancel():
                continue  # its client went away
            try:
                if not worker.alive:
                    worker.start()
                worker.deadline = time.monotonic() + self._max_seconds
                job.done.set_result(worker.run(job))
            except WorkerLost as error:
                self.lost += 1
                self._report(f"a worker is replaced: {error}")
                job.done.set_exception(error)
            except ModelError as error:  # it does not start
                job.done.set_result(Answer(UNUSABLE, str(error).encode()))
                time.sleep(_RETRY_SECONDS)
            except Exception as error:  # whatever a body raises that is being read
                job.done.set_exception(error)
                worker.close()
            finally:
                worker.deadline = None

    def _watch(self) -> None:
        """End workers that take too long."""
        while not self._closing:
            time.sleep(_LOOK_SECONDS)
            for worker in self._workers:
                deadline = worker.deadline
                if deadline is not None and time.monotonic() > deadline:
                    worker.late = True
                    worker.kill()

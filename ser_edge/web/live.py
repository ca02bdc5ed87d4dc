"""Live audio of the service: windows are cut in its threads and classified by its workers."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import numpy as np

from ser_edge.classifier import Classifier
from ser_edge.decision import WindowClassifier
from ser_edge.errors import SerEdgeError
from ser_edge.features import FloatArray
from ser_edge.live.source import Chunk, results, told
from ser_edge.result import Result, result_json
from ser_edge.web.work.pool import WorkerLost

if TYPE_CHECKING:
    from ser_edge.decision import Outcome
    from ser_edge.web.work.pool import Pool

_MAX_FOLLOWERS = 32
_MAX_UNREAD = 100  # results; then the oldest is dropped
_HEARTBEAT_SECONDS = 15.0  # so that both ends notice when the other is gone


class PooledClassifier(Classifier):
    """A classifier whose streams leave their windows to the workers.

    Args:
        classifier: the same, here.
        pool: the workers.
        profile: that of `classifier`, as in an order to them.
    """

    def __init__(self, classifier: Classifier, pool: Pool, profile: dict[str, str] | None) -> None:
        self._window = _PooledWindow(classifier._window, pool, profile)


class _PooledWindow(WindowClassifier):
    def __init__(
        self, window: WindowClassifier, pool: Pool, profile: dict[str, str] | None
    ) -> None:
        self.__dict__.update(window.__dict__)
        self._pool = pool
        self._order = profile

    def outcome(self, samples: FloatArray, speech: FloatArray | None = None) -> Outcome:
        outcome = self._pool.outcome(samples, self._order)
        return outcome if isinstance(outcome, str) else np.array(outcome)


def live_json(result: Result, origin: dict[str, str]) -> str:
    """A result of live audio as ``ser-edge listen --json`` prints it."""
    moment = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    return result_json(result, **origin, time=moment)


class _Follower:
    def __init__(self) -> None:
        self.unread: deque[str] = deque(maxlen=_MAX_UNREAD)
        self.changed = asyncio.Event()


class Followers:
    """Those who want to be told of the device's results; for the event loop's thread."""

    def __init__(self) -> None:
        self._followers: set[_Follower] = set()
        self._last: str | None = None
        self._ended = False
        self.dropped = 0  # results that followers were too slow for

    @property
    def full(self) -> bool:
        """Whether there is no room for another."""
        return len(self._followers) >= _MAX_FOLLOWERS

    def tell(self, message: str) -> None:
        """Tell all of them."""
        self._last = message
        for follower in self._followers:
            self.dropped += len(follower.unread) == _MAX_UNREAD
            follower.unread.append(message)
            follower.changed.set()

    def end(self) -> None:
        """Let all of them go, once they have read everything."""
        self._ended = True
        for follower in self._followers:
            follower.changed.set()

    async def events(self) -> AsyncIterator[str]:
        """Server-sent events: the last result, then each as it comes."""
        follower = _Follower()
        if self._last is not None:
            follower.unread.append(self._last)
        self._followers.add(follower)
        try:
            yield ": results of the device's microphone\n\n"
            while True:
                while follower.unread:
                    yield f"data: {follower.unread.popleft()}\n\n"
                if self._ended:
                    return
                try:
                    await asyncio.wait_for(follower.changed.wait(), _HEARTBEAT_SECONDS)
                    follower.changed.clear()
                except asyncio.TimeoutError:
                    yield ": still here\n\n"
        finally:
            self._followers.discard(follower)


class Listener:
    """Listens to the device's microphone in a thread of its own.

    Args:
        chunks: the audio, which ends when the service stops.
        classifier: what classifies it.
        stream: hop, smoothing and channel, as for ``ser_edge.live.source.results``.
        telling: which results are told, as for ``ser_edge.live.source.told``.
        origin: what results come from.
        on_window: called with each window's result and the seconds of audio that are new in it.
        on_told: called with the JSON of a result that is told.
        report: called with a sentence when the audio ends.
    """

    def __init__(
        self,
        chunks: Iterable[Chunk],
        classifier: Classifier,
        *,
        stream: dict[str, Any],
        telling: dict[str, Any],
        origin: dict[str, str],
        on_window: Callable[[Result, float], None],
        on_told: Callable[[str], None],
        report: Callable[[str], None],
    ) -> None:
        self._chunks = chunks
        self._classifier = classifier
        self._stream = stream
        self._telling = telling
        self._origin = origin
        self._on_window = on_window
        self._on_told = on_told
        self._report = report
        self.running = True
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait for the last result, after the audio was asked to end."""
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            for result in told(self._windows(), **self._telling):
                self._on_told(live_json(result, self._origin))
            self._report("the device's microphone ended")
        except (SerEdgeError, WorkerLost, ValueError, OSError) as error:
            self._report(str(error))
        finally:
            self.running = False

    def _windows(self) -> Iterable[Result]:
        heard = 0.0
        for result in results(self._chunks, self._classifier, **self._stream):
            self._on_window(result, result.end - max(heard, result.start))
            heard = result.end
            yield result

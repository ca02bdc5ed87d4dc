"""Live audio becomes results: what the sources hand out, and the loop that classifies it."""

from __future__ import annotations

import contextlib
import math
import signal
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ser_edge.audio.pcm import Format

if TYPE_CHECKING:
    from ser_edge.classifier import Classifier
    from ser_edge.result import Result
    from ser_edge.stream import Stream

POLL_SECONDS = 0.1  # how long a source waits for audio before it looks whether it is to stop


class Chunk(NamedTuple):
    """Some audio, as it came."""

    data: bytes  # samples, cut anywhere
    format: Format  # of these bytes
    start: float | None = None  # seconds from the beginning, where audio before it was lost


class Stop:
    """Whether the program was asked to end. Looking at it is safe where waiting for it is not."""

    def __init__(self) -> None:
        self.requested = False

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM request it; a second one ends the program at once."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.getsignal(number) for number in numbers}

        def request(*_: Any) -> None:
            self.requested = True
            for number in numbers:
                signal.signal(number, signal.SIG_DFL)

        for number in numbers:
            signal.signal(number, request)
        try:
            yield
        finally:
            for number in numbers:
                signal.signal(number, before[number])


def results(
    chunks: Iterable[Chunk],
    classifier: Classifier,
    *,
    hop: float | None = None,
    smoothing: float = 0.0,
    channel: int | None = None,
) -> Iterator[Result]:
    """Yield a result for each window of live audio, unfinished ones included.

    No window reaches over a place where audio was lost.

    Args:
        chunks: from a microphone or a pipe.
        classifier: what classifies them.
        hop, smoothing, channel: as for ``Classifier.stream``.

    Raises:
        AudioError: the audio is not usable.
        ValueError: an argument is out of range.
    """
    stream: Stream | None = None
    format_: Format | None = None
    for chunk in chunks:
        if stream is not None and (chunk.start is not None or chunk.format != format_):
            yield from stream.flush()
        if stream is None or chunk.format != format_:
            format_ = chunk.format
            stream = classifier.stream(
                hop=hop, smoothing=smoothing, channel=channel, **format_._asdict()
            )
        if chunk.start is not None:
            stream.reset(start=chunk.start)
        yield from stream.push(chunk.data)
    if stream is not None:
        yield from stream.flush()


def told(
    results: Iterable[Result],
    *,
    only_changes: bool = False,
    hold: float = 0.0,
    cooldown: float = 0.0,
) -> Iterator[Result]:
    """Leave out results that nobody needs to be told of.

    Results are of one kind when they have the same label, or none for the same reason.

    Args:
        results: of windows, in order.
        only_changes: leave out results of the kind last told.
        hold: seconds of audio for which a kind must have lasted, without another in between.
        cooldown: seconds of audio after a result in which no other is told.

    Example:
        >>> from ser_edge import Result
        >>> labels = ["sad", "sad", "angry", "sad", "angry", "angry", "angry"]
        >>> results = [Result(label, 1, {}, at, at + 1) for at, label in enumerate(labels)]
        >>> [(result.start, result.label) for result in told(results, hold=1, only_changes=True)]
        [(1, 'sad'), (5, 'angry')]
    """
    kind = last_kind = None
    since = 0.0
    quiet_until = -math.inf
    for result in results:
        if (result.label, result.reason) != kind:
            kind, since = (result.label, result.reason), result.end
        if only_changes and kind == last_kind:
            continue
        if result.end - since < hold or result.end < quiet_until:
            continue
        last_kind = kind
        quiet_until = result.end + cooldown
        yield result

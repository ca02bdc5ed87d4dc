"""What a long recording comes to: how much was spoken, how, and when it changed."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ser_edge.features import FloatArray
from ser_edge.result import Result

N_PASSAGES = 3  # of each emotion
_MAX_STRETCHES = 40


@dataclass(frozen=True)
class Passage:
    """An utterance of one emotion."""

    start: float  # seconds from the recording's start
    end: float  # seconds
    confidence: float  # probability of the emotion


@dataclass(frozen=True)
class Stretch:
    """What was spoken in a part of the recording; all parts are of one length but the last."""

    start: float  # seconds from the recording's start
    end: float  # seconds
    speaking: float  # seconds of speech
    shares: Mapping[str, float]  # of these, by emotion; those without any are left out
    uncertain: float  # share of these


@dataclass(frozen=True)
class Summary:
    """What a long recording comes to.

    Example:
        >>> sad = Result("sad", 0.9, {"happy": 0.1, "sad": 0.9}, 1.0, 3.0)
        >>> unsure = Result(None, 0.5, {"happy": 0.5, "sad": 0.5}, 4.0, 6.0, "uncertain")
        >>> summary = summarize([sad, unsure], ["happy", "sad"], duration=8.0)
        >>> summary.speaking, summary.shares, summary.uncertain
        (4.0, {'happy': 0.0, 'sad': 0.5}, 0.5)
    """

    duration: float  # seconds
    utterances: int
    speaking: float  # seconds of speech
    shares: Mapping[str, float]  # of the speech, by emotion
    uncertain: float  # share of the speech
    passages: Mapping[str, Sequence[Passage]]  # the most confident of each emotion, in time
    changes: Sequence[Stretch]

    @property
    def label(self) -> str | None:
        """The emotion with the largest share; None where there is none."""
        best = max(self.shares, key=self.shares.__getitem__, default=None)
        return best if best is not None and self.shares[best] > 0 else None

    def to_dict(self) -> dict[str, Any]:
        """All fields, as JSON knows them: times in milliseconds' steps, shares of four digits."""
        return _rounded(asdict(self))  # type: ignore[no-any-return]


def summarize(results: Iterable[Result], labels: Sequence[str], duration: float) -> Summary:
    """The summary of a recording's utterances, of which `duration` is in seconds."""
    summarizer = Summarizer(labels)
    for result in results:
        summarizer.add(result)
    return summarizer.summary(duration)


class Summarizer:
    """Takes utterances as they come; its memory does not grow with the recording.

    Args:
        labels: of the model.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = list(labels)
        self._count = 0
        self._best: dict[str, list[tuple[float, float, float]]] = {label: [] for label in labels}
        self._length = 1.0  # seconds of a stretch
        self._stretches: list[list[float]] = []  # seconds by label, the last of uncertain ones
        self._samples = 0
        self._sample_rate = 1

    def add_samples(self, samples: FloatArray, sample_rate: int) -> None:
        """Take the recording's next samples, for its duration: an ``on_chunk``."""
        self._samples += samples.size
        self._sample_rate = sample_rate

    def add(self, result: Result) -> None:
        """Take the next utterance's result; one without scores counts as none."""
        if result.scores is None:
            return
        self._count += 1
        column = len(self._labels)
        if result.label is not None and result.confidence is not None:
            column = self._labels.index(result.label)
            best = self._best[result.label]
            # Of equal confidence the first stays.
            entry = (result.confidence, -result.start, result.end)
            (heapq.heappush if len(best) < N_PASSAGES else heapq.heappushpop)(best, entry)
        while result.end > _MAX_STRETCHES * self._length:
            self._double()
        at = result.start
        while at < result.end:
            number = int(at / self._length)
            end = min(result.end, (number + 1) * self._length)
            while len(self._stretches) <= number:
                self._stretches.append([0.0] * (len(self._labels) + 1))
            self._stretches[number][column] += end - at
            at = end

    def summary(self, duration: float | None = None) -> Summary:
        """The summary of what came, of a recording of so many seconds, if not of all samples."""
        if duration is None:
            duration = self._samples / self._sample_rate
        while duration > _MAX_STRETCHES * self._length:
            self._double()
        n_stretches = max(len(self._stretches), -int(-duration // self._length))
        empty = [0.0] * (len(self._labels) + 1)
        rows = [*self._stretches, *[empty] * (n_stretches - len(self._stretches))]
        total = [sum(row[column] for row in rows) for column in range(len(empty))]
        speaking = sum(total)
        shares = [seconds / speaking if speaking else 0.0 for seconds in total]
        return Summary(
            duration,
            self._count,
            speaking,
            dict(zip(self._labels, shares)),
            shares[-1],
            {
                label: [Passage(-start, end, p) for p, start, end in sorted(best, key=_by_time)]
                for label, best in self._best.items()
                if best
            },
            [self._stretch(number, row, duration) for number, row in enumerate(rows)],
        )

    def _stretch(self, number: int, row: list[float], duration: float) -> Stretch:
        speaking = sum(row)
        shares = {k: v / speaking for k, v in zip(self._labels, row) if v}
        uncertain = row[-1] / speaking if speaking else 0.0
        start = number * self._length
        return Stretch(start, min(start + self._length, duration), speaking, shares, uncertain)

    def _double(self) -> None:
        """Join each two stretches, for there are too many."""
        rows = self._stretches
        if len(rows) % 2:
            rows.append([0.0] * (len(self._labels) + 1))
        self._stretches = [[a + b for a, b in zip(*pair)] for pair in zip(rows[::2], rows[1::2])]
        self._length *= 2


def _by_time(entry: tuple[float, float, float]) -> float:
    return -entry[1]


def _rounded(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one, key) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(one) for one in value]
    if isinstance(value, float):
        return round(value, 3 if name in ("start", "end", "duration", "speaking") else 4)
    return value

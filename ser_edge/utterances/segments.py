"""Speech cut at its pauses, from chunks of any length, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ser_edge.features import FloatArray
from ser_edge.stream import Window
from ser_edge.utterances.activity import BLOCK_FRAMES, Activity

if TYPE_CHECKING:
    import numpy.typing as npt

# Chosen on recordings stitched from clips of the training speakers: tests/bench/utterances.py.
_ACTIVE_DB = 7.0  # a frame of sound, over the noise
_SPEECH_DB = 11.0  # that an utterance reaches somewhere
_PAUSE_SECONDS = 0.4  # what is shorter belongs to the utterance
_LEAST_SECONDS = 0.1  # of sound: less is a click
_MARGIN_SECONDS = 0.1  # kept before and after: faint consonants
_SHORT_SECONDS = 1.0  # such utterances are joined to a neighbour,
_NEAR_SECONDS = 0.6  # if the pause between is no longer


class _Span(NamedTuple):
    """Frames from the first one to the one after the last, margins included."""

    first: int
    end: int


class Segmenter:
    """Hands out utterances, as :class:`ser_edge.stream.Windower` hands out windows.

    What it hands out does not depend, to the bit, on how the audio is cut into chunks.

    Args:
        longest: samples in an utterance at most: longer ones are cut where they are quietest.
        sample_rate: in Hz.

    Example:
        >>> from ser_edge.selftest import reference_signal
        >>> voice, pause = reference_signal(16000, 2.0), np.zeros(16000, np.float32)
        >>> segmenter = Segmenter(64000, 16000)
        >>> found = [*segmenter.push(np.concatenate([pause, voice, pause, voice, pause]))]
        >>> [round(start / 16000, 1) for start, _ in [*found, *segmenter.flush()]]
        [0.9, 3.9]
    """

    def __init__(self, longest: int, sample_rate: int) -> None:
        self._activity = Activity(sample_rate)
        seconds = self._activity.hop_length / sample_rate
        self._pause = round(_PAUSE_SECONDS / seconds)
        self._least = round(_LEAST_SECONDS / seconds)
        self._margin = round(_MARGIN_SECONDS / seconds)
        self._short = round(_SHORT_SECONDS / seconds)
        self._near = round((_NEAR_SECONDS - 2 * _MARGIN_SECONDS) / seconds)
        self._longest = longest // self._activity.hop_length
        self._frame = 0  # the next frame
        self._levels: list[float] = []  # of the frames from the first of the open utterance
        self._cut_off = False  # whether the open utterance is what a cut left
        self._last = 0  # frame of sound in it
        self._pending: _Span | None = None  # an utterance that may be joined to the next
        self._samples: list[FloatArray] = []  # still needed
        self._start = 0  # the first of them

    def push(self, samples: FloatArray) -> Iterator[Window]:
        """Take the next samples; yield the utterances that they complete."""
        self._samples.append(samples)
        for levels in self._activity.push(samples):
            yield from self._take(levels)

    def flush(self) -> Iterator[Window]:
        """End the recording: yield the utterances still open."""
        for levels in self._activity.flush():
            yield from self._take(levels)
        for span in self._close(self._frame):
            yield from self._join(span)
        if self._pending is not None:
            yield self._window(self._pending)
        self._pending = None

    def _take(self, levels: npt.NDArray[np.float64]) -> Iterator[Window]:
        for level in levels.tolist():
            for span in self._step(level):
                yield from self._join(span)
            self._frame += 1
            pending = self._pending
            begun = self._frame - len(self._levels) - self._margin
            if pending is not None and begun - pending.end > self._near:
                yield self._window(pending)
                self._pending = None
        self._forget()

    def _step(self, level: float) -> Iterator[_Span]:
        """Take a frame; yield the pieces that it ends."""
        if level >= _ACTIVE_DB:
            self._last = self._frame
        elif not self._levels:
            return
        elif self._frame - self._last >= self._pause:
            yield from self._close(self._last + 1)
            return
        self._levels.append(level)
        if len(self._levels) > self._longest - 2 * self._margin:
            yield self._cut()

    def _close(self, end: int) -> Iterator[_Span]:
        """End the open utterance before a frame, if it is one."""
        first = self._frame - len(self._levels)
        sound = self._levels[: min(end, self._last + 1) - first]
        self._levels = []
        active = sum(level >= _ACTIVE_DB for level in sound)
        if active >= self._least and max(sound) >= _SPEECH_DB:
            start = first if self._cut_off else first - self._margin
            yield _Span(start, first + len(sound) + self._margin)
        self._cut_off = False

    def _cut(self) -> _Span:
        """Cut the open utterance at the quietest place of its second half."""
        first = self._frame + 1 - len(self._levels)
        half = len(self._levels) // 2
        smooth = np.convolve(self._levels[half:], np.ones(5), "valid")
        cut = half + 2 + int(np.argmin(smooth))
        self._levels = self._levels[cut:]
        start = first if self._cut_off else first - self._margin
        self._cut_off = True
        return _Span(start, first + cut)

    def _join(self, span: _Span) -> Iterator[Window]:
        """Join a piece to the one before, or let that go."""
        pending = self._pending
        if pending is not None:
            lengths = (span.end - span.first, pending.end - pending.first)
            short = min(lengths) - 2 * self._margin < self._short
            near = span.first - pending.end <= self._near
            if short and near and span.end - pending.first <= self._longest:
                self._pending = _Span(pending.first, span.end)
                return
            yield self._window(pending)
        self._pending = span

    def _window(self, span: _Span) -> Window:
        """The samples of a piece."""
        hop = self._activity.hop_length
        # A frame's middle; and its level is that of the frame before with its neighbours.
        middle = (self._activity.frame_length - hop) // 2 - hop
        start = max(0, span.first * hop + middle)
        end = span.end * hop + middle
        held = np.concatenate(self._samples)
        self._samples = [held]
        return Window(start, held[max(0, start - self._start) : end - self._start].copy())

    def _forget(self) -> None:
        """Drop the samples before the first that an utterance can still begin with."""
        first = self._frame - len(self._levels) - self._margin
        if self._pending is not None:
            first = min(first, self._pending.first)
        spare = max(0, first - 2) * self._activity.hop_length - self._start
        if spare > self._activity.hop_length * BLOCK_FRAMES:
            held = np.concatenate(self._samples)
            self._samples = [held[spare:].copy()]
            self._start += spare

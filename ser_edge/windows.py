"""Cut audio that comes in pieces of any length into overlapping windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ser_edge.features import FloatArray


class Window(NamedTuple):
    """A stretch of audio and its first sample's place in the recording."""

    start: int
    samples: FloatArray


class Windower:
    """Hands out a window every `hop_length` samples, keeping one window in memory.

    Args:
        length: samples in a window.
        hop_length: samples from one window's start to the next one's.

    Example:
        >>> windower = Windower(length=4, hop_length=2)
        >>> pieces = [np.arange(3), np.arange(3, 9)]
        >>> [w.samples.astype(int).tolist() for piece in pieces for w in windower.push(piece)]
        [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]
        >>> [w.samples.astype(int).tolist() for w in windower.flush()]
        [[6, 7, 8]]
    """

    def __init__(self, length: int, hop_length: int) -> None:
        self._hop_length = hop_length
        self._buffer: FloatArray = np.empty(length, dtype=np.float32)
        self._filled = 0
        self._start = 0  # of the window in the buffer
        self._skip = 0  # samples to pass over, where the hop is longer than the window
        self._fresh = False  # whether the buffer holds anything that was in no window yet

    def push(self, samples: FloatArray) -> Iterator[Window]:
        """Take the next samples; yield the windows that they complete."""
        while samples.size:
            skipped = min(self._skip, samples.size)
            self._skip -= skipped
            taken = samples[skipped : skipped + self._buffer.size - self._filled]
            self._buffer[self._filled : self._filled + taken.size] = taken
            self._filled += taken.size
            self._fresh = self._fresh or taken.size > 0
            samples = samples[skipped + taken.size :]
            if self._filled == self._buffer.size:
                yield Window(self._start, self._buffer.copy())
                self._advance()

    def flush(self) -> Iterator[Window]:
        """Yield what is left as a last, shorter window, if it holds anything new."""
        if self._fresh:
            yield Window(self._start, self._buffer[: self._filled].copy())
        self._filled = 0
        self._fresh = False

    def _advance(self) -> None:
        kept = self._buffer[self._hop_length :]
        self._filled = kept.size
        self._skip = max(0, self._hop_length - self._buffer.size)
        self._buffer[: kept.size] = kept.copy()
        self._start += self._hop_length
        self._fresh = False

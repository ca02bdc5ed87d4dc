"""How far each of the gate's frames stands out of the noise around it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ser_edge import gate
from ser_edge.features import FloatArray

if TYPE_CHECKING:
    import numpy.typing as npt

BLOCK_FRAMES = 42  # about a second: frames are computed in blocks, whatever the chunks
_BLOCKS_BEFORE = 12  # from which, with those after, the noise is known
_BLOCKS_AFTER = 4
_FLOOR_PERCENTILE = 10  # of a band's levels: speech has its gaps, noise has not
_REFERENCE_PERCENTILE = 98  # of the frames' levels: the loudest, but for a click
_RANGE_DB = 45.0  # below the reference everything is silent, as for the gate
_BEST_BANDS = 5  # a soft voice stands out in few
_SMOOTH_FRAMES = 3


class Activity:
    """Level of each frame above the noise, in dB: the mean of the five bands that stand out most.

    The noise of a band is the level that a tenth of the frames around stay below: of twelve
    seconds before and four after. What lies 45 dB below the loudest of them counts as silent.
    Levels are running means of a frame and the two before it.

    Args:
        sample_rate: in Hz.

    Example:
        >>> activity = Activity(16000)
        >>> noise = np.random.default_rng(0).standard_normal(48000).astype(np.float32)
        >>> noise[:24000] *= 0.01
        >>> levels = np.concatenate([*activity.push(noise), *activity.flush()])
        >>> bool(levels[:50].max() < 7.0), bool(levels[70:].min() > 20.0)
        (True, True)
    """

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self.frame_length, self.hop_length = gate.frame_samples(sample_rate)
        self._rest: FloatArray = np.zeros(0, np.float32)
        self._blocks: deque[FloatArray] = deque(maxlen=_BLOCKS_BEFORE + 1 + _BLOCKS_AFTER)
        self._before = np.zeros(_SMOOTH_FRAMES - 1)  # levels before the next block's
        self._due = 0  # blocks at the end of these whose activity is not yet told

    def push(self, samples: FloatArray) -> Iterator[npt.NDArray[np.float64]]:
        """Take the next samples, float32, shape (n,); yield the levels of the frames now known."""
        self._rest = np.concatenate([self._rest, samples])
        size = (BLOCK_FRAMES - 1) * self.hop_length + self.frame_length
        step = BLOCK_FRAMES * self.hop_length
        start = 0
        while self._rest.size - start >= size:
            yield from self._add(self._rest[start : start + size])
            start += step
        self._rest = self._rest[start:].copy()

    def flush(self) -> Iterator[npt.NDArray[np.float64]]:
        """End the recording: yield the levels of the frames still due."""
        yield from self._add(self._rest)
        while self._due:
            yield self._activity()

    def _add(self, samples: FloatArray) -> Iterator[npt.NDArray[np.float64]]:
        levels = gate.band_levels(samples, self._sample_rate)
        if levels is None:
            return
        self._blocks.append(levels)
        self._due += 1
        if self._due > _BLOCKS_AFTER:
            yield self._activity()

    def _activity(self) -> npt.NDArray[np.float64]:
        """Of the first block that is due."""
        number = len(self._blocks) - self._due
        self._due -= 1
        around = np.concatenate(list(self._blocks)[max(0, number - _BLOCKS_BEFORE) :])
        totals = around.sum(axis=1)
        rank = min(totals.size - 1, totals.size * _REFERENCE_PERCENTILE // 100)
        reference = float(np.partition(totals, rank)[rank])
        block = self._blocks[number]
        level = np.zeros(len(block))
        if reference > 0.0:
            rank = len(around) * _FLOOR_PERCENTILE // 100
            noise = np.partition(around, rank, axis=0)[rank]
            silent = 10 ** (-_RANGE_DB / 10)
            ratio = (block / reference + silent) / (noise / reference + silent)
            best = np.sort(ratio, axis=1)[:, -_BEST_BANDS:]
            level = 10 * np.log10(np.maximum(best, 1.0)).mean(axis=1, dtype=np.float64)
        level = np.concatenate([self._before, level])
        self._before = level[len(level) - (_SMOOTH_FRAMES - 1) :]
        smooth: npt.NDArray[np.float64] = np.lib.stride_tricks.sliding_window_view(
            level, _SMOOTH_FRAMES
        ).mean(axis=1)
        return smooth

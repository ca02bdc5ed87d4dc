"""The resamplers of librosa up to 0.9: resampy's ``kaiser_best`` and ``kaiser_fast``.

A windowed sinc (Smith, "Digital audio resampling", 1984) whose window is Kaiser's. A model that
was trained on what one of them made, as librosa's default was, hears the same only through it.
The coefficients are computed for the two rates at hand, as resampy would read them from its table.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_edge.errors import AudioError
from ser_edge.forking import PRODUCTS

Samples = NDArray[np.float32]

# Outputs made by one product: more multiply more zeros, fewer copy more samples.
_GROUP = 64
# Products of a matrix multiplication: OpenBLAS wakes no threads for so few.
_BLOCK_PRODUCTS = 2**17
# Outputs made at a time, about. Always as many, so that no rounding depends on how input comes.
_BATCH = 4096
_MAX_KEPT_WEIGHTS = 2_500_000  # of a period: 10 MB; those of two odd rates are made as they come
_MAX_RATIO = 64  # of the rates; resampy's table has too few entries for much more


class _Design(NamedTuple):
    zeros: int  # crossings of the sinc on either side
    beta: float  # of Kaiser's window
    rolloff: float  # the edge of the pass band, in parts of the lower Nyquist frequency
    precision: int  # entries of resampy's table from one crossing to the next


# Those of resampy from 0.3 on.
DESIGNS = {
    "kaiser_best": _Design(50, 12.984585247040012, 0.9173473712608761, 8192),
    "kaiser_fast": _Design(24, 9.90322441645528, 0.8682120388377784, 512),
}


class KaiserStream:
    """One recording from one rate to another, in chunks; the interface of ``soxr.ResampleStream``.

    Equals ``resampy.resample(x, source_rate, target_rate, filter=res_type)`` 0.4 within 1e-6 of
    full scale. The output does not depend, to the bit, on how the input is cut into chunks.

    Args:
        source_rate: rate of the samples pushed, in Hz.
        target_rate: rate of the samples returned, in Hz.
        res_type: ``kaiser_best`` or ``kaiser_fast``.

    Raises:
        AudioError: the target rate is less than a 64th of the source rate.

    Example:
        >>> stream = KaiserStream(48_000, 16_000, "kaiser_fast")
        >>> stream.resample_chunk(np.ones(48_000, np.float32), last=True).shape
        (16000,)
    """

    def __init__(self, source_rate: int, target_rate: int, res_type: str) -> None:
        self._rates = float(target_rate), float(source_rate)
        self._plan = _plan(source_rate, target_rate, res_type)
        # Zeros before the recording, where it has nothing to multiply.
        self._input = [np.zeros(self._plan.before, np.float32)]
        self._waiting = self._plan.before
        self._received = 0
        self._returned = 0

    def resample_chunk(self, x: Samples, last: bool) -> Samples:
        """Take the next samples, float32 of shape (n,); return those that are ready."""
        plan = self._plan
        self._received += len(x)
        self._input.append(x)
        self._waiting += len(x)
        if last:
            target_rate, source_rate = self._rates
            due = int(self._received * target_rate / source_rate)
            batches = -(-(due - self._returned) // plan.outputs)
            self._input.append(np.zeros(batches * plan.inputs + plan.reach, np.float32))
        else:
            batches = max(0, (self._waiting - plan.reach) // plan.inputs)
            if not batches:
                return np.zeros(0, np.float32)
        samples = np.concatenate(self._input)
        made = [
            plan.batch(samples[i * plan.inputs : (i + 1) * plan.inputs + plan.reach])
            for i in range(batches)
        ]
        self._input = [samples[batches * plan.inputs :]]
        self._waiting -= batches * plan.inputs
        y: Samples = np.concatenate([*made, np.zeros(0, np.float32)])
        if last:
            y = y[: due - self._returned]
        self._returned += len(y)
        return y


class _Group(NamedTuple):
    """Neighbouring outputs of a period."""

    outputs: slice
    first: int  # sample of the period that the first of them lies at
    # Of what they read, from their window's first sample on; None: made as they are needed.
    weights: NDArray[np.float32] | None


class _Plan:
    """What is the same for all recordings of two rates: periods of outputs that align anew."""

    def __init__(self, source_rate: int, target_rate: int, res_type: str) -> None:
        self._design = DESIGNS[res_type]
        self._scale = min(1.0, target_rate / source_rate)
        self._step = int(self._scale * self._design.precision)  # of the table, a sample
        if source_rate > _MAX_RATIO * target_rate:
            raise AudioError(
                f"{res_type} resamples to a {_MAX_RATIO}th at most, not from {source_rate} Hz to "
                f"{target_rate} Hz"
            )
        # Samples that a window reaches before an output, and after it.
        self.before = self._design.zeros * self._design.precision // self._step + 1
        self.reach = 2 * self.before + 1
        divisor = math.gcd(source_rate, target_rate)
        self._up, self._down = target_rate // divisor, source_rate // divisor
        repeat = -(-_GROUP // self._up)
        self._period = self._up * repeat  # outputs
        self._hop = self._down * repeat  # samples
        width = self.reach + _GROUP * self._down // self._up
        keep = self._period * width <= _MAX_KEPT_WEIGHTS
        self._table = None if keep else _table(res_type)
        self._groups = []
        for start in range(0, self._period, _GROUP):
            outputs = slice(start, min(start + _GROUP, self._period))
            first = start * self._down // self._up
            weights = self._weights(outputs) if keep else None
            self._groups.append(_Group(outputs, first, weights))
        self._rows = max(1, _BATCH // self._period)
        self.outputs = self._rows * self._period  # of a batch
        self.inputs = self._rows * self._hop  # that it moves on by; it reads `reach` more

    @PRODUCTS
    def batch(self, samples: Samples) -> Samples:
        """Outputs of a whole batch, from ``inputs + reach`` samples."""
        made = np.empty((self._rows, self._period), np.float32)
        for outputs, first, kept in self._groups:
            weights = self._weights(outputs) if kept is None else kept
            rows = np.lib.stride_tricks.as_strided(
                samples[first:],
                (self._rows, len(weights)),
                (self._hop * samples.itemsize, samples.itemsize),
                writeable=False,
            ).copy()  # BLAS takes no overlapping rows
            step = max(1, _BLOCK_PRODUCTS // weights.size)
            for start in range(0, self._rows, step):
                block = slice(start, start + step)
                made[block, outputs] = rows[block] @ weights
        return made.ravel()

    def _weights(self, outputs: slice) -> NDArray[np.float32]:
        """Of every sample that a group reads for each of its outputs."""
        place = np.arange(outputs.start, outputs.stop) * self._down
        sample = place // self._up - outputs.start * self._down // self._up
        phase, which = np.unique(place % self._up, return_inverse=True)
        after = self._scale * phase / self._up  # the sample before an output, in crossings
        weights = np.zeros((int(sample[-1]) + self.reach, len(sample)))
        column = np.broadcast_to(np.arange(len(sample))[:, np.newaxis], (len(sample), self.before))
        taps = np.arange(self.before)
        for direction, offset in ((-1, after), (1, self._scale - after)):
            at = offset[:, np.newaxis] * self._design.precision + taps * self._step
            n_entries = self._design.zeros * self._design.precision + 1
            used = taps < (n_entries - at[:, :1].astype(int)) // self._step
            values = np.where(used, self._impulse_response(at), 0.0)
            row = sample[:, np.newaxis] + self.before + (direction > 0) + direction * taps
            weights[row, column] = values[which]
        if self._scale < 1:
            weights *= self._scale
        return weights.astype(np.float32)

    def _impulse_response(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        """At places in resampy's table, between whose entries it draws straight lines."""
        index = at.astype(np.intp)
        if self._table is None:
            values, following = _entries(self._design, index), _entries(self._design, index + 1)
        else:
            values, following = self._table[index], self._table[index + 1]
        values += (at - index) * (following - values)
        return values


def _entries(design: _Design, index: NDArray[np.intp]) -> NDArray[np.float64]:
    """Of resampy's table; beyond its end, those at its end."""
    crossing = np.minimum(index / design.precision, design.zeros)
    taper = np.i0(design.beta * np.sqrt(1 - np.square(crossing / design.zeros)))
    sinc = design.rolloff / np.i0(design.beta) * np.sinc(design.rolloff * crossing)
    return taper * sinc


@lru_cache(maxsize=len(DESIGNS))
def _table(res_type: str) -> NDArray[np.float64]:
    """All of it, with as much behind as a window may ask for, and not use."""
    design = DESIGNS[res_type]
    return _entries(design, np.arange((design.zeros + 2) * design.precision + 2))


@lru_cache(maxsize=4)
def _plan(source_rate: int, target_rate: int, res_type: str) -> _Plan:
    return _Plan(source_rate, target_rate, res_type)

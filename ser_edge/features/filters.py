"""Samples filtered and scaled."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ser_edge.features.frames import FloatArray, mono_samples
from ser_edge.forking import PRODUCTS

_FloatArray64 = npt.NDArray[np.float64]

_MAX_ORDER = 4
# Samples filtered by one matrix product: more would multiply longer, fewer pass on more states.
_BLOCK = 32
# Blocks multiplied at a time: OpenBLAS wakes no threads for a product of 2**17 multiplications.
_BLOCKS = 128
_NEGLIGIBLE = 1e-20  # part of a state that is left of it


def high_pass(
    samples: npt.ArrayLike, *, sr: float, cutoff: float = 80.0, order: int = 2
) -> FloatArray:
    """Butterworth high-pass filter, forward alone, from the steady state of the first sample.

    Equals ``scipy.signal.sosfilt(sos, x, zi=scipy.signal.sosfilt_zi(sos) * x[0])[0]`` with
    ``sos = scipy.signal.butter(order, cutoff, "highpass", fs=sr, output="sos")`` within the
    rounding to float32. A constant is filtered to zero from its first sample on.

    Args:
        samples: shape (n,), at least one.
        sr: sample rate in Hz.
        cutoff: frequency in Hz, above 0 and below ``sr / 2``, at which half the power is left.
        order: of the filter, 1 to 4: 6 dB an octave each.

    Returns:
        float32, shape (n,).

    Raises:
        ValueError: an argument out of range, no samples, or more than one dimension.

    Example:
        >>> high_pass([0.5, 0.5, 0.5], sr=16000)
        array([0., 0., 0.], dtype=float32)
    """
    signal = mono_samples(samples)
    if not 1 <= order <= _MAX_ORDER:
        raise ValueError(f"order is {order}, but must be from 1 to {_MAX_ORDER}")
    if not 0 < cutoff < sr / 2:
        raise ValueError(f"cutoff is {cutoff} Hz, but must lie between 0 and {sr / 2} Hz")
    return _filtered(signal, _step(float(cutoff / sr), order))


@PRODUCTS
def _filtered(signal: FloatArray, step: _Step) -> FloatArray:
    n_blocks = -(-signal.size // _BLOCK)
    x = np.zeros((n_blocks, _BLOCK))
    # The steady state of a constant gives zero: without it, the filter begins at rest.
    np.subtract(signal, signal[0], out=x.reshape(-1)[: signal.size], dtype=np.float64)
    together = [slice(start, start + _BLOCKS) for start in range(0, n_blocks, _BLOCKS)]
    states = np.zeros((n_blocks + 1, len(step.kept)))  # before each block
    for rows in together:
        np.matmul(x[rows], step.left, out=states[1:][rows])
    # Each block adds what it leaves to what the one before left: sums over 1, 2, 4, ... blocks.
    power, distance = step.kept, 1
    while distance < n_blocks and np.abs(power).max() > _NEGLIGIBLE:
        states[distance:] += states[:-distance] @ power
        power, distance = power @ power, 2 * distance
    y = np.empty((n_blocks, _BLOCK), dtype=np.float32)
    for rows in together:
        y[rows] = x[rows] @ step.response + states[:-1][rows] @ step.decay
    return y.reshape(-1)[: signal.size]


def preemphasis(
    samples: npt.ArrayLike, *, coef: float = 0.97, zi: float | None = None
) -> FloatArray:
    """What is left of every sample when `coef` times the one before is subtracted.

    Equals ``librosa.effects.preemphasis``; with ``zi=0`` it equals
    ``np.append(x[0], x[1:] - coef * x[:-1])``, as it is often written out.

    Args:
        samples: shape (n,), at least one.
        coef: part of the sample before.
        zi: added to the first sample; None: ``2 * x[0] - x[1]``, or ``x[0]`` of a single one.

    Returns:
        float32, shape (n,).

    Raises:
        ValueError: no samples, or more than one dimension.

    Example:
        >>> preemphasis([1.0, 1.0, 1.0], coef=0.5, zi=0.0)
        array([1. , 0.5, 0.5], dtype=float32)
    """
    signal = mono_samples(samples)
    if zi is None:
        zi = float(2 * signal[0] - signal[1]) if signal.size > 1 else float(signal[0])
    filtered = signal.copy()
    filtered[1:] -= np.float32(coef) * signal[:-1]
    filtered[0] += np.float32(zi)
    return filtered


def normalize(samples: npt.ArrayLike) -> FloatArray:
    """Samples whose largest magnitude is 1.

    Equals ``librosa.util.normalize``. Digital silence stays as it is.

    Args:
        samples: shape (n,), at least one.

    Returns:
        float32, shape (n,).

    Raises:
        ValueError: no samples, or more than one dimension.

    Example:
        >>> normalize([0.25, -0.5])
        array([ 0.5, -1. ], dtype=float32)
    """
    signal = mono_samples(samples)
    peak = np.abs(signal).max()
    return signal / peak if peak >= np.finfo(np.float32).tiny else signal.copy()


def quantize(samples: npt.ArrayLike, *, bits: int = 16) -> FloatArray:
    """Samples rounded and clipped to what a file of so many bits holds.

    Equals ``np.clip(np.rint(x * 2**15), -2**15, 2**15 - 1) / 2**15`` for 16 bits.

    Args:
        samples: shape (n,), at least one, full scale 1.
        bits: of a sample, 2 to 24.

    Returns:
        float32, shape (n,).

    Raises:
        ValueError: `bits` is out of range, no samples, or more than one dimension.

    Example:
        >>> quantize([0.3, -2.0], bits=2)
        array([ 0.5, -1. ], dtype=float32)
    """
    signal = mono_samples(samples)
    if not 2 <= bits <= 24:
        raise ValueError(f"bits is {bits}, but must be from 2 to 24")
    full = np.float32(2 ** (bits - 1))
    result: FloatArray = np.clip(np.rint(signal * full), -full, full - 1) / full
    return result


class _Step(NamedTuple):
    """A filter over one block, as matrices that a row of samples or states is multiplied with."""

    response: _FloatArray64  # (samples, samples): samples to output
    left: _FloatArray64  # (samples, states): samples to the states after them
    decay: _FloatArray64  # (states, samples): states before the block to output
    kept: _FloatArray64  # (states, states): states before to states after


@functools.lru_cache(maxsize=4)
def _step(cutoff: float, order: int) -> _Step:
    """The filter's matrices; `cutoff` in parts of the sample rate."""
    sections = _sections(cutoff, order)
    n_states = sum(len(a) - 1 for _, a in sections)
    # All at once, one a row: an impulse at each sample of a block, and one in each state.
    impulses = np.vstack([np.eye(_BLOCK), np.zeros((n_states, _BLOCK))])
    states = np.vstack([np.zeros((_BLOCK, n_states)), np.eye(n_states)])
    outputs = np.empty_like(impulses)
    for n in range(_BLOCK):
        value = impulses[:, n]
        first = 0
        for b, a in sections:  # in the transposed direct form II
            last = first + len(a) - 1
            given, value = value, b[0] * value + states[:, first]
            following = np.roll(states[:, first:last], -1, axis=1)
            following[:, -1] = 0.0
            states[:, first:last] = following + np.outer(given, b[1:]) - np.outer(value, a[1:])
            first = last
        outputs[:, n] = value
    return _Step(outputs[:_BLOCK], states[:_BLOCK], outputs[_BLOCK:], states[_BLOCK:])


def _sections(cutoff: float, order: int) -> list[tuple[list[float], list[float]]]:
    """Numerator and denominator of each section: the analog prototype, by bilinear transform."""
    k = math.tan(math.pi * cutoff)
    sections = []
    for pair in range(order // 2):
        damping = 2 * math.sin((2 * pair + 1) * math.pi / (2 * order))
        scale = 1 + damping * k + k * k
        b = [1 / scale, -2 / scale, 1 / scale]
        sections.append((b, [1.0, 2 * (k * k - 1) / scale, (1 - damping * k + k * k) / scale]))
    if order % 2:
        sections.append(([1 / (1 + k), -1 / (1 + k)], [1.0, (k - 1) / (k + 1)]))
    return sections

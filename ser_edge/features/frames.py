"""Frames of mono samples, and what is measured of them as they are: crossings, level, silence."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

FloatArray = np.ndarray[Any, np.dtype[np.float32]]  # npt.NDArray, without the time to load npt

PAD_MODES = ("constant", "edge", "reflect")

# Floor of the amplitude when levels are compared (librosa.amplitude_to_db).
_TRIM_AMIN = 1e-5
# Samples (frames x frame length) transformed at a time: few enough that the allocator keeps the
# memory of their spectra, many enough that a call costs little beside its work.
_BLOCK_SAMPLES = 2**14


def zero_crossing_rate(
    y: npt.ArrayLike,
    *,
    frame_length: int = 2048,
    hop_length: int = 512,
    center: bool = True,
    threshold: float = 1e-10,
) -> npt.NDArray[np.float64]:
    """Fraction of sign changes in every frame.

    Equals ``librosa.feature.zero_crossing_rate`` with the same arguments exactly.

    Args:
        y: samples, shape (n,), at least one.
        frame_length: samples in a frame.
        hop_length: samples from one frame to the next.
        center: frame t is centred at sample ``t * hop_length``; both ends are padded with the
            edge value.
        threshold: samples no farther from zero count as zero. Well below a step of 16 bits
            (3e-5) but above rounding errors (1e-7), it makes the rate of resampled digital
            silence the same on every processor; librosa's own default does not.

    Returns:
        float64, shape (1, n_frames), from 0 to 1.

    Raises:
        ValueError: no samples, more than one dimension, or fewer samples than a frame needs.

    Example:
        >>> float(zero_crossing_rate([1.0, -1.0] * 512, frame_length=64, hop_length=64)[0, 5])
        0.984375
    """
    signal = padded_samples(y, frame_length, center, "edge")
    negative = signal < -threshold
    # crossings[i] counts the sign changes up to sample i, so a frame is one subtraction; the
    # change that leads into a frame's first sample is not the frame's own.
    crossings = np.zeros(signal.size, dtype=np.int32)
    np.cumsum(negative[1:] != negative[:-1], dtype=np.int32, out=crossings[1:])
    starts = np.arange(0, signal.size - frame_length + 1, hop_length)
    counts = crossings[starts + frame_length - 1] - crossings[starts]
    return (counts / frame_length)[np.newaxis]  # type: ignore[no-any-return]


def rms(
    y: npt.ArrayLike,
    *,
    frame_length: int = 2048,
    hop_length: int = 512,
    center: bool = True,
    pad_mode: str = "constant",
) -> FloatArray:
    """Root mean square of every frame.

    Equals ``librosa.feature.rms(y=y)`` within 1e-6 for samples within ±1.

    Args:
        y: samples, shape (n,), at least one.
        frame_length: samples in a frame.
        hop_length: samples from one frame to the next.
        center: frame t is centred at sample ``t * hop_length``; both ends are padded.
        pad_mode: how: ``constant`` (zeros), ``edge`` or ``reflect``.

    Returns:
        float32, shape (1, n_frames), in the samples' unit.

    Raises:
        ValueError: no samples, more than one dimension, or fewer samples than a frame needs.

    Example:
        >>> rms([0.5, -0.5] * 512, frame_length=64, hop_length=256)
        array([[0.35355338, 0.5       , 0.5       , 0.5       , 0.35355338]],
              dtype=float32)
    """
    signal = padded_samples(y, frame_length, center, pad_mode)
    # Frames overlap: sum the squares of the segments they share once, then those of a frame.
    length = math.gcd(frame_length, hop_length)
    segments = signal[: signal.size // length * length].reshape(-1, length)
    energy = np.einsum("ij,ij->i", segments, segments, dtype=np.float64)
    frames = framed(energy, frame_length // length, hop_length // length)
    root: FloatArray = np.sqrt(frames.sum(axis=1) / frame_length).astype(np.float32)[np.newaxis]
    return root


def trim(
    y: npt.ArrayLike, *, top_db: float = 60.0, frame_length: int = 2048, hop_length: int = 512
) -> tuple[int, int]:
    """Where a recording's leading and trailing silence ends and begins.

    Equals the interval that ``librosa.effects.trim`` returns: the frames less than `top_db`
    below the loudest one, and all between them.

    Args:
        y: samples, shape (n,), at least one.
        top_db: dB below the loudest frame from which a frame counts as silent.
        frame_length: samples in a frame.
        hop_length: samples from one frame to the next.

    Returns:
        (start, end), in samples, end exclusive. Digital silence is not trimmed.

    Raises:
        ValueError: no samples, or more than one dimension.

    Example:
        >>> trim([0.0] * 512 + [0.5] * 512 + [0.0] * 512, frame_length=64, hop_length=64)
        (512, 1088)
    """
    level = rms(y, frame_length=frame_length, hop_length=hop_length)[0]
    power = np.maximum(np.square(level), _TRIM_AMIN**2)
    loud = np.flatnonzero(10 * np.log10(power / power.max()) > -top_db)
    return int(loud[0]) * hop_length, min(np.size(y), (int(loud[-1]) + 1) * hop_length)


def mono_samples(y: npt.ArrayLike) -> FloatArray:
    signal: FloatArray = np.ascontiguousarray(y, dtype=np.float32)
    if np.ndim(y) != 1 or signal.size == 0:
        raise ValueError(f"expected samples of one channel, got an array of shape {np.shape(y)}")
    return signal


def padded_samples(y: npt.ArrayLike, frame_length: int, center: bool, pad_mode: str) -> FloatArray:
    signal = mono_samples(y)
    if center:
        if pad_mode not in PAD_MODES:
            raise ValueError(f"pad_mode is {pad_mode!r}, but must be one of {PAD_MODES}")
        signal = np.pad(signal, frame_length // 2, mode=pad_mode)  # type: ignore[call-overload]
    if signal.size < frame_length:
        raise ValueError(f"{signal.size} samples are fewer than a frame of {frame_length}")
    return signal


def framed(values: npt.NDArray[Any], length: int, hop: int) -> npt.NDArray[Any]:
    """A view of shape (n_frames, length); copies nothing."""
    return np.lib.stride_tricks.sliding_window_view(values, length)[::hop]


def frame_blocks(first: int, last: int, frame_length: int) -> Iterator[slice]:
    """Frames that are transformed together."""
    step = max(1, _BLOCK_SAMPLES // frame_length)
    for start in range(first, last, step):
        yield slice(start, min(start + step, last))

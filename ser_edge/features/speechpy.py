"""Cepstral coefficients by the convention of speechpy."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

from ser_edge.features.frames import FloatArray, frame_blocks, framed, mono_samples
from ser_edge.features.mel import dct_matrix
from ser_edge.features.psf import corner_filters
from ser_edge.forking import PRODUCTS


def speechpy_mfcc(
    y: npt.ArrayLike,
    sr: float,
    *,
    n_mfcc: int = 13,
    frame_length: int = 320,
    hop_length: int = 160,
    n_fft: int = 512,
    n_mels: int = 40,
    fmin: float = 300.0,
    fmax: float | None = None,
    energy: bool = True,
    scale: float = 1.0,
) -> FloatArray:
    """Mel-frequency cepstral coefficients by the convention of speechpy.

    Equals ``speechpy.feature.mfcc`` 2.4, transposed, with ``frame_length / sr`` and
    ``hop_length / sr`` seconds: frames from the first sample on, the last whole one left out,
    no window, triangles on whole bins between half the frequencies that they are named after,
    natural logarithm.

    Args:
        y: samples, shape (n,), at least ``frame_length + hop_length``.
        sr: sample rate in Hz.
        n_mfcc: cepstral coefficients, at most `n_mels`.
        frame_length: samples in a frame; those beyond `n_fft` are not transformed.
        hop_length: samples from one frame to the next.
        n_fft: length of the Fourier transform.
        n_mels: mel bands.
        fmin: lower edge of the lowest band in Hz, above 0: speechpy takes its own default, 0,
            for 300.
        fmax: upper edge of the highest band in Hz; None is ``sr / 2``.
        energy: the first coefficient is the logarithm of the frame's energy (``dc_elimination``).
        scale: factor on the samples: 32768 for a model that was trained on 16-bit integers.

    Returns:
        float32, shape (n_mfcc, n_frames).

    Raises:
        ValueError: an argument out of range, more than one dimension, or too few samples.

    Example:
        >>> speechpy_mfcc(np.sin(np.arange(16000)), 16000).shape
        (13, 98)
    """
    if not 1 <= n_mfcc <= n_mels:
        raise ValueError(f"n_mfcc is {n_mfcc}, but must be from 1 to n_mels, {n_mels}")
    signal = mono_samples(y).astype(np.float64) * scale
    n_frames = (signal.size - frame_length) // hop_length
    if n_frames < 1:
        raise ValueError(
            f"{signal.size} samples are fewer than a frame of {frame_length} and a hop of "
            f"{hop_length}"
        )
    frames = framed(signal, frame_length, hop_length)[:, :n_fft]
    filters = _filterbank(sr, n_fft, n_mels, fmin, sr / 2 if fmax is None else fmax).T
    bands = np.empty((n_frames, n_mels))
    total = np.empty(n_frames)
    for block in frame_blocks(0, n_frames, n_fft):
        spectrum = np.fft.rfft(frames[block], n_fft, axis=1)
        power = (np.square(spectrum.real) + np.square(spectrum.imag)) / n_fft
        with PRODUCTS:
            bands[block] = power @ filters
        total[block] = power.sum(axis=1)
    floor = np.finfo(np.float64).eps
    levels = np.log(np.where(bands == 0, floor, bands))
    with PRODUCTS:
        cepstrum = dct_matrix(n_mfcc, n_mels, "ortho", 0.0) @ levels.T
    if energy:
        cepstrum[0] = np.log(np.where(total == 0, floor, total))
    result: FloatArray = cepstrum.astype(np.float32)
    return result


@functools.lru_cache(maxsize=16)
def _filterbank(
    sr: float, n_fft: int, n_mels: int, fmin: float, fmax: float
) -> npt.NDArray[np.float64]:
    if not 0 < fmin < fmax <= sr / 2:
        raise ValueError(f"bands from {fmin} to {fmax} Hz do not fit a sample rate of {sr} Hz")
    low, high = (1127 * math.log(1 + frequency / 700) for frequency in (fmin, fmax))
    hertz = 700 * (np.exp(np.linspace(low, high, n_mels + 2) / 1127) - 1)
    n_bins = 1 + n_fft // 2  # which speechpy takes for the length of the transform
    return corner_filters(np.floor((n_bins + 1) * hertz / sr), n_bins, whole=True)

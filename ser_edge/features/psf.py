"""Cepstral coefficients by the convention of python_speech_features."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

from ser_edge.features.frames import FloatArray, frame_blocks, framed, mono_samples
from ser_edge.features.mel import dct_matrix, hz_to_mel, lifter_weights, mel_to_hz, window_values
from ser_edge.forking import PRODUCTS


def psf_mfcc(
    y: npt.ArrayLike,
    sr: float,
    *,
    n_mfcc: int = 13,
    frame_length: int = 400,
    hop_length: int = 160,
    n_fft: int = 512,
    window: str = "boxcar",
    n_mels: int = 26,
    fmin: float = 0.0,
    fmax: float | None = None,
    preemphasis: float = 0.97,
    lifter: float = 22.0,
    energy: bool = True,
    scale: float = 1.0,
) -> FloatArray:
    """Mel-frequency cepstral coefficients by the convention of python_speech_features.

    Equals ``python_speech_features.mfcc`` 0.6, transposed, with ``winlen = frame_length / sr``
    and ``winstep = hop_length / sr``: pre-emphasis, frames from the first sample on, triangles
    on whole bins of HTK's mel scale, natural logarithm, lifter.

    Args:
        y: samples, shape (n,), at least one.
        sr: sample rate in Hz.
        n_mfcc: cepstral coefficients, at most `n_mels`.
        frame_length: samples in a frame, at most `n_fft`.
        hop_length: samples from one frame to the next; the last frame is filled with zeros.
        n_fft: length of the Fourier transform.
        window: ``boxcar``, ``hann``, ``hamming`` or ``blackman``, symmetric as numpy's are.
        n_mels: mel bands.
        fmin: lower edge of the lowest band in Hz.
        fmax: upper edge of the highest band in Hz; None is ``sr / 2``.
        preemphasis: part of the sample before that is subtracted, 0 for none.
        lifter: length of the sinusoidal lifter, 0 for none.
        energy: the first coefficient is the logarithm of the frame's energy.
        scale: factor on the samples: 32768 for a model that was trained on 16-bit integers.

    Returns:
        float32, shape (n_mfcc, n_frames).

    Raises:
        ValueError: an argument out of range, no samples, or more than one dimension.

    Example:
        >>> psf_mfcc(np.sin(np.arange(16000)), 16000).shape
        (13, 99)
    """
    if not 1 <= n_mfcc <= n_mels:
        raise ValueError(f"n_mfcc is {n_mfcc}, but must be from 1 to n_mels, {n_mels}")
    if not 1 <= frame_length <= n_fft:
        raise ValueError(f"frame_length is {frame_length}, but must be from 1 to n_fft, {n_fft}")
    signal = mono_samples(y).astype(np.float64) * scale
    signal[1:] -= preemphasis * signal[:-1]
    n_frames = 1 + max(0, math.ceil((signal.size - frame_length) / hop_length))
    signal = np.pad(signal, (0, (n_frames - 1) * hop_length + frame_length - signal.size))
    frames = framed(signal, frame_length, hop_length)
    taper = window_values(window, frame_length, False)
    filters = _psf_filterbank(sr, n_fft, n_mels, fmin, sr / 2 if fmax is None else fmax).T
    bands = np.empty((n_frames, n_mels))
    total = np.empty(n_frames)
    for block in frame_blocks(0, n_frames, n_fft):
        spectrum = np.fft.rfft(frames[block] * taper, n_fft, axis=1)
        power = (np.square(spectrum.real) + np.square(spectrum.imag)) / n_fft
        with PRODUCTS:
            bands[block] = power @ filters
        total[block] = power.sum(axis=1)
    floor = np.finfo(np.float64).eps
    levels = np.log(np.where(bands == 0, floor, bands))
    basis = dct_matrix(n_mfcc, n_mels, "ortho", 0.0) * lifter_weights(lifter, np.arange(n_mfcc))
    with PRODUCTS:
        cepstrum = basis @ levels.T
    if energy:
        cepstrum[0] = np.log(np.where(total == 0, floor, total))
    result: FloatArray = cepstrum.astype(np.float32)
    return result


@functools.lru_cache(maxsize=16)
def _psf_filterbank(
    sr: float, n_fft: int, n_mels: int, fmin: float, fmax: float
) -> npt.NDArray[np.float64]:
    """Triangles whose corners lie on whole bins, shape (n_mels, 1 + n_fft // 2)."""
    if not 0 <= fmin < fmax <= sr / 2:
        raise ValueError(f"bands from {fmin} to {fmax} Hz do not fit a sample rate of {sr} Hz")
    low, high = (hz_to_mel(frequency, True) for frequency in (fmin, fmax))
    corners = np.floor((n_fft + 1) * mel_to_hz(np.linspace(low, high, n_mels + 2), True) / sr)
    return corner_filters(corners, 1 + n_fft // 2)


def corner_filters(
    corners: npt.NDArray[np.float64], n_bins: int, *, whole: bool = False
) -> npt.NDArray[np.float64]:
    """Triangles between every three neighbouring corners, shape (len(corners) - 2, n_bins).

    Args:
        corners: bins, whole numbers that do not fall.
        n_bins: of a spectrum.
        whole: a triangle that falls at once, its last two corners being one bin, keeps that bin.
    """
    filters = np.zeros((len(corners) - 2, n_bins))
    for row, (left, middle, right) in zip(filters, zip(corners, corners[1:], corners[2:])):
        rising = np.arange(left, middle)
        falling = np.arange(middle, right)
        row[int(left) : int(middle)] = (rising - left) / (middle - left or 1)
        row[int(middle) : int(right)] = (right - falling) / (right - middle or 1)
        if whole and left < middle == right:
            row[int(middle)] = 1.0
    return filters

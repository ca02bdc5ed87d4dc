"""Chroma: the twelve pitch classes, equal to librosa's."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from ser_edge.features.frames import FloatArray
from ser_edge.features.spectra import spectrogram
from ser_edge.forking import PRODUCTS

NORMS = ("max", "sum", "euclidean")

_A0_HZ = 440.0 / 16  # octaves are counted from here
# Of librosa.filters.chroma: bins far from the middle octave count less.
_CENTRE_OCTAVE = 5.0
_OCTAVE_WIDTH = 2.0
# Of librosa.piptrack and librosa.pitch_tuning.
_TUNING_HZ = (150.0, 4000.0)
_TUNING_THRESHOLD = 0.1  # of a frame's highest peak
_TUNING_BINS = np.linspace(-0.5, 0.5, 101)


def chroma_stft(
    y: npt.ArrayLike,
    sr: float,
    *,
    n_fft: int = 2048,
    hop_length: int = 512,
    win_length: int | None = None,
    window: str = "hann",
    center: bool = True,
    pad_mode: str = "constant",
    power: float = 2.0,
    n_chroma: int = 12,
    tuning: float | None = None,
    chroma_norm: str | None = "max",
) -> FloatArray:
    """Power of every pitch class, frame by frame (Ellis, 2007).

    Equals ``librosa.feature.chroma_stft`` with the same arguments within 1e-5, where the tuning
    that it estimates is the same.

    Args:
        y: samples, shape (n,), at least one.
        sr: sample rate in Hz.
        n_fft: samples in a frame and length of the Fourier transform.
        hop_length: samples from one frame to the next.
        win_length: samples under the window, in the middle of the frame; None is `n_fft`.
        window: ``hann``, ``hamming``, ``blackman`` or ``boxcar``, periodic.
        center: frame t is centred at sample ``t * hop_length``; both ends are padded.
        pad_mode: how: ``constant`` (zeros), ``edge`` or ``reflect``.
        power: exponent of the magnitude: 2 for power, 1 for what many write as
            ``chroma_stft(S=np.abs(librosa.stft(y)))``.
        n_chroma: pitch classes, from C on.
        tuning: deviation from A = 440 Hz, in parts of a class; None: estimated of all frames.
        chroma_norm: what is 1 in every frame: ``max`` (librosa's ``norm=np.inf``), ``sum`` (1) or
            ``euclidean`` (2); None: nothing.

    Returns:
        float32, shape (n_chroma, n_frames); 0 for frames of digital silence.

    Raises:
        ValueError: an argument out of range, no samples, more than one dimension, or fewer
            samples than a frame needs.

    Example:
        >>> y = np.sin(2 * np.pi * 440 / 16000 * np.arange(16000))
        >>> int(chroma_stft(y, 16000)[:, 10].argmax())  # A
        9
    """
    if n_chroma < 1:
        raise ValueError(f"n_chroma is {n_chroma}, but must be at least 1")
    if chroma_norm is not None and chroma_norm not in NORMS:
        raise ValueError(f"chroma_norm is {chroma_norm!r}, but must be one of {NORMS} or None")
    spectra = spectrogram(y, n_fft, hop_length, win_length, window, center, pad_mode, power)
    if tuning is None:
        tuning = estimate_tuning(spectra, sr, n_chroma)
    with PRODUCTS:
        chroma = spectra @ _chroma_filters(sr, n_fft, n_chroma, float(tuning)).T
    if chroma_norm is not None:
        chroma /= _length(chroma, chroma_norm)
    return np.ascontiguousarray(chroma.T)


def _length(chroma: FloatArray, norm: str) -> FloatArray:
    """Of every frame, shape (n_frames, 1)."""
    if norm == "max":
        length = chroma.max(axis=1)
    elif norm == "sum":
        length = chroma.sum(axis=1)
    else:
        length = np.sqrt(np.square(chroma).sum(axis=1))
    length[length < np.finfo(np.float32).tiny] = 1.0  # silence stays silence
    return length[:, np.newaxis]  # type: ignore[no-any-return]


def estimate_tuning(spectra: FloatArray, sr: float, bins_per_octave: int = 12) -> float:
    """How far the peaks of spectra lie from the notes of A = 440 Hz, in parts of a semitone.

    Equals ``librosa.estimate_tuning(S=spectra.T, sr=sr)``: the mode, in hundredths, over the louder
    half of all peaks.

    Args:
        spectra: magnitudes to some power, shape (n_frames, 1 + n_fft // 2).
        sr: sample rate in Hz.
        bins_per_octave: notes in an octave.

    Returns:
        From -0.5 to 0.49; 0 where there is no peak.
    """
    n_fft = 2 * (spectra.shape[1] - 1)
    frequencies = np.arange(spectra.shape[1]) * (sr / n_fft)
    low, high = _TUNING_HZ
    (bins,) = np.nonzero((low <= frequencies) & (frequencies < min(high, sr / 2)))
    bins = bins[bins > 0]
    if bins.size == 0:
        return 0.0
    loud = spectra > np.float32(_TUNING_THRESHOLD) * spectra.max(axis=1, keepdims=True)
    heard = np.where(loud, spectra, 0)
    here, before, after = heard[:, bins], heard[:, bins - 1], heard[:, bins + 1]
    frame, place = np.nonzero((here > before) & (here >= after))
    if frame.size == 0:
        return 0.0
    peak = bins[place]
    here, before, after = spectra[frame, peak], spectra[frame, peak - 1], spectra[frame, peak + 1]
    # The parabola through three bins has its top at the shift.
    curvature = after + before - 2 * here
    slope = (after - before) / 2
    inside = np.abs(slope) < np.abs(curvature)
    shift = np.zeros_like(slope)
    shift[inside] = -slope[inside] / curvature[inside]
    level = here + slope * shift / 2
    pitch = ((peak + shift) * float(sr) / n_fft).astype(np.float32)
    pitch = pitch[level >= np.median(level)]
    residual = np.mod(bins_per_octave * np.log2(pitch / np.float32(_A0_HZ)), np.float32(1.0))
    residual[residual >= 0.5] -= 1.0
    counts, edges = np.histogram(residual, _TUNING_BINS)
    return float(edges[counts.argmax()])


@functools.lru_cache(maxsize=16)
def _chroma_filters(sr: float, n_fft: int, n_chroma: int, tuning: float) -> FloatArray:
    """Gaussians around the pitch classes, shape (n_chroma, 1 + n_fft // 2).

    Equals ``librosa.filters.chroma``.
    """
    reference = _A0_HZ * 2.0 ** (tuning / n_chroma)
    frequencies = np.arange(1, n_fft) * (sr / n_fft)
    notes = n_chroma * np.log2(frequencies / reference)
    notes = np.concatenate([[notes[0] - 1.5 * n_chroma], notes])  # 0 Hz: below all, and between
    widths = np.concatenate([np.maximum(np.diff(notes), 1.0), [1.0]])
    distance = notes - np.arange(n_chroma)[:, np.newaxis]
    half = np.round(n_chroma / 2)
    distance = np.remainder(distance + half + 10 * n_chroma, n_chroma) - half
    filters = np.exp(-0.5 * (2 * distance / widths) ** 2)
    filters /= np.sqrt(np.square(filters).sum(axis=0))
    filters *= np.exp(-0.5 * ((notes / n_chroma - _CENTRE_OCTAVE) / _OCTAVE_WIDTH) ** 2)
    filters = np.roll(filters, -3 * (n_chroma // 12), axis=0)  # from A to C
    return np.ascontiguousarray(filters[:, : 1 + n_fft // 2], dtype=np.float32)

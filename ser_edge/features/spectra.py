"""What is measured of the spectrum of every frame, equal to librosa's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ser_edge.features.frames import FloatArray, padded_samples
from ser_edge.features.mel import centered_window, power_spectra, power_to_db
from ser_edge.forking import PRODUCTS


def spectral_centroid(
    y: npt.ArrayLike,
    sr: float,
    *,
    n_fft: int = 2048,
    hop_length: int = 512,
    win_length: int | None = None,
    window: str = "hann",
    center: bool = True,
    pad_mode: str = "constant",
) -> FloatArray:
    """Mean frequency of every frame, weighted with the magnitudes.

    Equals ``librosa.feature.spectral_centroid`` with the same arguments within 1e-2 Hz.

    Args:
        y: samples, shape (n,), at least one.
        sr: sample rate in Hz.
        n_fft: samples in a frame and length of the Fourier transform.
        hop_length: samples from one frame to the next.
        win_length: samples under the window, in the middle of the frame; None is `n_fft`.
        window: ``hann``, ``hamming``, ``blackman`` or ``boxcar``, periodic.
        center: frame t is centred at sample ``t * hop_length``; both ends are padded.
        pad_mode: how: ``constant`` (zeros), ``edge`` or ``reflect``.

    Returns:
        float32, shape (1, n_frames), in Hz; 0 for frames of digital silence.

    Raises:
        ValueError: an argument out of range, no samples, more than one dimension, or fewer
            samples than a frame needs.

    Example:
        >>> y = np.sin(2 * np.pi * 1000 / 16000 * np.arange(16000))
        >>> round(float(spectral_centroid(y, 16000)[0, 10]))
        1000
    """
    magnitudes = spectrogram(y, n_fft, hop_length, win_length, window, center, pad_mode, 1.0)
    frequencies = np.arange(1 + n_fft // 2) * (sr / n_fft)
    total = magnitudes.sum(axis=1, dtype=np.float64)
    total[total < np.finfo(np.float32).tiny] = 1.0
    with PRODUCTS:
        centroid = (magnitudes @ frequencies) / total
    return centroid.astype(np.float32)[np.newaxis]  # type: ignore[no-any-return]


def spectral_contrast(
    y: npt.ArrayLike,
    sr: float,
    *,
    n_fft: int = 2048,
    hop_length: int = 512,
    win_length: int | None = None,
    window: str = "hann",
    center: bool = True,
    pad_mode: str = "constant",
    fmin: float = 200.0,
    n_bands: int = 6,
    quantile: float = 0.02,
    linear: bool = False,
) -> FloatArray:
    """How far peaks rise above valleys in every octave of the spectrum (Jiang et al., 2002).

    Equals ``librosa.feature.spectral_contrast`` with the same arguments within 1e-3 dB, where
    the magnitudes stand above the rounding of its float32 transform.

    Args:
        y: samples, shape (n,), at least one.
        sr: sample rate in Hz.
        n_fft: samples in a frame and length of the Fourier transform.
        hop_length: samples from one frame to the next.
        win_length: samples under the window, in the middle of the frame; None is `n_fft`.
        window: ``hann``, ``hamming``, ``blackman`` or ``boxcar``, periodic.
        center: frame t is centred at sample ``t * hop_length``; both ends are padded.
        pad_mode: how: ``constant`` (zeros), ``edge`` or ``reflect``.
        fmin: upper edge of the first band in Hz; the next ones are octaves, the last open.
        n_bands: bands, besides the first.
        quantile: part of a band's bins that count as its peak and as its valley.
        linear: the difference of magnitudes instead of that of their levels.

    Returns:
        float32, shape (n_bands + 1, n_frames), in dB as librosa has it: ten times the logarithm
        of magnitudes.

    Raises:
        ValueError: an argument out of range, no samples, more than one dimension, or fewer
            samples than a frame needs.

    Example:
        >>> y = np.sin(2 * np.pi * 440 / 16000 * np.arange(16000))
        >>> spectral_contrast(y, 16000, fmin=100.0).shape
        (7, 32)
    """
    if not 0.0 < quantile < 1.0:
        raise ValueError(f"quantile is {quantile}, but must lie between 0 and 1")
    if n_bands < 1:
        raise ValueError(f"n_bands is {n_bands}, but must be at least 1")
    magnitudes = spectrogram(y, n_fft, hop_length, win_length, window, center, pad_mode, 1.0)
    bands = _octaves(sr, n_fft, fmin, n_bands)
    valley = np.empty((len(magnitudes), len(bands)), dtype=np.float32)
    peak = np.empty_like(valley)
    for k, band in enumerate(bands):
        # librosa counts the last bin of a band, but leaves it to the next.
        used = slice(band.start, band.stop - (k < n_bands))
        n = max(1, int(np.rint(quantile * (band.stop - band.start))))
        ordered = np.sort(magnitudes[:, used], axis=1)
        valley[:, k] = ordered[:, :n].mean(axis=1)
        peak[:, k] = ordered[:, -n:].mean(axis=1)
    contrast = peak - valley if linear else power_to_db(peak) - power_to_db(valley)
    return np.ascontiguousarray(contrast.T)


def _octaves(sr: float, n_fft: int, fmin: float, n_bands: int) -> list[slice]:
    """The bins of each band, from the one below its lower edge to its upper edge."""
    edges = np.concatenate([[0.0], fmin * 2.0 ** np.arange(n_bands + 1)])
    if not fmin > 0 or edges[-2] >= sr / 2:
        raise ValueError(f"{n_bands} octaves from {fmin} Hz on do not fit a sample rate of {sr} Hz")
    frequencies = np.arange(1 + n_fft // 2) * (sr / n_fft)
    bands = []
    for k, (low, high) in enumerate(zip(edges, edges[1:])):
        inside = np.flatnonzero((frequencies >= low) & (frequencies <= high))
        if inside.size == 0:
            raise ValueError(f"a frame of {n_fft} samples has no bin from {low} to {high} Hz")
        last = frequencies.size if k == n_bands else inside[-1] + 1
        bands.append(slice(int(inside[0]) - (k > 0), int(last)))
        if bands[-1].stop - bands[-1].start < 2:
            raise ValueError(f"a frame of {n_fft} samples has one bin from {low} to {high} Hz")
    return bands


def spectrogram(
    y: npt.ArrayLike,
    n_fft: int,
    hop_length: int,
    win_length: int | None,
    window: str,
    center: bool,
    pad_mode: str,
    power: float,
) -> FloatArray:
    """Magnitudes to some power, shape (n_frames, 1 + n_fft // 2)."""
    # Not in float32, whose rounding fills the valleys between harmonics.
    taper = centered_window(window, win_length, n_fft, np.float64)
    signal = padded_samples(y, n_fft, center, pad_mode)
    spectra = np.zeros((1 + (signal.size - n_fft) // hop_length, 1 + n_fft // 2), np.float32)
    for block, values in power_spectra(signal, taper, hop_length, power):
        spectra[block] = values
    return spectra

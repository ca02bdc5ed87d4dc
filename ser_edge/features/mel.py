"""Mel bands and the cepstral coefficients made of them, equal to librosa's."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ser_edge.features.frames import FloatArray, frame_blocks, framed, padded_samples
from ser_edge.forking import PRODUCTS

if TYPE_CHECKING:
    import numpy.typing as npt

# Coefficients a_k of the window sum_k a_k cos(k x), x from -pi to pi.
WINDOWS = {
    "boxcar": (1.0,),
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.5, 0.08),
}
# Mel bands multiplied at a time: together they span few enough bins to skip most zeros.
_BLOCK_BANDS = 24
# Products of a matrix multiplication: from 2**18 on, OpenBLAS wakes its threads for it, which then
# wait for more in a loop and so take every core of the device.
_BLOCK_PRODUCTS = 2**17
# numpy 1 transforms in float64 whatever it is given; numpy 2 keeps float32, which is faster.
_FFT_DTYPE = np.float32 if int(np.__version__.split(".")[0]) >= 2 else np.float64


def mfcc(
    y: npt.ArrayLike,
    sr: float,
    *,
    n_mfcc: int = 20,
    n_fft: int = 2048,
    hop_length: int = 512,
    win_length: int | None = None,
    window: str = "hann",
    center: bool = True,
    pad_mode: str = "constant",
    n_mels: int = 128,
    fmin: float = 0.0,
    fmax: float | None = None,
    htk: bool = False,
    mel_norm: str | None = "slaney",
    power: float = 2.0,
    amin: float = 1e-10,
    top_db: float | None = 80.0,
    norm: str | None = "ortho",
    lifter: float = 0.0,
) -> FloatArray:
    """Mel-frequency cepstral coefficients (Davis and Mermelstein, 1980).

    Equals ``librosa.feature.mfcc`` with the same arguments within 1e-3 (values reach 1e3); its
    ``amin`` and ``top_db`` are those of the ``librosa.power_to_db`` within.

    Args:
        y: samples, shape (n,), at least one.
        sr: sample rate in Hz.
        n_mfcc: cepstral coefficients, at most `n_mels`.
        n_fft: samples in a frame and length of the Fourier transform.
        hop_length: samples from one frame to the next.
        win_length: samples under the window, in the middle of the frame; None is `n_fft`.
        window: ``hann``, ``hamming``, ``blackman`` or ``boxcar``, periodic.
        center: frame t is centred at sample ``t * hop_length``; both ends are padded.
        pad_mode: how: ``constant`` (zeros), ``edge`` or ``reflect``.
        n_mels: mel bands.
        fmin: lower edge of the lowest band in Hz.
        fmax: upper edge of the highest band in Hz; None is ``sr / 2``.
        htk: HTK's mel scale instead of Slaney's.
        mel_norm: ``slaney`` gives every band the same area, None the same height.
        power: exponent of the magnitude: 2 for power, 1 for magnitude.
        amin: floor of a band's power, before the logarithm.
        top_db: levels are cut at so many dB below the loudest of the recording; None: not at all.
        norm: ``ortho`` for the orthonormal DCT-II, None for the plain one.
        lifter: length of the sinusoidal lifter, 0 for none.

    Returns:
        float32, shape (n_mfcc, n_frames).

    Raises:
        ValueError: an argument out of range, no samples, more than one dimension, or fewer
            samples than a frame needs.

    Example:
        >>> y = np.sin(2 * np.pi * 440 / 16000 * np.arange(16000))
        >>> mfcc(y, 16000, n_mfcc=13, hop_length=160).shape
        (13, 101)
    """
    if not 1 <= n_mfcc <= n_mels:
        raise ValueError(f"n_mfcc is {n_mfcc}, but must be from 1 to n_mels, {n_mels}")
    taper = centered_window(window, win_length, n_fft)
    bands = mel_blocks(sr, n_fft, n_mels, fmin, sr / 2 if fmax is None else fmax, htk, mel_norm)
    levels = mel_power(padded_samples(y, n_fft, center, pad_mode), taper, hop_length, bands, power)
    to_decibels(levels, amin, top_db)
    # In float32 this product would miss librosa by 1e-3 where all levels are alike.
    basis = dct_matrix(n_mfcc, n_mels, norm, lifter)
    cepstrum = np.empty((n_mfcc, len(levels)), dtype=np.float32)
    step = max(1, _BLOCK_PRODUCTS // basis.size)
    for start in range(0, len(levels), step):
        block = slice(start, start + step)
        with PRODUCTS:
            cepstrum[:, block] = basis @ levels[block].T.astype(np.float64)
    return cepstrum


def melspectrogram(
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
    n_mels: int = 128,
    fmin: float = 0.0,
    fmax: float | None = None,
    htk: bool = False,
    mel_norm: str | None = "slaney",
) -> FloatArray:
    """Power in mel bands, frame by frame.

    Equals ``librosa.feature.melspectrogram`` with the same arguments, `mel_norm` being its
    ``norm``, within 1e-5 of the largest value of a frame.

    Args:
        y: samples, shape (n,), at least one.
        sr: sample rate in Hz.
        n_fft: samples in a frame and length of the Fourier transform.
        hop_length: samples from one frame to the next.
        win_length: samples under the window, in the middle of the frame; None is `n_fft`.
        window: ``hann``, ``hamming``, ``blackman`` or ``boxcar``, periodic.
        center: frame t is centred at sample ``t * hop_length``; both ends are padded.
        pad_mode: how: ``constant`` (zeros), ``edge`` or ``reflect``.
        power: exponent of the magnitude: 2 for power, 1 for magnitude.
        n_mels: mel bands.
        fmin: lower edge of the lowest band in Hz.
        fmax: upper edge of the highest band in Hz; None is ``sr / 2``.
        htk: HTK's mel scale instead of Slaney's.
        mel_norm: ``slaney`` gives every band the same area, None the same height.

    Returns:
        float32, shape (n_mels, n_frames).

    Raises:
        ValueError: an argument out of range, no samples, more than one dimension, or fewer
            samples than a frame needs.

    Example:
        >>> y = np.sin(2 * np.pi * 440 / 16000 * np.arange(16000))
        >>> melspectrogram(y, 16000, n_mels=64).shape
        (64, 32)
    """
    taper = centered_window(window, win_length, n_fft)
    bands = mel_blocks(sr, n_fft, n_mels, fmin, sr / 2 if fmax is None else fmax, htk, mel_norm)
    levels = mel_power(padded_samples(y, n_fft, center, pad_mode), taper, hop_length, bands, power)
    return np.ascontiguousarray(levels.T)


def power_to_db(
    S: npt.ArrayLike,
    *,
    ref: float | str = 1.0,
    amin: float = 1e-10,
    top_db: float | None = 80.0,
) -> FloatArray:
    """Power to decibels: ``10 * log10(S / ref)``.

    Equals ``librosa.power_to_db`` within 1e-4 dB.

    Args:
        S: power, of any shape.
        ref: the power that is 0 dB, or ``max`` for the largest of `S`.
        amin: floor of `S` and of `ref`, before the logarithm.
        top_db: levels are cut at so many dB below the highest; None: not at all.

    Returns:
        float32, of the shape of `S`.

    Raises:
        ValueError: an argument out of range, or `S` is empty.

    Example:
        >>> power_to_db([1.0, 0.1, 0.0], ref="max", top_db=40.0)
        array([  0., -10., -40.], dtype=float32)
    """
    levels = np.array(S, dtype=np.float32)
    if levels.size == 0:
        raise ValueError("there is no power to express in decibels")
    if amin <= 0:
        raise ValueError(f"amin is {amin}, but must be above zero")
    if ref == "max":
        ref = float(levels.max())
    elif isinstance(ref, str):
        raise ValueError(f"ref is {ref!r}, but must be 'max' or a number")
    to_decibels(levels, amin, None)
    levels -= np.float32(10.0 * math.log10(max(amin, ref)))
    if top_db is not None:
        np.maximum(levels, levels.max() - top_db, out=levels)
    return levels


def to_decibels(levels: FloatArray, amin: float, top_db: float | None) -> None:
    """The same in place, relative to 1."""
    np.maximum(levels, amin, out=levels)
    np.log10(levels, out=levels)
    levels *= 10.0
    if top_db is not None:
        np.maximum(levels, levels.max() - top_db, out=levels)


def mel_filterbank(
    sr: float,
    n_fft: int,
    *,
    n_mels: int = 128,
    fmin: float = 0.0,
    fmax: float | None = None,
    htk: bool = False,
    norm: str | None = "slaney",
) -> FloatArray:
    """Triangular filters, evenly spaced on the mel scale.

    Equals ``librosa.filters.mel``.

    Args:
        sr: sample rate in Hz.
        n_fft: length of the Fourier transform.
        n_mels: bands.
        fmin: lower edge of the lowest band in Hz.
        fmax: upper edge of the highest band in Hz; None is ``sr / 2``.
        htk: HTK's mel scale (O'Shaughnessy, 1987) instead of Slaney's Auditory Toolbox (1998).
        norm: ``slaney`` gives every band the same area, None the same height.

    Returns:
        float32, shape (n_mels, 1 + n_fft // 2).

    Raises:
        ValueError: `norm` is neither, or the edges do not rise from 0 or more to ``sr / 2``
            or less.

    Example:
        >>> mel_filterbank(16000, 512, n_mels=40).shape
        (40, 257)
    """
    if norm not in (None, "slaney"):
        raise ValueError(f"norm is {norm!r}, but must be 'slaney' or None")
    fmax = sr / 2 if fmax is None else fmax
    if not 0 <= fmin < fmax <= sr / 2:
        raise ValueError(f"bands from {fmin} to {fmax} Hz do not fit a sample rate of {sr} Hz")
    low, high = (hz_to_mel(frequency, htk) for frequency in (fmin, fmax))
    edges = mel_to_hz(np.linspace(low, high, n_mels + 2), htk)
    bins = np.arange(1 + n_fft // 2) * (sr / n_fft)
    edges = edges[:, np.newaxis]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
    if norm == "slaney":
        filters *= (2.0 / (edges[2:] - edges[:-2])).astype(np.float32)
    return filters


class MelBlock(NamedTuple):
    """Neighbouring mel bands and the bins that they span."""

    bands: slice
    bins: slice
    weights: FloatArray  # (bins, bands)


@PRODUCTS
def mel_power(
    signal: FloatArray,
    taper: npt.NDArray[Any],
    hop_length: int,
    bands: tuple[MelBlock, ...],
    power: float,
) -> FloatArray:
    """Power in every mel band, shape (n_frames, n_mels)."""
    n_frames = 1 + (signal.size - taper.size) // hop_length
    levels = np.zeros((n_frames, bands[-1].bands.stop), dtype=np.float32)
    for block, spectra in power_spectra(signal, taper, hop_length, power):
        for mel in bands:
            np.matmul(spectra[:, mel.bins], mel.weights, out=levels[block, mel.bands])
    return levels


def power_spectra(
    signal: FloatArray, taper: npt.NDArray[Any], hop_length: int, power: float
) -> Iterator[tuple[slice, FloatArray]]:
    """Some neighbouring frames at a time and their spectra, shape (frames, bins).

    Frames that lie wholly in zeros before and after all others, such as a short clip's padding,
    are left out: their spectra are zero.
    """
    frames = framed(signal, taper.size, hop_length)
    nonzero = (signal != 0).tobytes()  # which numpy has no quick search from the end for
    if 1 not in nonzero:
        return
    first = max(0, -((taper.size - 1 - nonzero.find(1)) // hop_length))
    last = min(len(frames), nonzero.rfind(1) // hop_length + 1)
    for block in frame_blocks(first, last, taper.size):
        spectrum = np.fft.rfft(frames[block] * taper, axis=1)
        spectra = (np.square(spectrum.real) + np.square(spectrum.imag)).astype(np.float32)
        if power != 2.0:
            spectra **= power / 2
        yield block, spectra


@functools.lru_cache(maxsize=16)
def mel_blocks(
    sr: float,
    n_fft: int,
    n_mels: int,
    fmin: float,
    fmax: float,
    htk: bool,
    norm: str | None,
) -> tuple[MelBlock, ...]:
    filters = mel_filterbank(sr, n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax, htk=htk, norm=norm)
    blocks = []
    for start in range(0, n_mels, _BLOCK_BANDS):
        bands = slice(start, min(start + _BLOCK_BANDS, n_mels))
        used = np.flatnonzero(filters[bands].any(axis=0))
        bins = slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(0, 1)
        blocks.append(MelBlock(bands, bins, np.ascontiguousarray(filters[bands, bins].T)))
    return tuple(blocks)


@functools.lru_cache(maxsize=16)
def window_values(name: str, length: int, periodic: bool) -> npt.NDArray[np.float64]:
    if name not in WINDOWS:
        raise ValueError(f"window is {name!r}, but must be one of {', '.join(WINDOWS)}")
    angle = np.linspace(-np.pi, np.pi, length + 1 if periodic else length)[:length]
    terms = (a * np.cos(k * angle) for k, a in enumerate(WINDOWS[name]))
    return np.sum(list(terms), axis=0)  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=16)
def centered_window(
    name: str, win_length: int | None, n_fft: int, dtype: Any = _FFT_DTYPE
) -> npt.NDArray[Any]:
    """A window in the middle of n_fft samples, which None fills."""
    win_length = n_fft if win_length is None else win_length
    if not 1 <= win_length <= n_fft:
        raise ValueError(f"win_length is {win_length}, but must be from 1 to n_fft, {n_fft}")
    before = (n_fft - win_length) // 2
    window = window_values(name, win_length, True)
    return np.pad(window, (before, n_fft - win_length - before)).astype(dtype)


@functools.lru_cache(maxsize=16)
def dct_matrix(
    n_mfcc: int, n_mels: int, norm: str | None, lifter: float
) -> npt.NDArray[np.float64]:
    """DCT-II of `n_mels` levels with the lifter folded in, shape (n_mfcc, n_mels)."""
    if norm not in (None, "ortho"):
        raise ValueError(f"norm is {norm!r}, but must be 'ortho' or None")
    k = np.arange(n_mfcc)[:, np.newaxis]
    matrix = 2.0 * np.cos(np.pi / n_mels * (np.arange(n_mels) + 0.5) * k)
    if norm == "ortho":
        matrix *= np.where(k == 0, math.sqrt(0.25 / n_mels), math.sqrt(0.5 / n_mels))
    return matrix * lifter_weights(lifter, np.arange(1, n_mfcc + 1))


def lifter_weights(length: float, n: npt.NDArray[np.int_]) -> npt.NDArray[np.float64]:
    """Sinusoidal lifter (Juang, Rabiner and Wilpon, 1987) at the places n, shape (n, 1)."""
    if length < 0:
        raise ValueError(f"lifter is {length}, but must not be negative")
    if length == 0:
        return np.ones((n.size, 1))
    weights = 1 + length / 2 * np.sin(np.pi * n / length)
    return weights[:, np.newaxis]  # type: ignore[no-any-return]


# Slaney's scale is linear up to 1 kHz, 200/3 Hz a mel, and logarithmic above, 27 mels for a
# factor of 6.4.
_SLANEY_HZ_PER_MEL = 200.0 / 3
_SLANEY_BREAK_HZ = 1000.0
_SLANEY_BREAK_MEL = _SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL
_SLANEY_LOG_STEP = math.log(6.4) / 27


def hz_to_mel(frequency: float, htk: bool) -> float:
    if htk:
        return 2595.0 * math.log10(1.0 + frequency / 700.0)
    if frequency < _SLANEY_BREAK_HZ:
        return frequency / _SLANEY_HZ_PER_MEL
    return _SLANEY_BREAK_MEL + math.log(frequency / _SLANEY_BREAK_HZ) / _SLANEY_LOG_STEP


def mel_to_hz(mels: npt.NDArray[np.float64], htk: bool) -> npt.NDArray[np.float64]:
    if htk:
        return 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    above = _SLANEY_BREAK_HZ * np.exp(_SLANEY_LOG_STEP * (mels - _SLANEY_BREAK_MEL))
    return np.where(mels < _SLANEY_BREAK_MEL, mels * _SLANEY_HZ_PER_MEL, above)

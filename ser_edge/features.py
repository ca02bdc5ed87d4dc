"""Speech features in numpy, equal to those of librosa and python_speech_features.

Pure functions of mono samples. Everything that depends on parameters alone (window, mel bands,
DCT matrix) is computed once and kept. A feature matrix has one row a feature, one column a frame.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

PAD_MODES = ("constant", "edge", "reflect")

# Coefficients a_k of the window sum_k a_k cos(k x), x from -pi to pi.
WINDOWS = {
    "boxcar": (1.0,),
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.5, 0.08),
}

# Floor of the amplitude when levels are compared (librosa.amplitude_to_db).
_TRIM_AMIN = 1e-5
# Samples (frames x frame length) transformed at a time: few enough that the allocator keeps the
# memory of their spectra, many enough that a call costs little beside its work.
_BLOCK_SAMPLES = 2**14
# Mel bands multiplied at a time: together they span few enough bins to skip most zeros.
_BLOCK_BANDS = 24
# Products of a matrix multiplication: from 2**18 on, OpenBLAS wakes its threads for it, which then
# wait for more in a loop and so take every core of the device.
_BLOCK_PRODUCTS = 2**17
# numpy 1 transforms in float64 whatever it is given; numpy 2 keeps float32, which is faster.
_FFT_DTYPE = np.float32 if int(np.__version__.split(".")[0]) >= 2 else np.float64


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
    signal = _padded(y, frame_length, center, "edge")
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
    signal = _padded(y, frame_length, center, pad_mode)
    # Frames overlap: sum the squares of the segments they share once, then those of a frame.
    length = math.gcd(frame_length, hop_length)
    segments = signal[: signal.size // length * length].reshape(-1, length)
    energy = np.einsum("ij,ij->i", segments, segments, dtype=np.float64)
    frames = _frames(energy, frame_length // length, hop_length // length)
    root: FloatArray = np.sqrt(frames.sum(axis=1) / frame_length).astype(np.float32)[np.newaxis]
    return root


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
    taper = _centered_window(window, n_fft if win_length is None else win_length, n_fft)
    bands = _mel_blocks(sr, n_fft, n_mels, fmin, sr / 2 if fmax is None else fmax, htk, mel_norm)
    levels = _mel_power(_padded(y, n_fft, center, pad_mode), taper, hop_length, bands, power)
    np.maximum(levels, amin, out=levels)
    np.log10(levels, out=levels)
    levels *= 10.0
    if top_db is not None:
        np.maximum(levels, levels.max() - top_db, out=levels)
    # In float32 this product would miss librosa by 1e-3 where all levels are alike.
    basis = _dct_matrix(n_mfcc, n_mels, norm, lifter)
    cepstrum = np.empty((n_mfcc, len(levels)), dtype=np.float32)
    step = max(1, _BLOCK_PRODUCTS // basis.size)
    for start in range(0, len(levels), step):
        block = slice(start, start + step)
        cepstrum[:, block] = basis @ levels[block].T.astype(np.float64)
    return cepstrum


def delta(
    data: npt.ArrayLike, *, width: int = 9, order: int = 1, mode: str = "interp"
) -> FloatArray:
    """Slope of every feature over time: the least-squares fit to `width` frames.

    Equals ``librosa.feature.delta``, a Savitzky-Golay filter (1964) whose polynomial has the
    degree of its derivative.

    Args:
        data: feature matrix, shape (n_features, n_frames).
        width: frames in the fit, odd, at least 3.
        order: 1 for the slope, 2 for the curvature.
        mode: ``interp`` extends the first and the last fit to the ends, ``nearest`` repeats the
            first and the last frame.

    Returns:
        float32, of the shape of `data`.

    Raises:
        ValueError: an argument out of range, or fewer frames than ``interp`` needs.

    Example:
        >>> delta([[0.0, 1.0, 2.0, 3.0, 4.0]], width=3)
        array([[1., 1., 1., 1., 1.]], dtype=float32)
    """
    matrix = np.asarray(data, dtype=np.float64)
    if matrix.ndim != 2:
        raise ValueError(f"a feature matrix has two dimensions, not {matrix.ndim}")
    if width < 3 or width % 2 == 0:
        raise ValueError(f"width is {width}, but must be odd and at least 3")
    if not 1 <= order < width:
        raise ValueError(f"order is {order}, but must be from 1 to {width - 1}")
    if mode not in ("interp", "nearest"):
        raise ValueError(f"mode is {mode!r}, but must be 'interp' or 'nearest'")
    half = width // 2
    if mode == "nearest":
        matrix = np.pad(matrix, ((0, 0), (half, half)), mode="edge")
    elif matrix.shape[1] < width:
        raise ValueError(f"{matrix.shape[1]} frames are fewer than the width, {width}")
    windows = np.lib.stride_tricks.sliding_window_view(matrix, width, axis=1)
    slope = windows @ _derivative_weights(width, order)
    if mode == "interp":
        # A polynomial's derivative of its own degree is constant: the fit's value at the ends.
        slope = np.pad(slope, ((0, 0), (half, half)), mode="edge")
    result: FloatArray = slope.astype(np.float32)
    return result


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
    signal = _samples(y).astype(np.float64) * scale
    signal[1:] -= preemphasis * signal[:-1]
    n_frames = 1 + max(0, math.ceil((signal.size - frame_length) / hop_length))
    signal = np.pad(signal, (0, (n_frames - 1) * hop_length + frame_length - signal.size))
    frames = _frames(signal, frame_length, hop_length)
    taper = _window(window, frame_length, False)
    filters = _psf_filterbank(sr, n_fft, n_mels, fmin, sr / 2 if fmax is None else fmax).T
    bands = np.empty((n_frames, n_mels))
    total = np.empty(n_frames)
    for block in _blocks(0, n_frames, n_fft):
        spectrum = np.fft.rfft(frames[block] * taper, n_fft, axis=1)
        power = (np.square(spectrum.real) + np.square(spectrum.imag)) / n_fft
        bands[block] = power @ filters
        total[block] = power.sum(axis=1)
    floor = np.finfo(np.float64).eps
    levels = np.log(np.where(bands == 0, floor, bands))
    basis = _dct_matrix(n_mfcc, n_mels, "ortho", 0.0) * _lifter(lifter, np.arange(n_mfcc))
    cepstrum = basis @ levels.T
    if energy:
        cepstrum[0] = np.log(np.where(total == 0, floor, total))
    result: FloatArray = cepstrum.astype(np.float32)
    return result


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
    low, high = (_hz_to_mel(frequency, htk) for frequency in (fmin, fmax))
    edges = _mel_to_hz(np.linspace(low, high, n_mels + 2), htk)
    bins = np.arange(1 + n_fft // 2) * (sr / n_fft)
    edges = edges[:, np.newaxis]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
    if norm == "slaney":
        filters *= (2.0 / (edges[2:] - edges[:-2])).astype(np.float32)
    return filters


def _samples(y: npt.ArrayLike) -> FloatArray:
    signal: FloatArray = np.ascontiguousarray(y, dtype=np.float32)
    if np.ndim(y) != 1 or signal.size == 0:
        raise ValueError(f"expected samples of one channel, got an array of shape {np.shape(y)}")
    return signal


def _padded(y: npt.ArrayLike, frame_length: int, center: bool, pad_mode: str) -> FloatArray:
    signal = _samples(y)
    if center:
        if pad_mode not in PAD_MODES:
            raise ValueError(f"pad_mode is {pad_mode!r}, but must be one of {PAD_MODES}")
        signal = np.pad(signal, frame_length // 2, mode=pad_mode)  # type: ignore[call-overload]
    if signal.size < frame_length:
        raise ValueError(f"{signal.size} samples are fewer than a frame of {frame_length}")
    return signal


def _frames(values: npt.NDArray[Any], length: int, hop: int) -> npt.NDArray[Any]:
    """A view of shape (n_frames, length); copies nothing."""
    return np.lib.stride_tricks.sliding_window_view(values, length)[::hop]


def _blocks(first: int, last: int, frame_length: int) -> Iterator[slice]:
    """Frames that are transformed together."""
    step = max(1, _BLOCK_SAMPLES // frame_length)
    for start in range(first, last, step):
        yield slice(start, min(start + step, last))


class _MelBlock(NamedTuple):
    """Neighbouring mel bands and the bins that they span."""

    bands: slice
    bins: slice
    weights: FloatArray  # (bins, bands)


def _mel_power(
    signal: FloatArray,
    taper: npt.NDArray[Any],
    hop_length: int,
    bands: tuple[_MelBlock, ...],
    power: float,
) -> FloatArray:
    """Power in every mel band, shape (n_frames, n_mels)."""
    frames = _frames(signal, taper.size, hop_length)
    levels = np.zeros((len(frames), bands[-1].bands.stop), dtype=np.float32)
    # Frames that lie wholly in zeros, such as a short clip's padding, stay zero.
    nonzero = (signal != 0).tobytes()  # which numpy has no quick search from the end for
    if 1 not in nonzero:
        return levels
    first = max(0, -((taper.size - 1 - nonzero.find(1)) // hop_length))
    last = min(len(frames), nonzero.rfind(1) // hop_length + 1)
    for block in _blocks(first, last, taper.size):
        spectrum = np.fft.rfft(frames[block] * taper, axis=1)
        spectral = (np.square(spectrum.real) + np.square(spectrum.imag)).astype(np.float32)
        if power != 2.0:
            spectral **= power / 2
        for mel in bands:
            np.matmul(spectral[:, mel.bins], mel.weights, out=levels[block, mel.bands])
    return levels


@functools.lru_cache(maxsize=16)
def _mel_blocks(
    sr: float,
    n_fft: int,
    n_mels: int,
    fmin: float,
    fmax: float,
    htk: bool,
    norm: str | None,
) -> tuple[_MelBlock, ...]:
    filters = mel_filterbank(sr, n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax, htk=htk, norm=norm)
    blocks = []
    for start in range(0, n_mels, _BLOCK_BANDS):
        bands = slice(start, min(start + _BLOCK_BANDS, n_mels))
        used = np.flatnonzero(filters[bands].any(axis=0))
        bins = slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(0, 1)
        blocks.append(_MelBlock(bands, bins, np.ascontiguousarray(filters[bands, bins].T)))
    return tuple(blocks)


@functools.lru_cache(maxsize=16)
def _window(name: str, length: int, periodic: bool) -> npt.NDArray[np.float64]:
    if name not in WINDOWS:
        raise ValueError(f"window is {name!r}, but must be one of {', '.join(WINDOWS)}")
    angle = np.linspace(-np.pi, np.pi, length + 1 if periodic else length)[:length]
    terms = (a * np.cos(k * angle) for k, a in enumerate(WINDOWS[name]))
    return np.sum(list(terms), axis=0)  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=16)
def _centered_window(name: str, win_length: int, n_fft: int) -> npt.NDArray[Any]:
    if not 1 <= win_length <= n_fft:
        raise ValueError(f"win_length is {win_length}, but must be from 1 to n_fft, {n_fft}")
    before = (n_fft - win_length) // 2
    window = _window(name, win_length, True)
    return np.pad(window, (before, n_fft - win_length - before)).astype(_FFT_DTYPE)


@functools.lru_cache(maxsize=16)
def _dct_matrix(
    n_mfcc: int, n_mels: int, norm: str | None, lifter: float
) -> npt.NDArray[np.float64]:
    """DCT-II of `n_mels` levels with the lifter folded in, shape (n_mfcc, n_mels)."""
    if norm not in (None, "ortho"):
        raise ValueError(f"norm is {norm!r}, but must be 'ortho' or None")
    k = np.arange(n_mfcc)[:, np.newaxis]
    matrix = 2.0 * np.cos(np.pi / n_mels * (np.arange(n_mels) + 0.5) * k)
    if norm == "ortho":
        matrix *= np.where(k == 0, math.sqrt(0.25 / n_mels), math.sqrt(0.5 / n_mels))
    return matrix * _lifter(lifter, np.arange(1, n_mfcc + 1))


def _lifter(length: float, n: npt.NDArray[np.int_]) -> npt.NDArray[np.float64]:
    """Sinusoidal lifter (Juang, Rabiner and Wilpon, 1987) at the places n, shape (n, 1)."""
    if length < 0:
        raise ValueError(f"lifter is {length}, but must not be negative")
    if length == 0:
        return np.ones((n.size, 1))
    weights = 1 + length / 2 * np.sin(np.pi * n / length)
    return weights[:, np.newaxis]  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=16)
def _derivative_weights(width: int, order: int) -> npt.NDArray[np.float64]:
    """Weights of the frames in the least-squares derivative at the middle of them."""
    offsets = np.arange(width) - width // 2
    powers = np.vander(offsets.astype(np.float64), order + 1, increasing=True)
    return math.factorial(order) * np.linalg.pinv(powers)[order]  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=16)
def _psf_filterbank(
    sr: float, n_fft: int, n_mels: int, fmin: float, fmax: float
) -> npt.NDArray[np.float64]:
    """Triangles whose corners lie on whole bins, shape (n_mels, 1 + n_fft // 2)."""
    if not 0 <= fmin < fmax <= sr / 2:
        raise ValueError(f"bands from {fmin} to {fmax} Hz do not fit a sample rate of {sr} Hz")
    low, high = (_hz_to_mel(frequency, True) for frequency in (fmin, fmax))
    corners = np.floor((n_fft + 1) * _mel_to_hz(np.linspace(low, high, n_mels + 2), True) / sr)
    filters = np.zeros((n_mels, 1 + n_fft // 2))
    for row, (left, middle, right) in zip(filters, zip(corners, corners[1:], corners[2:])):
        rising = np.arange(left, middle)
        falling = np.arange(middle, right)
        row[int(left) : int(middle)] = (rising - left) / (middle - left or 1)
        row[int(middle) : int(right)] = (right - falling) / (right - middle or 1)
    return filters


# Slaney's scale is linear up to 1 kHz, 200/3 Hz a mel, and logarithmic above, 27 mels for a
# factor of 6.4.
_SLANEY_HZ_PER_MEL = 200.0 / 3
_SLANEY_BREAK_HZ = 1000.0
_SLANEY_BREAK_MEL = _SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL
_SLANEY_LOG_STEP = math.log(6.4) / 27


def _hz_to_mel(frequency: float, htk: bool) -> float:
    if htk:
        return 2595.0 * math.log10(1.0 + frequency / 700.0)
    if frequency < _SLANEY_BREAK_HZ:
        return frequency / _SLANEY_HZ_PER_MEL
    return _SLANEY_BREAK_MEL + math.log(frequency / _SLANEY_BREAK_HZ) / _SLANEY_LOG_STEP


def _mel_to_hz(mels: npt.NDArray[np.float64], htk: bool) -> npt.NDArray[np.float64]:
    if htk:
        return 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    above = _SLANEY_BREAK_HZ * np.exp(_SLANEY_LOG_STEP * (mels - _SLANEY_BREAK_MEL))
    return np.where(mels < _SLANEY_BREAK_MEL, mels * _SLANEY_HZ_PER_MEL, above)

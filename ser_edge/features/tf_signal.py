"""Mel levels and cepstral coefficients by the convention of tf.signal."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from ser_edge.features.frames import FloatArray, frame_blocks, framed, mono_samples
from ser_edge.features.mel import dct_matrix, window_values
from ser_edge.forking import PRODUCTS


def tf_log_mel(
    y: npt.ArrayLike,
    sr: float,
    *,
    frame_length: int = 1024,
    hop_length: int = 256,
    n_fft: int = 1024,
    window: str = "hann",
    n_mels: int = 80,
    fmin: float = 80.0,
    fmax: float = 7600.0,
    power: float = 1.0,
    offset: float = 1e-6,
) -> FloatArray:
    """Natural logarithm of mel bands, as TensorFlow's documentation computes them.

    Equals, transposed, ``tf.math.log(tf.abs(tf.signal.stft(y, frame_length, hop_length, n_fft)) **
    power @ tf.signal.linear_to_mel_weight_matrix(n_mels, 1 + n_fft // 2, sr, fmin, fmax) +
    offset)`` in float64 within 1e-4. The defaults are those of the example at
    ``tf.signal.mfccs_from_log_mel_spectrograms``.

    Args:
        y: samples, shape (n,), at least `frame_length`.
        sr: sample rate in Hz.
        frame_length: samples in a frame, at most `n_fft`.
        hop_length: samples from one frame to the next; what fills no frame is left out.
        n_fft: length of the Fourier transform.
        window: ``hann``, ``hamming``, ``blackman`` or ``boxcar``, periodic.
        n_mels: mel bands, triangles on the mel scale without the bin of 0 Hz.
        fmin: lower edge of the lowest band in Hz.
        fmax: upper edge of the highest band in Hz.
        power: exponent of the magnitude: 2 for power, 1 for magnitude.
        offset: added before the logarithm, above 0.

    Returns:
        float32, shape (n_mels, n_frames).

    Raises:
        ValueError: an argument out of range, more than one dimension, or too few samples.

    Example:
        >>> tf_log_mel(np.sin(np.arange(16000)), 16000).shape
        (80, 59)
    """
    return np.ascontiguousarray(
        _log_mel(
            y, sr, frame_length, hop_length, n_fft, window, n_mels, fmin, fmax, power, offset
        ).T.astype(np.float32)
    )


def tf_mfcc(
    y: npt.ArrayLike,
    sr: float,
    *,
    n_mfcc: int = 13,
    frame_length: int = 1024,
    hop_length: int = 256,
    n_fft: int = 1024,
    window: str = "hann",
    n_mels: int = 80,
    fmin: float = 80.0,
    fmax: float = 7600.0,
    power: float = 1.0,
    offset: float = 1e-6,
) -> FloatArray:
    """Mel-frequency cepstral coefficients, as TensorFlow's documentation computes them.

    Equals, transposed, ``tf.signal.mfccs_from_log_mel_spectrograms`` of what :func:`tf_log_mel`
    returns, whose arguments these are, within 1e-4.

    Args:
        y: samples, shape (n,), at least `frame_length`.
        sr: sample rate in Hz.
        n_mfcc: cepstral coefficients, at most `n_mels`.
        frame_length: as of :func:`tf_log_mel`, and so are all that follow.

    Returns:
        float32, shape (n_mfcc, n_frames).

    Raises:
        ValueError: an argument out of range, more than one dimension, or too few samples.

    Example:
        >>> tf_mfcc(np.sin(np.arange(16000)), 16000).shape
        (13, 59)
    """
    if not 1 <= n_mfcc <= n_mels:
        raise ValueError(f"n_mfcc is {n_mfcc}, but must be from 1 to n_mels, {n_mels}")
    levels = _log_mel(
        y, sr, frame_length, hop_length, n_fft, window, n_mels, fmin, fmax, power, offset
    )
    # HTK's scale: that of the orthonormal transform for all coefficients but the first.
    basis = dct_matrix(n_mfcc, n_mels, None, 0.0) / np.sqrt(2 * n_mels)
    with PRODUCTS:
        result: FloatArray = (basis @ levels.T).astype(np.float32)
    return result


def _log_mel(
    y: npt.ArrayLike,
    sr: float,
    frame_length: int,
    hop_length: int,
    n_fft: int,
    window: str,
    n_mels: int,
    fmin: float,
    fmax: float,
    power: float,
    offset: float,
) -> npt.NDArray[np.float64]:
    """Shape (n_frames, n_mels)."""
    if not 1 <= frame_length <= n_fft:
        raise ValueError(f"frame_length is {frame_length}, but must be from 1 to n_fft, {n_fft}")
    if offset <= 0:
        raise ValueError(f"offset is {offset}, but must be above zero")
    signal = mono_samples(y)
    if signal.size < frame_length:
        raise ValueError(f"{signal.size} samples are fewer than a frame of {frame_length}")
    frames = framed(signal, frame_length, hop_length)
    # An odd window is symmetric in TensorFlow, even where it is called periodic.
    taper = window_values(window, frame_length, frame_length % 2 == 0)
    filters = _filterbank(sr, n_fft, n_mels, fmin, fmax).T
    bands = np.empty((len(frames), n_mels))
    for block in frame_blocks(0, len(frames), n_fft):
        spectrum = np.fft.rfft(frames[block] * taper, n_fft, axis=1)
        with PRODUCTS:
            bands[block] = np.abs(spectrum) ** power @ filters
    bands += offset
    np.log(bands, out=bands)
    return bands


@functools.lru_cache(maxsize=16)
def _filterbank(
    sr: float, n_fft: int, n_mels: int, fmin: float, fmax: float
) -> npt.NDArray[np.float64]:
    """Triangles whose sides are straight on the mel scale, shape (n_mels, 1 + n_fft // 2)."""
    if not 0 <= fmin < fmax <= sr / 2:
        raise ValueError(f"bands from {fmin} to {fmax} Hz do not fit a sample rate of {sr} Hz")
    low, high, *_ = _mels(np.array([fmin, fmax]))
    edges = np.linspace(low, high, n_mels + 2)[:, np.newaxis]
    bins = _mels(np.linspace(0.0, sr / 2, 1 + n_fft // 2))
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0.0, np.minimum(rising, falling))
    filters[:, 0] = 0.0
    return filters  # type: ignore[no-any-return]


def _mels(hertz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 1127.0 * np.log1p(hertz / 700.0)  # type: ignore[no-any-return]

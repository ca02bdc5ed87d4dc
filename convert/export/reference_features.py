"""Every feature by the library that a model's author computed it with, and not by ser_edge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_edge.errors import DependencyError

from ..backend import tensorflow

FloatArray = NDArray[Any]

_PSF_WINDOWS = {
    "boxcar": np.ones,
    "hann": np.hanning,
    "hamming": np.hamming,
    "blackman": np.blackman,
}
# tf.signal's windows are symmetric where they are odd, and have no third of ours by name.
_TF_WINDOWS = {"hann": "hann_window", "hamming": "hamming_window"}
_CHROMA_NORMS = {"max": np.inf, "sum": 1, "euclidean": 2, None: None}


def librosa() -> Any:
    """The package, imported when it is needed.

    Raises:
        DependencyError: it is missing.
    """
    try:
        import librosa
    except ImportError as error:
        raise DependencyError("verifying needs librosa: pip install 'ser-edge[convert]'") from error
    return librosa


def _zero_crossing_rate(y: FloatArray, _: int, arguments: dict[str, Any]) -> FloatArray:
    rate: FloatArray = librosa().feature.zero_crossing_rate(y, **arguments)
    return rate


def _rms(y: FloatArray, _: int, arguments: dict[str, Any]) -> FloatArray:
    level: FloatArray = librosa().feature.rms(y=y, **arguments)
    return level


def _mfcc(y: FloatArray, sr: int, arguments: dict[str, Any]) -> FloatArray:
    levels = {name: arguments.pop(name) for name in ("amin", "top_db")}
    cepstrum = {name: arguments.pop(name) for name in ("n_mfcc", "norm", "lifter")}
    levels_of_bands = _melspectrogram(y, sr, {**arguments, "power_to_db": levels})
    matrix: FloatArray = librosa().feature.mfcc(S=levels_of_bands, **cepstrum)
    return matrix


def _melspectrogram(y: FloatArray, sr: int, arguments: dict[str, Any]) -> FloatArray:
    levels = arguments.pop("power_to_db")
    arguments["norm"] = arguments.pop("mel_norm")
    power: FloatArray = librosa().feature.melspectrogram(y=y, sr=sr, **arguments)
    if levels is None:
        return power
    ref = np.max if levels.get("ref") == "max" else levels.get("ref", 1.0)
    decibels: FloatArray = librosa().power_to_db(power, **{**levels, "ref": ref})
    return decibels


def _chroma_stft(y: FloatArray, sr: int, arguments: dict[str, Any]) -> FloatArray:
    stft = {
        name: arguments[name]
        for name in ("n_fft", "hop_length", "win_length", "window", "center", "pad_mode")
    }
    chroma: FloatArray = librosa().feature.chroma_stft(
        S=np.abs(librosa().stft(y, **stft)) ** arguments["power"],
        sr=sr,
        n_fft=arguments["n_fft"],
        hop_length=arguments["hop_length"],
        n_chroma=arguments["n_chroma"],
        tuning=arguments["tuning"],
        norm=_CHROMA_NORMS[arguments["chroma_norm"]],
    )
    return chroma


def _spectral_centroid(y: FloatArray, sr: int, arguments: dict[str, Any]) -> FloatArray:
    centroid: FloatArray = librosa().feature.spectral_centroid(y=y, sr=sr, **arguments)
    return centroid


def _spectral_contrast(y: FloatArray, sr: int, arguments: dict[str, Any]) -> FloatArray:
    contrast: FloatArray = librosa().feature.spectral_contrast(y=y, sr=sr, **arguments)
    return contrast


def psf_mfcc(y: FloatArray, sr: int, arguments: dict[str, Any]) -> FloatArray:
    """python_speech_features.mfcc by the names of `ser_edge.features.psf_mfcc`.

    Args:
        y: samples, float32, shape (n,).
        sr: in Hz.
        arguments: every keyword argument of `ser_edge.features.psf_mfcc`.

    Returns:
        float64, shape (n_mfcc, n_frames).

    Raises:
        DependencyError: python_speech_features is missing.
    """
    try:
        import python_speech_features as psf
    except ImportError as error:
        raise DependencyError(
            "verifying this model needs python_speech_features: pip install 'ser-edge[convert]'"
        ) from error
    cepstrum: FloatArray = psf.mfcc(
        # It computes in the type that it is given; from 16-bit samples, that is float64.
        y.astype(np.float64) * arguments["scale"],
        sr,
        winlen=arguments["frame_length"] / sr,
        winstep=arguments["hop_length"] / sr,
        numcep=arguments["n_mfcc"],
        nfilt=arguments["n_mels"],
        nfft=arguments["n_fft"],
        lowfreq=arguments["fmin"],
        highfreq=arguments["fmax"],
        preemph=arguments["preemphasis"],
        ceplifter=arguments["lifter"],
        appendEnergy=arguments["energy"],
        winfunc=_PSF_WINDOWS[arguments["window"]],
    )
    return cepstrum.T


def _speechpy_mfcc(y: FloatArray, sr: int, arguments: dict[str, Any]) -> FloatArray:
    try:
        import speechpy
    except ImportError as error:
        raise DependencyError(
            "verifying this model needs speechpy: pip install speechpy"
        ) from error
    cepstrum: FloatArray = speechpy.feature.mfcc(
        y.astype(np.float64) * arguments["scale"],
        sr,
        frame_length=arguments["frame_length"] / sr,
        frame_stride=arguments["hop_length"] / sr,
        num_cepstral=arguments["n_mfcc"],
        num_filters=arguments["n_mels"],
        fft_length=arguments["n_fft"],
        low_frequency=arguments["fmin"],
        high_frequency=arguments["fmax"],
        dc_elimination=arguments["energy"],
    )
    return cepstrum.T


def _tf_levels(y: FloatArray, sr: int, arguments: dict[str, Any]) -> Any:
    signal = tensorflow().signal
    window = arguments["window"]
    if y.size < arguments["frame_length"]:
        raise ValueError(f"{y.size} samples are fewer than a frame")
    if window not in _TF_WINDOWS:
        raise DependencyError(f"tf.signal has no window {window!r} to verify this model with")
    spectrum = abs(
        signal.stft(
            y.astype(np.float64),
            arguments["frame_length"],
            arguments["hop_length"],
            arguments["n_fft"],
            window_fn=getattr(signal, _TF_WINDOWS[window]),
        )
    )
    bands = signal.linear_to_mel_weight_matrix(
        arguments["n_mels"],
        1 + arguments["n_fft"] // 2,
        sr,
        arguments["fmin"],
        arguments["fmax"],
        dtype=tensorflow().float64,
    )
    return tensorflow().math.log(spectrum ** arguments["power"] @ bands + arguments["offset"])


def _tf_log_mel(y: FloatArray, sr: int, arguments: dict[str, Any]) -> FloatArray:
    levels: FloatArray = _tf_levels(y, sr, arguments).numpy().T
    return levels


def _tf_mfcc(y: FloatArray, sr: int, arguments: dict[str, Any]) -> FloatArray:
    levels = _tf_levels(y, sr, arguments)
    cepstrum: FloatArray = tensorflow().signal.mfccs_from_log_mel_spectrograms(levels).numpy()
    return cepstrum.T[: arguments["n_mfcc"]]


# From samples, (n,), their rate, and every argument of the function of this name in
# `ser_edge.features`, to a matrix, (features, frames).
BY_NAME: Mapping[str, Callable[[FloatArray, int, dict[str, Any]], FloatArray]] = {
    "zero_crossing_rate": _zero_crossing_rate,
    "rms": _rms,
    "mfcc": _mfcc,
    "melspectrogram": _melspectrogram,
    "chroma_stft": _chroma_stft,
    "spectral_centroid": _spectral_centroid,
    "spectral_contrast": _spectral_contrast,
    "psf_mfcc": psf_mfcc,
    "speechpy_mfcc": _speechpy_mfcc,
    "tf_log_mel": _tf_log_mel,
    "tf_mfcc": _tf_mfcc,
}

"""The front end as a model's author had it: librosa and python_speech_features, not ser_edge.

It is what the runtime's own front end is verified against, so the two share no code.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_edge.errors import AudioError, DependencyError
from ser_edge.metadata import Feature, FrontendSpec, HighPass

FloatArray = NDArray[Any]

_PSF_WINDOWS = {
    "boxcar": np.ones,
    "hann": np.hanning,
    "hamming": np.hamming,
    "blackman": np.blackman,
}


def features_of(path: str | os.PathLike[str], spec: FrontendSpec) -> NDArray[np.float32]:
    """The feature matrix of a recording's first window, computed by the reference libraries.

    Args:
        path: of the recording.
        spec: which features, and with which arguments.

    Returns:
        float32, of the shape of ``ser_edge.frontend.Frontend(spec)``.

    Raises:
        AudioError: the recording cannot be read.
        DependencyError: librosa or python_speech_features is missing.
    """
    librosa = _librosa()
    try:
        samples, _ = librosa.load(path, sr=spec.sample_rate, mono=True)
    except Exception as error:  # librosa raises the errors of the libraries that it tries.
        raise AudioError(f"{os.fspath(path)}: librosa cannot read it ({error})") from error
    if not samples.size:
        raise AudioError(f"{os.fspath(path)}: holds no samples")
    return matrix_of(samples, spec)


def matrix_of(samples: FloatArray, spec: FrontendSpec) -> NDArray[np.float32]:
    """The feature matrix of samples, (n,), at the spec's rate: see :func:`features_of`."""
    librosa = _librosa()
    if spec.high_pass is not None:
        samples = _high_pass(samples, spec.sample_rate, spec.high_pass)
    if spec.trim is not None:
        samples, _ = librosa.effects.trim(
            samples,
            top_db=spec.trim.top_db,
            frame_length=spec.trim.frame_length,
            hop_length=spec.trim.hop_length,
        )
    length = round(spec.window_seconds * spec.sample_rate)
    speech = samples[:length]
    window = librosa.util.fix_length(speech, size=length)
    if spec.level_dbfs is not None:
        level = np.sqrt(np.mean(np.square(speech, dtype=np.float64)))
        if level > 0:
            window = window * np.float32(librosa.db_to_amplitude(spec.level_dbfs) / level)
    matrix = np.concatenate(_features(window, spec), axis=0)
    if spec.normalization is not None:
        mean = np.array(spec.normalization.mean)[:, np.newaxis]
        std = np.array(spec.normalization.std)[:, np.newaxis]
        matrix = (matrix - mean) / std
    if spec.feature_axis == 1:
        matrix = matrix.T
    return np.ascontiguousarray(matrix, dtype=np.float32)


def _high_pass(samples: FloatArray, sample_rate: int, high_pass: HighPass) -> FloatArray:
    from scipy import signal

    sos = signal.butter(high_pass.order, high_pass.cutoff, "highpass", fs=sample_rate, output="sos")
    steady = signal.sosfilt_zi(sos) * float(samples[0])
    filtered, _ = signal.sosfilt(sos, samples.astype(np.float64), zi=steady)
    result: FloatArray = filtered.astype(np.float32)
    return result


def _features(window: FloatArray, spec: FrontendSpec) -> list[FloatArray]:
    latest: dict[str, FloatArray] = {}
    matrices = []
    for feature in spec.features:
        if feature.name == "delta":
            matrix = _delta(feature, latest)
        else:
            matrix = _COMPUTED[feature.name](window, spec.sample_rate, dict(feature.arguments))
        latest[feature.name] = matrix
        matrices.append(matrix)
    return matrices


def _zero_crossing_rate(window: FloatArray, _: int, arguments: dict[str, Any]) -> FloatArray:
    rate: FloatArray = _librosa().feature.zero_crossing_rate(window, **arguments)
    return rate


def _rms(window: FloatArray, _: int, arguments: dict[str, Any]) -> FloatArray:
    level: FloatArray = _librosa().feature.rms(y=window, **arguments)
    return level


def _mfcc(window: FloatArray, sample_rate: int, arguments: dict[str, Any]) -> FloatArray:
    librosa = _librosa()
    levels = {name: arguments.pop(name) for name in ("amin", "top_db")}
    cepstrum = {name: arguments.pop(name) for name in ("n_mfcc", "norm", "lifter")}
    arguments["norm"] = arguments.pop("mel_norm")
    mel = librosa.feature.melspectrogram(y=window, sr=sample_rate, **arguments)
    matrix: FloatArray = librosa.feature.mfcc(S=librosa.power_to_db(mel, **levels), **cepstrum)
    return matrix


def _delta(feature: Feature, latest: dict[str, FloatArray]) -> FloatArray:
    arguments = dict(feature.arguments)
    slope: FloatArray = _librosa().feature.delta(latest[arguments.pop("of")], **arguments)
    return slope


def psf_mfcc(window: FloatArray, sample_rate: int, arguments: dict[str, Any]) -> FloatArray:
    """python_speech_features.mfcc by the names of `ser_edge.features.psf_mfcc`.

    Args:
        window: samples, float32, shape (n,).
        sample_rate: in Hz.
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
        window.astype(np.float64) * arguments["scale"],
        sample_rate,
        winlen=arguments["frame_length"] / sample_rate,
        winstep=arguments["hop_length"] / sample_rate,
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


_COMPUTED = {
    "zero_crossing_rate": _zero_crossing_rate,
    "rms": _rms,
    "mfcc": _mfcc,
    "psf_mfcc": psf_mfcc,
}


def _librosa() -> Any:
    try:
        import librosa
    except ImportError as error:
        raise DependencyError("verifying needs librosa: pip install 'ser-edge[convert]'") from error
    return librosa

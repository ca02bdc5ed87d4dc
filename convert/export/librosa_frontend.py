"""The front end as a model's author had it: librosa and its kin, not ser_edge.

It is what the runtime's own front end is verified against, so the two share no code.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_edge.errors import AudioError, DependencyError
from ser_edge.frontend import FrontendSpec, Step

from . import reference_features
from .reference_features import FloatArray, librosa


def features_of(path: str | os.PathLike[str], spec: FrontendSpec) -> NDArray[np.float32]:
    """The model's input for a recording's first window, computed by the reference libraries.

    Args:
        path: of the recording.
        spec: the steps.

    Returns:
        float32, of the shape of ``ser_edge.frontend.Frontend(spec)``.

    Raises:
        AudioError: the recording cannot be read, or ends before the window begins.
        DependencyError: a library is missing.
    """
    segment = {"offset": spec.offset, "duration": spec.window_seconds} if spec.first_only else {}
    try:
        samples, _ = librosa().load(
            path, sr=spec.sample_rate, mono=True, res_type=spec.res_type, **segment
        )
    except ImportError as error:
        raise DependencyError(
            f"verifying this model needs resampy for {spec.res_type}: pip install resampy"
        ) from error
    except Exception as error:  # librosa raises the errors of the libraries that it tries.
        raise AudioError(f"{os.fspath(path)}: librosa cannot read it ({error})") from error
    if not samples.size:
        raise AudioError(f"{os.fspath(path)}: holds no samples")
    return matrix_of(samples, spec)


def matrix_of(samples: FloatArray, spec: FrontendSpec) -> NDArray[np.float32]:
    """The model's input for samples, (n,), at the spec's rate: see :func:`features_of`."""
    steps = spec.steps[1:]
    last_trim = max((n for n, step in enumerate(steps) if step.name == "trim"), default=-1)
    window = round(spec.window_seconds * spec.sample_rate)
    values = samples
    for number, step in enumerate(steps):
        if number == last_trim + 1:  # of a longer recording, its first window
            values = values[:window]
        values = _COMPUTED[step.name](values, spec.sample_rate, **step.arguments)
    return np.ascontiguousarray(values, dtype=np.float32)


def _high_pass(y: FloatArray, sr: int, *, cutoff: float, order: int) -> FloatArray:
    from scipy import signal

    sos = signal.butter(order, cutoff, "highpass", fs=sr, output="sos")
    steady = signal.sosfilt_zi(sos) * float(y[0])
    filtered, _ = signal.sosfilt(sos, y.astype(np.float64), zi=steady)
    return np.asarray(filtered, dtype=np.float32)


def _trim(y: FloatArray, _: int, **arguments: Any) -> FloatArray:
    speech: FloatArray = librosa().effects.trim(y, **arguments)[0]
    return speech


def _preemphasis(y: FloatArray, _: int, *, coef: float, zi: float | None) -> FloatArray:
    start = None if zi is None else np.array([zi])
    filtered: FloatArray = librosa().effects.preemphasis(y, coef=coef, zi=start)
    return filtered


def _quantize(y: FloatArray, _: int, *, bits: int) -> FloatArray:
    full = 2 ** (bits - 1)
    integers = np.clip(np.rint(y * full), -full, full - 1).astype(np.int32)
    return np.asarray(integers / full, dtype=np.float32)


def _level(y: FloatArray, _: int, *, dbfs: float) -> FloatArray:
    level = np.sqrt(np.mean(np.square(y, dtype=np.float64)))
    return y * np.float32(librosa().db_to_amplitude(dbfs) / level) if level > 0 else y


def _normalize(values: FloatArray, _: int, *, by: str, **arguments: Any) -> FloatArray:
    if by == "training":
        mean, std = np.array(arguments["mean"]), np.array(arguments["std"])
        per_feature = len(mean) == len(values)
        axes = (slice(None), None) if per_feature else (slice(None),)
        standardized: FloatArray = (values - mean[axes]) / std[axes]
        return standardized
    axis = {"frame": 0, "coefficient": 1, "clip": None}[by]
    epsilon = arguments["epsilon"]
    if arguments["method"] == "peak" and not epsilon:
        normalized: FloatArray = librosa().util.normalize(values, axis=axis)
        return normalized
    offset: Any = 0.0
    if arguments["method"] == "peak":
        divisor = np.max(np.abs(values), axis=axis, keepdims=True)
    elif arguments["method"] == "zscore":
        offset = np.mean(values, axis=axis, keepdims=True, dtype=np.float64)
        divisor = np.std(values, axis=axis, keepdims=True, dtype=np.float64)
    else:
        offset = np.min(values, axis=axis, keepdims=True)
        divisor = np.max(values, axis=axis, keepdims=True) - offset
    divisor = divisor + epsilon
    shared: FloatArray = (values - offset) / np.where(divisor > 0, divisor, 1.0)
    return shared


def _crop(values: FloatArray, keep: str, size: int) -> FloatArray:
    if keep == "start":
        return values[..., :size]
    if keep == "end":
        return values[..., -size:]
    first = max(0, values.shape[-1] - size) // 2
    return values[..., first : first + size]


def _pad(values: FloatArray, at: str, size: int, value: float) -> FloatArray:
    missing = max(0, size - values.shape[-1])
    if at == "both" and missing:
        centred: FloatArray = librosa().util.pad_center(values, size=size, constant_values=value)
        return centred
    ends = (missing, 0) if at == "start" else (0, missing)
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [ends], constant_values=value)


def _features(y: FloatArray, sr: int, *, stack: Sequence[Step]) -> FloatArray:
    latest: dict[str, FloatArray] = {}
    matrices = []
    for feature in stack:
        arguments = dict(feature.arguments)
        statistics = arguments.pop("statistics")
        if feature.name == "delta":
            matrix = librosa().feature.delta(latest[arguments.pop("of")], **arguments)
        else:
            matrix = reference_features.BY_NAME[feature.name](y, sr, arguments)
        latest[feature.name] = matrix
        matrices.append(matrix if statistics is None else _pool(matrix, 0, "time", statistics))
    return np.concatenate(matrices, axis=0)


def _pool(matrix: FloatArray, _: int, axis: str, statistics: Sequence[str]) -> FloatArray:
    # As tutorials write it: np.mean(mfcc.T, axis=0).
    frames = matrix.T if axis == "time" else matrix
    pooled = [getattr(np, name)(frames, axis=0) for name in statistics]
    return np.hstack(pooled)[:, np.newaxis] if axis == "time" else np.vstack(pooled)


def _layout(matrix: FloatArray, _: int, *, order: str) -> FloatArray:
    return matrix.T if order == "frames_features" else matrix


_COMPUTED: Mapping[str, Callable[..., FloatArray]] = {
    "high_pass": _high_pass,
    "trim": _trim,
    "preemphasis": _preemphasis,
    "quantize": _quantize,
    "level": _level,
    "normalize": _normalize,
    "crop": lambda y, _, samples, keep: _crop(y, keep, samples),
    "pad": lambda y, _, samples, at, value: _pad(y, at, samples, value),
    "features": _features,
    "pool": _pool,
    "crop_frames": lambda matrix, _, frames, keep: _crop(matrix, keep, frames),
    "pad_frames": lambda matrix, _, frames, at, value: _pad(matrix, at, frames, value),
    "layout": _layout,
    "reshape": lambda matrix, _, shape: np.reshape(matrix, shape),
}

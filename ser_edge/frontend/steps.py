"""The steps of a front end as functions: samples to samples, samples to a matrix, and on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ser_edge import features
from ser_edge.errors import ModelError
from ser_edge.features import FloatArray
from ser_edge.frontend.arguments import Step

# A spread below this part of the values counts as none: it is rounding.
_NO_SPREAD = 1e-6

_WITHOUT_RATE = ("zero_crossing_rate", "rms")

# From samples, float32, shape (n,), or from a matrix, (features, frames), to the same; from
# samples to a matrix.
Function = Callable[[FloatArray], FloatArray]


def function(step: Step, place: str, sample_rate: int) -> Function:
    """What a step does, except `load` and `trim`.

    Args:
        step: from a parsed description.
        place: where it lies there, for error messages.
        sample_rate: in Hz.
    """
    if step.name == "features":
        return Stack(step.arguments["stack"], f"{place}.stack", sample_rate)
    if step.name == "high_pass":
        return partial(features.high_pass, sr=sample_rate, **step.arguments)
    if step.name in ("preemphasis", "quantize"):
        return partial(getattr(features, step.name), **step.arguments)
    if step.name == "normalize" and step.arguments["by"] == "training":
        return Standardization(step.arguments["mean"], step.arguments["std"])
    return partial(_FUNCTIONS[step.name], **step.arguments)


class Stack:
    """The features of samples, one above the other, float32, shape (features, frames)."""

    def __init__(self, stack: Sequence[Step], place: str, sample_rate: int) -> None:
        self._parts = [
            (feature, _feature(feature, sample_rate), f"{place}[{number}] ({feature.name})")
            for number, feature in enumerate(stack)
        ]

    def __call__(self, samples: FloatArray) -> FloatArray:
        parts: list[FloatArray] = []
        latest: dict[str, FloatArray] = {}
        for feature, compute, place in self._parts:
            of = feature.arguments.get("of")
            try:
                part = compute(samples if of is None else latest[of])
            except ValueError as error:
                raise ModelError(f"{place} does not fit the window: {error}") from error
            latest[feature.name] = part
            statistics = feature.arguments["statistics"]
            parts.append(part if statistics is None else pool(part, "time", statistics))
        return np.concatenate(parts, dtype=np.float32)


def _feature(feature: Step, sample_rate: int) -> Function:
    arguments: dict[str, Any] = {
        key: value for key, value in feature.arguments.items() if key not in ("of", "statistics")
    }
    if feature.name == "melspectrogram":
        levels: Mapping[str, Any] | None = arguments.pop("power_to_db")
        power: Function = partial(features.melspectrogram, sr=sample_rate, **arguments)
        if levels is None:
            return power
        return lambda samples: features.power_to_db(power(samples), **levels)
    if feature.name not in (*_WITHOUT_RATE, "delta"):
        arguments["sr"] = sample_rate
    return partial(getattr(features, feature.name), **arguments)


class Standardization:
    """(x - mean) / std by what the training clips gave; changes the matrix that it is given."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self._mean = np.asarray(mean, dtype=np.float32)
        self._scale = 1 / np.asarray(std, dtype=np.float32)

    def __call__(self, matrix: FloatArray) -> FloatArray:
        n_features, n_frames = matrix.shape
        # A single feature may have a value for each of its frames.
        axis = 0 if n_features == 1 and self._mean.size == n_frames else 1
        if axis == 1 and self._mean.size != n_features:
            raise ValueError(f"{self._mean.size} values for {n_features} features")
        matrix -= np.expand_dims(self._mean, axis)
        matrix *= np.expand_dims(self._scale, axis)
        return matrix


def normalize(values: FloatArray, *, by: str, method: str, epsilon: float) -> FloatArray:
    """Values less their mean over their deviation, over their peak, or between 0 and 1.

    Args:
        values: samples, or a matrix.
        by: what shares them: each ``frame``, each ``coefficient``, or the whole ``clip``.
        method: ``zscore``, ``peak`` (the largest magnitude) or ``minmax``.
        epsilon: added to what is divided by, which counts as 1 where it would be 0.
    """
    axis = {"frame": 0, "coefficient": 1, "clip": None}[by]
    exact = values.astype(np.float64)
    largest = np.abs(exact).max(axis=axis, keepdims=True)
    if method == "peak":
        divisor = largest + epsilon
    else:
        if method == "zscore":
            offset = exact.mean(axis=axis, keepdims=True)
            divisor = exact.std(axis=axis, keepdims=True)
        else:
            offset = exact.min(axis=axis, keepdims=True)
            divisor = np.ptp(exact, axis=axis, keepdims=True)
        exact -= offset
        divisor = np.where(divisor <= _NO_SPREAD * largest, 0.0, divisor) + epsilon
    divisor[divisor < np.finfo(np.float32).tiny] = 1.0
    normalized: FloatArray = (exact / divisor).astype(np.float32)
    return normalized


def level(samples: FloatArray, *, dbfs: float) -> FloatArray:
    """Samples scaled to a root mean square in dB of full scale; digital silence stays."""
    power = np.einsum("i,i->", samples, samples, dtype=np.float64) / max(1, samples.size)
    if power == 0:
        return samples
    return samples * np.float32(10 ** (dbfs / 20) / np.sqrt(power))


def crop(values: FloatArray, *, size: int, keep: str) -> FloatArray:
    """At most `size` samples or frames: a view of the first, the last or those in the centre."""
    left_out = max(0, values.shape[-1] - size)
    start = {"start": 0, "centre": left_out // 2, "end": left_out}[keep]
    return values[..., start : start + size]


def pad(values: FloatArray, *, size: int, at: str, value: float) -> FloatArray:
    """At least `size` samples or frames: `value` is put at the end, the start or both."""
    missing = size - values.shape[-1]
    if missing <= 0:
        return values
    before = {"end": 0, "both": missing // 2, "start": missing}[at]
    padded = np.zeros((*values.shape[:-1], size), dtype=np.float32)
    if value:
        padded += np.float32(value)
    padded[..., before : before + values.shape[-1]] = values
    return padded


def pool(matrix: FloatArray, axis: str, statistics: Sequence[str]) -> FloatArray:
    """Statistics over one axis of a matrix, one after another.

    Args:
        matrix: shape (features, frames).
        axis: ``time`` gives (features * statistics, 1), ``coefficients`` (statistics, frames).
        statistics: names of functions of numpy.
    """
    exact = matrix.astype(np.float64)
    along = 1 if axis == "time" else 0
    pooled = [getattr(np, name)(exact, axis=along) for name in statistics]
    rows = np.concatenate(pooled)[:, np.newaxis] if axis == "time" else np.stack(pooled)
    statistic: FloatArray = rows.astype(np.float32)
    return statistic


def _layout(matrix: FloatArray, *, order: str) -> FloatArray:
    return matrix if order == "features_frames" else np.ascontiguousarray(matrix.T)


def _crop_samples(values: FloatArray, *, samples: int, keep: str) -> FloatArray:
    return crop(values, size=samples, keep=keep)


def _pad_samples(values: FloatArray, *, samples: int, at: str, value: float) -> FloatArray:
    return pad(values, size=samples, at=at, value=value)


def _crop_frames(values: FloatArray, *, frames: int, keep: str) -> FloatArray:
    return crop(values, size=frames, keep=keep)


def _pad_frames(values: FloatArray, *, frames: int, at: str, value: float) -> FloatArray:
    return pad(values, size=frames, at=at, value=value)


def _reshape(matrix: FloatArray, *, shape: Sequence[int]) -> FloatArray:
    return matrix.reshape(shape)


_FUNCTIONS: dict[str, Callable[..., FloatArray]] = {
    "normalize": normalize,
    "level": level,
    "crop": _crop_samples,
    "pad": _pad_samples,
    "crop_frames": _crop_frames,
    "pad_frames": _pad_frames,
    "pool": pool,
    "layout": _layout,
    "reshape": _reshape,
}

"""The front end: from the samples of one window to the matrix that the model takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ser_edge import features
from ser_edge.errors import ModelError
from ser_edge.features import FloatArray
from ser_edge.metadata import Feature, FrontendSpec, Normalization

# More than any sensible window has, but little enough to fit in memory.
_MAX_SAMPLES = 3_000_000  # a minute at 48 kHz is less
_MAX_FRAMES = 5000


class Frontend:
    """Computes a model's input as its front end is specified.

    Calling it with mono samples at :attr:`sample_rate` trims them, cuts or pads them to one
    window and returns the feature matrix, float32, of shape :attr:`shape`.

    Args:
        spec: the specification, from a model's metadata.

    Raises:
        ModelError: the window is too large, the features do not fit it or each other, or the
            normalization has another number of rows than the features.

    Example:
        >>> from ser_edge.metadata import FrontendSpec
        >>> spec = FrontendSpec.parse({
        ...     "sample_rate": 16000, "window_seconds": 4.0, "layout": "features_frames",
        ...     "features": [{"name": "rms", "frame_length": 400, "hop_length": 160}]})
        >>> Frontend(spec)(np.zeros(8000, np.float32)).shape
        (1, 401)
    """

    def __init__(self, spec: FrontendSpec) -> None:
        self.spec = spec
        self.sample_rate: int = spec.sample_rate
        self.window_samples: int = round(spec.window_seconds * spec.sample_rate)
        if self.window_samples > _MAX_SAMPLES:
            raise ModelError(f"a window of {self.window_samples} samples is over {_MAX_SAMPLES}")
        if spec.high_pass is not None and 2 * spec.high_pass.cutoff >= spec.sample_rate:
            raise ModelError(
                f"frontend.high_pass.cutoff is {spec.high_pass.cutoff:g} Hz, but must be below "
                "half the sample rate"
            )
        self._offset: Any = np.float32(0.0)
        self._scale: Any = np.float32(1.0)
        for feature in spec.features:
            if self.window_samples > _MAX_FRAMES * feature.arguments.get("hop_length", np.inf):
                raise ModelError(f"{feature.name} has over {_MAX_FRAMES} frames in a window")
        # An empty window gives the shape, and leaves every table ready for the first real one.
        rows, columns = self.features(np.zeros(1, dtype=np.float32)).shape
        self.shape: tuple[int, int] = (rows, columns)
        if spec.normalization is not None:
            n_features = self.shape[spec.feature_axis]
            self._offset, self._scale = _offset_and_scale(spec.normalization, n_features)

    def __repr__(self) -> str:
        names = ", ".join(feature.name for feature in self.spec.features)
        return (
            f"Frontend({names}: {self.shape[0]} x {self.shape[1]} from "
            f"{self.spec.window_seconds:g} s at {self.sample_rate} Hz)"
        )

    def __call__(self, samples: FloatArray) -> FloatArray:
        """Samples of a window, shape (n,), n >= 1, to the matrix of shape :attr:`shape`."""
        return self.features(self.trim(samples))

    def filtered(self, samples: FloatArray) -> FloatArray:
        """The samples after the high-pass filter, if there is one: shape (n,)."""
        high_pass = self.spec.high_pass
        if high_pass is None:
            return samples
        return features.high_pass(
            samples, sr=self.sample_rate, cutoff=high_pass.cutoff, order=high_pass.order
        )

    def trim(self, samples: FloatArray) -> FloatArray:
        """The filtered samples without the silence before and after: shape (m,), m <= n."""
        samples = self.filtered(samples)
        trim = self.spec.trim
        if trim is None:
            return samples
        start, end = features.trim(
            samples,
            top_db=trim.top_db,
            frame_length=trim.frame_length,
            hop_length=trim.hop_length,
        )
        return samples[start:end]

    def features(self, speech: FloatArray) -> FloatArray:
        """What :meth:`trim` gives to the matrix; it is cut or padded with zeros to one window."""
        speech = speech[: self.window_samples]
        window = np.zeros(self.window_samples, dtype=np.float32)
        window[: speech.size] = speech
        if self.spec.level_dbfs is not None:
            window *= _gain(speech, self.spec.level_dbfs)
        matrix = self._compute(window)
        matrix -= self._offset
        matrix *= self._scale
        if self.spec.feature_axis == 1:
            matrix = np.ascontiguousarray(matrix.T)
        return matrix

    def _compute(self, window: FloatArray) -> FloatArray:
        """All features of a window, one above the other."""
        parts: list[FloatArray] = []
        latest: dict[str, FloatArray] = {}
        try:
            for feature in self.spec.features:
                part = self._one(feature, window, latest)
                parts.append(part)
                latest[feature.name] = part
            return np.concatenate(parts, dtype=np.float32)
        except ValueError as error:
            raise ModelError(f"the features do not fit the window: {error}") from error

    def _one(
        self, feature: Feature, window: FloatArray, latest: dict[str, FloatArray]
    ) -> FloatArray:
        arguments = dict(feature.arguments)
        if feature.name == "delta":
            return features.delta(latest[arguments.pop("of")], **arguments)
        if feature.name in ("mfcc", "psf_mfcc"):
            arguments["sr"] = self.sample_rate
        function = getattr(features, feature.name)
        return function(window, **arguments)  # type: ignore[no-any-return]


def _gain(speech: FloatArray, level_dbfs: float) -> np.float32:
    """The factor that brings the samples' root mean square to a level; 1 for digital silence."""
    power = np.einsum("i,i->", speech, speech, dtype=np.float64) / max(1, speech.size)
    if power == 0:
        return np.float32(1.0)
    return np.float32(10 ** (level_dbfs / 20) / np.sqrt(power))


def _offset_and_scale(
    normalization: Normalization, n_features: int
) -> tuple[FloatArray, FloatArray]:
    if len(normalization.mean) != n_features:
        raise ModelError(
            f"the normalization has {len(normalization.mean)} rows for {n_features} features"
        )
    mean = np.asarray(normalization.mean, dtype=np.float32)[:, np.newaxis]
    std = np.asarray(normalization.std, dtype=np.float32)[:, np.newaxis]
    return mean, 1 / std

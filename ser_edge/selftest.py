"""A signal that every device can generate, to check that a model gives the same scores there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ser_edge.errors import ModelError
from ser_edge.features import FloatArray

if TYPE_CHECKING:
    from ser_edge.model import Model

SIGNAL = "harmonics"
# Probabilities may differ by this much between processors and runtimes.
TOLERANCE = 1e-3


def reference_signal(sample_rate: int, seconds: float) -> FloatArray:
    """A voice-like tone: gliding harmonics of a 120 to 180 Hz pitch in four syllables a second.

    Args:
        sample_rate: in Hz.
        seconds: length.

    Returns:
        float32, shape (round(seconds * sample_rate),), within ±0.5.

    Example:
        >>> reference_signal(16000, 0.5).shape
        (8000,)
    """
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    phase = 2 * np.pi * (150 * t - 30 / (2 * np.pi * 0.7) * np.cos(2 * np.pi * 0.7 * t))
    voice = sum(np.sin(k * phase) / k for k in range(1, 20))
    syllables = np.sin(np.pi * ((4 * t) % 1.0)) ** 2
    signal: FloatArray = (0.25 * syllables * voice).astype(np.float32)
    return signal


def reference_scores(model: Model, seconds: float) -> tuple[float, ...]:
    """The probabilities that a model gives the reference signal, in the order of its labels."""
    samples = reference_signal(model.frontend.sample_rate, seconds)
    return tuple(float(p) for p in model.predict(model.frontend(samples)))


def reference_error(model: Model) -> float | None:
    """How far this device's probabilities lie from those stored in the model.

    Returns:
        The largest absolute difference, to be held against :data:`TOLERANCE`; None when the
        model stores no reference.

    Raises:
        ModelError: the model's reference is a signal that this version does not know.
    """
    reference = model.metadata.reference
    if reference is None:
        return None
    if reference.signal != SIGNAL:
        raise ModelError(f"the model's reference signal, {reference.signal!r}, is unknown here")
    scores = reference_scores(model, reference.seconds)
    return max(abs(a - b) for a, b in zip(scores, reference.scores))

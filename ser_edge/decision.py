"""From one window's samples to its Result: silence, length, gate, model, threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Union

import numpy as np

from ser_edge import features
from ser_edge.features import FloatArray
from ser_edge.gate import SPEECH, open_gate
from ser_edge.model import Model, Observation
from ser_edge.result import Result

if TYPE_CHECKING:
    import numpy.typing as npt

    from ser_edge.adapt.profile import Profile

    # Probabilities of the labels, and as if all were familiar, float64, shape (2, n_labels); or
    # the reason why there are none.
    Outcome = Union[npt.NDArray[np.float64], str]

# Why a result has no label.
SILENCE = "silence"
TOO_SHORT = "too_short"
NO_SPEECH = "no_speech"
UNCERTAIN = "uncertain"
UNFAMILIAR = "unfamiliar"

# Rules of a model that was not calibrated; `window_hop_seconds` depends on its window.
DEFAULTS: dict[str, float] = {
    "min_speech_seconds": 0.25,
    # Of the loudest 25 ms: below speech that is 30 dB too faint, above the noise of 16 bits.
    "silence_dbfs": -75.0,
    "temperature": 1.0,
    "threshold": 0.0,
}
_HOP_WINDOWS = 0.5  # windows from one window's start to the next one's

# Frames in which a recording's level is measured: long enough for a period of a low voice.
_LEVEL_FRAME_SECONDS = 0.025


def default_rules(window_seconds: float, **changes: float) -> dict[str, float]:
    """The decision rules that a new model gets.

    Args:
        window_seconds: length of the model's window.
        changes: rules that are known better, by their names in :data:`DEFAULTS`.

    Returns:
        The JSON object that ``Decision.parse`` reads.

    Example:
        >>> default_rules(4.0, temperature=1.2)["window_hop_seconds"]
        2.0
    """
    return {"window_hop_seconds": window_seconds * _HOP_WINDOWS, **DEFAULTS, **changes}


class WindowClassifier:
    """Classifies samples whose speech fits one window; remembers nothing between two.

    Args:
        model: the model.
        threshold: probability, 0 to 1, below which a result is uncertain; None for the model's
            own.
        thresholds: other thresholds, by label.
        gate: name of the gate that separates speech from noise; see :mod:`ser_edge.gate`.
        profile: what adapts the model; nothing is unfamiliar to it.
        accept_unfamiliar: be as sure of what is unlike the training data as of all else.

    Raises:
        ValueError: an argument is out of range.
        DependencyError: the gate's package is missing.
        ModelError: there is a profile, but the model cannot be adapted.
        ProfileError: the profile was made for another model.
    """

    def __init__(
        self,
        model: Model,
        *,
        threshold: float | None = None,
        thresholds: Mapping[str, float] | None = None,
        gate: str = SPEECH,
        profile: Profile | None = None,
        accept_unfamiliar: bool = False,
    ) -> None:
        self.accept_unfamiliar = accept_unfamiliar
        self.thresholds = dict(thresholds or {})
        for value in (threshold, *self.thresholds.values()):
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"threshold is {value}, but must be from 0 to 1")
        self.model = model
        self.threshold: float = (
            model.metadata.decision.threshold if threshold is None else threshold
        )
        self.gate = gate
        self._is_speech = open_gate(gate)
        self.profile = profile
        if profile is not None:
            profile.check_fits(model)
        # In the order of the scores.
        self.labels: tuple[str, ...] = model.metadata.labels if profile is None else profile.labels
        for label in self.thresholds:
            if label not in self.labels:
                labels = ", ".join(self.labels)
                raise ValueError(f"a threshold for {label!r}, which is none of {labels}")

    def outcome(self, samples: FloatArray, speech: FloatArray | None = None) -> Outcome:
        """Probabilities of the labels, or the reason why there are none.

        Args:
            samples: float32, shape (n,), n >= 1, at the model's sample rate.
            speech: the samples as ``frontend.trim`` leaves them, where that is known already.

        Returns:
            float64, shape (2, n_labels), as :meth:`ser_edge.model.Model.scores` gives them, of
            which a mean may be taken; or a reason.
        """
        features = self._features(samples, speech)
        if isinstance(features, str):
            return features
        if self.profile is not None:
            labels, observed = self.model.metadata.labels, self.model.observe(features)
            adapted = self.profile.predict(labels, observed.probabilities, observed.inputs)
            return np.stack([adapted, adapted])
        scores = self.model.scores(features)
        return scores[[1, 1]] if self.accept_unfamiliar else scores

    def observe(self, samples: FloatArray, speech: FloatArray | None = None) -> Observation | str:
        """What the model gives, whatever the profile, or the reason why that is nothing.

        Args:
            samples: as for :meth:`outcome`.
            speech: the same.

        Raises:
            ModelError: the model gives no embedding.
        """
        features = self._features(samples, speech)
        return features if isinstance(features, str) else self.model.observe(features)

    def _features(self, samples: FloatArray, speech: FloatArray | None) -> FloatArray | str:
        """The model's input, or the reason why there is none."""
        frontend = self.model.frontend
        decision = self.model.metadata.decision
        if not samples.size:  # the recording ends before the offset
            return TOO_SHORT
        if level_dbfs(samples, frontend.sample_rate) < decision.silence_dbfs:
            return SILENCE
        if speech is None:
            speech = frontend.trim(samples)
        shortest = decision.min_speech_seconds * frontend.sample_rate
        if speech.size < max(shortest, frontend.min_samples):
            return TOO_SHORT
        if self._is_speech is not None and not self._is_speech(samples, frontend.sample_rate):
            return NO_SPEECH
        return frontend.features(speech)

    def result(self, outcome: Outcome, start: float, end: float) -> Result:
        """The result for an outcome, from `start` to `end` in seconds of the recording."""
        if isinstance(outcome, str):
            return Result(None, None, None, start, end, outcome)
        probabilities, as_familiar = outcome
        best = int(np.argmax(probabilities))
        confidence = float(probabilities[best])
        scores = {label: float(p) for label, p in zip(self.labels, probabilities)}
        threshold = self.thresholds.get(self.labels[best], self.threshold)
        if confidence < threshold:
            reason = UNCERTAIN if as_familiar[best] < threshold else UNFAMILIAR
            return Result(None, confidence, scores, start, end, reason)
        return Result(self.labels[best], confidence, scores, start, end)


def level_dbfs(samples: FloatArray, sample_rate: int) -> float:
    """Level of the loudest frame of 25 ms, without any constant offset, in dB of full scale.

    Args:
        samples: float32, shape (n,), n >= 1, full scale 1.
        sample_rate: in Hz.

    Example:
        >>> square = np.resize(np.float32([0.1, -0.1]), 16000)
        >>> round(level_dbfs(square, 16000), 3)
        -20.0
    """
    frame_length = max(1, round(_LEVEL_FRAME_SECONDS * sample_rate))
    level = features.rms(
        samples - samples.mean(dtype=np.float64), frame_length=frame_length, hop_length=frame_length
    ).max()
    return 20 * float(np.log10(max(level, 1e-30)))

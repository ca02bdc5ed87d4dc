"""When a window gets a label, and the reason when it gets none."""

from __future__ import annotations

import numpy as np
import pytest

from ser_edge import Classifier, Result
from ser_edge.decision import DEFAULTS, default_rules
from ser_edge.metadata import Decision
from ser_edge.model_file import bundled_path
from tests.helpers.audio import RATE, silence, voice


@pytest.mark.parametrize("seconds", [1 / RATE, 0.01, 1.0, 10.0, 61.0])
@pytest.mark.parametrize("level", [0.0, 0.5, -1.0])
def test_silence_with_any_offset(seconds: float, level: float, ungated: Classifier) -> None:
    samples = np.full(round(seconds * RATE), level, np.float32)
    result = ungated.classify_samples(samples, RATE)
    assert result == Result(None, None, None, 0.0, pytest.approx(seconds), "silence")
    assert str(result) == "no emotion (silence)"


def test_noise_below_the_models_silence(ungated: Classifier) -> None:
    level = 10 ** (ungated.model.metadata.decision.silence_dbfs / 20)
    noise = np.resize(np.float32([1, -1]), 2 * RATE)
    assert ungated.classify_samples(0.9 * level * noise, RATE).reason == "silence"
    assert ungated.classify_samples(1.1 * level * noise, RATE).reason is None


def test_too_short(ungated: Classifier) -> None:
    needed = round(ungated.model.metadata.decision.min_speech_seconds * RATE)
    tone = np.sin(np.arange(RATE) * 0.1).astype(np.float32)
    # However long the recording: what counts is the speech in it.
    for before, after in ((0.0, 0.0), (1.0, 1.0), (40.0, 40.0)):
        samples = np.concatenate([silence(before), tone[: needed - 600], silence(after)])
        result = ungated.classify_samples(samples, RATE)
        assert (result.label, result.confidence, result.scores) == (None, None, None)
        assert result.reason == "too_short"
    assert ungated.classify_samples(tone[:needed], RATE).reason is None


@pytest.mark.parametrize("sample_rate", [1_000, 8_000, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("size", [1, 2, 10])
def test_a_few_samples_at_any_rate(size: int, sample_rate: int, ungated: Classifier) -> None:
    samples = np.resize(np.float32([0.5, -0.5]), size)
    result = ungated.classify_samples(samples, sample_rate)
    assert result.reason in ("silence", "too_short")


def test_uncertain_keeps_its_scores(ungated: Classifier) -> None:
    def at(threshold: float) -> Result:
        classifier = Classifier(
            ungated.model, threshold=threshold, gate="off", accept_unfamiliar=True
        )
        return classifier.classify_samples(voice(2.0), RATE)

    sure = at(0.0)
    assert sure.confidence is not None
    unsure = at(sure.confidence + 1e-6)
    assert (unsure.label, unsure.reason) == (None, "uncertain")
    assert (unsure.confidence, unsure.scores) == (sure.confidence, sure.scores)
    assert at(sure.confidence) == sure


def test_the_threshold_is_the_models_own_unless_given() -> None:
    decision = Classifier.bundled().model.metadata.decision
    assert Classifier.bundled().threshold == decision.threshold
    assert Classifier.bundled(threshold=0.9).threshold == 0.9
    assert Classifier.from_file(bundled_path(), threshold=0.0).threshold == 0.0


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_thresholds_are_probabilities(threshold: float) -> None:
    with pytest.raises(ValueError, match="but must be from 0 to 1"):
        Classifier.bundled(threshold=threshold)


def test_default_rules_are_valid_ones() -> None:
    rules = default_rules(4.0, threshold=0.5)
    assert Decision.parse(rules) == Decision(**{**DEFAULTS, "threshold": 0.5}, window_hop_seconds=2)

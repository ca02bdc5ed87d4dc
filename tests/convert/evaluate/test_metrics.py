from __future__ import annotations

import numpy as np
import pytest

from ser_edge.convert.evaluate import metrics
from ser_edge.model import temperature_scaled


def one_hot(predicted: list[int], n_labels: int = 3, confidence: float = 1.0) -> np.ndarray:
    rest = (1 - confidence) / (n_labels - 1)
    return np.where(np.eye(n_labels)[predicted] == 1, confidence, rest)


def test_uar_weighs_labels_and_not_clips() -> None:
    # Nine of ten clips of label 0 correct, none of the two of label 1: accuracy 0.75, UAR 0.45.
    labels = np.array([0] * 10 + [1] * 2)
    predicted = [0] * 9 + [1] + [0] * 2
    measured = metrics.measure(labels, one_hot(predicted), ["a"] * 6 + ["b"] * 6)
    assert measured.uar == pytest.approx(0.45)
    assert measured.accuracy == pytest.approx(0.75)
    assert (measured.clips, measured.speakers) == (12, 2)
    assert measured.confusion == ((9, 1, 0), (2, 0, 0), (0, 0, 0))


def test_uar_equals_the_balanced_accuracy_of_scikit_learn() -> None:
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(3)
    labels, predicted = rng.integers(6, size=500), rng.integers(6, size=500)
    confusion = metrics.confusion_matrix(labels, predicted, 6)
    assert np.array_equal(confusion, sklearn_metrics.confusion_matrix(labels, predicted))
    assert metrics.uar(confusion) == pytest.approx(
        sklearn_metrics.balanced_accuracy_score(labels, predicted)
    )


def test_nothing_to_measure_is_an_error() -> None:
    with pytest.raises(ValueError, match="no clips"):
        metrics.measure(np.array([], dtype=int), np.zeros((0, 3)), [])


def test_corpora_are_measured_apart() -> None:
    labels = np.array([0, 1, 0, 1])
    measured = metrics.measure_by_corpus(
        labels, one_hot([0, 1, 1, 0]), ["a", "b", "a", "a"], ["x", "x", "y", "y"]
    )
    assert {corpus: figures.uar for corpus, figures in measured.items()} == {"x": 1.0, "y": 0.0}
    assert (measured["x"].speakers, measured["y"].speakers) == (2, 1)


def test_figures_become_json() -> None:
    figures = metrics.measure(np.array([0, 1, 2]), one_hot([0, 1, 1]), ["a"] * 3).to_dict()
    assert figures == {
        "uar": 0.6667,
        "accuracy": 0.6667,
        "clips": 3,
        "speakers": 1,
        "confusion": [[1, 0, 0], [0, 1, 0], [0, 1, 0]],
    }


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    labels = np.array([0] * 6 + [1] * 4)
    probabilities = one_hot([0] * 10, confidence=0.9)
    # Confidence 0.9, accuracy 0.6.
    error = metrics.expected_calibration_error(labels, probabilities)
    assert error == pytest.approx(0.3)


def test_temperature_one_changes_nothing_and_heat_levels() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1]])
    assert temperature_scaled(probabilities, 1.0) == pytest.approx(probabilities)
    hot = temperature_scaled(probabilities, 1e6)
    assert hot == pytest.approx(np.full((1, 3), 1 / 3), abs=1e-5)


def test_temperature_is_found_again() -> None:
    rng = np.random.default_rng(5)
    logits = rng.normal(scale=2.0, size=(20000, 4))
    calibrated = temperature_scaled(np.exp(logits) / 100, 1.0)
    labels = np.array([rng.choice(4, p=row) for row in calibrated])
    overconfident = temperature_scaled(calibrated, 1 / 1.8)
    found = metrics.fit_temperature(labels, overconfident)
    assert found == pytest.approx(1.8, rel=0.05)
    before = metrics.expected_calibration_error(labels, overconfident)
    repaired = temperature_scaled(overconfident, found)
    after = metrics.expected_calibration_error(labels, repaired)
    assert after < 0.02 < 0.05 < before


def test_weights_of_the_temperature_choose_the_clips_that_count() -> None:
    labels = np.array([0, 1] * 50 + [0] * 100)
    probabilities = one_hot([0] * 200, n_labels=2, confidence=0.8)
    doubtful, sure = np.repeat([1.0, 0.0], 100), np.repeat([0.0, 1.0], 100)
    assert metrics.fit_temperature(labels, probabilities, weights=doubtful) > 3
    assert metrics.fit_temperature(labels, probabilities, weights=sure) < 0.3


def test_risk_falls_with_coverage() -> None:
    probabilities = np.concatenate(
        [one_hot([0, 0], confidence=0.9), one_hot([0, 0], confidence=0.5)]
    )
    labels = np.array([0, 0, 0, 1])
    curve = metrics.risk_coverage(labels, probabilities, [0.0, 0.6])
    assert [point.coverage for point in curve] == [1.0, 0.5]
    assert [point.accuracy for point in curve] == [0.75, 1.0]
    nothing = metrics.risk_coverage(labels, probabilities, [0.95])[0]
    assert nothing.coverage == 0.0
    assert np.isnan(nothing.accuracy)


def test_reliability_bins_hold_every_clip_once() -> None:
    rng = np.random.default_rng(5)
    probabilities = rng.dirichlet(np.ones(4), size=200)
    labels = rng.integers(4, size=200)
    curve = metrics.reliability(labels, probabilities, bins=10)
    assert sum(bin_.share for bin_ in curve) == pytest.approx(1.0)
    correct = (probabilities.argmax(axis=1) == labels).mean()
    assert sum(bin_.share * bin_.accuracy for bin_ in curve) == pytest.approx(correct)
    assert [bin_.confidence for bin_ in curve] == sorted(bin_.confidence for bin_ in curve)


def test_interval_is_over_speakers_and_not_over_clips() -> None:
    # Half of ten speakers are always predicted correctly, half never: each alone is worth one draw.
    speakers = [f"speaker {number // 100}" for number in range(1000)]
    labels = np.zeros(1000, dtype=np.int64)
    predicted = [0 if number // 100 % 2 else 1 for number in range(1000)]
    intervals = metrics.bootstrap_over_speakers(labels, one_hot(predicted), speakers)
    assert intervals is not None
    # Ten fair coins: the middle 95 % of a binomial distribution are 2 to 8 of 10.
    assert intervals.accuracy == pytest.approx((0.2, 0.8))
    assert intervals.uar == intervals.accuracy  # one label alone
    again = metrics.bootstrap_over_speakers(labels, one_hot(predicted), speakers)
    assert again == intervals


def test_one_speaker_gives_no_interval() -> None:
    labels = np.array([0, 1])
    assert metrics.bootstrap_over_speakers(labels, one_hot([0, 1]), ["a", "a"]) is None

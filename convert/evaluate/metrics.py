"""How good a model is: figures from labels and probabilities, in numpy alone.

Labels are integers, shape (n,), probabilities have shape (n, n_labels).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_edge.model import temperature_scaled

Labels = NDArray[np.int64]
Probabilities = NDArray[np.float64]

TEMPERATURES = (0.25, 4.0)  # range in which fit_temperature searches


@dataclass(frozen=True)
class Accuracy:
    """Accuracy on the clips of one corpus."""

    uar: float  # unweighted average recall over the labels that occur, 0 to 1
    accuracy: float  # fraction of clips predicted correctly, 0 to 1
    clips: int
    speakers: int
    confusion: tuple[tuple[int, ...], ...]  # clips by true label (row) and prediction (column)

    def to_dict(self) -> dict[str, object]:
        """The figures as JSON takes them, rounded to four digits."""
        return {
            "uar": round(self.uar, 4),
            "accuracy": round(self.accuracy, 4),
            "clips": self.clips,
            "speakers": self.speakers,
            "confusion": [list(row) for row in self.confusion],
        }


def confusion_matrix(labels: Labels, predicted: Labels, n_labels: int) -> NDArray[np.int64]:
    """Count clips by true label (row) and predicted label (column).

    Returns:
        int64, shape (n_labels, n_labels).

    Example:
        >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
        [[1, 1], [0, 1]]
    """
    counts = np.zeros((n_labels, n_labels), dtype=np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def uar(confusion: NDArray[np.int64]) -> float:
    """Unweighted average recall; labels without a clip do not count.

    Equals ``sklearn.metrics.balanced_accuracy_score`` (Schuller et al. 2009 name it so).

    Raises:
        ValueError: no clips at all.

    Example:
        >>> uar(np.array([[1, 1], [0, 1]]))
        0.75
    """
    totals = confusion.sum(axis=1)
    present = totals > 0
    if not present.any():
        raise ValueError("no clips to measure on")
    return float(np.mean(np.diag(confusion)[present] / totals[present]))


def measure(labels: Labels, probabilities: Probabilities, speakers: Sequence[str]) -> Accuracy:
    """Accuracy of the most probable label; ``speakers`` names each clip's.

    Raises:
        ValueError: no clips.
    """
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1), probabilities.shape[1])
    return Accuracy(
        uar=uar(confusion),
        accuracy=float(np.trace(confusion) / confusion.sum()),
        clips=len(labels),
        speakers=len(set(speakers)),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
    )


def measure_by_corpus(
    labels: Labels,
    probabilities: Probabilities,
    speakers: Sequence[str],
    corpora: Sequence[str],
) -> dict[str, Accuracy]:
    """:func:`measure` for every corpus, in the order of first occurrence."""
    result = {}
    for corpus in dict.fromkeys(corpora):
        rows = np.flatnonzero([name == corpus for name in corpora])
        result[corpus] = measure(labels[rows], probabilities[rows], [speakers[row] for row in rows])
    return result


class OrdinarySpeech(NamedTuple):
    """How ordinary speech, which has no labels, is taken."""

    emotional: float  # fraction of clips with a confident label that is not neutral, 0 to 1
    neutral: float  # fraction whose most probable label is neutral, 0 to 1


def on_ordinary_speech(
    probabilities: Probabilities, *, neutral: int, threshold: float
) -> OrdinarySpeech:
    """How ordinary speech is taken.

    Args:
        probabilities: shape (n, n_labels).
        neutral: place of neutral among the labels.
        threshold: probability from which a label is confident.

    Example:
        >>> on_ordinary_speech(np.array([[0.6, 0.4], [0.1, 0.9]]), neutral=0, threshold=0.5)
        OrdinarySpeech(emotional=0.5, neutral=0.5)
    """
    emotional = probabilities.argmax(axis=1) != neutral
    confident = probabilities.max(axis=1) >= threshold
    return OrdinarySpeech(float(np.mean(emotional & confident)), float(np.mean(~emotional)))


def expected_calibration_error(
    labels: Labels, probabilities: Probabilities, *, bins: int = 15
) -> float:
    """Mean distance between confidence and accuracy over equal-width bins (Guo et al. 2017).

    Example:
        >>> expected_calibration_error(np.array([0, 1]), np.array([[0.5, 0.5], [0.5, 0.5]]))
        0.0
    """
    curve = reliability(labels, probabilities, bins=bins)
    return float(sum(bin_.share * abs(bin_.confidence - bin_.accuracy) for bin_ in curve))


@dataclass(frozen=True)
class Bin:
    """The clips whose confidence lies in one range."""

    share: float  # of all clips, 0 to 1
    confidence: float  # mean probability of the predicted label
    accuracy: float  # fraction predicted correctly, 0 to 1


def reliability(labels: Labels, probabilities: Probabilities, *, bins: int = 15) -> list[Bin]:
    """Confidence against accuracy over equal-width bins, those without a clip left out.

    Example:
        >>> reliability(np.array([0, 1]), np.array([[0.5, 0.5], [0.5, 0.5]]))
        [Bin(share=1.0, confidence=0.5, accuracy=0.5)]
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    chosen = np.minimum((confidence * bins).astype(int), bins - 1)
    curve = []
    for index in range(bins):
        inside = chosen == index
        if inside.any():
            means = (inside.mean(), confidence[inside].mean(), correct[inside].mean())
            curve.append(Bin(*map(float, means)))
    return curve


@dataclass(frozen=True)
class Intervals:
    """Ranges from low to high, each value 0 to 1."""

    uar: tuple[float, float]
    accuracy: tuple[float, float]


def bootstrap_over_speakers(
    labels: Labels,
    probabilities: Probabilities,
    speakers: Sequence[str],
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 1,
) -> Intervals | None:
    """Percentile intervals (Efron 1979) of :func:`measure`'s figures for other speakers.

    Speakers are drawn, with replacement and all of their clips: clips of one speaker resemble each
    other, and an interval over clips would be too narrow.

    Returns:
        None for fewer than two speakers, which say nothing about others.

    Example:
        >>> labels = np.zeros(4, np.int64)
        >>> probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.1]])
        >>> speakers = ["anna", "anna", "ben", "ben"]
        >>> bootstrap_over_speakers(labels, probabilities, speakers).accuracy
        (0.5, 1.0)
    """
    names = sorted(set(speakers))
    if len(names) < 2:
        return None
    predicted, n_labels = probabilities.argmax(axis=1), probabilities.shape[1]
    owner = np.array([names.index(speaker) for speaker in speakers])
    confusions = np.stack(
        [
            confusion_matrix(labels[owner == index], predicted[owner == index], n_labels)
            for index in range(len(names))
        ]
    )
    rng = np.random.default_rng(seed)
    times_drawn = rng.multinomial(len(names), [1.0 / len(names)] * len(names), size=draws)
    drawn = np.einsum("ds,sij->dij", times_drawn, confusions)
    figures = [(uar(confusion), np.trace(confusion) / confusion.sum()) for confusion in drawn]
    low, high = np.quantile(figures, [(1.0 - level) / 2.0, (1.0 + level) / 2.0], axis=0)
    return Intervals(uar=(float(low[0]), float(high[0])), accuracy=(float(low[1]), float(high[1])))


def fit_temperature(
    labels: Labels, probabilities: Probabilities, *, weights: NDArray[np.float64] | None = None
) -> float:
    """The temperature with the smallest (weighted) cross-entropy (Guo et al. 2017).

    A golden-section search in the logarithm: cross-entropy has one minimum in it.

    Returns:
        Within :data:`TEMPERATURES`.
    """
    share = np.ones(len(labels)) if weights is None else weights
    rows = np.arange(len(labels))

    def loss(logarithm: float) -> float:
        scaled = temperature_scaled(probabilities, float(np.exp(logarithm)))
        return float(np.mean(-share * np.log(np.maximum(scaled[rows, labels], 1e-12))))

    golden = (np.sqrt(5.0) - 1.0) / 2.0
    low, high = np.log(TEMPERATURES)
    while high - low > 1e-3:
        left, right = high - golden * (high - low), low + golden * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2.0))


@dataclass(frozen=True)
class Abstention:
    """What a confidence threshold does."""

    threshold: float
    coverage: float  # fraction of clips that get a label, 0 to 1
    accuracy: float  # fraction of these predicted correctly, 0 to 1; NaN for none


def risk_coverage(
    labels: Labels, probabilities: Probabilities, thresholds: Sequence[float]
) -> list[Abstention]:
    """Coverage and accuracy at each threshold of the top probability (El-Yaniv and Wiener 2010)."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    curve = []
    for threshold in thresholds:
        kept = confidence >= threshold
        accuracy = float(correct[kept].mean()) if kept.any() else float("nan")
        curve.append(Abstention(float(threshold), float(kept.mean()), accuracy))
    return curve

"""The figures of an evaluation, group by group of the clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..corpus.clips import Clip
from .metrics import (
    Abstention,
    Accuracy,
    Bin,
    Intervals,
    bootstrap_over_speakers,
    expected_calibration_error,
    measure_by_corpus,
    reliability,
    risk_coverage,
)
from .predictions import NO_LABEL, Predictions

ALL = "all"  # all groups together, where there are several

# The names of the groups that clips fall into.
GROUPS: dict[str, Callable[[Clip], str]] = {
    "corpus": lambda clip: clip.corpus,
    "gender": lambda clip: f"{clip.corpus} {clip.gender or '?'}",
    "speaker": lambda clip: f"{clip.corpus} {clip.speaker}",
}

_THRESHOLDS = tuple(round(0.1 * step, 1) for step in range(10))


@dataclass(frozen=True)
class GroupReport:
    """How a model does on one group of clips under one condition; fractions are 0 to 1."""

    accuracy: Accuracy  # of every clip: gate off, threshold 0
    intervals: Intervals | None  # of the above, 95 %, over speakers; None for a single speaker
    calibration_error: float  # of the same probabilities, see expected_calibration_error
    reliability: list[Bin]
    risk_coverage: list[Abstention]  # at thresholds from 0, those with coverage
    unscored: int  # clips without scores (silence, too short), counted as wrong
    speech: float  # fraction that the default gate takes for speech
    answered: float  # fraction that gets a label with the default gate and the model's threshold
    accuracy_answered: float | None  # fraction of these predicted correctly; None for none
    unfamiliar: float  # fraction that gets none only because it is unlike the training data

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON takes them, rounded to four digits."""
        return {
            **self.accuracy.to_dict(),
            "intervals": None if self.intervals is None else _rounded(asdict(self.intervals)),
            "calibration_error": round(self.calibration_error, 4),
            "reliability": [_rounded(asdict(bin_)) for bin_ in self.reliability],
            "risk_coverage": [_rounded(asdict(point)) for point in self.risk_coverage],
            "unscored": self.unscored,
            "speech": round(self.speech, 4),
            "answered": round(self.answered, 4),
            "accuracy_answered": (
                None if self.accuracy_answered is None else round(self.accuracy_answered, 4)
            ),
            "unfamiliar": round(self.unfamiliar, 4),
        }


def group_reports(
    labels: NDArray[np.int64],
    predictions: Predictions,
    clips: Sequence[Clip],
    *,
    by: str = "corpus",
    seed: int = 1,
) -> dict[str, GroupReport]:
    """The figures for every group in the order of the clips, then for :data:`ALL`.

    Args:
        labels: the true ones as positions among the model's, shape (n,).
        predictions: those for the n clips.
        clips: the n clips.
        by: what groups them: one of :data:`GROUPS`.
        seed: of the intervals.
    """
    own = [GROUPS[by](clip) for clip in clips]
    # A speaker's name need be unique within its corpus only.
    speakers = [f"{clip.corpus}/{clip.speaker}" for clip in clips]
    groups = [own]
    if len(set(own)) > 1:
        groups.append([ALL] * len(clips))
    reports = {}
    for names in groups:
        by_name = measure_by_corpus(labels, predictions.probabilities, speakers, names)
        for name, accuracy in by_name.items():
            rows = np.flatnonzero([other == name for other in names])
            reports[name] = _group_report(accuracy, rows, labels, predictions, speakers, seed)
    return reports


def _group_report(
    accuracy: Accuracy,
    rows: NDArray[np.intp],
    labels: NDArray[np.int64],
    predictions: Predictions,
    speakers: Sequence[str],
    seed: int,
) -> GroupReport:
    truth, probabilities = labels[rows], predictions.probabilities[rows]
    predicted = predictions.predicted[rows]
    answered = predicted != NO_LABEL
    correct = predicted == truth
    curve = risk_coverage(truth, probabilities, _THRESHOLDS)
    return GroupReport(
        accuracy=accuracy,
        intervals=bootstrap_over_speakers(
            truth, probabilities, [speakers[row] for row in rows], seed=seed
        ),
        calibration_error=expected_calibration_error(truth, probabilities),
        reliability=reliability(truth, probabilities),
        risk_coverage=[point for point in curve if point.coverage],
        unscored=int(np.count_nonzero(~predictions.scored[rows])),
        speech=float(predictions.passed[rows].mean()),
        answered=float(answered.mean()),
        accuracy_answered=float(correct[answered].mean()) if answered.any() else None,
        unfamiliar=float(predictions.unfamiliar[rows].mean()),
    )


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: np.round(value, 4).tolist() for name, value in figures.items()}

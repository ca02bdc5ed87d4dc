"""A packed model's predictions for labelled clips, as they are and under harder conditions.

The model runs as on a device: the shipped file, through :mod:`ser_edge`'s own features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ser_edge import audio
from ser_edge.adapt.profile import Profile
from ser_edge.classifier import Classifier
from ser_edge.decision import UNFAMILIAR
from ser_edge.gate import OFF
from ser_edge.model import Model

from ..corpus.clips import Clip, label_indices
from ..corpus.conditions import CONDITIONS, degrade

BABBLE_POOL = 64  # clips that are kept decoded as material for babble
NO_LABEL = -1


@dataclass(frozen=True)
class Predictions:
    """The predictions for n clips under one condition."""

    # Of every clip, gate off and threshold 0, shape (n, n_labels). A clip without scores (silence,
    # too short) counts as wrong: it gets equal probabilities for all labels but its own.
    probabilities: NDArray[np.float64]
    scored: NDArray[np.bool_]  # whether the clip had scores, shape (n,)
    passed: NDArray[np.bool_]  # whether the default gate took it for speech, shape (n,)
    # The label with the default gate and the model's threshold, or NO_LABEL, shape (n,).
    predicted: NDArray[np.int64]
    unfamiliar: NDArray[np.bool_]  # whether only that keeps it from a label, shape (n,)


def collect(
    model: Model,
    clips: Sequence[Clip],
    conditions: Sequence[str],
    *,
    profile: Profile | None = None,
    seed: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Predictions]:
    """Run a model on every clip under every condition.

    Args:
        model: a packed model.
        clips: of one or more corpora.
        conditions: of :data:`ser_edge.convert.corpus.conditions.CONDITIONS`.
        profile: what adapts the model; the labels are then the profile's.
        seed: of the conditions; each clip gets the same noise whatever else is measured.
        progress: called with the number of clips done and their total.

    Returns:
        By condition, in the order given.

    Raises:
        SerEdgeError: a clip cannot be read or has a label that the model does not know.
    """
    by_default = Classifier(model, profile=profile)
    undecided = Classifier(model, threshold=0.0, gate=OFF, profile=profile)
    labels = label_indices(clips, by_default.labels)
    sample_rate = model.frontend.sample_rate
    voices = _voices(clips, conditions, sample_rate, seed)
    collected = {condition: _empty(labels, len(by_default.labels)) for condition in conditions}
    for row, clip in enumerate(clips):
        clean = audio.load(clip.path, sample_rate, res_type=model.frontend.spec.res_type)
        others = [voice for path, voice in voices.items() if path != clip.path]
        for condition, predictions in collected.items():
            rng = np.random.default_rng((seed, CONDITIONS.index(condition), row))
            samples = degrade(condition, clean, sample_rate, rng, voices=others)
            result = by_default.classify_samples(samples, sample_rate)
            predictions.passed[row] = result.scores is not None
            predictions.unfamiliar[row] = result.reason == UNFAMILIAR
            if result.label is not None:
                predictions.predicted[row] = by_default.labels.index(result.label)
            # The gate changes no scores, but which windows of a longer clip count.
            if result.scores is None or samples.size > model.frontend.window_samples:
                result = undecided.classify_samples(samples, sample_rate)
            if result.scores is not None:
                predictions.scored[row] = True
                predictions.probabilities[row] = list(result.scores.values())
        progress(row + 1, len(clips))
    return collected


def _empty(labels: NDArray[np.int64], n_labels: int) -> Predictions:
    n = len(labels)
    wrong = np.full((n, n_labels), 1.0 / (n_labels - 1))
    wrong[np.arange(n), labels] = 0.0
    return Predictions(
        probabilities=wrong,
        scored=np.zeros(n, dtype=np.bool_),
        passed=np.zeros(n, dtype=np.bool_),
        predicted=np.full(n, NO_LABEL, dtype=np.int64),
        unfamiliar=np.zeros(n, dtype=np.bool_),
    )


def _voices(
    clips: Sequence[Clip], conditions: Sequence[str], sample_rate: int, seed: int
) -> dict[object, NDArray[np.float32]]:
    """Material for babble, by path: some of the measured clips, which training has not seen."""
    if not any(condition.startswith("noise") for condition in conditions):
        return {}
    rows = np.random.default_rng(seed).permutation(len(clips))[:BABBLE_POOL]
    return {clips[row].path: audio.load(clips[row].path, sample_rate) for row in rows}

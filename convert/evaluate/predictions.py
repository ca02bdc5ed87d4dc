"""What a packed model answers to labelled clips, as they are and under harder conditions.

The model runs as on a device: the shipped file, through :mod:`ser_edge`'s own features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ser_edge import audio
from ser_edge.classifier import Classifier
from ser_edge.gate import OFF
from ser_edge.model import Model

from ..corpus.clips import Clip, label_indices
from ..corpus.conditions import CONDITIONS, degrade

BABBLE_POOL = 64
"""Of the clips, how many are kept decoded as material for babble."""

NO_ANSWER = -1


@dataclass(frozen=True)
class Answers:
    """The answers to n clips under one condition."""

    probabilities: NDArray[np.float64]
    """As the model decides on every clip (gate off, threshold 0); shape (n, n_labels). A clip
    without scores (silence, too short) counts as wrong: it gets equal ones for all other labels."""
    scored: NDArray[np.bool_]
    """Whether the clip had scores; shape (n,)."""
    passed: NDArray[np.bool_]
    """Whether the default gate took the clip for speech; shape (n,)."""
    default: NDArray[np.int64]
    """The label told by default (default gate, the model's threshold), or :data:`NO_ANSWER`;
    shape (n,)."""


def collect(
    model: Model,
    clips: Sequence[Clip],
    conditions: Sequence[str],
    *,
    seed: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Answers]:
    """Let a model answer to every clip under every condition.

    Args:
        model: a packed model.
        clips: of one or more corpora.
        conditions: of :data:`ser_edge.convert.corpus.conditions.CONDITIONS`.
        seed: of the conditions; each clip meets the same noise whatever else is measured.
        progress: called with the number of clips done and their total.

    Returns:
        By condition, in the order given.

    Raises:
        SerEdgeError: a clip cannot be read or has a label that the model does not know.
    """
    labels = label_indices(clips, model.metadata.labels)
    by_default, undecided = Classifier(model), Classifier(model, threshold=0.0, gate=OFF)
    sample_rate = model.frontend.sample_rate
    voices = _voices(clips, conditions, sample_rate, seed)
    collected = {condition: _empty(labels, model) for condition in conditions}
    for row, clip in enumerate(clips):
        clean = audio.load(clip.path, sample_rate)
        others = [voice for path, voice in voices.items() if path != clip.path]
        for condition, answers in collected.items():
            rng = np.random.default_rng((seed, CONDITIONS.index(condition), row))
            samples = degrade(condition, clean, sample_rate, rng, voices=others)
            told = by_default.classify_samples(samples, sample_rate)
            answers.passed[row] = told.scores is not None
            if told.label is not None:
                answers.default[row] = model.metadata.labels.index(told.label)
            # The gate changes no scores, but which windows of a longer clip count.
            if told.scores is None or samples.size > model.frontend.window_samples:
                told = undecided.classify_samples(samples, sample_rate)
            if told.scores is not None:
                answers.scored[row] = True
                answers.probabilities[row] = list(told.scores.values())
        progress(row + 1, len(clips))
    return collected


def _empty(labels: NDArray[np.int64], model: Model) -> Answers:
    n, n_labels = len(labels), len(model.metadata.labels)
    wrong = np.full((n, n_labels), 1.0 / (n_labels - 1))
    wrong[np.arange(n), labels] = 0.0
    return Answers(
        probabilities=wrong,
        scored=np.zeros(n, dtype=np.bool_),
        passed=np.zeros(n, dtype=np.bool_),
        default=np.full(n, NO_ANSWER, dtype=np.int64),
    )


def _voices(
    clips: Sequence[Clip], conditions: Sequence[str], sample_rate: int, seed: int
) -> dict[object, NDArray[np.float32]]:
    """Material for babble, by path; of the clips measured, for training knew none of them."""
    if not any(condition.startswith("noise") for condition in conditions):
        return {}
    rows = np.random.default_rng(seed).permutation(len(clips))[:BABBLE_POOL]
    return {clips[row].path: audio.load(clips[row].path, sample_rate) for row in rows}

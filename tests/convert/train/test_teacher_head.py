from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ser_edge.convert.corpus.clips import LABELS, Clip, label_indices
from ser_edge.convert.train.teacher import head
from ser_edge.errors import SerEdgeError

pytest.importorskip("tensorflow")

N_SPEAKERS = 10
CLIPS = [
    Clip(Path("x"), "toy", f"speaker {speaker}", "", label, "train")
    for speaker in range(N_SPEAKERS)
    for label in LABELS
    for _ in range(4)
]


def over_time(marks: np.ndarray) -> np.ndarray:
    """The marks of every clip in each of 3 steps, with a little noise."""
    noise = np.random.default_rng(1).normal(0, 0.01, (len(marks), 3, marks.shape[1]))
    return (marks[:, None] + noise).astype(np.float16)


def predicted(embeddings: np.ndarray, lengths: int = 3) -> np.ndarray:
    filled = np.full(len(embeddings), lengths)
    return head.out_of_fold_predictions(embeddings, filled, CLIPS, jobs=2, folds=2, epochs=8)


@pytest.mark.slow
def test_a_mark_of_the_label_is_learned_from_other_speakers() -> None:
    labels = label_indices(CLIPS)
    probabilities = predicted(over_time(np.eye(len(LABELS))[labels]))
    assert probabilities.shape == (len(CLIPS), len(LABELS))
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert np.all(probabilities.argmax(axis=1) == labels)


@pytest.mark.slow
def test_probabilities_come_from_a_fit_without_the_speaker() -> None:
    """Every speaker's own mark tells the label: of no use for those who lack it."""
    labels = label_indices(CLIPS)
    speakers = np.repeat(np.arange(N_SPEAKERS), 4 * len(LABELS))
    marks = np.eye(N_SPEAKERS * len(LABELS))[speakers * len(LABELS) + labels]
    assert np.mean(predicted(over_time(marks)).argmax(axis=1) == labels) < 0.4


@pytest.mark.slow
def test_padding_behind_the_end_of_a_clip_is_masked() -> None:
    labels = label_indices(CLIPS)
    embeddings = over_time(np.eye(len(LABELS))[labels])
    other = embeddings.copy()
    other[:, 2:] = 7.0
    assert np.array_equal(predicted(embeddings, lengths=2), predicted(other, lengths=2))


def test_one_speaker_is_too_few() -> None:
    alone = [clip for clip in CLIPS if clip.speaker == "speaker 0"]
    embeddings = np.zeros((len(alone), 3, 2), dtype=np.float16)
    with pytest.raises(SerEdgeError, match="two speakers"):
        head.out_of_fold_predictions(embeddings, np.full(len(alone), 3), alone)

from __future__ import annotations

import numpy as np
import pytest

from ser_edge import Classifier
from ser_edge.convert.corpus.clips import LABELS, Clip, default_folder, read_index
from ser_edge.convert.evaluate import predictions


@pytest.fixture(scope="module")
def real_clips() -> list[Clip]:
    """Every 60th dev clip of the real corpora."""
    if not (default_folder() / "index.csv").is_file():
        pytest.skip(f"NO REAL SPEECH TESTED: there is no {default_folder()}; set SER_CORPORA")
    return [clip for clip in read_index() if clip.split == "dev"][::60]


@pytest.mark.slow
def test_predictions_are_those_of_the_runtime(
    real_clips: list[Clip], classifier: Classifier
) -> None:
    given = predictions.collect(classifier.model, real_clips, ["clean"])["clean"]
    undecided = Classifier(classifier.model, threshold=0.0, gate="off")
    for row, clip in enumerate(real_clips):
        by_default, scores = classifier.classify(clip.path), undecided.classify(clip.path).scores
        assert scores is not None
        assert given.probabilities[row].tolist() == list(scores.values())
        predicted = given.predicted[row]
        assert (
            None if predicted == predictions.NO_LABEL else LABELS[predicted]
        ) == by_default.label
        assert given.passed[row] == (by_default.reason != "no_speech")
    assert given.scored.all()


def test_a_condition_does_not_depend_on_the_others(
    toy_clips: list[Clip], classifier: Classifier
) -> None:
    clips = toy_clips[:6]
    alone = predictions.collect(classifier.model, clips, ["noise-10"])["noise-10"]
    among = predictions.collect(classifier.model, clips, ["clean", "noise-5", "noise-10"])
    assert np.array_equal(alone.probabilities, among["noise-10"].probabilities)
    assert not np.array_equal(alone.probabilities, among["noise-5"].probabilities)

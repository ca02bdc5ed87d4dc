from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_edge.convert.corpus import augment
from ser_edge.convert.corpus.clips import LABELS, Clip, label_indices
from ser_edge.convert.train import architectures, fit, teacher
from ser_edge.convert.train.dataset import Dataset
from ser_edge.errors import SerEdgeError

pytest.importorskip("tensorflow")

TINY = fit.Recipe(
    architecture="lstm",
    epochs=2,
    batch_size=8,
    warmup_steps=2,
    learning_rate=1e-2,
    teacher_share=0.0,
    summary_weight=0.0,
    state_weight=0.0,
    warp=0.0,
    colour=0.0,
    mask_frames=0,
    crop_frames=0,
)
FRONTEND = {
    "features": [],
    "layout": "frames_features",
    "window_seconds": 0.04,
    "normalization": {"mean": [0.5] * len(LABELS), "std": [0.5] * len(LABELS)},
}


@pytest.fixture
def data() -> Dataset:
    """Matrices of 4 frames in which the label's own feature is 1 and the others are 0."""
    rng = np.random.default_rng(1)
    clips = [
        Clip(Path(f"{number}"), corpus, f"speaker {number % 4}", "", label, "train")
        for number in range(4)
        for corpus in ("x", "y")
        for label in LABELS
    ]
    pure = np.eye(len(LABELS))[label_indices(clips)][:, None, :].repeat(4, axis=1)
    noisy = pure + rng.normal(0, 0.05, size=(3, *pure.shape))
    moments = np.tile(np.float32([1.0, 0.0]), (3, len(clips), 1))
    voices = np.zeros((3, len(clips)), dtype=np.int8)
    return Dataset(noisy.astype(np.float16), pure.astype(np.float16), voices, moments, clips, clips)


def run(data: Dataset, folder: Path, recipe: fit.Recipe = TINY, **options: Any) -> Any:
    return fit.train(data, FRONTEND, recipe, folder=folder, **options)


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_learns_keeps_a_log_and_the_averaged_weights(data: Dataset, tmp_path: Path) -> None:
    reported: list[dict[str, Any]] = []
    recipe = replace(TINY, epochs=5, batch_size=4, warmup_steps=5)
    model = run(data, tmp_path, recipe, report=reported.append)
    assert log_of(tmp_path) == reported
    last = reported[-1]
    assert last["uar"] > 0.9
    assert set(last) == {"epoch", "loss", "uar", "uar_x", "uar_y"}
    features = (data.dev.astype(np.float32) - 0.5) / 0.5
    answers = model.predict(features, verbose=0).argmax(axis=1)
    assert np.mean(answers == label_indices(data.dev_clips)) == pytest.approx(last["uar"], abs=0.01)
    assert (tmp_path / fit.WEIGHTS).is_file()


def test_one_seed_gives_one_model(data: Dataset, tmp_path: Path) -> None:
    first = run(data, tmp_path / "a").get_weights()
    again = run(data, tmp_path / "b").get_weights()
    for one, other in zip(first, again):
        assert np.array_equal(one, other)


def test_resume_goes_on_where_the_run_stopped(data: Dataset, tmp_path: Path) -> None:
    run(data, tmp_path)
    longer = replace(TINY, epochs=3)
    run(data, tmp_path, longer, resume=True)
    assert [line["epoch"] for line in log_of(tmp_path)] == [1, 2, 3]
    run(data, tmp_path, longer)
    assert [line["epoch"] for line in log_of(tmp_path)] == [1, 2, 3]


def test_run_with_other_settings_is_not_resumed(data: Dataset, tmp_path: Path) -> None:
    run(data, tmp_path)
    other = replace(TINY, mixup=0.0)
    with pytest.raises(SerEdgeError, match="other settings"):
        run(data, tmp_path, other, resume=True)


def lessons_on(data: Dataset, n_steps: int = 1) -> teacher.Lessons:
    """A teacher that takes every clip for its label's successor, and hears the label."""
    truth = np.eye(len(LABELS), dtype=np.float32)[label_indices(data.train_clips)]
    voices = np.repeat(truth[None], len(augment.SPEED_FACTORS), axis=0)
    return teacher.Lessons(
        probabilities=np.roll(voices, 1, axis=2),
        summaries=voices,
        states=np.repeat(voices[:, :, None], n_steps, axis=2).astype(np.float16),
        present=np.ones((*voices.shape[:2], n_steps), dtype=bool),
    )


def test_student_believes_its_teacher_by_the_share(data: Dataset, tmp_path: Path) -> None:
    recipe = replace(TINY, epochs=5, batch_size=4, warmup_steps=5, teacher_share=0.9)
    model = run(data, tmp_path, recipe, lessons=lessons_on(data))
    answers = model.predict((data.dev.astype(np.float32) - 0.5) / 0.5, verbose=0).argmax(axis=1)
    assert np.mean(answers == (label_indices(data.dev_clips) + 1) % len(LABELS)) > 0.9


def test_student_that_guesses_keeps_its_own_outputs(data: Dataset, tmp_path: Path) -> None:
    recipe = replace(TINY, architecture="compact", epochs=1, summary_weight=1.0, state_weight=1.0)
    reported: list[dict[str, Any]] = []
    model = run(data, tmp_path, recipe, lessons=lessons_on(data), report=reported.append)
    assert model.output_shape == (None, len(LABELS))
    assert reported[0]["loss"] > 1.5  # the guesses' errors are part of it


def test_states_are_those_of_the_moments_that_a_copy_shows(data: Dataset) -> None:
    n_steps = 5
    moments = data.moments.copy()
    moments[1] = [1.0, 2 * teacher.STEP_SECONDS]  # begins two steps later
    moments[2] = [2.0, 0.0]  # twice as fast
    lessons = lessons_on(data, n_steps)
    lessons.states[:] = np.arange(n_steps)[:, None]
    lessons.present[:, :, 4] = False
    data = replace(data, moments=moments, train=data.train.repeat(10, axis=2))
    batches = fit._Batches(data, FRONTEND, TINY, lessons)
    copies, rows = np.array([0, 1, 2]), np.array([0, 0, 0])
    states, present = batches._states(copies, rows, starts=rows)
    assert present.tolist() == [[1, 1, 1, 1, 0], [1, 1, 0, 0, 0], [1, 1, 0, 0, 0]]
    assert states[0, :4, 0].tolist() == [0, 1, 2, 3]
    assert states[1, :2, 0].tolist() == [2, 3]
    assert states[2, :2, 0].tolist() == [1, 3]


def test_a_part_of_a_clip_is_heard_with_its_own_states(data: Dataset) -> None:
    n_steps = 5
    frames = np.arange(8 * n_steps)
    ramp = np.zeros((3, len(data.train_clips), len(frames), len(LABELS)), dtype=np.float16)
    ramp[..., 0] = frames
    ramp[..., architectures.RMS] = frames < 30  # the rest fills the window up
    lessons = lessons_on(data, n_steps)
    lessons.states[:] = np.arange(n_steps)[:, None]
    recipe = replace(TINY, crop_frames=16, mixup=0.0)
    batches = fit._Batches(replace(data, train=ramp), FRONTEND, recipe, lessons)
    starts = set()
    for batch in batches.epoch(0):
        heard = 0.5 * batch.features[:, :, 0] + 0.5
        assert np.all(np.diff(heard, axis=1) == 1)
        assert heard.shape[1] == 16
        assert np.array_equal(batch.states[:, :, 0], heard[:, ::8] / 8)
        starts |= set(heard[:, 0])
    assert starts == {0, 8}


def test_network_that_needs_whole_windows_hears_no_parts(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(SerEdgeError, match="only learn from whole windows"):
        run(data, tmp_path, replace(TINY, crop_frames=2))


def test_lessons_are_those_on_the_voice_that_a_copy_speaks_with(data: Dataset) -> None:
    voices = data.voices.copy()
    voices[1:] = 1
    lessons = lessons_on(data)
    lessons.probabilities[1] = np.eye(len(LABELS))[0]
    lessons.summaries[1] = lessons.states[1] = 7.0
    recipe = replace(TINY, teacher_share=1.0, mixup=0.0, clean_share=0.5)
    drawn = fit._Batches(replace(data, voices=voices), FRONTEND, recipe, lessons).epoch(0)
    batch = next(drawn)
    changed = batch.summaries[:, 0] == 7.0
    assert 0 < changed.sum() < len(changed)
    assert np.all(batch.targets[changed] == np.eye(len(LABELS))[0])
    assert np.all((batch.states[:, 0, 0] == 7.0) == changed)


def test_copies_in_other_voices_are_drawn_by_their_odds(data: Dataset) -> None:
    n_clips = len(data.train_clips)
    voices = np.zeros((3, n_clips), dtype=np.int8)
    voices[2] = 1
    recipe = replace(TINY, clean_share=0.2, other_voices=0.25)
    lessons = lessons_on(data)
    batches = fit._Batches(replace(data, voices=voices), FRONTEND, recipe, lessons)
    rows = np.arange(n_clips).repeat(500)
    drawn = np.bincount(batches._draw_copies(rows, np.random.default_rng(1))) / len(rows)
    assert drawn == pytest.approx([0.2, 0.64, 0.16], abs=0.01)


def test_network_without_the_layers_cannot_be_taught(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(SerEdgeError, match="only learn without teacher"):
        run(data, tmp_path, replace(TINY, state_weight=1.0), lessons=lessons_on(data))

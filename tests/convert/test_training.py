from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_edge.convert import training
from ser_edge.convert.corpus import LABELS, Clip
from ser_edge.convert.dataset import Dataset, label_indices
from ser_edge.errors import SerEdgeError

pytest.importorskip("tensorflow")

TINY = training.Recipe(
    architecture="lstm", epochs=2, batch_size=8, warmup_steps=2, learning_rate=1e-2
)
NORMALIZATION = {"mean": [0.5] * len(LABELS), "std": [0.5] * len(LABELS)}


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
    return Dataset(noisy.astype(np.float16), pure.astype(np.float16), clips, clips)


def run(data: Dataset, folder: Path, recipe: training.Recipe = TINY, **options: Any) -> Any:
    return training.train(data, NORMALIZATION, recipe, folder=folder, feature_axis=1, **options)


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_learns_keeps_a_log_and_returns_the_best(data: Dataset, tmp_path: Path) -> None:
    reported: list[dict[str, Any]] = []
    recipe = training.Recipe(
        architecture="lstm", epochs=5, batch_size=4, warmup_steps=5, learning_rate=1e-2
    )
    model = run(data, tmp_path, recipe, report=reported.append)
    assert log_of(tmp_path) == reported
    last = reported[-1]
    best = max(line["uar"] for line in reported)
    assert best > 0.9
    assert set(last) == {"epoch", "loss", "uar", "uar_x", "uar_y", "best_epoch"}
    features = (data.dev.astype(np.float32) - 0.5) / 0.5
    answers = model.predict(features, verbose=0).argmax(axis=1)
    assert np.mean(answers == label_indices(data.dev_clips)) == pytest.approx(best, abs=0.01)
    assert (tmp_path / training.BEST).is_file()


def test_one_seed_gives_one_model(data: Dataset, tmp_path: Path) -> None:
    first = run(data, tmp_path / "a").get_weights()
    again = run(data, tmp_path / "b").get_weights()
    for one, other in zip(first, again):
        assert np.array_equal(one, other)


def test_resume_goes_on_where_the_run_stopped(data: Dataset, tmp_path: Path) -> None:
    run(data, tmp_path)
    longer = training.Recipe(**{**vars(TINY), "epochs": 3})
    run(data, tmp_path, longer, resume=True)
    assert [line["epoch"] for line in log_of(tmp_path)] == [1, 2, 3]
    run(data, tmp_path, longer)
    assert [line["epoch"] for line in log_of(tmp_path)] == [1, 2, 3]


def test_run_with_other_settings_is_not_resumed(data: Dataset, tmp_path: Path) -> None:
    run(data, tmp_path)
    other = training.Recipe(**{**vars(TINY), "mixup": 0.0})
    with pytest.raises(SerEdgeError, match="other settings"):
        run(data, tmp_path, other, resume=True)


def test_stops_when_dev_gets_no_better(data: Dataset, tmp_path: Path) -> None:
    still = training.Recipe(
        architecture="lstm", epochs=50, patience=2, learning_rate=0.0, warmup_steps=0
    )
    run(data, tmp_path, still)
    assert [line["epoch"] for line in log_of(tmp_path)] == [1, 2, 3]


def test_odds_level_labels_and_damp_corpora() -> None:
    def clips(corpus: str, label: str, count: int) -> list[Clip]:
        return [Clip(Path("a"), corpus, "anna", "", label, "train")] * count

    chosen = clips("big", "sad", 90) + clips("big", "happy", 10) + clips("small", "sad", 25)
    odds = training.sampling_odds(chosen, 0.5)
    big, small = odds[:100].sum(), odds[100:].sum()
    assert big + small == pytest.approx(1)
    assert big / small == pytest.approx(2)
    assert odds[:90].sum() == pytest.approx(odds[90:100].sum())
    assert len(set(odds[:90])) == 1

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_edge.convert.corpus.clips import LABELS, label_indices
from ser_edge.convert.train import fit
from ser_edge.convert.train.config import TrainingConfig
from ser_edge.convert.train.dataset import Dataset
from ser_edge.errors import SerEdgeError
from tests.helpers.training import SPEC, TINY, targets_on

pytest.importorskip("tensorflow")


def run(data: Dataset, folder: Path, config: TrainingConfig = TINY, **options: Any) -> Any:
    return fit.train(data, SPEC, config, folder=folder, **options)


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / fit.LOG).read_text().splitlines()]


def test_learns_keeps_a_log_and_the_averaged_weights(data: Dataset, tmp_path: Path) -> None:
    reported: list[dict[str, Any]] = []
    config = replace(TINY, epochs=5, batch_size=4, warmup_steps=5)
    model = run(data, tmp_path, config, report=reported.append)
    assert log_of(tmp_path) == reported
    last = reported[-1]
    assert last["uar"] > 0.9
    assert set(last) == {"epoch", "loss", "uar", "uar_x", "uar_y"}
    features = (data.dev.astype(np.float32) - 0.5) / 0.5
    predicted = model.predict(features, verbose=0).argmax(axis=1)
    assert np.mean(predicted == label_indices(data.dev_clips)) == pytest.approx(
        last["uar"], abs=0.01
    )
    for kept, weight in zip(fit.load(tmp_path).get_weights(), model.get_weights()):
        assert np.array_equal(kept, weight)


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


def test_student_learns_the_teachers_probabilities(data: Dataset, tmp_path: Path) -> None:
    config = replace(TINY, epochs=5, batch_size=4, warmup_steps=5, distillation_weight=0.9)
    model = run(data, tmp_path, config, targets=targets_on(data))
    predicted = model.predict((data.dev.astype(np.float32) - 0.5) / 0.5, verbose=0).argmax(axis=1)
    assert np.mean(predicted == (label_indices(data.dev_clips) + 1) % len(LABELS)) > 0.9


def test_distillation_heads_are_not_part_of_the_model(data: Dataset, tmp_path: Path) -> None:
    config = replace(TINY, architecture="compact", epochs=1, utterance_weight=1.0, frame_weight=1.0)
    reported: list[dict[str, Any]] = []
    model = run(data, tmp_path, config, targets=targets_on(data), report=reported.append)
    assert model.output_shape == (None, len(LABELS))
    assert reported[0]["loss"] > 1.5  # the distillation heads' errors are part of it

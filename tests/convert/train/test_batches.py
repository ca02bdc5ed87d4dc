from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ser_edge.convert.corpus.clips import LABELS
from ser_edge.convert.train import architectures, teacher
from ser_edge.convert.train.batches import Batches
from ser_edge.convert.train.dataset import Dataset
from tests.helpers.training import SPEC, TINY, targets_on


def test_frame_targets_follow_the_time_map(data: Dataset) -> None:
    n_steps = 5
    time_maps = data.time_maps.copy()
    time_maps[1] = [1.0, 2 * teacher.STEP_SECONDS]  # begins two steps later
    time_maps[2] = [2.0, 0.0]  # twice as fast
    targets = targets_on(data, n_steps)
    targets.frame_embeddings[:] = np.arange(n_steps)[:, None]
    targets.mask[:, :, 4] = False
    data = replace(data, time_maps=time_maps, train=data.train.repeat(10, axis=2))
    batches = Batches(data, SPEC, TINY, targets)
    copies, rows = np.array([0, 1, 2]), np.array([0, 0, 0])
    embeddings, mask = batches.frame_targets(copies, rows, starts=rows)
    assert mask.tolist() == [[1, 1, 1, 1, 0], [1, 1, 0, 0, 0], [1, 1, 0, 0, 0]]
    assert embeddings[0, :4, 0].tolist() == [0, 1, 2, 3]
    assert embeddings[1, :2, 0].tolist() == [2, 3]
    assert embeddings[2, :2, 0].tolist() == [1, 3]


def test_a_crop_has_its_own_frame_targets(data: Dataset) -> None:
    n_steps = 5
    frames = np.arange(8 * n_steps)
    ramp = np.zeros((3, len(data.train_clips), len(frames), len(LABELS)), dtype=np.float16)
    ramp[..., 0] = frames
    ramp[..., architectures.RMS] = frames < 30  # the rest is padding
    targets = targets_on(data, n_steps)
    targets.frame_embeddings[:] = np.arange(n_steps)[:, None]
    config = replace(TINY, architecture="deep", crop_frames=16, mixup=0.0)
    batches = Batches(replace(data, train=ramp), SPEC, config, targets)
    starts = set()
    for batch in batches.epoch(0):
        shown = 0.5 * batch.features[:, :, 0] + 0.5
        assert np.all(np.diff(shown, axis=1) == 1)
        assert shown.shape[1] == 16
        assert np.array_equal(batch.frame_embeddings[:, :, 0], shown[:, ::8] / 8)
        starts |= set(shown[:, 0])
    assert starts == {0, 8}


def test_targets_are_those_at_the_speed_of_the_copy(data: Dataset) -> None:
    speeds = data.speeds.copy()
    speeds[1:] = 1
    targets = targets_on(data)
    targets.probabilities[1] = np.eye(len(LABELS))[0]
    targets.utterance_embeddings[1] = targets.frame_embeddings[1] = 7.0
    config = replace(TINY, distillation_weight=1.0, mixup=0.0, clean_fraction=0.5)
    drawn = Batches(replace(data, speeds=speeds), SPEC, config, targets).epoch(0)
    batch = next(drawn)
    changed = batch.utterance_embeddings[:, 0] == 7.0
    assert 0 < changed.sum() < len(changed)
    assert np.all(batch.targets[changed] == np.eye(len(LABELS))[0])
    assert np.all((batch.frame_embeddings[:, 0, 0] == 7.0) == changed)


def test_copies_at_other_speeds_are_drawn_by_their_weight(data: Dataset) -> None:
    n_clips = len(data.train_clips)
    speeds = np.zeros((3, n_clips), dtype=np.int8)
    speeds[2] = 1
    config = replace(TINY, clean_fraction=0.2, perturbed_weight=0.25)
    targets = targets_on(data)
    batches = Batches(replace(data, speeds=speeds), SPEC, config, targets)
    rows = np.arange(n_clips).repeat(500)
    drawn = np.bincount(batches.draw_copies(rows, np.random.default_rng(1))) / len(rows)
    assert drawn == pytest.approx([0.2, 0.64, 0.16], abs=0.01)

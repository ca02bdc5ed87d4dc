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
    targets.mask[:, 4] = False
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


def test_copies_are_drawn_alike(data: Dataset) -> None:
    config = replace(TINY, clean_fraction=0.2)
    batches = Batches(data, SPEC, config, targets_on(data))
    rows = np.arange(len(data.train_clips)).repeat(500)
    drawn = np.bincount(batches.draw_copies(rows, np.random.default_rng(1))) / len(rows)
    assert drawn == pytest.approx([0.2, 0.4, 0.4], abs=0.02)


def test_targets_and_loss_are_limited_to_the_labels_of_the_corpus(data: Dataset) -> None:
    n_clips = len(data.train_clips)
    clips = [
        replace(clip, corpus="two", label=("sad", "happy")[row % 2]) if row < n_clips // 2 else clip
        for row, clip in enumerate(data.train_clips)
    ]
    targets = targets_on(data)
    targets.probabilities[:] = 1 / len(LABELS)
    config = replace(TINY, distillation_weight=1.0, mixup=0.0)
    drawn = Batches(replace(data, train_clips=clips), SPEC, config, targets).epoch(0)
    batch = next(drawn)
    two = batch.possible.sum(axis=1) == 2
    assert 0 < two.sum() < len(two)
    of_two = [0.5 if label in ("sad", "happy") else 0.0 for label in LABELS]
    assert batch.targets[two] == pytest.approx(np.tile(of_two, (two.sum(), 1)))
    assert batch.targets[~two] == pytest.approx(1 / len(LABELS))


def test_ordinary_speech_has_its_fraction_and_soft_targets(data: Dataset) -> None:
    clips = [
        replace(clip, corpus="ordinary", label="") if row % 2 else clip
        for row, clip in enumerate(data.train_clips)
    ]
    config = replace(TINY, mixup=0.0, ordinary_fraction=0.25, ordinary_neutral=0.7)
    targets = teacher.no_targets(len(clips), 1, len(LABELS))
    batches = Batches(replace(data, train_clips=clips), SPEC, config, targets)
    drawn = np.concatenate([batch.targets for epoch in range(40) for batch in batches.epoch(epoch)])
    ordinary = np.isclose(drawn[:, LABELS.index("neutral")], 0.7)
    assert ordinary.mean() == pytest.approx(0.25, abs=0.05)
    assert drawn[ordinary][0, 1:] == pytest.approx(0.3 / 5)

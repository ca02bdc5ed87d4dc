from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_edge import audio
from ser_edge.convert.corpus import augment
from ser_edge.convert.corpus.clips import Clip
from ser_edge.convert.corpus.noise import MaterialPaths
from ser_edge.convert.train import dataset
from ser_edge.errors import AudioError
from ser_edge.frontend import Frontend, FrontendSpec


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def data(toy_clips: list[Clip], toy_frontend: dict[str, Any], cache: Path) -> dataset.Dataset:
    return dataset.load(toy_clips, toy_frontend, copies=2, seed=1, cache=cache)


def test_clean_features_are_the_runtime_front_ends(
    data: dataset.Dataset, toy_frontend: dict[str, Any]
) -> None:
    frontend = Frontend(FrontendSpec.parse(toy_frontend))
    assert data.train.shape == (3, 24, *frontend.shape)
    assert data.dev.shape == (12, *frontend.shape)
    for clips, matrices in ((data.train_clips, data.train[0]), (data.dev_clips, data.dev)):
        for clip, matrix in zip(clips, matrices):
            expected = frontend(audio.load(clip.path, frontend.sample_rate))
            assert np.array_equal(matrix, expected.astype(np.float16))


def test_augmented_copies_differ(data: dataset.Dataset) -> None:
    assert not np.array_equal(data.train[0], data.train[1])
    assert not np.array_equal(data.train[1], data.train[2])


def test_time_maps_are_those_of_the_clean_clip(
    data: dataset.Dataset, toy_clips: list[Clip]
) -> None:
    assert np.all(data.time_maps[0] == [1.0, 0.0])
    rates = data.time_maps[1:, :, 0]
    slowest, fastest = augment.SPEED
    assert np.all((rates > 0.999 * slowest) & (rates < 1.001 * fastest))
    assert np.any(data.time_maps[1:, :, 1] != 0.0)


def test_second_load_computes_nothing(
    data: dataset.Dataset,
    toy_clips: list[Clip],
    toy_frontend: dict[str, Any],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dataset, "_compute", None)
    again = dataset.load(toy_clips, toy_frontend, copies=2, seed=1, cache=cache)
    assert np.array_equal(again.train, data.train)
    # The normalization is applied later: it does not change what is kept.
    normalized = {**toy_frontend, "normalization": {"mean": [0, 0], "std": [1, 1]}}
    dataset.load(toy_clips, normalized, copies=2, seed=1, cache=cache)


@pytest.mark.parametrize(
    "change", ["seed", "copies", "frontend", "clips", "sounds", "augmentation"]
)
def test_key_changes_with_what_the_values_depend_on(
    change: str,
    toy_clips: list[Clip],
    toy_frontend: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clips, spec, copies, seed = toy_clips, toy_frontend, 2, 1
    material = MaterialPaths()
    before = dataset._key(clips, spec, copies, seed, material)
    assert before == dataset._key(clips, spec, copies, seed, material)
    if change == "seed":
        seed = 2
    elif change == "copies":
        copies = 3
    elif change == "frontend":
        spec = {**spec, "level_dbfs": -20.0}
    elif change == "clips":
        clips = clips[1:]
    elif change == "sounds":
        material = MaterialPaths(noises=(toy_clips[0].path,))
    else:
        monkeypatch.setattr(dataset.augment, "gain", lambda samples, rng: samples)
    assert dataset._key(clips, spec, copies, seed, material) != before


def test_unreadable_clip_leaves_no_cache(
    toy_clips: list[Clip], toy_frontend: dict[str, Any], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    clips = [*toy_clips, Clip(broken, "toy", "speaker 0", "", "sad", "train")]
    cache = tmp_path / "cache"
    with pytest.raises(AudioError, match=r"broken\.wav"):
        dataset.load(clips, toy_frontend, copies=0, seed=1, cache=cache, jobs=1)
    assert list(cache.iterdir()) == []


def without_clips(matrices: np.ndarray) -> dataset.Dataset:
    time_maps = np.zeros((*matrices.shape[:2], 2), np.float32)
    return dataset.Dataset(matrices, matrices[0], time_maps, [], [])


@pytest.mark.parametrize("layout", ["frames_features", "features_frames"])
def test_normalization_is_by_feature_over_clean_copies(
    layout: str, toy_frontend: dict[str, Any]
) -> None:
    rng = np.random.default_rng(1)
    matrices = rng.normal([5.0, -1.0], [2.0, 0.5], size=(2, 50, 40, 2)).astype(np.float16)
    matrices[1] = 0
    axis = 1
    if layout == "features_frames":
        matrices, axis = matrices.swapaxes(2, 3), 0
    data = without_clips(matrices)
    spec = {**toy_frontend, "layout": layout}
    assert dataset.feature_axis(spec) == axis
    normalization = data.normalization(feature_axis=axis)
    assert normalization["mean"] == pytest.approx([5.0, -1.0], abs=0.2)
    assert normalization["std"] == pytest.approx([2.0, 0.5], rel=0.1)
    normalized = dataset.normalize(matrices[0], {**spec, "normalization": normalization})
    by_feature = np.moveaxis(normalized, 1 + axis, 0).reshape(2, -1)
    assert normalized.dtype == np.float32
    assert by_feature.mean(axis=1) == pytest.approx([0.0, 0.0], abs=1e-3)
    assert by_feature.std(axis=1) == pytest.approx([1.0, 1.0], abs=1e-3)


def test_constant_feature_has_no_zero_deviation() -> None:
    matrices = np.zeros((1, 3, 4, 1), np.float16)
    data = without_clips(matrices)
    assert data.normalization(feature_axis=1)["std"] == [0.001]


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert dataset.default_cache() == Path("/somewhere/ser-edge")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert dataset.default_cache() == Path.home() / ".cache" / "ser-edge"

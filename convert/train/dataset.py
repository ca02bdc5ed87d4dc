"""Feature matrices of labelled clips, computed once and kept in a cache folder.

Training clips are kept as they are and in several augmented copies; dev clips only as they are.
The cache is keyed by everything that the values depend on: the clips, the front end, the
augmentations, the number of copies and the seed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_edge.files import draft
from ser_edge.frontend import Frontend, FrontendSpec

from ..corpus import augment
from ..corpus.clips import LABELS, Clip, labels_of
from ..corpus.noise import MaterialPaths, read_sounds
from . import pool

BABBLE_POOL = 64  # training clips that a worker keeps decoded, as material for babble

SEED = 1  # of the augmented copies: runs that differ in their own seed share the copies

_PROBES = 50  # random chains, enough to meet every augmentation and its ranges


@dataclass(frozen=True)
class Dataset:
    """Unnormalized features of the two splits.

    The frame at t seconds of a training matrix with time map (rate, offset) shows what the clip
    has at ``rate * t + offset`` seconds of its speech.
    """

    train: NDArray[np.float16]  # (1 + copies, n_train, *frontend.shape); copy 0 is clean; mapped
    dev: NDArray[np.float16]  # (n_dev, *frontend.shape); memory-mapped
    time_maps: NDArray[np.float32]  # (1 + copies, n_train, 2): rate, and offset in seconds
    train_clips: list[Clip]  # n_train
    dev_clips: list[Clip]  # n_dev
    labels: tuple[str, ...] = LABELS  # in the order of the model's outputs

    def normalization(self, *, feature_axis: int) -> dict[str, list[float]]:
        """Mean and standard deviation of every feature over the clean training clips.

        Args:
            feature_axis: axis of the features in one matrix: 0 or 1.

        Returns:
            ``mean`` and ``std``, each n_features numbers, as in a model's metadata.
        """
        other = (0, 2 if feature_axis == 0 else 1)
        clean = self.train[0]
        mean = clean.mean(axis=other, dtype=np.float64)
        std = clean.std(axis=other, dtype=np.float64)
        return {
            "mean": [round(float(value), 6) for value in mean],
            "std": [round(max(float(value), 1e-3), 6) for value in std],
        }


def feature_axis(spec: dict[str, Any]) -> int:
    """Axis of the features in a matrix of this front end: 0 or 1."""
    return FrontendSpec.parse(spec).feature_axis


def normalize(matrices: NDArray[Any], spec: dict[str, Any]) -> NDArray[np.float32]:
    """Feature matrices less their mean, over their standard deviation.

    Args:
        matrices: shape (n, *frontend.shape).
        spec: a front end that normalizes by its training clips.

    Returns:
        float32, shape (n, *frontend.shape).
    """
    parsed = FrontendSpec.parse(spec)
    axes = (slice(None), None) if parsed.feature_axis == 0 else (slice(None),)
    step = parsed.normalization
    assert step is not None
    mean = np.array(step.arguments["mean"], dtype=np.float32)[axes]
    scale = 1.0 / np.array(step.arguments["std"], dtype=np.float32)[axes]
    scaled: NDArray[np.float32] = (matrices.astype(np.float32) - mean) * scale
    return scaled


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/ser-edge``, or ``~/.cache/ser-edge``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ser-edge"


def load(
    clips: Sequence[Clip],
    spec: dict[str, Any],
    *,
    copies: int,
    cache: Path,
    sounds: Path | None = None,
    seed: int = SEED,
    jobs: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Dataset:
    """The features of ``clips``, from the cache or computed.

    Args:
        clips: of both splits.
        spec: a front end as in a model's metadata; its normalization is left out.
        copies: augmented copies of every training clip.
        cache: folder that keeps the results.
        sounds: folder of recorded noise and rooms for the augmentations, with an ``index.csv``
            as :func:`ser_edge.convert.corpus.noise.read_sounds` takes it.
        seed: of the augmentations.
        jobs: processes that compute.
        progress: called with the number of clips done and their total.

    Raises:
        ser_edge.errors.AudioError: a clip cannot be read.
    """
    spec = FrontendSpec.parse(spec).with_normalization(None, None).to_dict()
    train = [clip for clip in clips if clip.split == "train"]
    dev = [clip for clip in clips if clip.split == "dev"]
    material = MaterialPaths()
    if copies:
        rows = np.random.default_rng(seed).permutation(len(train))[:BABBLE_POOL]
        material = read_sounds(sounds) if sounds else material
        material = material._replace(voices=tuple(train[row].path for row in rows))
    folder = cache / f"features-{_key(train + dev, spec, copies, seed, material)}"
    if not folder.is_dir():
        _compute(train, dev, spec, copies, seed, material, folder, jobs, progress)
    return Dataset(
        train=np.load(folder / "train.npy", mmap_mode="r"),
        dev=np.load(folder / "dev.npy", mmap_mode="r"),
        time_maps=np.load(folder / "time_maps.npy"),
        train_clips=train,
        dev_clips=dev,
        labels=labels_of(train),
    )


def _key(
    clips: list[Clip], spec: dict[str, Any], copies: int, seed: int, material: MaterialPaths
) -> str:
    listing = [(str(clip.path), clip.path.stat().st_size, clip.split) for clip in clips]
    listing += [(str(path), path.stat().st_size, "") for paths in material for path in paths]
    key = hashlib.sha256(json.dumps([spec, copies, seed, listing], sort_keys=True).encode())
    # Code by what it computes: the cache outlives changes that leave the values alone.
    sample_rate = FrontendSpec.parse(spec).sample_rate
    noise = np.random.default_rng(0).standard_normal(sample_rate).astype(np.float32)
    key.update(Frontend(FrontendSpec.parse(spec))(noise).astype(np.float16).tobytes())
    for probe in range(_PROBES if copies else 0):
        rng = np.random.default_rng(probe)
        probe_material = augment.Material([noise[::-1]], [noise[::-1]], [noise[:100]])
        augmented = augment.random_augmentation(noise, sample_rate, rng, material=probe_material)
        key.update(augmented.samples.astype(np.float16).tobytes())
    return key.hexdigest()[:16]


def _compute(
    train: list[Clip],
    dev: list[Clip],
    spec: dict[str, Any],
    copies: int,
    seed: int,
    material: MaterialPaths,
    folder: Path,
    jobs: int,
    progress: Callable[[int, int], None],
) -> None:
    shape = Frontend(FrontendSpec.parse(spec)).shape
    tasks = [(clip, copies, (seed, row)) for row, clip in enumerate(train)]
    tasks += [(clip, 0, (seed, 0)) for clip in dev]
    extracted = pool.imap(
        _extract,
        tasks,
        jobs=jobs,
        initializer=_start_worker,
        initargs=(spec, material),
        chunksize=16,
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with draft(folder) as partial:
        partial.mkdir()
        train_matrices = _create(partial / "train.npy", (1 + copies, len(train), *shape))
        dev_matrices = _create(partial / "dev.npy", (len(dev), *shape))
        time_maps = np.zeros((1 + copies, len(train), 2), dtype=np.float32)
        for done, (matrices, maps) in enumerate(extracted):
            if done < len(train):
                train_matrices[:, done] = matrices
                time_maps[:, done] = maps
            else:
                dev_matrices[done - len(train)] = matrices[0]
            progress(done + 1, len(tasks))
        np.save(partial / "time_maps.npy", time_maps)


def _create(path: Path, shape: tuple[int, ...]) -> NDArray[np.float16]:
    """A new .npy file, mapped for writing: the matrices of all copies need not fit in memory."""
    matrices: NDArray[np.float16] = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
        path, "w+", np.float16, shape
    )
    return matrices


class _Worker:
    """What a worker process keeps between clips."""

    frontend: Frontend
    material: augment.Material


def _start_worker(spec: dict[str, Any], paths: MaterialPaths) -> None:
    _Worker.frontend = Frontend(FrontendSpec.parse(spec))
    _Worker.material = paths.load(_Worker.frontend.sample_rate)


def _extract(
    task: tuple[Clip, int, tuple[int, int]],
) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Matrices and time maps of a clip, clean and in so many copies."""
    clip, copies, seed = task
    frontend = _Worker.frontend
    samples = frontend.load(clip.path)
    rng = np.random.default_rng(seed)
    versions = [augment.Augmented(samples, rate=1.0, offset=0.0)] + [
        augment.random_augmentation(samples, frontend.sample_rate, rng, material=_Worker.material)
        for _ in range(copies)
    ]
    matrices = np.stack([frontend(version.samples) for version in versions]).astype(np.float16)
    clean_start = _speech_start(samples)
    time_maps = [_time_map(version, clean_start) for version in versions]
    return matrices, np.array(time_maps, dtype=np.float32)


def _time_map(version: augment.Augmented, clean_start: float) -> tuple[float, float]:
    """Rate and offset, as in :class:`Dataset`."""
    start = _speech_start(version.samples)
    return version.rate, version.rate * (start - version.offset) - clean_start


def _speech_start(samples: NDArray[np.float32]) -> float:
    """Seconds that the front end trims off the beginning."""
    return _Worker.frontend.start(samples) / _Worker.frontend.sample_rate

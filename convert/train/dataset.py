"""Feature matrices of labelled clips, computed once and kept in a cache folder.

Training clips are kept as they are and in several augmented copies; dev clips only as they are.
The cache is keyed by everything that the values depend on: the clips, the front end, the
augmentations, the number of copies and the seed.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_edge import audio, features
from ser_edge.frontend import Frontend
from ser_edge.metadata import FrontendSpec

from ..corpus import augment
from ..corpus.clips import Clip

BABBLE_POOL = 64
"""Training clips that a worker keeps decoded, as material for babble."""

SEED = 1
"""Of the augmented copies by default: runs that differ in their own seed share the copies."""

# Random chains enough to meet every augmentation and its ranges.
_PROBES = 50


@dataclass(frozen=True)
class Dataset:
    """Unnormalized features of the two splits."""

    train: NDArray[np.float16]
    """Shape (1 + copies, n_train, *frontend shape); copy 0 is clean. Memory-mapped."""
    dev: NDArray[np.float16]
    """Shape (n_dev, *frontend shape). Memory-mapped."""
    voices: NDArray[np.int8]
    """Shape (1 + copies, n_train): whose speech every training matrix shows.

    A position in :data:`ser_edge.convert.corpus.augment.SPEED_FACTORS`, 0 for the clean ones.
    """
    moments: NDArray[np.float32]
    """Shape (1 + copies, n_train, 2): ``pace`` and ``start`` of every training matrix.

    What it shows at t seconds, the clip spoken by its voice shows at ``pace * t + start`` of its
    speech.
    """
    train_clips: list[Clip]
    dev_clips: list[Clip]

    def normalization(self, *, feature_axis: int) -> dict[str, list[float]]:
        """Mean and standard deviation of every feature over the clean training clips.

        Args:
            feature_axis: axis of the features in one matrix: 0 or 1.
        """
        other = (0, 2 if feature_axis == 0 else 1)
        clean = self.train[0]
        mean = clean.mean(axis=other, dtype=np.float64)
        std = clean.std(axis=other, dtype=np.float64)
        return {
            "mean": [round(float(value), 6) for value in mean],
            "std": [round(max(float(value), 1e-3), 6) for value in std],
        }


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/ser-edge``, or ``~/.cache/ser-edge``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ser-edge"


def load(
    clips: Sequence[Clip],
    spec: dict[str, Any],
    *,
    copies: int,
    seed: int,
    cache: Path,
    jobs: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Dataset:
    """The features of ``clips``, from the cache or computed.

    Args:
        clips: of both splits.
        spec: a front end as in a model's metadata; its normalization is left out.
        copies: augmented copies of every training clip.
        seed: of the augmentations.
        cache: folder that keeps the results.
        jobs: processes that compute.
        progress: called with the number of clips done and their total.

    Raises:
        ser_edge.errors.AudioError: a clip cannot be read.
    """
    spec = {**spec, "normalization": None}
    train = [clip for clip in clips if clip.split == "train"]
    dev = [clip for clip in clips if clip.split == "dev"]
    folder = cache / _key(train + dev, spec, copies, seed)
    if not folder.is_dir():
        _compute(train, dev, spec, copies, seed, folder, jobs, progress)
    return Dataset(
        train=np.load(folder / "train.npy", mmap_mode="r"),
        dev=np.load(folder / "dev.npy", mmap_mode="r"),
        voices=np.load(folder / "voices.npy"),
        moments=np.load(folder / "moments.npy"),
        train_clips=train,
        dev_clips=dev,
    )


def _key(clips: list[Clip], spec: dict[str, Any], copies: int, seed: int) -> str:
    listing = [(str(clip.path), clip.path.stat().st_size, clip.split) for clip in clips]
    key = hashlib.sha256(json.dumps([spec, copies, seed, listing], sort_keys=True).encode())
    # Code by what it computes: the cache outlives changes that leave the values alone.
    sample_rate = spec["sample_rate"]
    noise = np.random.default_rng(0).standard_normal(sample_rate).astype(np.float32)
    key.update(Frontend(FrontendSpec.parse(spec))(noise).astype(np.float16).tobytes())
    for probe in range(_PROBES if copies else 0):
        rng = np.random.default_rng(probe)
        augmented = augment.random_augmentation(noise, sample_rate, rng, voices=[noise[::-1]])
        key.update(augmented.samples.astype(np.float16).tobytes())
    return key.hexdigest()[:16]


def _compute(
    train: list[Clip],
    dev: list[Clip],
    spec: dict[str, Any],
    copies: int,
    seed: int,
    folder: Path,
    jobs: int,
    progress: Callable[[int, int], None],
) -> None:
    shape = Frontend(FrontendSpec.parse(spec)).shape
    tasks = [(clip, copies, (seed, row)) for row, clip in enumerate(train)]
    tasks += [(clip, 0, (seed, 0)) for clip in dev]
    pool = np.random.default_rng(seed).permutation(len(train))[:BABBLE_POOL]
    babble = [train[row].path for row in pool] if copies else []
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Renamed when whole: a run that breaks off leaves nothing that looks done.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="partial-") as parent:
        partial = Path(parent) / "features"
        partial.mkdir()
        train_matrices = _create(partial / "train.npy", (1 + copies, len(train), *shape))
        dev_matrices = _create(partial / "dev.npy", (len(dev), *shape))
        voices = np.zeros((1 + copies, len(train)), dtype=np.int8)
        moments = np.zeros((1 + copies, len(train), 2), dtype=np.float32)
        for done, shown in enumerate(_run(tasks, spec, babble, jobs)):
            if done < len(train):
                train_matrices[:, done], voices[:, done], moments[:, done] = shown
            else:
                dev_matrices[done - len(train)] = shown[0][0]
            progress(done + 1, len(tasks))
        np.save(partial / "voices.npy", voices)
        np.save(partial / "moments.npy", moments)
        partial.rename(folder)


def _create(path: Path, shape: tuple[int, ...]) -> NDArray[np.float16]:
    """A new .npy file, mapped for writing: the matrices of all copies need not fit in memory."""
    matrices: NDArray[np.float16] = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
        path, "w+", np.float16, shape
    )
    return matrices


_Task = tuple[Clip, int, tuple[int, int]]
_Shown = tuple[NDArray[np.float16], list[int], NDArray[np.float32]]


def _run(
    tasks: list[_Task], spec: dict[str, Any], babble: list[Path], jobs: int
) -> Iterator[_Shown]:
    # Spawned, not forked: TensorFlow's threads may already run in this process.
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs, initializer=_start_worker, initargs=(spec, babble)) as pool:
        yield from pool.imap(_extract, tasks, chunksize=16)


class _Worker:
    """What a worker process keeps between clips."""

    frontend: Frontend
    babble: list[augment.Samples]


def _start_worker(spec: dict[str, Any], babble: list[Path]) -> None:
    _Worker.frontend = Frontend(FrontendSpec.parse(spec))
    _Worker.babble = [audio.load(path, _Worker.frontend.sample_rate) for path in babble]


def _extract(task: _Task) -> _Shown:
    clip, copies, seed = task
    extract = _Worker.frontend
    samples = audio.load(clip.path, extract.sample_rate)
    rng = np.random.default_rng(seed)
    versions = [augment.Augmented(samples, speed=0, rate=1.0, offset=0.0)] + [
        augment.random_augmentation(samples, extract.sample_rate, rng, voices=_Worker.babble)
        for _ in range(copies)
    ]
    matrices = np.stack([extract(version.samples) for version in versions]).astype(np.float16)
    clean_start = _speech_start(samples)
    moments = [_moments(version, clean_start) for version in versions]
    return matrices, [version.speed for version in versions], np.array(moments, dtype=np.float32)


def _moments(version: augment.Augmented, clean_start: float) -> tuple[float, float]:
    """``pace`` and ``start``, as in :attr:`Dataset.moments`."""
    speed = augment.SPEED_FACTORS[version.speed]
    pace = version.rate / speed
    start = pace * (_speech_start(version.samples) - version.offset) - clean_start / speed
    return pace, start


def _speech_start(samples: NDArray[np.float32]) -> float:
    """Seconds that the front end trims off the beginning."""
    trim = _Worker.frontend.spec.trim
    if trim is None:
        return 0.0
    start, _ = features.trim(
        samples, top_db=trim.top_db, frame_length=trim.frame_length, hop_length=trim.hop_length
    )
    return float(start) / _Worker.frontend.sample_rate

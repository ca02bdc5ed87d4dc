"""The teacher: what a large speech model makes of the training clips.

It is the frozen encoder of Whisper (:mod:`.whisper`) and a small network on its embeddings
(:mod:`.head`). The student learns from their targets (knowledge distillation, Hinton et
al. 2015) and needs no teacher afterwards.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_edge import audio, features
from ser_edge.files import draft

from ...corpus.clips import Clip, label_indices, labels_of
from ...evaluate.metrics import measure_by_corpus
from .. import pool
from . import head, whisper

FIRST_LAYER = 2  # of the encoder's layers that are used; lower ones hold sounds, not yet speakers
HINT_DIMENSION = 64  # principal components of the embeddings, which are the student's targets
STEP_TOKENS = 4  # encoder tokens that are averaged into one step
STEP_SECONDS = STEP_TOKENS * whisper.TOKEN_SECONDS  # a step of the student behind its poolings

_LEVEL = 0.05  # root mean square of the encoder's input: -26 dBFS
_PCA_STEPS = 20000  # random steps that the components are found in

Floats = NDArray[np.float32]
Embeddings = list[NDArray[np.float16]]  # of clips, each of shape (n_steps, m)


@dataclass(frozen=True)
class TeacherTargets:
    """What the student learns of the training clips, from fits without the clips' speakers."""

    probabilities: Floats  # of the labels, (n_train, n_labels)
    utterance_embeddings: Floats  # standardized, (n_train, HINT_DIMENSION)
    frame_embeddings: NDArray[np.float16]  # (n_train, n_steps, HINT_DIMENSION), 0-padded
    mask: NDArray[np.bool_]  # the steps that the clip fills, (n_train, n_steps)


def compute_targets(
    clips: Sequence[Clip],
    *,
    window_seconds: float,
    cache: Path,
    jobs: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> TeacherTargets:
    """The teacher's targets on the training clips.

    Args:
        clips: of both splits; those of "dev" are left alone.
        window_seconds: of the student's input; what comes later is left out.
        cache: folder that keeps the encoder's embeddings.
        jobs: processes that compute.
        progress: called with the number of clips encoded and their total, for each corpus, and
            with that of the fits of the teacher head.

    Raises:
        ser_edge.errors.DependencyError: Whisper's weights are not installed.
        ser_edge.errors.AudioError: a clip cannot be read.
        SerEdgeError: all clips are of one speaker.
    """
    train = [clip for clip in clips if clip.split == "train"]
    embeddings = embed(train, window_seconds, cache, jobs, progress)
    return targets_from(
        embeddings, train, window_seconds, cache=cache, jobs=jobs, progress=progress
    )


def targets_from(
    embeddings: Embeddings,
    clips: Sequence[Clip],
    window_seconds: float,
    *,
    cache: Path,
    jobs: int = 2,
    folds: int = head.FOLDS,
    epochs: int = head.EPOCHS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> TeacherTargets:
    """The targets on clips whose embeddings are known.

    Args:
        embeddings: of the clips, as :func:`embed` gives them.
        clips: n clips.
        window_seconds: of the student's input.
        cache: folder that keeps the out-of-fold predictions.
        jobs: processes that compute.
        folds: parts of the speakers, each predicted by a fit on the others.
        epochs: of these fits.
        progress: called with the number of fits done and their total.

    Raises:
        SerEdgeError: all clips are of one speaker.
    """
    n_steps = 1 + int(window_seconds / STEP_SECONDS)
    probabilities = _out_of_fold(embeddings, clips, n_steps, cache, jobs, folds, epochs, progress)
    pooled = np.stack([_pooled(steps) for steps in embeddings])
    frame_embeddings, mask = _reduced_frames(embeddings, n_steps)
    return TeacherTargets(probabilities, _reduced(pooled), frame_embeddings, mask)


def padded(embeddings: Embeddings, n_steps: int) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """Embeddings in one array, shape (n, n_steps, m), and how many steps each fills, shape (n,)."""
    values = np.zeros((len(embeddings), n_steps, embeddings[0].shape[1]), dtype=np.float16)
    lengths = np.zeros(len(embeddings), dtype=np.int64)
    for row, steps in enumerate(embeddings):
        lengths[row] = min(n_steps, len(steps))
        values[row, : lengths[row]] = steps[:n_steps]
    return values, lengths


def no_targets(n_train: int, n_steps: int, n_labels: int) -> TeacherTargets:
    """Empty targets, for a student without a teacher."""
    return TeacherTargets(
        probabilities=np.zeros((n_train, n_labels), dtype=np.float32),
        utterance_embeddings=np.zeros((n_train, 1), dtype=np.float32),
        frame_embeddings=np.zeros((n_train, n_steps, 1), dtype=np.float16),
        mask=np.zeros((n_train, n_steps), dtype=bool),
    )


def describe(targets: TeacherTargets, clips: Sequence[Clip]) -> dict[str, Any]:
    """What the teacher is, and its accuracy on training speakers that it was not fitted to."""
    train = [clip for clip in clips if clip.split == "train"]
    rows = [row for row, clip in enumerate(train) if clip.label]
    labelled = [train[row] for row in rows]
    measured = measure_by_corpus(
        label_indices(labelled, labels_of(train)),
        targets.probabilities[rows].astype(np.float64),
        [clip.speaker for clip in labelled],
        [clip.corpus for clip in labelled],
    )
    return {
        "name": "attentive network on the encoder of Whisper tiny.en, cross-fitted by speaker",
        "uar": {corpus: round(figures.uar, 4) for corpus, figures in measured.items()},
    }


def embed(
    clips: Sequence[Clip],
    window_seconds: float,
    cache: Path,
    jobs: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Embeddings:
    """:func:`embed_samples` for every clip, from the cache or computed.

    Each corpus has its own cache, as models differ in corpora. Arguments and errors are those of
    :func:`compute_targets`.
    """
    embeddings: dict[Path, NDArray[np.float16]] = {}
    for corpus in dict.fromkeys(clip.corpus for clip in clips):
        paths = [clip.path for clip in clips if clip.corpus == corpus]
        loaded = _load(paths, window_seconds, cache, jobs, progress)
        embeddings.update(zip(paths, loaded))
    return [embeddings[clip.path] for clip in clips]


def embed_samples(samples: Floats, encoder: whisper.Encoder, window_seconds: float) -> Floats:
    """Hidden states of the encoder's upper layers, averaged over steps of 80 ms.

    Args:
        samples: mono, 16 kHz, float32, shape (n,); the silence around the speech is left out.
        encoder: Whisper's.
        window_seconds: what comes later is left out.

    Returns:
        float32, shape (n_steps, m), the layers side by side.
    """
    start, end = features.trim(samples, top_db=25.0, frame_length=256, hop_length=64)
    speech = samples[start:end][: int(window_seconds * whisper.SAMPLE_RATE)]
    speech = speech * np.float32(_LEVEL / (np.sqrt(np.mean(speech**2)) + 1e-9))
    states = encoder.hidden_states(speech)[FIRST_LAYER:]
    n_steps = max(1, states.shape[1] // STEP_TOKENS)
    steps = states[:, : n_steps * STEP_TOKENS].reshape(len(states), n_steps, -1, whisper.SIZE)
    means: Floats = steps.mean(axis=2).transpose(1, 0, 2)
    return means.reshape(n_steps, -1)


def _load(
    paths: list[Path],
    window_seconds: float,
    cache: Path,
    jobs: int,
    progress: Callable[[int, int], None],
) -> Embeddings:
    """The embeddings of some clips, from the cache or computed."""
    listing = [(str(path), path.stat().st_size) for path in paths]
    settings = [listing, window_seconds, FIRST_LAYER, STEP_TOKENS]
    key = hashlib.sha256(json.dumps(settings).encode())
    folder = cache / f"embeddings-{key.hexdigest()[:16]}"
    if not folder.is_dir():
        whisper.weights_file()  # missing, it is said here and once
        tasks = [(path, window_seconds) for path in paths]
        embeddings = []
        for steps in pool.imap(
            _embed_file, tasks, jobs=jobs, initializer=_start_worker, chunksize=16
        ):
            embeddings.append(steps)
            progress(len(embeddings), len(paths))
        cache.mkdir(parents=True, exist_ok=True)
        with draft(folder) as partial:
            partial.mkdir()
            np.save(partial / "embeddings.npy", np.concatenate(embeddings))
            np.save(partial / "lengths.npy", [len(steps) for steps in embeddings])
    ends = np.cumsum(np.load(folder / "lengths.npy"))
    return np.split(np.load(folder / "embeddings.npy"), ends[:-1])


class _Worker:
    """What a worker process keeps between clips."""

    encoder: whisper.Encoder


def _start_worker() -> None:
    _Worker.encoder = whisper.Encoder()


def _embed_file(task: tuple[Path, float]) -> NDArray[np.float16]:
    path, window_seconds = task
    samples = audio.load(path, whisper.SAMPLE_RATE)
    return embed_samples(samples, _Worker.encoder, window_seconds).astype(np.float16)


def _out_of_fold(
    embeddings: Embeddings,
    clips: Sequence[Clip],
    n_steps: int,
    cache: Path,
    jobs: int,
    folds: int,
    epochs: int,
    progress: Callable[[int, int], None],
) -> Floats:
    """The teacher head's out-of-fold predictions, from the cache or computed."""
    listing = [(str(clip.path), clip.speaker, clip.label) for clip in clips]
    settings = [n_steps, folds, epochs, head.CONSTANTS]
    key = hashlib.sha256(json.dumps([listing, settings]).encode())
    file = cache / f"out-of-fold-{key.hexdigest()[:16]}.npy"
    if not file.exists():
        values, lengths = padded(embeddings, n_steps)
        computed = head.out_of_fold_predictions(
            values, lengths, clips, jobs=jobs, folds=folds, epochs=epochs, progress=progress
        )
        cache.mkdir(parents=True, exist_ok=True)
        with draft(file) as partial:
            np.save(partial, computed)
    probabilities: Floats = np.load(file)
    return probabilities


def _pooled(steps: NDArray[np.float16]) -> Floats:
    """Mean and standard deviation over time, shape (2 m,)."""
    steps = steps.astype(np.float32)
    return np.concatenate([steps.mean(axis=0), steps.std(axis=0)])


def _reduced(pooled: Floats) -> Floats:
    """Principal components, standardized, shape (n, HINT_DIMENSION)."""
    reduce = _components(pooled, min(HINT_DIMENSION, len(pooled) - 1, pooled.shape[1]))
    reduced = reduce.transform(pooled)
    return np.asarray(reduced / reduced.std(axis=0), dtype=np.float32)


def _reduced_frames(
    embeddings: Embeddings, n_steps: int
) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    """``frame_embeddings`` and ``mask``, as in :class:`TeacherTargets`."""
    every = np.concatenate(embeddings)
    some = np.random.default_rng(0).permutation(len(every))[:_PCA_STEPS]
    size = min(HINT_DIMENSION, len(some), every.shape[1])
    reduce = _components(every[some].astype(np.float32), size)
    # One scale for all: the first components, which tell most, weigh most in the loss.
    scale = np.sqrt(reduce[-1].explained_variance_).mean()
    reduced = np.zeros((len(embeddings), n_steps, size), dtype=np.float16)
    mask = np.zeros(reduced.shape[:2], dtype=bool)
    for row, steps in enumerate(embeddings):
        steps = steps[:n_steps].astype(np.float32)
        reduced[row, : len(steps)] = reduce.transform(steps) / scale
        mask[row, : len(steps)] = True
    return reduced, mask


def _components(values: Floats, size: int) -> Any:
    """A fitted pipeline of a StandardScaler and a PCA (scikit-learn)."""
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), PCA(size, random_state=0)).fit(values)

"""The teacher: what a large speech model makes of the training clips, in several voices.

It is the frozen encoder of Whisper (:mod:`.whisper`) and a small network (:mod:`.teacher_head`)
that judges by its states. The student learns from these lessons (Hinton et al. 2015) and needs no
teacher afterwards.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_edge import audio, features

from ..corpus import augment
from ..corpus.clips import LABELS, Clip, label_indices
from ..evaluate.metrics import measure_by_corpus
from . import teacher_head, whisper

FIRST_LAYER = 2
"""The states of this layer and those above it; lower ones hold sounds, not yet voices."""
N_HINTS = 64
"""Principal components that the student guesses, of a clip's summary and of its states."""
STEP_TOKENS = 4
STEP_SECONDS = STEP_TOKENS * whisper.TOKEN_SECONDS
"""Time between two states: a step of the student behind its poolings."""

_LEVEL = 0.05  # -26 dBFS
_PCA_STEPS = 20000  # random steps that the components are found in

Floats = NDArray[np.float32]
States = list[NDArray[np.float16]]
"""Of clips, each of shape (n_steps, m)."""


@dataclass(frozen=True)
class Lessons:
    """What the teacher, which never heard their speakers, says of the training clips."""

    probabilities: Floats
    """Of the labels, shape (n_voices, n_train, n_labels)."""
    summaries: Floats
    """Its representation of each clip, standardized, shape (n_voices, n_train, N_HINTS)."""
    states: NDArray[np.float16]
    """The same over time, shape (n_voices, n_train, n_steps, N_HINTS), padded with zeros."""
    present: NDArray[np.bool_]
    """Which steps the clip fills, shape (n_voices, n_train, n_steps)."""


def lessons(
    clips: Sequence[Clip],
    *,
    window_seconds: float,
    cache: Path,
    jobs: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Lessons:
    """The teacher's lessons on the training clips.

    Args:
        clips: of both splits; those of "dev" are left alone.
        window_seconds: of the student's input; what comes later is left out.
        cache: folder that keeps the encoder's states.
        jobs: processes that compute.
        progress: called with the number of clips heard and their total, for each corpus and
            voice, and with that of the fits that judge.

    Raises:
        ser_edge.errors.DependencyError: Whisper's weights are not installed.
        ser_edge.errors.AudioError: a clip cannot be read.
    """
    train = [clip for clip in clips if clip.split == "train"]
    states = states_of(train, window_seconds, cache, jobs, progress)
    return teach(states, train, window_seconds, cache=cache, jobs=jobs, progress=progress)


def teach(
    states: list[States],
    clips: Sequence[Clip],
    window_seconds: float,
    *,
    cache: Path,
    jobs: int = 2,
    folds: int = teacher_head.FOLDS,
    epochs: int = teacher_head.EPOCHS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Lessons:
    """The lessons on clips whose states are known.

    Args:
        states: of the clips in every voice, as :func:`states_of` gives them.
        clips: n clips.
        window_seconds: of the student's input.
        cache: folder that keeps the judgements.
        jobs: processes that compute.
        folds: parts of the speakers, each judged by a fit on the others.
        epochs: of these fits.
        progress: called with the number of fits done and their total.

    Raises:
        SerEdgeError: all clips are of one speaker.
    """
    n_steps = 1 + int(window_seconds / STEP_SECONDS)
    probabilities = _judged(states, clips, n_steps, cache, jobs, folds, epochs, progress)
    summaries = np.stack([[_summary(steps) for steps in voice] for voice in states])
    components, present = _over_time(states, n_steps)
    return Lessons(probabilities, _reduced(summaries), components, present)


def _judged(
    states: list[States],
    clips: Sequence[Clip],
    n_steps: int,
    cache: Path,
    jobs: int,
    folds: int,
    epochs: int,
    progress: Callable[[int, int], None],
) -> Floats:
    """The labels' probabilities, from the cache or computed."""
    listing = [(str(clip.path), clip.speaker, clip.label) for clip in clips]
    settings = [augment.SPEED_FACTORS, n_steps, folds, epochs, teacher_head.CONSTANTS]
    key = hashlib.sha256(json.dumps([listing, settings]).encode())
    file = cache / f"judged-{key.hexdigest()[:16]}.npy"
    if not file.exists():
        size = states[0][0].shape[1]
        padded = np.zeros((len(states), len(clips), n_steps, size), dtype=np.float16)
        lengths = np.zeros(padded.shape[:2], dtype=np.int64)
        for voice, of_clips in enumerate(states):
            for row, steps in enumerate(of_clips):
                lengths[voice, row] = min(n_steps, len(steps))
                padded[voice, row, : lengths[voice, row]] = steps[:n_steps]
        judged = teacher_head.cross_fitted(
            padded, lengths, clips, jobs=jobs, folds=folds, epochs=epochs, progress=progress
        )
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="partial-") as folder:
            partial = Path(folder) / file.name
            np.save(partial, judged)
            partial.rename(file)
    probabilities: Floats = np.load(file)
    return probabilities


def describe(lessons: Lessons, clips: Sequence[Clip]) -> dict[str, Any]:
    """What the teacher is, and its accuracy on training speakers that it was not fitted to."""
    train = [clip for clip in clips if clip.split == "train"]
    measured = measure_by_corpus(
        label_indices(train),
        lessons.probabilities[0].astype(np.float64),
        [clip.speaker for clip in train],
        [clip.corpus for clip in train],
    )
    return {
        "name": "attentive network on the encoder of Whisper tiny.en, cross-fitted by speaker",
        "uar": {corpus: round(figures.uar, 4) for corpus, figures in measured.items()},
    }


def none(n_train: int, n_steps: int) -> Lessons:
    """Empty lessons, for a student without a teacher."""
    shape = (len(augment.SPEED_FACTORS), n_train)
    return Lessons(
        probabilities=np.zeros((*shape, len(LABELS)), dtype=np.float32),
        summaries=np.zeros((*shape, 1), dtype=np.float32),
        states=np.zeros((*shape, n_steps, 1), dtype=np.float16),
        present=np.zeros((*shape, n_steps), dtype=bool),
    )


def _summary(steps: NDArray[np.float16]) -> Floats:
    """Mean and standard deviation over time, shape (2 m,)."""
    steps = steps.astype(np.float32)
    return np.concatenate([steps.mean(axis=0), steps.std(axis=0)])


def _reduced(summaries: Floats) -> Floats:
    """Principal components, found in the clips as recorded, shape (n_voices, n, N_HINTS)."""
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    n_clips, n_features = summaries.shape[1:]
    size = min(N_HINTS, n_clips - 1, n_features)
    reduce = make_pipeline(StandardScaler(), PCA(size, random_state=0)).fit(summaries[0])
    reduced = np.stack([reduce.transform(voice) for voice in summaries])
    return np.asarray(reduced / reduced[0].std(axis=0), dtype=np.float32)


def _over_time(states: list[States], n_steps: int) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    every = np.concatenate(states[0])
    some = np.random.default_rng(0).permutation(len(every))[:_PCA_STEPS]
    size = min(N_HINTS, len(some), every.shape[1])
    pca = PCA(size, random_state=0)
    reduce = make_pipeline(StandardScaler(), pca).fit(every[some].astype(np.float32))
    # One scale for all: the first components, which tell most, weigh most in the loss.
    scale = np.sqrt(pca.explained_variance_).mean()
    components = np.zeros((len(states), len(states[0]), n_steps, size), dtype=np.float16)
    present = np.zeros(components.shape[:3], dtype=bool)
    for voice, clips in enumerate(states):
        for row, steps in enumerate(clips):
            steps = steps[:n_steps].astype(np.float32)
            components[voice, row, : len(steps)] = reduce.transform(steps) / scale
            present[voice, row, : len(steps)] = True
    return components, present


def steps_of(samples: Floats, encoder: whisper.Encoder, window_seconds: float) -> Floats:
    """The upper layers' states, averaged over steps of 80 ms, shape (n_steps, m).

    Args:
        samples: mono, 16 kHz, float32, shape (n,); the silence around the speech is left out.
        encoder: the ear.
        window_seconds: what comes later is left out.
    """
    start, end = features.trim(samples, top_db=25.0, frame_length=256, hop_length=64)
    speech = samples[start:end][: int(window_seconds * whisper.SAMPLE_RATE)]
    speech = speech * np.float32(_LEVEL / (np.sqrt(np.mean(speech**2)) + 1e-9))
    states = encoder.states(speech)[FIRST_LAYER:]
    n_steps = max(1, states.shape[1] // STEP_TOKENS)
    steps = states[:, : n_steps * STEP_TOKENS].reshape(len(states), n_steps, -1, whisper.SIZE)
    means: Floats = steps.mean(axis=2).transpose(1, 0, 2)
    return means.reshape(n_steps, -1)


def states_of(
    clips: Sequence[Clip],
    window_seconds: float,
    cache: Path,
    jobs: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[States]:
    """What :func:`steps_of` gives for every clip in every voice, from the cache or computed.

    Each corpus and voice has its own cache, as models differ in corpora. Arguments and errors are
    those of :func:`lessons`.

    Returns:
        A list for each of :data:`ser_edge.convert.corpus.augment.SPEED_FACTORS`, as recorded first.
    """
    states: dict[tuple[Path, float], NDArray[np.float16]] = {}
    for speed in augment.SPEED_FACTORS:
        for corpus in dict.fromkeys(clip.corpus for clip in clips):
            paths = [clip.path for clip in clips if clip.corpus == corpus]
            loaded = _load(paths, speed, window_seconds, cache, jobs, progress)
            states.update(((path, speed), steps) for path, steps in zip(paths, loaded))
    return [[states[clip.path, speed] for clip in clips] for speed in augment.SPEED_FACTORS]


def _load(
    paths: list[Path],
    speed: float,
    window_seconds: float,
    cache: Path,
    jobs: int,
    progress: Callable[[int, int], None],
) -> States:
    """The steps of some clips, from the cache or computed."""
    listing = [(str(path), path.stat().st_size) for path in paths]
    settings = [listing, speed, window_seconds, FIRST_LAYER, STEP_TOKENS]
    key = hashlib.sha256(json.dumps(settings).encode())
    folder = cache / f"teacher-{key.hexdigest()[:16]}"
    if not folder.is_dir():
        whisper.weights_file()  # missing, it is said here and once
        tasks = [(path, speed, window_seconds) for path in paths]
        states = []
        # Spawned, not forked: TensorFlow's threads may already run in this process.
        with multiprocessing.get_context("spawn").Pool(jobs, initializer=_start_worker) as pool:
            for steps in pool.imap(_hear, tasks, chunksize=16):
                states.append(steps)
                progress(len(states), len(paths))
        cache.mkdir(parents=True, exist_ok=True)
        # Renamed when whole: a run that breaks off leaves nothing that looks done.
        with tempfile.TemporaryDirectory(dir=cache, prefix="partial-") as parent:
            partial = Path(parent) / "states"
            partial.mkdir()
            np.save(partial / "states.npy", np.concatenate(states))
            np.save(partial / "lengths.npy", [len(steps) for steps in states])
            partial.rename(folder)
    ends = np.cumsum(np.load(folder / "lengths.npy"))
    return np.split(np.load(folder / "states.npy"), ends[:-1])


class _Worker:
    """What a worker process keeps between clips."""

    encoder: whisper.Encoder


def _start_worker() -> None:
    _Worker.encoder = whisper.Encoder()


def _hear(task: tuple[Path, float, float]) -> NDArray[np.float16]:
    path, speed, window_seconds = task
    samples = audio.load(path, whisper.SAMPLE_RATE)
    if speed != 1.0:
        samples = augment.speed(samples, whisper.SAMPLE_RATE, speed)
    return steps_of(samples, _Worker.encoder, window_seconds).astype(np.float16)

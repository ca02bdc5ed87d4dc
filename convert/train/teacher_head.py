"""The teacher's judgement: the labels' probabilities from an encoder's states over time.

A small network with attentive statistics pooling (Okabe et al. 2018) on frozen states. It is
cross-fitted: what it says of a speaker comes from a fit without that speaker, so its doubts are
honest.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_edge.errors import SerEdgeError

from ..backend import compute_in_one_order, tensorflow
from ..corpus.clips import LABELS, Clip, label_indices, sampling_probabilities

FOLDS = 5
"""Parts of the speakers, each judged by a fit on the others."""
EPOCHS = 12
"""Each draws as many clips as there are."""
UNITS = 192
ATTENTIONS = 4
BATCH_SIZE = 32
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.05
LABEL_SMOOTHING = 0.1
CORPUS_EXPONENT = 0.6
"""A corpus of n clips is drawn in proportion to n ** exponent; its labels equally often."""

CONSTANTS = (
    UNITS,
    ATTENTIONS,
    BATCH_SIZE,
    LEARNING_RATE,
    WEIGHT_DECAY,
    LABEL_SMOOTHING,
    CORPUS_EXPONENT,
)
"""What else a judgement depends on, for the key of a cache."""

_PREDICTED = 64  # clips at once

Floats = NDArray[np.float32]
States = NDArray[np.float16]


def cross_fitted(
    states: States,
    lengths: NDArray[np.int64],
    clips: Sequence[Clip],
    *,
    jobs: int = 2,
    folds: int = FOLDS,
    epochs: int = EPOCHS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Floats:
    """Probabilities of the labels, each from a fit without the clip's speaker.

    Args:
        states: of the clips in several voices, shape (n_voices, n, n_steps, m); a fit hears all
            voices of its speakers.
        lengths: steps that each of them fills, shape (n_voices, n).
        clips: n clips.
        jobs: processes that fit.
        folds: parts of the speakers; fewer for fewer speakers.
        epochs: of every fit.
        progress: called with the number of fits done and their total.

    Returns:
        Shape (n_voices, n, n_labels).

    Raises:
        SerEdgeError: all clips are of one speaker.
    """
    from sklearn.model_selection import GroupKFold

    speakers = [f"{clip.corpus} {clip.speaker}" for clip in clips]
    n_folds = min(folds, len(set(speakers)))
    if n_folds < 2:
        raise SerEdgeError("a teacher needs the clips of two speakers at the least")
    splits = list(GroupKFold(n_folds).split(speakers, groups=speakers))
    probabilities = np.zeros((*lengths.shape, len(LABELS)), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        # In a file, which the processes share: with copies for each it might not fit in memory.
        file = Path(folder) / "states.npy"
        np.save(file, states)
        tasks = [(file, lengths, list(clips), known, unknown, epochs) for known, unknown in splits]
        # Spawned, not forked: TensorFlow's threads may already run in this process.
        with multiprocessing.get_context("spawn").Pool(jobs, initializer=_start_worker) as pool:
            for done, answers in enumerate(pool.imap(_judge, tasks)):
                probabilities[:, splits[done][1]] = answers
                progress(done + 1, n_folds)
    return probabilities


def _start_worker() -> None:
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    compute_in_one_order()


_Task = tuple[Path, NDArray[np.int64], list[Clip], NDArray[np.int64], NDArray[np.int64], int]


def _judge(task: _Task) -> Floats:
    """Fit on the known clips and judge the unknown ones, shape (n_voices, n_unknown, n_labels)."""
    file, lengths, clips, known, unknown, epochs = task
    states = np.load(file, mmap_mode="r")
    tf = tensorflow()
    tf.keras.utils.set_random_seed(0)
    network = _build(states.shape[2:])
    # Standardized by what the known speakers hold, as recorded.
    some = np.random.default_rng(0).permutation(known)[:2000]
    filled = states[0, some][_present(lengths[0, some], states.shape[2]) > 0].astype(np.float32)
    mean, std = filled.mean(axis=0), filled.std(axis=0) + 1e-5
    per_epoch = -(-len(known) // BATCH_SIZE)
    rate = tf.keras.optimizers.schedules.CosineDecay(
        0.0, epochs * per_epoch, warmup_target=LEARNING_RATE, warmup_steps=per_epoch
    )
    optimizer = tf.keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY)
    loss = tf.keras.losses.CategoricalCrossentropy(label_smoothing=LABEL_SMOOTHING)
    network.compile(optimizer, loss)

    def heard(voices: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[Floats, Floats]:
        present = _present(lengths[voices, rows], states.shape[2])
        standard = (states[voices, rows].astype(np.float32) - mean) / std
        return standard * present[:, :, None], present

    def batches() -> Iterator[Any]:
        rng = np.random.default_rng(0)
        odds = sampling_probabilities([clips[row] for row in known], CORPUS_EXPONENT)
        truth = np.eye(len(LABELS), dtype=np.float32)[label_indices(clips)]
        while True:
            rows = rng.choice(known, BATCH_SIZE, p=odds)
            voices = rng.integers(len(states), size=BATCH_SIZE)
            yield heard(voices, rows), truth[rows]

    network.fit(batches(), steps_per_epoch=per_epoch, epochs=epochs, verbose=0)
    answers = np.zeros((len(states), len(unknown), len(LABELS)), dtype=np.float32)
    for voice in range(len(states)):
        for start in range(0, len(unknown), _PREDICTED):
            rows = unknown[start : start + _PREDICTED]
            inputs = heard(np.full(len(rows), voice), rows)
            answers[voice, start : start + _PREDICTED] = network(inputs, training=False)
    return answers


def _present(lengths: NDArray[np.int64], n_steps: int) -> Floats:
    return np.asarray(np.arange(n_steps) < lengths[:, None], dtype=np.float32)


def _build(shape: tuple[int, ...]) -> Any:
    tf = tensorflow()
    layers = tf.keras.layers

    states = tf.keras.Input(shape)
    present = tf.keras.Input(shape[:1])
    there = tf.expand_dims(present, -1)
    x = layers.SpatialDropout1D(0.3)(states)
    x = layers.Dense(UNITS, activation="gelu")(x) * there
    x = x + layers.Conv1D(UNITS, 3, padding="same", activation="gelu")(x)
    x = layers.Dropout(0.3)(layers.LayerNormalization()(x))
    weights = layers.Softmax(axis=1)(layers.Dense(ATTENTIONS)(x) + (there - 1.0) * 1e4)
    mean = tf.matmul(weights, x, transpose_a=True)
    variance = tf.matmul(weights, tf.square(x), transpose_a=True) - tf.square(mean)
    deviation = tf.sqrt(tf.maximum(variance, 1e-5))
    x = layers.Flatten()(layers.Concatenate()([mean, deviation]))
    x = layers.Dropout(0.4)(x)
    return tf.keras.Model((states, present), layers.Dense(len(LABELS), activation="softmax")(x))

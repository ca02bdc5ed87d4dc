"""The teacher head: the labels' probabilities from an encoder's embeddings over time.

A small network with attentive statistics pooling (Okabe et al. 2018) on frozen embeddings. Its
predictions are out-of-fold: those for a speaker come from a fit without that speaker, so they are
as uncertain as on new speakers.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_edge.errors import SerEdgeError

from ...backend import compute_in_one_order, tensorflow
from ...corpus.clips import Clip, labels_of
from .. import pool
from ..labels import drawing_probabilities, possible_labels, soft_labels

FOLDS = 5  # parts of the speakers, each predicted by a fit on the others
EPOCHS = 12  # each draws as many clips as there are
UNITS = 192
ATTENTIONS = 4
BATCH_SIZE = 32  # clips
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.05
LABEL_SMOOTHING = 0.1
CORPUS_EXPONENT = 0.6  # a corpus of n clips is drawn in proportion to n ** exponent
ORDINARY_FRACTION = 0.15  # of the clips drawn
ORDINARY_NEUTRAL = 0.8  # probability that ordinary speech is neutral

# What else a prediction depends on, for the key of a cache.
CONSTANTS = (
    UNITS,
    ATTENTIONS,
    BATCH_SIZE,
    LEARNING_RATE,
    WEIGHT_DECAY,
    LABEL_SMOOTHING,
    CORPUS_EXPONENT,
    ORDINARY_FRACTION,
    ORDINARY_NEUTRAL,
)

_PREDICT_BATCH = 64  # clips

Floats = NDArray[np.float32]
Embeddings = NDArray[np.float16]
Indices = NDArray[np.int64]


def out_of_fold_predictions(
    embeddings: Embeddings,
    lengths: Indices,
    clips: Sequence[Clip],
    *,
    jobs: int = 2,
    folds: int = FOLDS,
    epochs: int = EPOCHS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Floats:
    """Probabilities of the labels, each from a fit without the clip's speaker.

    Args:
        embeddings: of the clips, shape (n, n_steps, m).
        lengths: steps that each of them fills, shape (n,).
        clips: n clips; those without a label are ordinary speech.
        jobs: processes that fit.
        folds: parts of the speakers; fewer for fewer speakers.
        epochs: of every fit.
        progress: called with the number of fits done and their total.

    Returns:
        float32, shape (n, n_labels); of all labels, also those that the clip's corpus lacks.

    Raises:
        SerEdgeError: all clips are of one speaker.
    """
    from sklearn.model_selection import GroupKFold

    # A clip of an unknown speaker is on its own.
    speakers = [f"{clip.corpus} {clip.speaker or clip.path}" for clip in clips]
    labels = labels_of(clips)
    n_folds = min(folds, len(set(speakers)))
    if n_folds < 2:
        raise SerEdgeError("a teacher needs the clips of two speakers at the least")
    splits = list(GroupKFold(n_folds).split(speakers, groups=speakers))
    probabilities = np.zeros((len(clips), len(labels)), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        # In a file, which the processes share: with copies for each it might not fit in memory.
        file = Path(folder) / "embeddings.npy"
        np.save(file, embeddings)
        tasks = [
            Task(file, lengths, list(clips), fitted, held_out, epochs)
            for fitted, held_out in splits
        ]
        predicted = pool.imap(predict_fold, tasks, jobs=jobs, initializer=_start_worker)
        for done, of_fold in enumerate(predicted):
            probabilities[splits[done][1]] = of_fold
            progress(done + 1, n_folds)
    return probabilities


def _start_worker() -> None:
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    compute_in_one_order()


class Task(NamedTuple):
    """One fold."""

    file: Path  # embeddings.npy
    lengths: Indices  # (n,)
    clips: list[Clip]  # n
    fitted: Indices  # rows of the clips to fit to
    held_out: Indices  # rows of the clips to predict
    epochs: int


def predict_fold(task: Task) -> Floats:
    """Fit, and predict the clips that are held out, shape (n_held_out, n_labels)."""
    embeddings = np.load(task.file, mmap_mode="r")
    _, n_steps, size = embeddings.shape
    tf = tensorflow()
    tf.keras.utils.set_random_seed(0)
    labels = labels_of(task.clips)
    network = _build((n_steps, size), len(labels))
    # Standardized by the speakers that are fitted to.
    some = np.sort(np.random.default_rng(0).permutation(task.fitted)[:2000])
    steps = embeddings[some][_mask(task.lengths[some], n_steps) > 0].astype(np.float32)
    mean, std = steps.mean(axis=0), steps.std(axis=0) + 1e-5
    per_epoch = -(-len(task.fitted) // BATCH_SIZE)
    rate = tf.keras.optimizers.schedules.CosineDecay(
        0.0, task.epochs * per_epoch, warmup_target=LEARNING_RATE, warmup_steps=per_epoch
    )
    optimizer = tf.keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY)
    network.compile(optimizer, tf.keras.losses.CategoricalCrossentropy())

    def inputs(rows: Indices, possible: Floats) -> tuple[Floats, Floats, Floats]:
        mask = _mask(task.lengths[rows], n_steps)
        standard = (embeddings[rows].astype(np.float32) - mean) / std
        return standard * mask[:, :, None], mask, possible

    def batches() -> Iterator[Any]:
        rng = np.random.default_rng(0)
        fitted = [task.clips[row] for row in task.fitted]
        probabilities = drawing_probabilities(
            fitted, corpus_exponent=CORPUS_EXPONENT, ordinary_fraction=ORDINARY_FRACTION
        )
        targets = soft_labels(
            task.clips,
            labels,
            smoothing=LABEL_SMOOTHING,
            ordinary_neutral=ORDINARY_NEUTRAL,
        )
        possible = possible_labels(task.clips, labels)
        while True:
            rows = rng.choice(task.fitted, BATCH_SIZE, p=probabilities)
            yield inputs(rows, possible[rows]), targets[rows]

    network.fit(batches(), steps_per_epoch=per_epoch, epochs=task.epochs, verbose=0)
    predicted = np.zeros((len(task.held_out), len(labels)), dtype=np.float32)
    for start in range(0, len(task.held_out), _PREDICT_BATCH):
        rows = task.held_out[start : start + _PREDICT_BATCH]
        everything = np.ones((len(rows), len(labels)), dtype=np.float32)
        predicted[start : start + _PREDICT_BATCH] = network(
            inputs(rows, everything), training=False
        )
    return predicted


def _mask(lengths: Indices, n_steps: int) -> Floats:
    """1 for the steps that a clip fills, else 0; shape (n, n_steps)."""
    return np.asarray(np.arange(n_steps) < lengths[:, None], dtype=np.float32)


def _build(shape: tuple[int, int], n_labels: int) -> Any:
    """The network from embeddings (batch, n_steps, m), their mask (batch, n_steps) and the labels
    that are possible (batch, n_labels)."""
    tf = tensorflow()
    layers = tf.keras.layers

    embeddings = tf.keras.Input(shape)
    mask = tf.keras.Input(shape[:1])
    possible = tf.keras.Input((n_labels,))
    filled = tf.expand_dims(mask, -1)
    x = layers.SpatialDropout1D(0.3)(embeddings)
    x = layers.Dense(UNITS, activation="gelu")(x) * filled
    x = x + layers.Conv1D(UNITS, 3, padding="same", activation="gelu")(x)
    x = layers.Dropout(0.3)(layers.LayerNormalization()(x))
    weights = layers.Softmax(axis=1)(layers.Dense(ATTENTIONS)(x) + (filled - 1.0) * 1e4)
    mean = tf.matmul(weights, x, transpose_a=True)
    variance = tf.matmul(weights, tf.square(x), transpose_a=True) - tf.square(mean)
    deviation = tf.sqrt(tf.maximum(variance, 1e-5))
    x = layers.Flatten()(layers.Concatenate()([mean, deviation]))
    x = layers.Dropout(0.4)(x)
    probabilities = layers.Softmax()(layers.Dense(n_labels)(x) + (possible - 1.0) * 1e4)
    return tf.keras.Model((embeddings, mask, possible), probabilities)

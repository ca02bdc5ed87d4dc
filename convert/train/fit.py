"""Training: weights fitted to cached features; the dev speakers only watch."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_edge.errors import SerEdgeError

from ..backend import tensorflow
from ..corpus.clips import LABELS, Clip, label_indices, sampling_probabilities
from ..evaluate.metrics import measure_by_corpus
from . import architectures, cepstral, teacher
from .architectures import RMS, STEP_FRAMES
from .dataset import Dataset
from .teacher import STEP_SECONDS, Lessons

WEIGHTS = "average.weights.h5"
"""In a run's folder: the moving average of the weights after the last epoch so far."""


@dataclass(frozen=True)
class Recipe:
    """The hyper-parameters of a training run."""

    architecture: str = "deep"
    epochs: int = 50
    """Each draws as many clips as the training split has."""
    batch_size: int = 32
    learning_rate: float = 4e-3
    """Reached after the warm-up; then a cosine down to zero over the epochs."""
    warmup_steps: int = 300
    weight_decay: float = 1e-2
    mixup: float = 0.2
    """Parameter of the beta distribution of the mixing weight (Zhang et al. 2018)."""
    label_smoothing: float = 0.05
    corpus_exponent: float = 0.6
    """A corpus of n clips is drawn in proportion to n ** exponent; its labels equally often."""
    average_decay: float = 0.999
    """Of the moving average of the weights, per step; the average is what is kept."""
    clean_share: float = 0.5
    """Share of the clips drawn as recorded; the others are one of their augmented copies."""
    other_voices: float = 0.25
    """Odds with which a copy in another voice is drawn, to those of one in the clip's own."""
    warp: float = 0.1
    """Largest change of the vocal tract's length, a share (Jaitly & Hinton 2013)."""
    colour: float = 10.0
    """Standard deviation of a random colour's first cepstral coefficient."""
    mask_frames: int = 12
    """Longest stretch of frames that is blanked, twice a clip (SpecAugment, Park et al. 2019)."""
    crop_frames: int = 264
    """Longest part of a clip that is heard at once, from a random start; 0: all of it."""
    teacher_share: float = 0.9
    """Share of the target that is the teacher's probabilities, not the label."""
    summary_weight: float = 0.6
    """Weight in the loss of guessing the teacher's summary of the clip (Romero et al. 2015)."""
    state_weight: float = 2.0
    """The same for the teacher's states over time."""
    seed: int = 1


def train(
    dataset: Dataset,
    frontend: dict[str, Any],
    recipe: Recipe,
    *,
    folder: Path,
    lessons: Lessons | None = None,
    resume: bool = False,
    report: Callable[[dict[str, Any]], None] = lambda line: None,
) -> Any:
    """Train and return the network with the moving average of its weights.

    After every epoch the folder holds a checkpoint, the averaged weights (:data:`WEIGHTS`) and
    one more line of ``log.jsonl``. Nothing is chosen by the dev speakers' accuracy, which the
    lines report.

    Args:
        dataset: unnormalized features.
        frontend: what they were made with, and their ``normalization``.
        recipe: the hyper-parameters.
        folder: where the run is kept; made if needed.
        lessons: what a teacher says of the training clips, for a recipe that listens to one.
        resume: go on from the folder's checkpoint. Dropout then draws other numbers than in a
            run without a break.
        report: called with the log line of every epoch.

    Returns:
        A ``keras.Model`` (Keras 2).

    Raises:
        SerEdgeError: the run to resume had other settings, or the architecture has no layers that
            could guess what a teacher hears or hears parts of a window otherwise than the whole.
    """
    taught = recipe.summary_weight or recipe.state_weight
    if taught and recipe.architecture not in architectures.TEACHABLE:
        raise SerEdgeError(f"the network {recipe.architecture!r} can only learn without teacher")
    if recipe.crop_frames and recipe.architecture not in architectures.ANY_LENGTH:
        raise SerEdgeError(f"the network {recipe.architecture!r} can only learn from whole windows")
    tf = tensorflow()

    tf.keras.utils.set_random_seed(recipe.seed)
    folder.mkdir(parents=True, exist_ok=True)
    steps, channels = dataset.dev.shape[1:]
    shape = (steps, channels)
    n_steps = 1 + int(frontend["window_seconds"] / STEP_SECONDS)
    lessons = lessons or teacher.none(len(dataset.train_clips), n_steps)
    batches = _Batches(dataset, frontend, recipe, lessons)
    model = architectures.build(recipe.architecture, (batches.crop, channels), len(LABELS))
    average = architectures.build(recipe.architecture, shape, len(LABELS))
    average.set_weights(model.get_weights())
    student = _with_guesses(model, lessons.summaries.shape[2]) if taught else model
    optimizer = _optimizer(recipe, batches.per_epoch)
    step = _training_step(student, model, average, optimizer, recipe)
    epoch = tf.Variable(0, dtype=tf.int64)
    checkpoint = tf.train.Checkpoint(
        student=student, average=average, optimizer=optimizer, epoch=epoch
    )
    manager = tf.train.CheckpointManager(checkpoint, str(folder / "checkpoints"), max_to_keep=1)
    log = folder / "log.jsonl"
    settings = {**asdict(recipe), "shape": list(shape)}
    del settings["epochs"]
    settings_file = folder / "settings.json"
    if resume and manager.latest_checkpoint:
        if json.loads(settings_file.read_text()) != settings:
            raise SerEdgeError(f"the run in {folder} cannot go on: it had other settings")
        checkpoint.restore(manager.latest_checkpoint)
    else:
        settings_file.write_text(json.dumps(settings) + "\n")
        log.write_text("")

    while epoch < recipe.epochs:
        loss = float(np.mean([step(batch) for batch in batches.epoch(int(epoch))]))
        epoch.assign_add(1)
        uars = _dev_uars(average, batches.normalized(dataset.dev), dataset.dev_clips)
        line = {
            "epoch": int(epoch),
            "loss": round(loss, 4),
            "uar": round(float(np.mean(list(uars.values()))), 4),
            **{f"uar_{name}": round(value, 4) for name, value in uars.items()},
        }
        average.save_weights(str(folder / WEIGHTS))
        with log.open("a") as file:
            file.write(json.dumps(line) + "\n")
        manager.save()
        report(line)
    return average


class _Batch(NamedTuple):
    """What one training step takes; float32."""

    features: NDArray[np.float32]
    """Normalized, shape (batch, *frontend shape)."""
    targets: NDArray[np.float32]
    """Shape (batch, n_labels)."""
    summaries: NDArray[np.float32]
    """The teacher's, shape (batch, n_hints)."""
    states: NDArray[np.float32]
    """The teacher's, shape (batch, n_steps, n_hints)."""
    present: NDArray[np.float32]
    """1 for the steps with a state, else 0; shape (batch, n_steps)."""


class _Batches:
    """Draws augmented, normalized, mixed training batches."""

    def __init__(
        self,
        dataset: Dataset,
        frontend: dict[str, Any],
        recipe: Recipe,
        lessons: Lessons,
    ) -> None:
        self._matrices = dataset.train
        self._moments = dataset.moments
        self._recipe = recipe
        axes = (slice(None), None) if frontend["layout"] == "features_frames" else (slice(None),)
        normalization = frontend["normalization"]
        self._mean = np.array(normalization["mean"], dtype=np.float32)[axes]
        self._scale = 1.0 / np.array(normalization["std"], dtype=np.float32)[axes]
        self._vary = cepstral.Augmentation(frontend, warp=recipe.warp, colour=recipe.colour)
        truth = np.eye(len(LABELS), dtype=np.float32)[label_indices(dataset.train_clips)]
        targets = truth + recipe.label_smoothing * (1.0 / len(LABELS) - truth)
        self._targets = targets + recipe.teacher_share * (lessons.probabilities - targets)
        self._voices = dataset.voices
        # Up to each copy, so that a random number finds one.
        odds = np.where(dataset.voices[1:] == 0, 1.0, recipe.other_voices)
        self._copy_odds = np.cumsum(odds / np.maximum(odds.sum(axis=0), 1e-9), axis=0)
        self._lessons = lessons
        self._odds = sampling_probabilities(dataset.train_clips, recipe.corpus_exponent)
        n_frames = dataset.train.shape[2]
        self.crop = min(recipe.crop_frames or n_frames, n_frames)
        self.per_epoch = math.ceil(len(dataset.train_clips) / recipe.batch_size)

    def normalized(self, matrices: NDArray[Any]) -> NDArray[np.float32]:
        scaled: NDArray[np.float32] = (matrices.astype(np.float32) - self._mean) * self._scale
        return scaled

    def epoch(self, number: int) -> Iterator[_Batch]:
        """The batches of one epoch."""
        recipe = self._recipe
        # One generator an epoch: a resumed run draws what an unbroken one would have drawn.
        rng = np.random.default_rng((recipe.seed, number))
        for _ in range(self.per_epoch):
            rows = rng.choice(len(self._odds), recipe.batch_size, p=self._odds)
            copies = self._draw_copies(rows, rng)
            raw = self._matrices[copies, rows].astype(np.float32)
            starts = self._draw_starts(raw, rng)
            raw = _from(raw, starts, self.crop)
            features = self.normalized(self._vary(raw, rng))
            if recipe.mask_frames:
                cepstral.mask_frames(features, recipe.mask_frames, rng)
            voices = self._voices[copies, rows]
            summaries = self._lessons.summaries[voices, rows]
            states, present = self._states(copies, rows, starts // STEP_FRAMES)
            batch = _Batch(features, self._targets[voices, rows], summaries, states, present)
            yield _mixup(batch, recipe.mixup, rng) if recipe.mixup else batch

    def _states(
        self, copies: NDArray[np.int64], rows: NDArray[np.int64], starts: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The teacher's states at the moments that the steps of the cropped matrices show."""
        n_steps = self._lessons.present.shape[2]
        pace, start = self._moments[copies, rows].T[:, :, None]
        steps = np.arange(-(-self.crop // STEP_FRAMES)) + starts[:, None]
        middles = (steps + 0.5) * STEP_SECONDS
        places = np.floor((middles * pace + start) / STEP_SECONDS).astype(int)
        inside = np.clip(places, 0, n_steps - 1)
        at = self._voices[copies, rows][:, None], rows[:, None], inside
        present = self._lessons.present[at] & (places == inside)
        states = self._lessons.states[at].astype(np.float32)
        return states, present.astype(np.float32)

    def _draw_starts(self, raw: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.int64]:
        """First frames of the parts that are heard, on the grid of the teacher's steps."""
        filled = raw.shape[1] - np.argmax(raw[:, ::-1, RMS] > 0, axis=1)
        spare = np.maximum(filled - self.crop, 0) // STEP_FRAMES
        starts: NDArray[np.int64] = rng.integers(spare + 1) * STEP_FRAMES
        return starts

    def _draw_copies(self, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        if len(self._matrices) == 1:
            return np.zeros_like(rows)
        passed = self._copy_odds[:, rows] < rng.random(len(rows))
        augmented = 1 + np.minimum(passed.sum(axis=0), len(passed) - 1)
        return np.where(rng.random(len(rows)) < self._recipe.clean_share, 0, augmented)


def _from(
    matrices: NDArray[np.float32], starts: NDArray[np.int64], n_frames: int
) -> NDArray[np.float32]:
    """Of every matrix, (batch, frames, features), n frames from its start."""
    places = starts[:, None] + np.arange(n_frames)
    parts: NDArray[np.float32] = matrices[np.arange(len(matrices))[:, None], places]
    return parts


def _mixup(batch: _Batch, alpha: float, rng: np.random.Generator) -> _Batch:
    """Blend every example with another one of the batch (Zhang et al. 2018)."""
    size = len(batch.features)
    share = rng.beta(alpha, alpha, size=size).astype(np.float32)
    others = rng.permutation(size)

    def blend(values: NDArray[np.float32]) -> NDArray[np.float32]:
        weight = share.reshape(size, *[1] * (values.ndim - 1))
        mixed: NDArray[np.float32] = weight * values + (1 - weight) * values[others]
        return mixed

    return _Batch(*[blend(values) for values in batch])


def _optimizer(recipe: Recipe, steps_per_epoch: int) -> Any:
    tf = tensorflow()

    schedule = tf.keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, recipe.epochs * steps_per_epoch - recipe.warmup_steps),
        warmup_target=recipe.learning_rate,
        warmup_steps=recipe.warmup_steps,
    )
    optimizer = tf.keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay, clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _with_guesses(model: Any, n_hints: int) -> Any:
    """The model with outputs, used in training alone, that guess the teacher's representation."""
    tf = tensorflow()

    summary = model.get_layer(architectures.SUMMARY).output
    states = model.get_layer(architectures.STATES).output
    guesses = [tf.keras.layers.Dense(n_hints)(layer) for layer in (summary, states)]
    return tf.keras.Model(model.input, [model.output, *guesses])


def _training_step(student: Any, model: Any, average: Any, optimizer: Any, recipe: Recipe) -> Any:
    tf = tensorflow()

    cross_entropy = tf.keras.losses.CategoricalCrossentropy()

    @tf.function  # type: ignore[untyped-decorator]
    def step(batch: _Batch) -> Any:
        with tf.GradientTape() as tape:
            if student is model:
                loss = cross_entropy(batch.targets, model(batch.features, training=True))
            else:
                probabilities, summaries, states = student(batch.features, training=True)
                loss = cross_entropy(batch.targets, probabilities)
                missed = tf.reduce_mean(tf.square(summaries - batch.summaries))
                loss += recipe.summary_weight * missed
                missed = tf.reduce_mean(tf.square(states - batch.states), axis=-1)
                n_present = tf.reduce_sum(batch.present) + 1.0
                loss += recipe.state_weight * tf.reduce_sum(missed * batch.present) / n_present
        gradients = tape.gradient(loss, student.trainable_variables)
        optimizer.apply_gradients(zip(gradients, student.trainable_variables))
        # A shorter memory at first, or the average would long remember the random start.
        done = tf.cast(optimizer.iterations, tf.float32)
        decay = tf.minimum(recipe.average_decay, done / (done + 10.0))
        for mean, weight in zip(average.weights, model.weights):
            mean.assign(decay * mean + (1.0 - decay) * weight)
        return loss

    optimizer.build(student.trainable_variables)
    return step


def _dev_uars(model: Any, features: NDArray[np.float32], clips: list[Clip]) -> dict[str, float]:
    probabilities = model.predict(features, batch_size=256, verbose=0)
    measured = measure_by_corpus(
        label_indices(clips),
        probabilities,
        [clip.speaker for clip in clips],
        [clip.corpus for clip in clips],
    )
    return {name: accuracy.uar for name, accuracy in measured.items()}

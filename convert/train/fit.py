"""The training loop: weights fitted to cached features; the dev speakers are only measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_edge.errors import SerEdgeError
from ser_edge.frontend import FrontendSpec

from ..backend import tensorflow
from ..corpus.clips import LABELS, label_indices
from ..evaluate.metrics import measure_by_corpus
from . import architectures, teacher
from .batches import Batch, Batches
from .config import TrainingConfig
from .dataset import Dataset, normalize
from .labels import NEUTRAL
from .teacher import STEP_SECONDS, TeacherTargets

# In a run's folder:
WEIGHTS = "average.weights.h5"  # the moving average of the weights after the last epoch so far
LOG = "log.jsonl"  # a line an epoch
_SETTINGS = "settings.json"

_LEAST_PROBABILITY = 1e-7  # keeps the logarithm finite
_DEV_BATCH = 64  # clips; with 256, whose layers leave the cache, a core takes twice as long


def train(
    dataset: Dataset,
    spec: dict[str, Any],
    config: TrainingConfig,
    *,
    folder: Path,
    targets: TeacherTargets | None = None,
    resume: bool = False,
    report: Callable[[dict[str, Any]], None] = lambda line: None,
) -> Any:
    """Train and return the network with the moving average of its weights.

    After every epoch the folder holds a checkpoint, the averaged weights (:data:`WEIGHTS`) and
    one more line of :data:`LOG`. Nothing is chosen by the dev speakers' accuracy, which the lines
    report.

    Args:
        dataset: unnormalized features.
        spec: the front end that they were made with, and its ``normalization``.
        config: the hyper-parameters.
        folder: where the run is kept; made if needed.
        targets: the teacher's, on the training clips, for a configuration that needs them.
        resume: go on from the folder's checkpoint. Dropout then draws other numbers than in a
            run without a break.
        report: called with the log line of every epoch.

    Returns:
        A ``keras.Model`` (Keras 2).

    Raises:
        SerEdgeError: the run to resume had other settings.
    """
    tf = tensorflow()

    tf.keras.utils.set_random_seed(config.seed)
    folder.mkdir(parents=True, exist_ok=True)
    n_frames, n_features = shape = dataset.dev.shape[1:]
    n_steps = 1 + int(FrontendSpec.parse(spec).window_seconds / STEP_SECONDS)
    n_labels = len(dataset.labels)
    targets = targets or teacher.no_targets(len(dataset.train_clips), n_steps, n_labels)
    batches = Batches(dataset, spec, config, targets)
    model = architectures.build(config.architecture, (batches.crop_frames, n_features), n_labels)
    average = architectures.build(config.architecture, (n_frames, n_features), n_labels)
    average.set_weights(model.get_weights())
    student = model
    if config.needs_embeddings:
        student = _with_distillation_heads(model, targets.utterance_embeddings.shape[1])
    optimizer = _optimizer(config, batches.per_epoch)
    step = _training_step(student, model, average, optimizer, config)
    epoch = tf.Variable(0, dtype=tf.int64)
    checkpoint = tf.train.Checkpoint(
        student=student, average=average, optimizer=optimizer, epoch=epoch
    )
    manager = tf.train.CheckpointManager(checkpoint, str(folder / "checkpoints"), max_to_keep=1)
    log = folder / LOG
    settings = {**asdict(config), "shape": list(shape), "labels": list(dataset.labels)}
    del settings["epochs"]
    settings_file = folder / _SETTINGS
    if resume and manager.latest_checkpoint:
        if json.loads(settings_file.read_text()) != settings:
            raise SerEdgeError(f"the run in {folder} cannot go on: it had other settings")
        checkpoint.restore(manager.latest_checkpoint)
    else:
        settings_file.write_text(json.dumps(settings) + "\n")
        log.write_text("")

    while epoch < config.epochs:
        loss = float(np.mean([step(batch) for batch in batches.epoch(int(epoch))]))
        epoch.assign_add(1)
        uars, emotional = _dev_figures(average, normalize(dataset.dev, spec), dataset)
        line = {
            "epoch": int(epoch),
            "loss": round(loss, 4),
            "uar": round(float(np.mean(list(uars.values()))), 4),
            **{f"uar_{name}": round(value, 4) for name, value in uars.items()},
        }
        if emotional is not None:
            line["ordinary_not_neutral"] = round(emotional, 4)
        average.save_weights(str(folder / WEIGHTS))
        with log.open("a") as file:
            file.write(json.dumps(line) + "\n")
        manager.save()
        report(line)
    return average


def load(folder: Path) -> Any:
    """The network that :func:`train` kept in a folder, with the averaged weights.

    Returns:
        A ``keras.Model`` (Keras 2).

    Raises:
        OSError: there is no such run.
    """
    settings = json.loads((folder / _SETTINGS).read_text())
    n_labels = len(labels(folder))
    # Dropout asks for a seed even where it is only built.
    tensorflow().keras.utils.set_random_seed(settings["seed"])
    model = architectures.build(settings["architecture"], tuple(settings["shape"]), n_labels)
    model.load_weights(str(folder / WEIGHTS))
    return model


def labels(folder: Path) -> tuple[str, ...]:
    """The labels of the network in a folder, in the order of its outputs."""
    settings = json.loads((folder / _SETTINGS).read_text())
    return tuple(settings.get("labels", LABELS))  # of a run before there were others: the six


def _optimizer(config: TrainingConfig, steps_per_epoch: int) -> Any:
    tf = tensorflow()

    steps = config.epochs * steps_per_epoch
    warmup_steps = min(config.warmup_steps, steps // 5)  # a small corpus has few in all
    schedule = tf.keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, steps - warmup_steps),
        warmup_target=config.learning_rate,
        warmup_steps=warmup_steps,
    )
    optimizer = tf.keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay, clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _with_distillation_heads(model: Any, hint_dimension: int) -> Any:
    """The model with two more outputs, used in training alone: the teacher's embeddings."""
    tf = tensorflow()

    embeddings = [
        model.get_layer(name).output
        for name in (architectures.UTTERANCE_EMBEDDING, architectures.FRAME_EMBEDDINGS)
    ]
    heads = [tf.keras.layers.Dense(hint_dimension)(embedding) for embedding in embeddings]
    return tf.keras.Model(model.input, [model.output, *heads])


def _training_step(
    student: Any, model: Any, average: Any, optimizer: Any, config: TrainingConfig
) -> Any:
    """A function of a batch that takes one step of the optimizer and returns the loss."""
    tf = tensorflow()

    def cross_entropy(batch: Batch, probabilities: Any) -> Any:
        """Of the labels that are possible, their probabilities made to add up to 1."""
        kept = probabilities * batch.possible
        kept /= tf.reduce_sum(kept, axis=1, keepdims=True) + _LEAST_PROBABILITY
        logarithms = tf.math.log(tf.maximum(kept, _LEAST_PROBABILITY))
        return -tf.reduce_mean(tf.reduce_sum(batch.targets * logarithms, axis=1))

    @tf.function  # type: ignore[untyped-decorator]
    def step(batch: Batch) -> Any:
        with tf.GradientTape() as tape:
            if student is model:
                loss = cross_entropy(batch, model(batch.features, training=True))
            else:
                probabilities, utterance, frames = student(batch.features, training=True)
                loss = cross_entropy(batch, probabilities)
                error = tf.reduce_mean(tf.square(utterance - batch.utterance_embeddings))
                loss += config.utterance_weight * error
                error = tf.reduce_mean(tf.square(frames - batch.frame_embeddings), axis=-1)
                n_steps = tf.reduce_sum(batch.mask) + 1.0
                loss += config.frame_weight * tf.reduce_sum(error * batch.mask) / n_steps
        gradients = tape.gradient(loss, student.trainable_variables)
        optimizer.apply_gradients(zip(gradients, student.trainable_variables))
        # A shorter memory at first, or the average would long remember the random start.
        done = tf.cast(optimizer.iterations, tf.float32)
        decay = tf.minimum(config.ema_decay, done / (done + 10.0))
        for mean, weight in zip(average.weights, model.weights):
            mean.assign(decay * mean + (1.0 - decay) * weight)
        return loss

    optimizer.build(student.trainable_variables)
    return step


def _dev_figures(
    model: Any, features: NDArray[np.float32], dataset: Dataset
) -> tuple[dict[str, float], float | None]:
    """UAR by corpus, and the share of ordinary speech that is not neutral, if there is any."""
    probabilities = model.predict(features, batch_size=_DEV_BATCH, verbose=0)
    rows = [row for row, clip in enumerate(dataset.dev_clips) if clip.label]
    labelled = [dataset.dev_clips[row] for row in rows]
    measured = measure_by_corpus(
        label_indices(labelled, dataset.labels),
        probabilities[rows],
        [clip.speaker for clip in labelled],
        [clip.corpus for clip in labelled],
    )
    ordinary = np.delete(probabilities, rows, axis=0).argmax(axis=1)
    emotional = float(np.mean(ordinary != dataset.labels.index(NEUTRAL))) if len(ordinary) else None
    return {name: accuracy.uar for name, accuracy in measured.items()}, emotional

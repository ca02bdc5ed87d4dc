"""Training: weights fitted to cached features, the best kept by the dev speakers' accuracy."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_edge.errors import SerEdgeError

from . import architectures
from .backend import tensorflow
from .corpus import LABELS, Clip
from .dataset import Dataset, label_indices
from .evaluation import measure_by_corpus

BEST = "best.weights.h5"
"""In a run's folder: the weights of the best epoch so far."""


@dataclass(frozen=True)
class Recipe:
    """The hyper-parameters of a training run."""

    architecture: str = "compact"
    epochs: int = 30
    """Each draws as many clips as the training split has."""
    patience: int = 12
    """Epochs without a better dev accuracy after which training stops."""
    batch_size: int = 64
    learning_rate: float = 1.5e-3
    """Reached after the warm-up; then a cosine down to zero over the epochs."""
    warmup_steps: int = 300
    weight_decay: float = 1e-2
    mixup: float = 0.2
    """Parameter of the beta distribution of the mixing weight (Zhang et al. 2018)."""
    label_smoothing: float = 0.05
    corpus_exponent: float = 0.6
    """A corpus of n clips is drawn in proportion to n ** exponent; its labels equally often."""
    average_decay: float = 0.998
    """Of the moving average of the weights, per step; the average is what is kept."""
    clean_share: float = 0.3
    """Share of the clips drawn as recorded; the others are one of their augmented copies."""
    seed: int = 1


def train(
    dataset: Dataset,
    normalization: dict[str, list[float]],
    recipe: Recipe,
    *,
    folder: Path,
    feature_axis: int,
    resume: bool = False,
    report: Callable[[dict[str, Any]], None] = lambda line: None,
) -> Any:
    """Train and return the network with its best weights.

    After every epoch the folder holds a checkpoint, the best weights so far
    (:data:`BEST`) and one more line of ``log.jsonl``.

    Args:
        dataset: unnormalized features.
        normalization: ``mean`` and ``std`` of every feature.
        recipe: the hyper-parameters.
        folder: where the run is kept; made if needed.
        feature_axis: axis of the features in one matrix: 0 or 1.
        resume: go on from the folder's checkpoint. Dropout then draws other numbers than in a
            run without a break.
        report: called with the log line of every epoch.

    Returns:
        A ``keras.Model`` (Keras 2).

    Raises:
        SerEdgeError: the run to resume had other settings.
    """
    tf = tensorflow()

    tf.keras.utils.set_random_seed(recipe.seed)
    folder.mkdir(parents=True, exist_ok=True)
    steps, channels = dataset.dev.shape[1:]
    shape = (steps, channels)
    model = architectures.build(recipe.architecture, shape, len(LABELS))
    average = architectures.build(recipe.architecture, shape, len(LABELS))
    average.set_weights(model.get_weights())
    batches = _Batches(dataset, normalization, recipe, feature_axis)
    optimizer = _optimizer(recipe, batches.per_epoch)
    step = _training_step(model, average, optimizer, recipe)
    epoch = tf.Variable(0, dtype=tf.int64)
    best_uar = tf.Variable(-1.0)
    best_epoch = tf.Variable(0, dtype=tf.int64)
    checkpoint = tf.train.Checkpoint(
        model=model,
        average=average,
        optimizer=optimizer,
        epoch=epoch,
        best_uar=best_uar,
        best_epoch=best_epoch,
    )
    manager = tf.train.CheckpointManager(checkpoint, str(folder / "checkpoints"), max_to_keep=1)
    log = folder / "log.jsonl"
    best = folder / BEST
    settings = {**asdict(recipe), "shape": list(shape)}
    del settings["epochs"], settings["patience"]
    settings_file = folder / "settings.json"
    if resume and manager.latest_checkpoint:
        if json.loads(settings_file.read_text()) != settings:
            raise SerEdgeError(f"the run in {folder} cannot go on: it had other settings")
        checkpoint.restore(manager.latest_checkpoint)
    else:
        settings_file.write_text(json.dumps(settings) + "\n")
        log.write_text("")

    while epoch < recipe.epochs and epoch - best_epoch < recipe.patience:
        loss = float(np.mean([step(*batch) for batch in batches.epoch(int(epoch))]))
        epoch.assign_add(1)
        uars = _dev_uars(average, batches.normalized(dataset.dev), dataset.dev_clips)
        mean_uar = float(np.mean(list(uars.values())))
        if mean_uar > best_uar:
            best_uar.assign(mean_uar)
            best_epoch.assign(epoch)
            average.save_weights(str(best))
        line = {
            "epoch": int(epoch),
            "loss": round(loss, 4),
            "uar": round(mean_uar, 4),
            **{f"uar_{corpus}": round(value, 4) for corpus, value in uars.items()},
            "best_epoch": int(best_epoch),
        }
        with log.open("a") as file:
            file.write(json.dumps(line) + "\n")
        manager.save()
        report(line)
    average.load_weights(str(best))
    return average


class _Batches:
    """Draws normalized, mixed training batches."""

    def __init__(
        self,
        dataset: Dataset,
        normalization: dict[str, list[float]],
        recipe: Recipe,
        feature_axis: int,
    ) -> None:
        self._matrices = dataset.train
        self._recipe = recipe
        axes = (slice(None), None) if feature_axis == 0 else (slice(None),)
        self._mean = np.array(normalization["mean"], dtype=np.float32)[axes]
        self._scale = 1.0 / np.array(normalization["std"], dtype=np.float32)[axes]
        self._targets = np.eye(len(LABELS), dtype=np.float32)[label_indices(dataset.train_clips)]
        self._odds = sampling_odds(dataset.train_clips, recipe.corpus_exponent)
        self.per_epoch = math.ceil(len(dataset.train_clips) / recipe.batch_size)

    def normalized(self, matrices: NDArray[np.float16]) -> NDArray[np.float32]:
        scaled: NDArray[np.float32] = (matrices.astype(np.float32) - self._mean) * self._scale
        return scaled

    def epoch(self, number: int) -> Any:
        """The batches of one epoch: pairs of features and targets."""
        recipe = self._recipe
        # One generator an epoch: a resumed run draws what an unbroken one would have drawn.
        rng = np.random.default_rng((recipe.seed, number))
        for _ in range(self.per_epoch):
            rows = rng.choice(len(self._odds), recipe.batch_size, p=self._odds)
            copies = self._draw_copies(rng)
            features = self.normalized(self._matrices[copies, rows])
            targets = self._targets[rows]
            if recipe.mixup:
                features, targets = _mixup(features, targets, recipe.mixup, rng)
            yield features, targets

    def _draw_copies(self, rng: np.random.Generator) -> NDArray[np.int64]:
        size = self._recipe.batch_size
        if len(self._matrices) == 1:
            return np.zeros(size, dtype=np.int64)
        augmented = rng.integers(1, len(self._matrices), size=size)
        return np.where(rng.random(size) < self._recipe.clean_share, 0, augmented)


def sampling_odds(clips: list[Clip], corpus_exponent: float) -> NDArray[np.float64]:
    """The probability with which each clip is drawn, shape (n,).

    A corpus of n clips is drawn in proportion to ``n ** corpus_exponent``, its labels equally
    often, and the clips of one label of a corpus equally often.
    """
    cells: dict[tuple[str, str], int] = {}
    corpora: dict[str, int] = {}
    for clip in clips:
        cells[clip.corpus, clip.label] = cells.get((clip.corpus, clip.label), 0) + 1
        corpora[clip.corpus] = corpora.get(clip.corpus, 0) + 1
    labels = {corpus: sum(1 for cell in cells if cell[0] == corpus) for corpus in corpora}
    odds = np.array(
        [
            corpora[clip.corpus] ** corpus_exponent
            / labels[clip.corpus]
            / cells[clip.corpus, clip.label]
            for clip in clips
        ]
    )
    return np.asarray(odds / odds.sum(), dtype=np.float64)


def _mixup(
    features: NDArray[np.float32],
    targets: NDArray[np.float32],
    alpha: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Blend every example with another one of the batch (Zhang et al. 2018)."""
    share = rng.beta(alpha, alpha, size=(len(features), 1)).astype(np.float32)
    others = rng.permutation(len(features))
    mixed = share[:, :, None] * features + (1 - share[:, :, None]) * features[others]
    return mixed, share * targets + (1 - share) * targets[others]


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


def _training_step(model: Any, average: Any, optimizer: Any, recipe: Recipe) -> Any:
    tf = tensorflow()

    loss_of = tf.keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing)

    @tf.function  # type: ignore[untyped-decorator]
    def step(features: Any, targets: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(targets, model(features, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        # A shorter memory at first, or the average would long remember the random start.
        done = tf.cast(optimizer.iterations, tf.float32)
        decay = tf.minimum(recipe.average_decay, done / (done + 10.0))
        for mean, weight in zip(average.weights, model.weights):
            mean.assign(decay * mean + (1.0 - decay) * weight)
        return loss

    optimizer.build(model.trainable_variables)
    return step


def _dev_uars(model: Any, features: NDArray[np.float32], clips: list[Clip]) -> dict[str, float]:
    probabilities = model.predict(features, batch_size=256, verbose=0)
    measured = measure_by_corpus(
        label_indices(clips),
        probabilities,
        [clip.speaker for clip in clips],
        [clip.corpus for clip in clips],
    )
    return {corpus: accuracy.uar for corpus, accuracy in measured.items()}

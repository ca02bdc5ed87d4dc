"""Training batches, drawn at random: augmented, normalized, mixed, with the teacher's targets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import cepstral
from .architectures import RMS, STEP_FRAMES
from .config import TrainingConfig
from .dataset import Dataset, normalize
from .labels import drawing_probabilities, limited, possible_labels, soft_labels
from .teacher import STEP_SECONDS, TeacherTargets

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


class Batch(NamedTuple):
    """What one training step takes; float32."""

    features: Floats  # normalized, (batch, *frontend.shape), its frames cropped
    targets: Floats  # probabilities of the labels, (batch, n_labels)
    possible: Floats  # 1 for the labels that the clip's corpus has, else 0; (batch, n_labels)
    utterance_embeddings: Floats  # the teacher's, (batch, hint_dimension)
    frame_embeddings: Floats  # the teacher's, (batch, n_steps, hint_dimension)
    mask: Floats  # 1 for the steps with a frame embedding, else 0; (batch, n_steps)


class Batches:
    """Draws the batches of one training run.

    Args:
        dataset: unnormalized features.
        spec: the front end that they were made with, and its ``normalization``.
        config: the hyper-parameters; their seed and an epoch's number give its batches.
        targets: the teacher's, on the training clips.
    """

    def __init__(
        self,
        dataset: Dataset,
        spec: dict[str, Any],
        config: TrainingConfig,
        targets: TeacherTargets,
    ) -> None:
        self._dataset = dataset
        self._spec = spec
        self._config = config
        self._teacher = targets
        self._augment = cepstral.Augmentation(
            spec, vtlp_range=config.vtlp_range, channel_std=config.channel_std
        )
        clips = dataset.train_clips
        self._possible = possible_labels(clips, dataset.labels)
        labels = soft_labels(
            clips,
            dataset.labels,
            smoothing=config.label_smoothing,
            ordinary_neutral=config.ordinary_neutral,
        )
        weights = [
            config.distillation_weight if clip.label else config.ordinary_distillation_weight
            for clip in clips
        ]
        distilled = limited(targets.probabilities, self._possible)
        # Without a teacher the probabilities are 0, and the labels are all there is.
        weight = np.array(weights, dtype=np.float32) * distilled.any(axis=1)
        self._targets = labels + weight[:, None] * (distilled - labels)
        self._probabilities = drawing_probabilities(
            clips,
            corpus_exponent=config.corpus_exponent,
            ordinary_fraction=config.ordinary_fraction,
        )
        n_frames = dataset.train.shape[2]
        self.crop_frames = min(config.crop_frames or n_frames, n_frames)
        self.per_epoch = math.ceil(len(dataset.train_clips) / config.batch_size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch, counted from 0."""
        config = self._config
        # One generator an epoch: a resumed run draws what an unbroken one would have drawn.
        rng = np.random.default_rng((config.seed, number))
        for _ in range(self.per_epoch):
            rows = rng.choice(len(self._probabilities), config.batch_size, p=self._probabilities)
            copies = self.draw_copies(rows, rng)
            raw = self._dataset.train[copies, rows].astype(np.float32)
            starts = self._draw_starts(raw, rng)
            raw = _crop(raw, starts, self.crop_frames)
            features = normalize(self._augment(raw, rng), self._spec)
            if config.mask_frames:
                cepstral.mask_frames(features, config.mask_frames, rng)
            batch = Batch(
                features,
                self._targets[rows],
                self._possible[rows],
                self._teacher.utterance_embeddings[rows],
                *self.frame_targets(copies, rows, starts // STEP_FRAMES),
            )
            yield _mixup(batch, config.mixup, rng) if config.mixup else batch

    def frame_targets(
        self, copies: Indices, rows: Indices, starts: Indices
    ) -> tuple[Floats, Floats]:
        """The teacher's frame embeddings at the times that the cropped matrices show.

        Args:
            copies: of the matrices, shape (batch,).
            rows: their clips, shape (batch,).
            starts: first steps of the crops, shape (batch,).

        Returns:
            Frame embeddings, shape (batch, n_steps, hint_dimension), and their mask, shape
            (batch, n_steps).
        """
        n_steps = self._teacher.mask.shape[1]
        rates, offsets = self._dataset.time_maps[copies, rows].T[:, :, None]
        steps = np.arange(-(-self.crop_frames // STEP_FRAMES)) + starts[:, None]
        centres = (steps + 0.5) * STEP_SECONDS
        places = np.floor((centres * rates + offsets) / STEP_SECONDS).astype(int)
        inside = np.clip(places, 0, n_steps - 1)
        at = rows[:, None], inside
        mask = self._teacher.mask[at] & (places == inside)
        embeddings = self._teacher.frame_embeddings[at].astype(np.float32)
        return embeddings, mask.astype(np.float32)

    def draw_copies(self, rows: Indices, rng: np.random.Generator) -> Indices:
        """One copy of each of the clips, shape (batch,): 0 is the clean one."""
        if len(self._dataset.train) == 1:
            return np.zeros_like(rows)
        augmented = rng.integers(1, len(self._dataset.train), size=len(rows))
        return np.where(rng.random(len(rows)) < self._config.clean_fraction, 0, augmented)

    def _draw_starts(self, raw: Floats, rng: np.random.Generator) -> Indices:
        """First frames of the crops, on the grid of the teacher's steps."""
        n_frames = raw.shape[1] - np.argmax(raw[:, ::-1, RMS] > 0, axis=1)
        spare = np.maximum(n_frames - self.crop_frames, 0) // STEP_FRAMES
        starts: Indices = rng.integers(spare + 1) * STEP_FRAMES
        return starts


def _crop(matrices: Floats, starts: Indices, n_frames: int) -> Floats:
    """Of every matrix, (batch, frames, features), n frames from its start."""
    frames = starts[:, None] + np.arange(n_frames)
    cropped: Floats = matrices[np.arange(len(matrices))[:, None], frames]
    return cropped


def _mixup(batch: Batch, alpha: float, rng: np.random.Generator) -> Batch:
    """Blend every example with another one of the batch (Zhang et al. 2018)."""
    size = len(batch.features)
    share = rng.beta(alpha, alpha, size=size).astype(np.float32)
    others = rng.permutation(size)

    def blend(values: Floats) -> Floats:
        weight = share.reshape(size, *[1] * (values.ndim - 1))
        mixed: Floats = weight * values + (1 - weight) * values[others]
        return mixed

    mixed = Batch(*[blend(values) for values in batch])
    return mixed._replace(possible=np.maximum(batch.possible, batch.possible[others]))

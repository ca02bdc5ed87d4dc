"""Training batches, drawn at random: augmented, normalized, mixed, with the teacher's targets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..corpus.clips import label_indices, sampling_probabilities
from . import cepstral
from .architectures import RMS, STEP_FRAMES
from .config import TrainingConfig
from .dataset import Dataset, normalize
from .teacher import STEP_SECONDS, TeacherTargets

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


class Batch(NamedTuple):
    """What one training step takes; float32."""

    features: Floats  # normalized, (batch, *frontend.shape), its frames cropped
    targets: Floats  # probabilities of the labels, (batch, n_labels)
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
        n_labels = len(dataset.labels)
        rows = label_indices(dataset.train_clips, dataset.labels)
        truth = np.eye(n_labels, dtype=np.float32)[rows]
        smoothed = truth + config.label_smoothing * (1.0 / n_labels - truth)
        self._targets = smoothed + config.distillation_weight * (targets.probabilities - smoothed)
        # Up to each copy, so that a random number finds one.
        weights = np.where(dataset.speeds[1:] == 0, 1.0, config.perturbed_weight)
        self._cumulative = np.cumsum(weights / np.maximum(weights.sum(axis=0), 1e-9), axis=0)
        self._probabilities = sampling_probabilities(dataset.train_clips, config.corpus_exponent)
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
            speeds = self._dataset.speeds[copies, rows]
            batch = Batch(
                features,
                self._targets[speeds, rows],
                self._teacher.utterance_embeddings[speeds, rows],
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
        n_steps = self._teacher.mask.shape[2]
        rates, offsets = self._dataset.time_maps[copies, rows].T[:, :, None]
        steps = np.arange(-(-self.crop_frames // STEP_FRAMES)) + starts[:, None]
        centres = (steps + 0.5) * STEP_SECONDS
        places = np.floor((centres * rates + offsets) / STEP_SECONDS).astype(int)
        inside = np.clip(places, 0, n_steps - 1)
        at = self._dataset.speeds[copies, rows][:, None], rows[:, None], inside
        mask = self._teacher.mask[at] & (places == inside)
        embeddings = self._teacher.frame_embeddings[at].astype(np.float32)
        return embeddings, mask.astype(np.float32)

    def draw_copies(self, rows: Indices, rng: np.random.Generator) -> Indices:
        """One copy of each of the clips, shape (batch,): 0 is the clean one."""
        if len(self._dataset.train) == 1:
            return np.zeros_like(rows)
        passed = self._cumulative[:, rows] < rng.random(len(rows))
        augmented = 1 + np.minimum(passed.sum(axis=0), len(passed) - 1)
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

    return Batch(*[blend(values) for values in batch])

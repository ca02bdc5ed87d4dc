"""The least that a training run needs: a configuration, a front end and a teacher's targets."""

from __future__ import annotations

import numpy as np

from ser_edge.convert.corpus.clips import LABELS, label_indices
from ser_edge.convert.train.config import TrainingConfig
from ser_edge.convert.train.dataset import Dataset
from ser_edge.convert.train.teacher import TeacherTargets

TINY = TrainingConfig(
    architecture="lstm",
    epochs=2,
    batch_size=8,
    warmup_steps=2,
    learning_rate=1e-2,
    distillation_weight=0.0,
    utterance_weight=0.0,
    frame_weight=0.0,
    vtlp_range=0.0,
    channel_std=0.0,
    mask_frames=0,
    crop_frames=0,
)
SPEC = {
    "sample_rate": 16000,
    "window_seconds": 0.1,
    "trim": None,
    "level_dbfs": None,
    "features": [{"name": "mfcc", "n_mfcc": len(LABELS), "n_fft": 256, "hop_length": 160}],
    "layout": "frames_features",
    "normalization": {"mean": [0.5] * len(LABELS), "std": [0.5] * len(LABELS)},
}


def targets_on(data: Dataset, n_steps: int = 1) -> TeacherTargets:
    """A teacher that predicts every label's successor, and whose embeddings are the label."""
    truth = np.eye(len(LABELS), dtype=np.float32)[label_indices(data.train_clips)]
    return TeacherTargets(
        probabilities=np.roll(truth, 1, axis=1),
        utterance_embeddings=truth,
        frame_embeddings=np.repeat(truth[:, None], n_steps, axis=1).astype(np.float16),
        mask=np.ones((len(truth), n_steps), dtype=bool),
    )

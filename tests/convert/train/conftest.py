from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ser_edge.convert.corpus.clips import LABELS, Clip, label_indices
from ser_edge.convert.train.dataset import Dataset


@pytest.fixture
def data() -> Dataset:
    """Matrices of 4 frames in which the label's own feature is 1 and the others are 0."""
    rng = np.random.default_rng(1)
    clips = [
        Clip(Path(f"{number}"), corpus, f"speaker {number % 4}", "", label, "train")
        for number in range(4)
        for corpus in ("x", "y")
        for label in LABELS
    ]
    pure = np.eye(len(LABELS))[label_indices(clips)][:, None, :].repeat(4, axis=1)
    noisy = pure + rng.normal(0, 0.05, size=(3, *pure.shape))
    time_maps = np.tile(np.float32([1.0, 0.0]), (3, len(clips), 1))
    train, dev = noisy.astype(np.float16), pure.astype(np.float16)
    return Dataset(train, dev, time_maps, clips, clips)

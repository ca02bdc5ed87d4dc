"""The hyper-parameters of a training run; by default those of the bundled models."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ser_edge.errors import SerEdgeError

from . import architectures


def read(path: Path) -> dict[str, Any]:
    """Read a JSON file with settings of :class:`TrainingConfig`, such as a search writes.

    Raises:
        SerEdgeError: it cannot be read, or holds something else than numbers by their names.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SerEdgeError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise SerEdgeError(f"{path} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise SerEdgeError(f"{path} is not an object of settings")
    known = {field.name: type(field.default) for field in fields(TrainingConfig)}
    del known["architecture"]
    for name, value in data.items():
        if name not in known:
            raise SerEdgeError(f"{path}: unknown setting {name!r} (known: {', '.join(known)})")
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole and not (isinstance(value, float) and known[name] is float):
            raise SerEdgeError(f"{path}: {name} is {value!r}, which is no number of its kind")
    return data


@dataclass(frozen=True)
class TrainingConfig:
    """The hyper-parameters of a training run.

    Raises:
        SerEdgeError: the architecture has no embeddings that could be compared with a teacher's,
            or needs whole windows where crops are asked for.
    """

    architecture: str = "deep"  # one of architectures.NAMES
    epochs: int = 50  # each draws as many clips as the training split has
    batch_size: int = 32  # clips
    learning_rate: float = 4e-3  # after the warm-up; then a cosine down to zero over the epochs
    warmup_steps: int = 300  # batches; at most a fifth of all
    weight_decay: float = 1e-2  # of AdamW
    mixup: float = 0.2  # parameter of the beta distribution of the weight (Zhang et al. 2018)
    label_smoothing: float = 0.05  # share of the target that is spread over the labels
    corpus_exponent: float = 0.6  # a corpus of n clips is drawn in proportion to n ** exponent
    ema_decay: float = 0.999  # of the moving average of the weights, per step; it is what is kept
    clean_fraction: float = 0.5  # share of clips drawn as recorded, not in an augmented copy
    ordinary_fraction: float = 0.2  # share of clips drawn from ordinary speech, if there is any
    ordinary_neutral: float = 0.6  # probability that ordinary speech is neutral
    vtlp_range: float = 0.1  # largest relative change of the vocal tract (Jaitly & Hinton 2013)
    channel_std: float = 10.0  # of a random channel's first cepstral coefficient
    mask_frames: int = 12  # longest masked stretch, two a clip (SpecAugment, Park et al. 2019)
    crop_frames: int = 264  # longest crop of a clip, from a random start; 0: whole windows
    distillation_weight: float = 0.9  # share of the target that is the teacher's probabilities
    ordinary_distillation_weight: float = 0.5  # the same, for ordinary speech
    utterance_weight: float = 0.6  # in the loss, of the utterance embedding (Romero et al. 2015)
    frame_weight: float = 2.0  # in the loss, of the frame embeddings
    seed: int = 1

    def __post_init__(self) -> None:
        name = self.architecture
        if self.needs_embeddings and name not in architectures.WITH_EMBEDDINGS:
            raise SerEdgeError(f"the network {name!r} can only learn without teacher")
        if self.crop_frames and name not in architectures.ANY_LENGTH:
            raise SerEdgeError(f"the network {name!r} can only learn from whole windows")

    @property
    def needs_embeddings(self) -> bool:
        """Whether a teacher's embeddings are part of the loss."""
        return bool(self.utterance_weight or self.frame_weight)

    @property
    def needs_teacher(self) -> bool:
        """Whether a teacher's targets are part of the loss."""
        return self.needs_embeddings or bool(self.distillation_weight)

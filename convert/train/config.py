"""The hyper-parameters of a training run; by default those of the bundled models."""

from __future__ import annotations

from dataclasses import dataclass

from ser_edge.errors import SerEdgeError

from . import architectures


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
    warmup_steps: int = 300  # batches
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

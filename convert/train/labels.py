"""What the clips' labels tell a network: soft targets, and which labels a corpus has at all.

A clip without a label is ordinary speech: presumably neutral, not certainly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..corpus.clips import Clip, sampling_probabilities

NEUTRAL = "neutral"  # what ordinary speech is taken for

# Added to neutral's logit where ordinary speech was learned from, which makes a network answer
# "neutral" to whatever sounds unlike its studios (logit adjustment, Menon et al. 2021).
NEUTRAL_SHIFT = -0.5


def possible_labels(clips: Sequence[Clip], labels: Sequence[str]) -> NDArray[np.float32]:
    """The labels that the corpus of each clip has.

    A loss that is limited to them does not teach which labels a corpus lacks, which would be
    told from its room and microphone.

    Returns:
        1 or 0, float32, shape (n, n_labels); all 1 for a corpus without labels.
    """
    by_corpus: dict[str, NDArray[np.float32]] = {}
    for clip in clips:
        of_corpus = by_corpus.setdefault(clip.corpus, np.zeros(len(labels), dtype=np.float32))
        of_corpus[[labels.index(clip.label)] if clip.label else slice(None)] = 1.0
    return np.stack([by_corpus[clip.corpus] for clip in clips])


def soft_labels(
    clips: Sequence[Clip],
    labels: Sequence[str],
    *,
    smoothing: float,
    ordinary_neutral: float,
) -> NDArray[np.float32]:
    """Probabilities of the labels as the corpora state them.

    Args:
        clips: n clips.
        labels: the model's, with :data:`NEUTRAL` among them if a clip has none.
        smoothing: share of the probability that is spread over the corpus's labels.
        ordinary_neutral: probability that ordinary speech is neutral; the rest is spread.

    Returns:
        float32, shape (n, n_labels).

    Example:
        >>> from pathlib import Path
        >>> clips = [Clip(Path("a"), corpus="a", label="sad"), Clip(Path("b"), corpus="b")]
        >>> labels = ("neutral", "sad", "angry")
        >>> soft_labels(clips, labels, smoothing=0.1, ordinary_neutral=0.7)
        array([[0.  , 1.  , 0.  ],
               [0.7 , 0.15, 0.15]], dtype=float32)
    """
    possible = possible_labels(clips, labels)
    targets = np.zeros_like(possible)
    for row, clip in enumerate(clips):
        if clip.label:
            targets[row] = smoothing * possible[row] / possible[row].sum()
            targets[row, labels.index(clip.label)] += 1.0 - smoothing
        else:
            targets[row] = (1.0 - ordinary_neutral) / (len(labels) - 1)
            targets[row, labels.index(NEUTRAL)] = ordinary_neutral
    return targets


def limited(
    probabilities: NDArray[np.float32], possible: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Probabilities of the possible labels alone, shape (n, n_labels) as both arguments."""
    kept = probabilities * possible
    return np.asarray(kept / np.maximum(kept.sum(axis=-1, keepdims=True), 1e-9), dtype=np.float32)


def drawing_probabilities(
    clips: Sequence[Clip], *, corpus_exponent: float, ordinary_fraction: float
) -> NDArray[np.float64]:
    """The probability with which training draws each clip, shape (n,).

    Labelled clips and ordinary speech each by
    :func:`ser_edge.convert.corpus.clips.sampling_probabilities`; ordinary speech gets its
    fraction in all.
    """
    ordinary = np.array([not clip.label for clip in clips])
    probabilities = np.zeros(len(clips))
    shares = ((~ordinary, 1.0 - ordinary_fraction), (ordinary, ordinary_fraction))
    for chosen, share in shares:
        if chosen.any():
            part = [clip for clip, is_chosen in zip(clips, chosen) if is_chosen]
            probabilities[chosen] = share * sampling_probabilities(part, corpus_exponent)
    return np.asarray(probabilities / probabilities.sum(), dtype=np.float64)

"""What of a model's utterance embedding is familiar, from the clips that it learned from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_edge.classifier import Classifier
from ser_edge.familiarity import Familiarity, Subspace, encoded
from ser_edge.gate import OFF
from ser_edge.model import Model

from ..corpus.clips import Clip

# Chosen on corpora left out of training, see docs/training.md.
COMPONENTS = 64
STEEPNESS = 0.6  # of the temperature's logarithm, from the first to the second of these quantiles
QUANTILES = (0.5, 0.9)  # of clips of new speakers of the corpora learned from

_LARGEST = 127  # of int8
_LEAST_SPREAD = 1e-3  # of the shares of new speakers


def measure(
    model: Path,
    learned: Sequence[Clip],
    new: Sequence[Clip],
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Familiarity | None:
    """The principal components of what was learned from, and how far new speakers leave them.

    Args:
        model: a model file with an utterance embedding.
        learned: clips of the training data.
        new: clips of other speakers of the same corpora.
        progress: called with the number of clips done and their total.

    Returns:
        What stands in the metadata; None where the embedding is too small to leave anything over.

    Raises:
        ser_edge.errors.AudioError: a clip cannot be read.
    """
    loaded = Model(model)
    embedding = loaded.metadata.utterance_embedding
    if embedding is None or embedding.size < 2 * COMPONENTS:
        return None
    classifier = Classifier(loaded, gate=OFF)
    rows = []
    for done, clip in enumerate([*learned, *new], 1):
        observed = classifier.observe(str(clip.path))
        # A clip without speech lies at the mean, which all components hold.
        nothing = np.zeros(loaded.n_inputs)
        rows.append(nothing if isinstance(observed, str) else observed.inputs)
        progress(done, len(learned) + len(new))
    inputs = np.array(rows)[:, -embedding.size :]
    components = principal_components(inputs[: len(learned)])
    subspace = Subspace(components)
    shares = [subspace.unfamiliarity(row) for row in inputs[len(learned) :]]
    limit, slope = rule(shares)
    return Familiarity(encoded(components), round(limit, 4), round(slope, 3))


def rule(shares: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """Limit and slope of a :class:`ser_edge.familiarity.Familiarity`.

    Args:
        shares: what the components leave over of clips of new speakers, shape (n,).

    Example:
        >>> limit, slope = rule([0.2, 0.3, 0.4])
        >>> round(limit, 3), round(slope, 3)
        (0.3, 7.5)
    """
    limit, far = (float(share) for share in np.quantile(shares, QUANTILES))
    return limit, STEEPNESS / max(far - limit, _LEAST_SPREAD)


def principal_components(embeddings: NDArray[np.float64]) -> NDArray[np.int8]:
    """The first components of standardized embeddings, each of a scale of its own.

    Args:
        embeddings: shape (n, size), of mean 0.

    Returns:
        int8, shape (COMPONENTS, size).
    """
    _, _, directions = np.linalg.svd(embeddings, full_matrices=False)
    kept = directions[:COMPONENTS]
    scaled: NDArray[Any] = np.rint(_LARGEST * kept / np.abs(kept).max(axis=1, keepdims=True))
    return scaled.astype(np.int8)

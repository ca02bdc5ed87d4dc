"""What shares of a recording have which label, stretch by stretch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from ser_edge.result import Result


def label_shares(
    results: Sequence[Result], labels: Sequence[str], bin_seconds: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """How many of the windows in each stretch of a recording have which label.

    Args:
        results: of windows, in order; each counts where its middle lies.
        labels: of the model.
        bin_seconds: length of a stretch.

    Returns:
        The edges of the bins in seconds, shape (n + 1,); and shares that sum to 1 in a bin with
        windows, shape (n, n_labels + 2): of each label, of uncertain windows, and of those
        without any probabilities.

    Example:
        >>> from ser_edge import Result
        >>> silence = Result(None, None, None, 0, 2, "silence")
        >>> results = [silence, Result("sad", 1, {"sad": 1}, 1, 3)]
        >>> edges, shares = label_shares(results, ["sad"], 4.0)
        >>> edges.tolist(), shares.tolist()
        ([0.0, 4.0], [[0.5, 0.0, 0.5]])
    """
    n_bins = max(1, int(np.ceil(results[-1].end / bin_seconds)))
    counts = np.zeros((n_bins, len(labels) + 2))
    for result in results:
        counts[int((result.start + result.end) / 2 / bin_seconds), _kind(result, labels)] += 1
    totals = np.maximum(1, counts.sum(axis=1, keepdims=True))
    return np.arange(n_bins + 1) * bin_seconds, counts / totals


def time_shares(
    results: Sequence[Result], labels: Sequence[str], bin_seconds: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """How much of the time in each stretch has which label; as :func:`label_shares`.

    Args:
        results: of utterances and pauses, in order.
        labels, bin_seconds: as there.

    Example:
        >>> from ser_edge import Result
        >>> sad = Result("sad", 1, {"sad": 1}, 0, 5)
        >>> pause = Result(None, None, None, 5, 8, "silence")
        >>> time_shares([sad, pause], ["sad"], 4.0)[1].tolist()
        [[1.0, 0.0, 0.0], [0.25, 0.0, 0.75]]
    """
    edges = np.arange(max(1, int(np.ceil(results[-1].end / bin_seconds))) + 1) * bin_seconds
    seconds = np.zeros((len(edges) - 1, len(labels) + 2))
    for result in results:
        shared = np.minimum(edges[1:], result.end) - np.maximum(edges[:-1], result.start)
        seconds[:, _kind(result, labels)] += np.maximum(0.0, shared)
    totals = seconds.sum(axis=1, keepdims=True)
    return edges, np.divide(seconds, totals, out=np.zeros_like(seconds), where=totals > 0)


def _kind(result: Result, labels: Sequence[str]) -> int:
    """The column of a result: its label's, that of uncertain ones, or that of no emotion."""
    no_label = len(labels) + (result.scores is None)
    return no_label if result.label is None else labels.index(result.label)

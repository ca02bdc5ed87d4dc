"""Whether a model's outputs stand for its labels in the order that somebody states."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..corpus.clips import Clip, label_indices

_MIN_GAIN = 0.1  # of UAR, 0 to 1; less is how a model errs, not an order
_MAX_CHANCE = 0.01  # that any order at all fits as much better as the one found does, by luck


class BetterOrder(NamedTuple):
    """An order of the labels that fits labelled recordings far better than the one stated."""

    labels: tuple[str, ...]  # in the better order
    clips: int  # recordings with labels
    uar: float  # unweighted average recall with it, 0 to 1
    stated_uar: float  # with the order stated

    def __str__(self) -> str:
        return (
            f"the labels seem to be in another order: of {self.clips} labelled clips the source "
            f"model gets {100 * self.stated_uar:.1f} % (UAR) as they are stated, and "
            f"{100 * self.uar:.1f} % with --labels {','.join(self.labels)}"
        )


def better_order(
    clips: Sequence[Clip], labels: Sequence[str], probabilities: NDArray[np.float64]
) -> BetterOrder | None:
    """Find an order of the labels that fits far better than the one stated.

    Of all orders it is the one with the highest unweighted average recall, an assignment problem
    over the confusion matrix (Kuhn, "The Hungarian method for the assignment problem", 1955). It is
    reported where it gains a tenth, and a sign test over the clips that only one of the two gets
    right, corrected by Bonferroni for the number of orders, leaves it a hundredth of doubt.

    Args:
        clips: recordings; those without a label do not count.
        labels: in the order stated.
        probabilities: of the source model, (n, n_labels).

    Returns:
        The better order; None where the one stated is the best, or not far from it.

    Example:
        >>> from pathlib import Path
        >>> truth = ["sad", "happy"] * 20
        >>> clips = [Clip(Path("a.wav"), label=label) for label in truth]
        >>> outputs = np.array([[label == "happy", label == "sad"] for label in truth], float)
        >>> better_order(clips, ["sad", "happy"], outputs).labels
        ('happy', 'sad')
        >>> better_order(clips, ["happy", "sad"], outputs) is None
        True
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.stats import binom

    rows = [row for row, clip in enumerate(clips) if clip.label]
    if not rows:
        return None
    truth = label_indices([clips[row] for row in rows], labels)
    outputs = probabilities[rows].argmax(axis=1)
    confusion = np.zeros((len(labels), len(labels)))
    np.add.at(confusion, (truth, outputs), 1)
    present = np.flatnonzero(confusion.any(axis=1))
    recall = confusion[present] / confusion[present].sum(axis=1, keepdims=True)
    # Of orders that fit alike, the one that moves the fewest labels.
    preferred = recall + 1e-9 * (present[:, np.newaxis] == np.arange(len(labels)))
    assigned = linear_sum_assignment(preferred, maximize=True)[1]  # an output for each label
    uar = float(recall[np.arange(present.size), assigned].mean())
    stated_uar = float(recall[np.arange(present.size), present].mean())
    output_of = np.full(len(labels), -1)
    output_of[present] = assigned
    now_right = outputs == output_of[truth]
    was_right = outputs == truth
    gained = int((now_right & ~was_right).sum())
    chance = float(binom.sf(gained - 1, int((now_right != was_right).sum()), 0.5))
    if uar - stated_uar < _MIN_GAIN or chance * math.factorial(len(labels)) > _MAX_CHANCE:
        return None
    order = _order(labels, present.tolist(), assigned.tolist())
    return BetterOrder(order, len(rows), uar, stated_uar)


def _order(labels: Sequence[str], present: list[int], assigned: list[int]) -> tuple[str, ...]:
    """The labels by output; those of no clip keep their places where these are free."""
    order: dict[int, str] = {output: labels[label] for label, output in zip(present, assigned)}
    left = [label for label in range(len(labels)) if label not in present]
    for label in [label for label in left if label not in order]:
        order[label] = labels[label]
        left.remove(label)
    free = [output for output in range(len(labels)) if output not in order]
    order.update({output: labels[label] for output, label in zip(free, left)})
    return tuple(order[output] for output in range(len(labels)))

"""Logistic regression with a Gaussian prior, by the Laplace approximation.

In the dual form, as for a Gaussian process with a linear kernel: Rasmussen and Williams, "Gaussian
Processes for Machine Learning" (2006), algorithm 3.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ser_edge.forking import PRODUCTS
from ser_edge.model import softmax

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_MAX_STEPS = 30
_TOLERANCE = 1e-6  # nats
_TINY = 1e-12


@PRODUCTS
def fit_dual(kernel: Floats, offset: Floats, targets: Floats) -> tuple[Floats, Floats]:
    """The most probable scores, and those of each clip without it.

    Args:
        kernel: prior covariance of the clips' scores, the same for each label, shape
            (n_clips, n_clips).
        offset: where the scores start, shape (n_clips, n_labels).
        targets: 1 at each clip's label, 0 elsewhere, shape (n_clips, n_labels).

    Returns:
        (dual, left_out), of shape (n_clips, n_labels): the scores are
        ``offset + kernel @ dual``.
    """
    dual = find_mode(kernel, offset, targets)
    change = kernel @ dual
    probabilities = softmax(offset + change)
    covariance = _posterior(kernel, probabilities)
    n_labels = targets.shape[1]
    curvature = np.einsum("ij,jk->ijk", probabilities, np.eye(n_labels))
    curvature -= probabilities[:, :, None] * probabilities[:, None, :]
    # The posterior of a clip's scores without the clip's own likelihood.
    cavity = covariance @ np.linalg.inv(np.eye(n_labels) - curvature @ covariance)
    residual = targets - probabilities
    return dual, offset + change - np.einsum("ijk,ik->ij", cavity, residual)


@PRODUCTS
def find_mode(kernel: Floats, offset: Floats, targets: Floats) -> Floats:
    """Newton's method with steps that are halved until the posterior grows."""
    dual = np.zeros_like(offset)
    scores = np.zeros_like(offset)
    height = -np.inf
    for _ in range(_MAX_STEPS):
        probabilities = softmax(offset + scores)
        right = probabilities * scores + targets - probabilities
        right -= probabilities * (probabilities * scores).sum(axis=1, keepdims=True)
        blocks = _blocks(kernel, probabilities)
        projected = np.stack(
            [block @ (kernel @ right[:, label]) for label, block in enumerate(blocks)], axis=1
        )
        total = np.sum(blocks, axis=0) + _TINY * np.eye(len(kernel))
        shared = np.linalg.solve(total, projected.sum(axis=1))
        target = right - projected + np.stack([block @ shared for block in blocks], axis=1)
        step, before = 1.0, height
        while True:
            trial = dual + step * (target - dual)
            trial_scores = kernel @ trial
            likelihood = np.log(np.maximum(softmax(offset + trial_scores)[targets > 0], _TINY))
            height = float(likelihood.sum() - (trial * trial_scores).sum() / 2)
            if height >= before - _TOLERANCE or step < 1e-3:
                break
            step /= 2
        dual, scores = trial, trial_scores
        if abs(height - before) < _TOLERANCE:
            break
    return dual


@PRODUCTS
def _blocks(kernel: Floats, probabilities: Floats) -> list[Floats]:
    """For each label ``(kernel + diag(1 / p))^-1``, shape (n_clips, n_clips)."""
    blocks = []
    for column in np.sqrt(probabilities).T:
        inner = np.eye(len(kernel)) + column[:, None] * kernel * column
        blocks.append(column[:, None] * np.linalg.inv(inner) * column)
    return blocks


@PRODUCTS
def _posterior(kernel: Floats, probabilities: Floats) -> Floats:
    """Posterior covariance of each clip's scores, shape (n_clips, n_labels, n_labels)."""
    blocks = _blocks(kernel, probabilities)
    n_clips, n_labels = probabilities.shape
    inverse = np.linalg.inv(np.sum(blocks, axis=0) + _TINY * np.eye(n_clips))
    reached = [kernel @ block for block in blocks]
    covariance = np.zeros((n_clips, n_labels, n_labels))
    for row in range(n_labels):
        bent = reached[row] @ inverse
        for column in range(n_labels):
            covariance[:, row, column] = np.einsum("ij,ij->i", bent, reached[column])
        covariance[:, row, row] += np.diag(kernel)
        covariance[:, row, row] -= np.einsum("ij,ji->i", reached[row], kernel)
    return covariance

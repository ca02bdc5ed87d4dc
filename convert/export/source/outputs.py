"""What a network's outputs are, and how they become one probability for every label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_edge.errors import ModelError

from ...backend import tensorflow

PROBABILITIES = "probabilities"  # of the labels, which sum to 1
LOGITS = "logits"  # of the labels: a softmax is added
SIGMOID = "sigmoid"  # one number, the probability of the second of two labels
SIGMOID_LOGIT = "sigmoid logit"  # the same before its sigmoid
SIGMOIDS = "sigmoids"  # a number for every label, each between 0 and 1: divided by their sum

_SUM_TOLERANCE = 1e-3
_LEAST = 1e-9


def check_count(n_outputs: int, n_labels: int) -> None:
    """Check that there is an output for every label, or one for two.

    Raises:
        ModelError: there is not.

    Example:
        >>> check_count(1, 3)
        Traceback (most recent call last):
        ...
        ser_edge.errors.ModelError: the model has one output, for two labels, and 3 are stated: \
first that of output 0, then that of output 1
    """
    if n_outputs == 1 and n_labels != 2:
        raise ModelError(
            f"the model has one output, for two labels, and {n_labels} are stated: first that of "
            "output 0, then that of output 1"
        )
    if n_outputs not in (1, n_labels):
        raise ModelError(f"the model has {n_outputs} outputs for {n_labels} labels")


def kind(outputs: NDArray[np.float64], activation: str | None) -> str:
    """What the outputs are.

    Args:
        outputs: for some inputs, (batch, n_outputs).
        activation: name of the last one in the network; None where that is not known.

    Returns:
        One of this module's constants.

    Raises:
        ModelError: they are none of these.

    Example:
        >>> kind(np.array([[0.25, 0.75]]), None), kind(np.array([[0.9, 0.7]]), "linear")
        ('probabilities', 'logits')
    """
    if not np.isfinite(outputs).all():
        raise ModelError("the model's outputs are not finite numbers")
    within = bool(((outputs >= 0) & (outputs <= 1)).all())
    if outputs.shape[1] == 1:
        if activation == "linear" or (activation is None and not within):
            return SIGMOID_LOGIT
        if activation == "sigmoid" or (activation is None and within):
            return SIGMOID
        raise ModelError(
            f"the model has one output with the activation {activation}, where a sigmoid is needed"
        )
    if within and np.abs(outputs.sum(axis=1) - 1).max() <= _SUM_TOLERANCE:
        return PROBABILITIES
    if activation == "sigmoid" or (within and activation is None):
        return SIGMOIDS
    return LOGITS


def to_probabilities(outputs: Any, kind: str) -> Any:
    """A tensor of outputs, (batch, n_outputs), as probabilities, (batch, n_labels)."""
    tf = tensorflow()
    if kind == LOGITS:
        return tf.nn.softmax(outputs)
    if kind == SIGMOIDS:
        some = outputs + _LEAST  # where all are 0, no label is more probable
        return some / tf.reduce_sum(some, axis=1, keepdims=True)
    if kind in (SIGMOID, SIGMOID_LOGIT):
        second = tf.sigmoid(outputs) if kind == SIGMOID_LOGIT else outputs
        return tf.concat([1.0 - second, second], axis=1)
    return outputs


def explain(kind: str, labels: Sequence[str]) -> str:
    """What becomes of the outputs, in a sentence; empty where they stay as they are.

    Example:
        >>> explain(SIGMOID, ["female", "male"])
        "the model's one output p is taken as the probability of male, and 1 - p as that of female"
    """
    if kind == LOGITS:
        return "the model's outputs are logits: a softmax is added"
    if kind == SIGMOIDS:
        return (
            "the model's outputs are a sigmoid for each label, divided by their sum here: the most "
            "probable label stays, but that several hold at once, or none, is lost"
        )
    if kind in (SIGMOID, SIGMOID_LOGIT):
        logit = ", after a sigmoid," if kind == SIGMOID_LOGIT else ""
        return (
            f"the model's one output p{logit} is taken as the probability of {labels[1]}, and "
            f"1 - p as that of {labels[0]}"
        )
    return ""


def last_activation(model: Any) -> str | None:
    """Name of the activation that gives a ``keras.Model``'s output; None where none is named."""
    layer = model.output._keras_history.layer
    if hasattr(layer, "layers"):
        return last_activation(layer)
    if type(layer).__name__ == "Softmax":
        return "softmax"
    function = getattr(layer, "activation", None)
    name = getattr(function, "__name__", None)
    return None if name is None else str(name)

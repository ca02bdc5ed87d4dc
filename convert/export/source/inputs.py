"""Several inputs of a network as one: what a front end stacks is cut apart again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ser_edge.errors import ModelError

from ...backend import tensorflow

Shape = tuple["int | None", ...]


def axis_of(shapes: Sequence[Shape]) -> int:
    """The axis along which inputs lie side by side: the one in which they differ, or the last.

    Args:
        shapes: of the inputs, without the batch.

    Raises:
        ModelError: they differ in more, or that axis has any length.

    Example:
        >>> axis_of([(300, 40), (300, 128), (300, 12)]), axis_of([(40, 174), (128, 174)])
        (1, 0)
    """
    if len({len(shape) for shape in shapes}) == 1 and shapes[0]:
        places = range(len(shapes[0]))
        differing = [place for place in places if len({shape[place] for shape in shapes}) > 1]
        axis = differing[0] if differing else len(shapes[0]) - 1
        if len(differing) < 2 and all(shape[axis] is not None for shape in shapes):
            return axis
    listed = ", ".join(" x ".join(str(size or "any") for size in shape) for shape in shapes)
    raise ModelError(
        f"the model has {len(shapes)} inputs ({listed}), which do not fit beside each other: they "
        "may differ in one axis"
    )


def joined(model: Any) -> tuple[Shape, Any, list[str]]:
    """A ``keras.Model`` of one or several inputs as a function of one.

    Returns:
        The shape of the input, without the batch; from a tensor (batch, *shape) to the outputs, as
        in inference; and what its owner should know, a sentence each.

    Raises:
        ModelError: several inputs do not fit beside each other.
    """
    # Without training=False an exported BatchNormalization or Dropout could keep learning.
    if not isinstance(model.input_shape, list):
        return tuple(model.input_shape[1:]), lambda features: model(features, training=False), []
    shapes = [tuple(shape[1:]) for shape in model.input_shape]
    axis = axis_of(shapes)
    sizes = [shape[axis] for shape in shapes]
    joint = list(shapes[0])
    joint[axis] = sum(sizes)
    names = ", ".join(f"{name} ({size})" for name, size in zip(model.input_names, sizes))
    note = f"the model's {len(sizes)} inputs are one: stack their features in the order {names}"

    def call(features: Any) -> Any:
        return model(tensorflow().split(features, sizes, axis=axis + 1), training=False)

    return tuple(joint), call, [note]

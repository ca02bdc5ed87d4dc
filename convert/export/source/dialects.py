"""Architectures as older Keras, special hardware and training wrote them, made ordinary ones.

What is changed computes the same for one clip at a time, or it is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ser_edge.errors import ModelError

# The layers for NVIDIA's library: arguments that they have no other choice of. Keras itself puts
# their weights in order when it reads them into these (two biases, transposed kernels).
_CUDNN: dict[str, tuple[str, dict[str, Any]]] = {
    "CuDNNLSTM": ("LSTM", {"activation": "tanh", "recurrent_activation": "sigmoid"}),
    "CuDNNGRU": (
        "GRU",
        {"activation": "tanh", "recurrent_activation": "sigmoid", "reset_after": True},
    ),
}
# Layers that change pictures at random, in training alone.
_RANDOM = ("Random", "GaussianNoise", "ActivityRegularization")
_RECURRENT = ("LSTM", "GRU", "SimpleRNN", "RNN")
# Layers that do the same to a clip whether time or the batch comes first.
_EITHER_AXIS = frozenset(
    "InputLayer Dense Dropout Activation LayerNormalization Bidirectional".split()
) | set(_RECURRENT)
_MAX_DEPTH = 50
_SHAPES = ("batch_input_shape", "batch_shape")


def ordinary(description: Mapping[str, Any], *, keras_2: bool) -> tuple[dict[str, Any], list[str]]:
    """An architecture in the words of later Keras.

    - A ``Sequential`` of Keras before 2.2.3 is a list of layers; it gets a name.
    - ``CuDNNLSTM`` and ``CuDNNGRU`` are LSTM and GRU.
    - Recurrent layers are stateless, and batches of any size: a window knows nothing of the last.
    - A network whose input has time before the batch gets the batch first.
    - Layers that draw at random in training do nothing.

    Args:
        description: of a model, ``class_name`` and ``config``; it is not changed.
        keras_2: whether Keras 2 wrote it.

    Returns:
        (description, what was changed so that the owner should know, a sentence each).

    Raises:
        ModelError: time comes first, and a layer is in the way of putting the batch there.
    """
    result = _Renamer(keras_2).entry(description, 0)
    layers = list(_layers(result))
    notes = []
    if _batch_first(layers):
        notes.append("the model has time before the batch: rebuilt with the batch first")
    stateful = [_name(layer) for layer in layers if layer["config"].pop("stateful", False)]
    if stateful:
        notes.append(
            f"stateful layers ({', '.join(stateful)}) are rebuilt stateless: every window starts "
            "from nothing, as after reset_states()"
        )
    for layer in layers:
        for key in _SHAPES:
            shape = layer["config"].get(key)
            if isinstance(shape, list) and shape:
                layer["config"][key] = [None, *shape[1:]]
    return result, notes


class _Renamer:
    """Copies a description, entry by entry, and renames what has another name today."""

    def __init__(self, keras_2: bool) -> None:
        self._keras_2 = keras_2
        self._unnamed = 0

    def entry(self, value: Any, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise ModelError("the model is nested too deep")
        if isinstance(value, list):
            return [self.entry(item, depth + 1) for item in value]
        if not isinstance(value, Mapping):
            return value
        copy = {key: self.entry(item, depth + 1) for key, item in value.items()}
        kind, config = str(copy.get("class_name")), copy.get("config")
        if kind == "Sequential" and isinstance(config, list):
            self._unnamed += 1
            copy["config"] = {"name": f"sequential_{self._unnamed}", "layers": config}
        elif kind in _CUDNN and isinstance(config, dict):
            copy["class_name"], fixed = _CUDNN[kind]
            config.update(fixed)
        elif kind == "GRU" and self._keras_2 and isinstance(config, dict):
            config.setdefault("reset_after", False)  # before Keras 2.1.3 there was no other
        elif kind.startswith(_RANDOM) and isinstance(config, dict):
            copy["class_name"] = "Activation"
            kept = {key: config[key] for key in ("name", *_SHAPES) if key in config}
            copy["config"] = {**kept, "activation": "linear"}
        return copy


def _layers(entry: Any) -> Iterator[dict[str, Any]]:
    """All layers of a description, those within others after them."""
    if isinstance(entry, list):
        for item in entry:
            yield from _layers(item)
    elif isinstance(entry, dict):
        if "class_name" in entry and isinstance(entry.get("config"), dict):
            yield entry
        for key, item in entry.items():
            if key != "inbound_nodes":
                yield from _layers(item)


def _batch_first(layers: list[dict[str, Any]]) -> bool:
    """Let layers of a network with time first have the batch first; whether it was one."""
    major = [layer for layer in layers if layer["config"].get("time_major")]
    shapes = [
        (layer["config"], key) for layer in layers for key in _SHAPES if layer["config"].get(key)
    ]
    kinds = {layer["class_name"] for layer in layers if "trainable" in layer["config"]}
    # Where the network itself turns the axes, it stays as it is.
    if not major or kinds & {"TFOpLambda", "Permute", "Lambda"} or not shapes:
        return False
    config, key = shapes[0]
    shape = config[key]
    other = sorted(kinds - _EITHER_AXIS - {"Sequential", "Functional", "Model"})
    if not isinstance(shape, list) or len(shape) != 3 or shape[1] not in (None, 1) or other:
        reason = f"its layer {other[0]}" if other else f"the shape of its input, {shape}"
        raise ModelError(
            f"layer {_name(major[0])!r} takes time before the batch (time_major), which cannot be "
            f"rebuilt with {reason}"
        )
    for config, key in shapes:
        config[key] = [None, config[key][0], *config[key][2:]]
    for layer in major:
        layer["config"]["time_major"] = False
    return True


def _name(layer: Mapping[str, Any]) -> str:
    return str(layer["config"].get("name") or layer["class_name"])

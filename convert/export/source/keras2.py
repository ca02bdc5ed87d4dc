"""A model rebuilt in Keras 2 from the architecture in its file, its weights copied.

Keras 2 and Keras 3 describe the same layers in different words, and loading a file as it stands
can run whatever its author put into it. So the description is translated, layer by layer from a
list of known ones, to what Keras 2 writes; no object in it but a layer is ever built.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ser_edge.errors import ModelError

from ...backend import tensorflow
from ..sandbox import one_line
from .dialects import ordinary
from .source_file import KerasFile

_MODELS = ("Sequential", "Functional", "Model")

# Layers that compute the same in Keras 2 and Keras 3 from the same arguments and weights.
_LAYERS = frozenset(
    """
    Activation Add AdditiveAttention AlphaDropout Attention Average AveragePooling1D
    AveragePooling2D BatchNormalization Bidirectional CenterCrop Concatenate Conv1D
    Conv1DTranspose Conv2D Conv2DTranspose Cropping1D Cropping2D Dense DepthwiseConv1D
    DepthwiseConv2D Dot Dropout ELU Flatten GRU GRUCell GaussianDropout GlobalAveragePooling1D
    GlobalAveragePooling2D GlobalMaxPooling1D GlobalMaxPooling2D GroupNormalization Identity
    InputLayer LSTM LSTMCell LayerNormalization LeakyReLU Masking MaxPooling1D MaxPooling2D
    Maximum Minimum MultiHeadAttention Multiply Normalization PReLU Permute RNN ReLU
    RepeatVector Rescaling Reshape Resizing SeparableConv1D SeparableConv2D SimpleRNN
    SimpleRNNCell Softmax SpatialDropout1D SpatialDropout2D StackedRNNCells Subtract
    ThresholdedReLU TimeDistributed UnitNormalization UpSampling1D UpSampling2D ZeroPadding1D
    ZeroPadding2D
    """.split()
)
# Keras 2 writes TensorFlow's own functions in a model as layers that name them.
_FUNCTION_LAYERS = ("TFOpLambda", "SlicingOpLambda")
_PURE_FUNCTIONS = ("__operators__.", "linalg.", "math.", "nn.")
_PURE_FUNCTION_NAMES = frozenset(
    """
    broadcast_to cast clip_by_value compat.v1.squeeze concat expand_dims identity ones_like pad
    reshape reverse shape split squeeze stack tile transpose unstack where zeros_like
    """.split()
)
_ACTIVATIONS = frozenset(
    """
    elu exponential gelu leaky_relu linear log_softmax mish relu relu6 selu sigmoid silu softmax
    softplus softsign swish tanh
    """.split()
)
# What only matters in training, or is said elsewhere.
_IGNORED = frozenset(
    """
    autocast build_config dtype fill_mode implementation optional ragged registered_name
    renorm_momentum seed shared_object_id sparse synchronized
    """.split()
)
# The weights are copied, so nothing is drawn at random and no constraint applies.
_TRAINING_ONLY = ("_regularizer", "_constraint")
# Marks weights that the file lacks.
_UNSET = {"class_name": "Constant", "config": {"value": float("nan")}}

_MAX_DEPTH = 50


def build(file: KerasFile, *, allow_code: bool = False) -> tuple[Any, list[str]]:
    """Build the model of a Keras file in Keras 2, with its weights.

    Args:
        file: as read by :func:`.source_file.read`.
        allow_code: build ``Lambda`` layers too, whose code then runs in this process.

    Returns:
        A ``keras.Model`` (Keras 2) not compiled; and what is
        different in it, a sentence each.

    Raises:
        ModelError: a layer, function or argument that is not known to compute the same here,
            code in the file, or weights that do not fit.
    """
    tf = tensorflow()
    keras_2 = file.format.startswith("Keras 2")
    translator = _Translator(tf.keras.layers, keras_2=keras_2, allow_code=allow_code)
    description, notes = ordinary(file.config, keras_2=keras_2)
    config = translator.model(description)
    if allow_code:
        tf.keras.__internal__.enable_unsafe_deserialization()
    try:
        model = getattr(tf.keras, config["class_name"]).from_config(config["config"])
        if not model.built:
            raise ModelError("the model does not state the shape of its input")
        model.load_weights(file.weights)
    except ModelError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # Keras raises whatever the part that failed raised.
        if isinstance(error, tf.errors.ResourceExhaustedError):
            raise MemoryError from error
        raise ModelError(f"the model cannot be rebuilt: {one_line(error)}") from error
    _check_complete(tf, model)
    return model, notes


class _Translator:
    """Rewrites the description of a model to Keras 2's own."""

    def __init__(self, layers: Any, *, keras_2: bool, allow_code: bool) -> None:
        self._layers = layers
        self._keras_2 = keras_2
        self._allow_code = allow_code

    def model(self, entry: Any, depth: int = 0) -> dict[str, Any]:
        """A whole model, also one within another."""
        if depth > _MAX_DEPTH:
            raise ModelError("the model is nested too deep")
        kind, config = _parts(entry)
        if kind not in _MODELS:
            raise ModelError(
                f"the model is a {kind}, a class of its author's own, whose code is not in the "
                "file: export it as a SavedModel, model.export(FOLDER)"
            )
        layers = config.get("layers")
        if not isinstance(layers, list):
            raise ModelError("the model's architecture lists no layers")
        result = {"name": config.get("name", "model")}
        result["layers"] = [self._layer(layer, depth + 1) for layer in layers]
        if kind == "Sequential":
            shape = config.get("build_input_shape")
            first = result["layers"][0]["config"] if layers else {}
            if shape and "batch_input_shape" not in first:
                first["batch_input_shape"] = shape
            return {"class_name": kind, "config": result}
        for key in ("input_layers", "output_layers"):
            ends = _flatten_ends(config.get(key))
            if depth == 0 and key == "output_layers" and len(ends) != 1:
                raise ModelError(f"the model has {len(ends)} outputs, where one is needed")
            result[key] = ends
        return {"class_name": "Model", "config": result}

    def _layer(self, entry: Any, depth: int) -> dict[str, Any]:
        """A layer, with its place in the graph if it has one."""
        kind, config = _parts(entry)
        name = entry.get("name") or config.get("name") or kind
        if kind in _MODELS:
            result = self.model(entry, depth)
        elif kind == "Lambda":
            result = self._lambda(name, config)
        elif kind in _FUNCTION_LAYERS:
            result = self._function(name, kind, config)
        elif kind in _LAYERS:
            result = {"class_name": kind, "config": self._arguments(name, kind, config, depth)}
        else:
            raise ModelError(
                f"layer {name!r} is a {kind}, which cannot be rebuilt: export the model as a "
                "SavedModel, model.export(FOLDER), or use a layer of Keras instead"
            )
        if "inbound_nodes" in entry:
            result["name"] = name
            result["inbound_nodes"] = [_inbound(node, name) for node in entry["inbound_nodes"]]
        return result

    def _arguments(
        self, name: str, kind: str, config: Mapping[str, Any], depth: int
    ) -> dict[str, Any]:
        known = _parameters(getattr(self._layers, kind))
        result: dict[str, Any] = {}
        for key, value in config.items():
            if key in _IGNORED or key.endswith(_TRAINING_ONLY):
                continue
            if key.endswith("_initializer"):
                result[key] = _UNSET
            elif key.endswith("activation"):
                result[key] = self._activation(name, value)
            elif key == "batch_shape":
                result["batch_input_shape"] = value
            elif kind == "LeakyReLU" and key == "negative_slope":
                result["alpha"] = value
            elif key == "cells":
                result[key] = [self._layer(cell, depth + 1) for cell in value]
            elif isinstance(value, Mapping) and "class_name" in value:
                result[key] = self._layer(value, depth + 1)
            elif key not in known:
                # Later Keras has more arguments; where they are off, they change nothing. Keras 2
                # pads and crops over time in the only layout that it has.
                if value and value != "channels_last":
                    raise ModelError(f"layer {name!r}: its argument {key} cannot be rebuilt")
            else:
                _check_plain(value, name, key)
                result[key] = value
        return result

    def _activation(self, name: str, value: Any) -> Any:
        if value is None or (isinstance(value, str) and value in _ACTIVATIONS):
            return value
        # The two generations compute it differently.
        if value == "hard_sigmoid" and self._keras_2:
            return value
        shown = value if isinstance(value, str) else "a function of its author's own"
        raise ModelError(f"layer {name!r}: the activation {shown} cannot be rebuilt")

    def _lambda(self, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
        if not self._allow_code:
            raise ModelError(
                f"layer {name!r} is a Lambda: code in the file that would run here. Use a layer "
                "of Keras instead, or --allow-code if you trust whoever made the file"
            )
        function = config.get("function")
        if isinstance(function, Mapping):  # Keras 2 .h5: a tuple of code, defaults and closure.
            function = function.get("items") or function.get("config")
        if isinstance(function, Mapping):  # .keras: the same by name
            function = [function.get(key) for key in ("code", "defaults", "closure")]
        if not isinstance(function, (list, tuple)) or len(function) != 3:
            raise ModelError(f"layer {name!r}: a Lambda of a named function cannot be rebuilt")
        return {
            "class_name": "Lambda",
            "config": {
                "name": name,
                "function": list(function),
                "function_type": "lambda",
                # Keras 2 finds the shape by calling it.
                "output_shape": None,
                "output_shape_type": "raw",
                "arguments": config.get("arguments") or {},
            },
        }

    def _function(self, name: str, kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
        function = str(config.get("function"))
        pure = function.startswith(_PURE_FUNCTIONS) or function in _PURE_FUNCTION_NAMES
        if not pure and not self._allow_code:
            raise ModelError(
                f"layer {name!r} calls tf.{function}, which is not known to be harmless: "
                "--allow-code lets it, if you trust whoever made the file"
            )
        return {"class_name": kind, "config": {"name": name, "function": function}}


def _parameters(layer: type) -> set[str]:
    """Names of the arguments that a layer of Keras 2 takes."""
    names = {"batch_input_shape", "name", "trainable", "zero_output_for_mask"}
    for parent in layer.__mro__:
        names.update(inspect.signature(parent.__init__).parameters)  # type: ignore[misc]
    return names


def _parts(entry: Any) -> tuple[str, dict[str, Any]]:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("config"), Mapping):
        raise ModelError("the model's architecture is not what Keras writes")
    return str(entry.get("class_name")), dict(entry["config"])


def _flatten_ends(ends: Any) -> list[Any]:
    """Keras 3 writes a single end without the list around it."""
    if not isinstance(ends, list) or not ends:
        raise ModelError("the model's architecture names no input or output")
    return [ends] if isinstance(ends[0], str) else ends


def _inbound(node: Any, name: str) -> Any:
    """A call of a layer: what it is called with, as Keras 2 writes it."""
    if not isinstance(node, Mapping):
        return node
    tensors = [_history(tensor, name) for tensor in _tensors(node.get("args"), name)]
    keywords = dict(node.get("kwargs") or {})
    # What a layer gets by keyword is a mask that Keras finds anew, or None.
    keywords.pop("mask", None)
    keywords.pop("training", None)
    for key, value in list(keywords.items()):
        if isinstance(value, Mapping):
            keywords[key] = _history(value, name)[:3]
        elif value is None:
            del keywords[key]
    if not tensors:
        raise ModelError(f"layer {name!r} is called in a way that cannot be rebuilt")
    tensors[0][3].update(keywords)
    return tensors


def _tensors(arguments: Any, name: str) -> list[Any]:
    if not isinstance(arguments, list) or not arguments:
        raise ModelError(f"layer {name!r} is called in a way that cannot be rebuilt")
    return list(arguments[0]) if isinstance(arguments[0], list) else list(arguments)


def _history(tensor: Any, name: str) -> list[Any]:
    try:
        layer, node, index = tensor["config"]["keras_history"]
    except (TypeError, KeyError, ValueError) as error:
        raise ModelError(f"layer {name!r} is called in a way that cannot be rebuilt") from error
    return [layer, node, index, {}]


def _check_plain(value: Any, name: str, key: str) -> None:
    """Numbers, texts and lists of them describe no object that Keras would build."""
    if isinstance(value, (list, tuple)):
        for item in value:
            _check_plain(item, name, key)
    elif not isinstance(value, (str, int, float, bool, type(None))):
        raise ModelError(f"layer {name!r}: its argument {key} cannot be rebuilt")


def _check_complete(tf: Any, model: Any) -> None:
    weights = [w for w in model.weights if w.dtype.is_floating]  # a Normalization's count is not
    unset = [w.name for w in weights if bool(tf.reduce_any(tf.math.is_nan(w)))]
    if unset:
        raise ModelError(f"the file lacks the weights {unset[0].split(':')[0]} (or they are NaN)")

"""Embeddings: inner activations as further outputs of a flatbuffer.

With them the runtime can adapt a model to a voice. The probabilities stay the same to the bit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ser_edge import model_file
from ser_edge.classifier import Classifier
from ser_edge.errors import ModelError
from ser_edge.gate import OFF
from ser_edge.metadata import FORMAT
from ser_edge.model import Model

from ..corpus.clips import Clip
from ..package import pack
from . import flatbuffer

STATISTICS_CLIPS = 2000  # enough for a mean and a deviation of each unit
KEYS = ("embedding", "utterance_embedding")  # of the metadata, in the order of the outputs

# A unit that varies less, as a share of the one that varies most, counts as one that never fires.
_LEAST_STD = 0.01
_DIGITS = 3  # significant ones, of a statistic

Progress = Callable[[int, int], None]


def add_outputs(
    content: bytes, layer: str | None = None, utterance_layer: str | None = None
) -> tuple[bytes, list[dict[str, Any]]]:
    """Make inner activations outputs of a model.

    Args:
        content: a TensorFlow Lite flatbuffer with one output, the probabilities.
        layer: whose activation is the embedding; by default the input of the last dense layer.
        utterance_layer: whose activation is the utterance embedding; by default the input of the
            last dense layer but one, where that is one vector.

    Returns:
        (flatbuffer, what is to stand in the metadata but for the statistics): of the embedding
        and, where there is one, of the utterance embedding.

    Raises:
        ModelError: the model has no such layer, or it is not plain enough to find one.
    """
    model = flatbuffer.unpack(content)
    graph = model.subgraphs[0]
    if len(graph.outputs) != 1:
        raise ModelError(f"the model has {len(graph.outputs)} outputs already")
    graph_view = _Graph(flatbuffer.schema(), model, graph)
    found = [graph_view.named(layer) if layer else graph_view.last_hidden()]
    if utterance_layer:
        found.append(graph_view.named(utterance_layer))
    elif layer is None:
        found += graph_view.before(found[0])
    graph.outputs = [int(graph.outputs[0]), *found]
    entries = [
        {
            "output": place,
            "layer": graph_view.layer(tensor),
            "size": int(graph.tensors[tensor].shape[1]),
        }
        for place, tensor in enumerate(found, 1)
    ]
    return flatbuffer.repack(model), entries


def is_plain(content: bytes) -> bool:
    """Whether :func:`add_outputs` finds the last hidden layer by itself."""
    try:
        add_outputs(content)
    except ModelError:
        return False
    return True


def embed(
    content: bytes,
    metadata: Mapping[str, Any],
    clips: Sequence[Clip],
    path: Path,
    *,
    layer: str | None = None,
    utterance_layer: str | None = None,
    progress: Progress = lambda done, total: None,
) -> list[dict[str, Any]]:
    """Write a model file that gives embeddings.

    Args:
        content: a flatbuffer with one output.
        metadata: what it says of itself, as ``Metadata.parse`` reads it.
        clips: of the training data: their mean and deviation standardize the activations.
        path: the file to write.
        layer: see :func:`add_outputs`.
        utterance_layer: the same.
        progress: told how many clips are done, and of how many.

    Returns:
        What stands in the metadata.

    Raises:
        ModelError: as :func:`add_outputs`; or no clip holds speech.
        AudioError: a clip cannot be read.
        OSError: the file cannot be written.
    """
    extended, entries = add_outputs(content, layer, utterance_layer)
    complete = {**metadata, "format": FORMAT}
    with tempfile.TemporaryDirectory(prefix="ser-edge-embed-") as folder:
        draft = Path(folder) / "model.tflite"
        plain = [
            {**entry, "mean": [0.0] * entry["size"], "std": [1.0] * entry["size"]}
            for entry in entries
        ]
        model_file.write(extended, {**complete, **dict(zip(KEYS, plain))}, draft)
        statistics = _statistics(Model(draft), clips, progress)
    for entry, (mean, std) in zip(entries, statistics):
        entry.update(mean=mean, std=std)
    pack(extended, {**complete, **dict(zip(KEYS, entries))}, path)
    return entries


class _Graph:
    """Looks for tensors in a graph, backwards from the output."""

    def __init__(self, schema: Any, model: Any, graph: Any) -> None:
        codes = schema.BuiltinOperator
        self._dense = codes.FULLY_CONNECTED
        self._reshape = codes.RESHAPE
        self._passed = (codes.SOFTMAX, codes.LOGISTIC, codes.DEQUANTIZE, codes.QUANTIZE)
        self._activations = (
            codes.TANH,
            codes.LOGISTIC,
            codes.RELU,
            codes.RELU6,
            codes.ELU,
            codes.LEAKY_RELU,
            codes.GELU,
            codes.HARD_SWISH,
        )
        self._types = (schema.TensorType.FLOAT32, schema.TensorType.INT8)
        self._graph = graph
        self._makers = {
            int(output): (model.operatorCodes[operator.opcodeIndex].builtinCode, operator)
            for operator in graph.operators
            for output in operator.outputs
        }

    def last_hidden(self) -> int:
        """The input of the last dense layer."""
        tensor = int(self._graph.outputs[0])
        while tensor in self._makers:
            code, operator = self._makers[tensor]
            tensor = int(operator.inputs[0])
            if code == self._dense:
                if self._is_summary(tensor):
                    return tensor
                break
            if code not in self._passed:
                break
        raise ModelError(
            "the model does not end in a hidden and a dense layer: name the layer of the embedding"
        )

    def before(self, tensor: int) -> list[int]:
        """The input of the dense layer that gives this tensor, if it is one and computed."""
        code, operator = self._makers[tensor]
        source = int(operator.inputs[0])
        if code in self._activations and source in self._makers:
            return self.before(source)
        return [source] if code == self._dense and self._is_summary(source) else []

    def named(self, layer: str) -> int:
        """The last vector that a layer of this name computes."""
        for operator in reversed(self._graph.operators):
            for output in map(int, operator.outputs):
                if self._is_vector(output) and layer in self._path(output):
                    return output
        known = dict.fromkeys(
            self.layer(output) for output in self._makers if self._is_vector(output)
        )
        raise ModelError(
            f"no layer {layer!r} of the model gives one vector (there are: {', '.join(known)})"
        )

    def layer(self, tensor: int) -> str:
        """The name of the layer that computes a tensor, as the Keras model has it."""
        path = self._path(tensor)
        return path[-2] if len(path) > 1 else path[-1]

    def _path(self, tensor: int) -> list[str]:
        """``network/dense/MatMul;network/dense/Relu`` names the network, layer and operation."""
        name: str = self._graph.tensors[tensor].name.decode()
        return name.split(";")[0].split("/")

    def _is_summary(self, tensor: int) -> bool:
        """Whether it is a vector, computed and more than a picture laid out in a row."""
        return (
            self._is_vector(tensor)
            and tensor in self._makers
            and self._makers[tensor][0] != self._reshape
        )

    def _is_vector(self, tensor: int) -> bool:
        found = self._graph.tensors[tensor]
        shape = () if found.shape is None else tuple(found.shape)
        return len(shape) == 2 and shape[0] == 1 and found.type in self._types


def _statistics(
    model: Model, clips: Sequence[Clip], progress: Progress
) -> list[tuple[list[float], list[float]]]:
    """Mean and standard deviation of each embedding over the clips."""
    classifier = Classifier(model, gate=OFF)
    observed = []
    for done, clip in enumerate(clips, 1):
        one = classifier.observe(str(clip.path))
        if not isinstance(one, str):
            observed.append(one)
        progress(done, len(clips))
    if not observed:
        raise ModelError("none of the clips holds speech: the embedding has no statistics")
    columns = [np.array([one.embedding for one in observed], dtype=np.float64)]
    if observed[0].utterance_embedding is not None:
        columns.append(np.array([one.utterance_embedding for one in observed], dtype=np.float64))
    statistics = []
    for values in columns:
        std = values.std(axis=0)
        std[std < _LEAST_STD * std.max()] = 0.0
        statistics.append((_rounded(values.mean(axis=0)), _rounded(std)))
    return statistics


def _rounded(values: Any) -> list[float]:
    return [float(f"{value:.{_DIGITS}g}") for value in values]

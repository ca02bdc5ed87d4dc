"""Changes to a converted model, so that it computes what the source model does.

- What TensorFlow calls dynamic range rounds the inputs of a layer to 256 steps: of a convolution
  over the range of the whole input, of recurrent and dense layers row by row. Where rows of
  features differ a thousandfold, as a zero-crossing rate and the first cepstral coefficient do,
  little is left of the small ones; and a difference in the last bit of a float, as between
  processors, can become one of a whole step. It also rounds the weights of recurrent and dense
  layers by one scale for all channels. So here layers compute in float, and only their weights
  are stored as int8, by a scale for every channel; or as float16, at which TensorFlow's converter
  hangs where an LSTM is fused.
- TensorFlow's converter clips the cell state of every LSTM that it fuses to +-10, which Keras does
  not. So the clipping is switched off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import flatbuffer

_SMALLEST_BYTES = 4096  # float weights in less stay what they are, as TensorFlow has it too

Values = NDArray[Any]
Shorten = Callable[[Any, Any, Values, int], Values]

# The version of DEQUANTIZE that knows a scale for every channel, and where it appeared.
_PER_CHANNEL_VERSION = 5
_PER_CHANNEL_RUNTIME = (2, 7, 0)


def rewrite(content: bytes, quantization: str) -> bytes:
    """Rewrite a model as the quantization needs it.

    In a ``dynamic`` model the weights of layers become int8, where they are not, and in a
    ``float16`` model half as long, with a DEQUANTIZE before them, which the interpreter runs once,
    when the model first runs. Layers in a loop (a recurrent layer that is not fused), where it
    might run in every step, stay as they are. An ``int8`` model is calibrated as it stands.

    Args:
        content: a TensorFlow Lite flatbuffer.
        quantization: how its weights are to be stored, one of
            ``ser_edge.metadata.QUANTIZATIONS``.

    Returns:
        A flatbuffer of the same inputs and outputs; the same bytes where nothing is to do.
    """
    if quantization == "int8":
        return content
    schema = flatbuffer.schema()
    model = flatbuffer.unpack(content)
    changed = sum(_unclip(graph) for graph in model.subgraphs)
    if quantization in _STORED:
        weights = _store_shorter(schema, model, model.subgraphs[0], _STORED[quantization])
        if weights:
            flatbuffer.raise_minimum_runtime(model, _PER_CHANNEL_RUNTIME)
        changed += weights
        _drop_unused(model)
    return flatbuffer.repack(model) if changed else content


def _unclip(graph: Any) -> int:
    """Switch off the clipping of cell states; in how many layers it was on."""
    changed = 0
    for operator in graph.operators:
        if getattr(operator.builtinOptions, "cellClip", 0.0) > 0.0:
            operator.builtinOptions.cellClip = 0.0
            changed += 1
    return changed


def _store_shorter(schema: Any, model: Any, graph: Any, shorten: Shorten) -> int:
    """Let a graph's layers compute in float with shorter weights; how many weights there are."""
    codes, types = schema.BuiltinOperator, schema.TensorType
    layers = (
        codes.CONV_2D,
        codes.DEPTHWISE_CONV_2D,
        codes.FULLY_CONNECTED,
        codes.UNIDIRECTIONAL_SEQUENCE_LSTM,
    )
    operators = []
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        if code in layers and graph.tensors[operator.inputs[0]].type == types.FLOAT32:
            axis = 3 if code == codes.DEPTHWISE_CONV_2D else 0
            for place, index in enumerate(operator.inputs):
                if index < 0:
                    continue
                _shorten(schema, model, graph.tensors[index], axis, shorten)
                if graph.tensors[index].type in (types.INT8, types.FLOAT16):
                    operators.append(_dequantize(schema, model, graph, int(index)))
                    operator.inputs[place] = operators[-1].outputs[0]
        operators.append(operator)
    added = len(operators) - len(graph.operators)
    graph.operators = operators
    return added


def _dequantize(schema: Any, model: Any, graph: Any, index: int) -> Any:
    """A DEQUANTIZE of the graph's tensor with that index, to a new one."""
    graph.tensors.append(_in_float(schema, graph.tensors[index]))
    dequantize = schema.OperatorT()
    dequantize.opcodeIndex = _dequantize_code(schema, model)
    dequantize.inputs = [index]
    dequantize.outputs = [len(graph.tensors) - 1]
    dequantize.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
    dequantize.builtinOptions = schema.DequantizeOptionsT()
    return dequantize


def _shorten(schema: Any, model: Any, tensor: Any, axis: int, shorten: Shorten) -> None:
    """Store float weights in fewer bytes, one channel a place on the axis; not biases."""
    data = model.buffers[tensor.buffer].data
    is_matrix = tensor.type == schema.TensorType.FLOAT32 and len(tensor.shape) > 1
    if not is_matrix or data is None or len(data) < _SMALLEST_BYTES:
        return
    values = np.frombuffer(bytes(data), np.float32).reshape(tensor.shape)
    buffer = schema.BufferT()
    buffer.data = shorten(schema, tensor, values, axis).ravel().view(np.uint8)
    model.buffers.append(buffer)
    tensor.buffer = len(model.buffers) - 1


def _as_int8(schema: Any, tensor: Any, values: Values, axis: int) -> Values:
    others = tuple(other for other in range(values.ndim) if other != axis)
    scales = np.abs(values).max(axis=others, keepdims=True) / 127
    scales[scales == 0] = 1.0
    tensor.type = schema.TensorType.INT8
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale = scales.ravel()
    tensor.quantization.zeroPoint = np.zeros(scales.size, np.int64)
    tensor.quantization.quantizedDimension = axis
    rounded: Values = np.rint(values / scales).astype(np.int8)
    return rounded


def _as_float16(schema: Any, tensor: Any, values: Values, axis: int) -> Values:
    tensor.type = schema.TensorType.FLOAT16
    largest = np.finfo(np.float16).max
    return values.clip(-largest, largest).astype(np.float16)


_STORED: dict[str, Shorten] = {"dynamic": _as_int8, "float16": _as_float16}


def _drop_unused(model: Any) -> None:
    """Empty the buffers that nothing refers to any more."""
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    used |= {entry.buffer for entry in model.metadata or ()}
    for index, buffer in enumerate(model.buffers):
        if index not in used:
            buffer.data = None


def _in_float(schema: Any, tensor: Any) -> Any:
    """A tensor for the values of another, in float32."""
    result = schema.TensorT()
    result.shape = tensor.shape
    result.type = schema.TensorType.FLOAT32
    result.buffer = 0  # the empty one: computed, not stored
    result.name = tensor.name + b"/float"
    return result


def _dequantize_code(schema: Any, model: Any) -> int:
    """Place of the operator in the model's list, where it is put if need be."""
    wanted = schema.BuiltinOperator.DEQUANTIZE
    for index, code in enumerate(model.operatorCodes):
        if code.builtinCode == wanted and code.version >= _PER_CHANNEL_VERSION:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = wanted
    code.version = _PER_CHANNEL_VERSION
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1

"""Changes to a converted model, so that it computes what the original does.

- A dynamic-range convolution rounds its input to 256 steps over the range of the whole input.
  Where rows of features differ a thousandfold, as a zero-crossing rate and the first cepstral
  coefficient do, little is left of the small ones. So convolutions compute in float, though their
  weights are stored as int8. Recurrent and dense layers round row by row and lose less.
- TensorFlow's converter clips the cell state of every LSTM that it fuses to +-10, which Keras does
  not. So the clipping is switched off.
"""

from __future__ import annotations

from typing import Any

from ser_edge.errors import ModelError

from .backend import tensorflow

_ALIGNMENT = 16
"""Of stored tensors, in bytes: ``force_align`` of TensorFlow Lite's schema."""

_PER_CHANNEL_VERSION = 5
_PER_CHANNEL_RUNTIME = (2, 7, 0)
"""The version of DEQUANTIZE that knows a scale for every channel, and where it appeared."""

_FILE_IDENTIFIER = b"TFL3"
_RUNTIME_ENTRY = b"min_runtime_version"
_RUNTIME_BYTES = 16


def rewrite(flatbuffer: bytes, quantization: str) -> bytes:
    """Rewrite a model as the quantization needs it.

    Every int8 kernel of a ``dynamic`` model's convolutions gets a DEQUANTIZE before it, which the
    interpreter runs once, when the model first runs. An ``int8`` model is calibrated as it stands.

    Args:
        flatbuffer: a TensorFlow Lite model.
        quantization: how it was converted: one of :data:`.conversion.QUANTIZATIONS`.

    Returns:
        A model of about the same size and the same interface; the same bytes where nothing is to
        do.
    """
    if quantization == "int8":
        return flatbuffer
    tensorflow()
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(flatbuffer), 0))
    changed = sum(_unclip(graph) for graph in model.subgraphs)
    if quantization == "dynamic":
        convolutions = sum(_compute_in_float(schema, model, graph) for graph in model.subgraphs)
        if convolutions:
            _raise_minimum_runtime(model)
        changed += convolutions
    if not changed:
        return flatbuffer

    class Builder(flatbuffers.Builder):  # type: ignore[misc]
        """Python's code from the schema forgets the alignment of stored tensors."""

        def StartVector(self, size: int, count: int, alignment: int) -> Any:
            return super().StartVector(size, count, _ALIGNMENT if size == 1 else alignment)

    builder = Builder(len(flatbuffer))
    builder.Finish(model.Pack(builder), _FILE_IDENTIFIER)
    return bytes(builder.Output())


def _unclip(graph: Any) -> int:
    """Switch off the clipping of cell states; in how many layers it was on."""
    changed = 0
    for operator in graph.operators:
        if getattr(operator.builtinOptions, "cellClip", 0.0) > 0.0:
            operator.builtinOptions.cellClip = 0.0
            changed += 1
    return changed


def _compute_in_float(schema: Any, model: Any, graph: Any) -> int:
    """Let the convolutions of a graph compute in float; how many there were."""
    operator_codes = schema.BuiltinOperator
    convolutions = (operator_codes.CONV_2D, operator_codes.DEPTHWISE_CONV_2D)
    operators = []
    changed = 0
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        if code in convolutions:
            source, kernel = (graph.tensors[index] for index in operator.inputs[:2])
            types = schema.TensorType
            if source.type == types.FLOAT32 and kernel.type == types.INT8:
                graph.tensors.append(_float_twin(schema, kernel))
                dequantize = schema.OperatorT()
                dequantize.opcodeIndex = _dequantize_code(schema, model)
                dequantize.inputs = [int(operator.inputs[1])]
                dequantize.outputs = [len(graph.tensors) - 1]
                dequantize.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
                dequantize.builtinOptions = schema.DequantizeOptionsT()
                operator.inputs[1] = dequantize.outputs[0]
                operators.append(dequantize)
                changed += 1
        operators.append(operator)
    graph.operators = operators
    return changed


def _float_twin(schema: Any, tensor: Any) -> Any:
    twin = schema.TensorT()
    twin.shape = tensor.shape
    twin.type = schema.TensorType.FLOAT32
    twin.buffer = 0  # the empty one: computed, not stored
    twin.name = tensor.name + b"/float"
    return twin


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


def _raise_minimum_runtime(model: Any) -> None:
    for entry in model.metadata or ():
        if entry.name != _RUNTIME_ENTRY:
            continue
        noted = bytes(model.buffers[entry.buffer].data).split(b"\0")[0].decode()
        try:
            version = tuple(int(part) for part in noted.split("."))
        except ValueError as error:
            raise ModelError(f"the converter noted an odd runtime version: {noted!r}") from error
        text = ".".join(map(str, max(version, _PER_CHANNEL_RUNTIME)))
        model.buffers[entry.buffer].data = list(text.encode().ljust(_RUNTIME_BYTES, b"\0"))

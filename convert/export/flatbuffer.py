"""TensorFlow Lite flatbuffers by TensorFlow's own schema: what they hold, and how one is edited."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any

from ser_edge.errors import ModelError

from ..backend import tensorflow

_IDENTIFIER = b"TFL3"
_RUNTIME_ENTRY = b"min_runtime_version"
_RUNTIME_BYTES = 16  # of the entry's text, padded with zeros
_ALIGNMENT = 16  # of stored tensors, in bytes: `force_align` of the schema


def schema() -> Any:
    """The module that TensorFlow generates from the schema."""
    tensorflow()
    from tensorflow.lite.python import schema_py_generated

    return schema_py_generated


def operators(flatbuffer: bytes) -> list[str]:
    """Names of the operators that a model uses, sorted; custom ones have names of their own.

    Raises:
        ModelError: these bytes are no model.
    """
    return sorted({name for name, _ in map(_operator, _codes(_read(flatbuffer)))})


def check_operators(flatbuffer: bytes) -> None:
    """Refuse a model with operators that the runtime does not have built in.

    Raises:
        ModelError: there is one; or these bytes are no model.
    """
    custom = sorted(
        name for name, built_in in map(_operator, _codes(_read(flatbuffer))) if not built_in
    )
    if custom:
        raise ModelError(f"the model needs operators that are not built in: {', '.join(custom)}")


def minimum_runtime(flatbuffer: bytes) -> str | None:
    """The oldest TensorFlow Lite that runs a model, as its converter noted; None if it did not.

    Raises:
        ModelError: these bytes are no model.
    """
    model = _read(flatbuffer)
    for entry in map(model.Metadata, range(model.MetadataLength())):
        if entry.Name() == _RUNTIME_ENTRY:
            return _version_text(model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()) or None
    return None


def describe(flatbuffer: bytes) -> dict[str, Any]:
    """What a model is made of.

    Returns:
        ``weights``: bytes of all stored tensors; ``inputs`` and ``outputs``, each with name,
        shape, type, scale and zero point; ``operators``, with versions and counts; ``tensors``,
        number and bytes by type; ``minimum_runtime``.

    Raises:
        ModelError: these bytes are no model.
    """
    model = _read(flatbuffer)
    types = _names(schema().TensorType)
    graphs = list(map(model.Subgraphs, range(model.SubgraphsLength())))
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for graph in graphs:
        for tensor in map(graph.Tensors, range(graph.TensorsLength())):
            counts[types[tensor.Type()]] += 1
            sizes[types[tensor.Type()]] += model.Buffers(tensor.Buffer()).DataLength()
    first = graphs[0]
    return {
        "weights": sum(model.Buffers(i).DataLength() for i in range(model.BuffersLength())),
        "inputs": [_describe_tensor(first.Tensors(int(i)), types) for i in first.InputsAsNumpy()],
        "outputs": [_describe_tensor(first.Tensors(int(i)), types) for i in first.OutputsAsNumpy()],
        "operators": _describe_operators(model, graphs),
        "tensors": {
            name: {"count": count, "bytes": sizes[name]} for name, count in sorted(counts.items())
        },
        "minimum_runtime": minimum_runtime(flatbuffer),
    }


def unpack(flatbuffer: bytes) -> Any:
    """A model as a ``ModelT`` of the schema, whose attributes can be changed."""
    objects = schema()
    return objects.ModelT.InitFromObj(objects.Model.GetRootAsModel(bytearray(flatbuffer), 0))


def repack(model: Any) -> bytes:
    """The flatbuffer of a ``ModelT``."""
    import flatbuffers

    class Builder(flatbuffers.Builder):  # type: ignore[misc]
        """Python's code from the schema forgets the alignment of stored tensors."""

        def StartVector(self, size: int, count: int, alignment: int) -> Any:
            return super().StartVector(size, count, _ALIGNMENT if size == 1 else alignment)

    builder = Builder(0)
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


def raise_minimum_runtime(model: Any, least: tuple[int, ...]) -> None:
    """Let a ``ModelT`` note that it needs at least this version of TensorFlow Lite.

    Raises:
        ModelError: what it notes today is no version.
    """
    for entry in model.metadata or ():
        if entry.name != _RUNTIME_ENTRY:
            continue
        noted = _version_text(bytes(model.buffers[entry.buffer].data))
        try:
            version = tuple(int(part) for part in noted.split("."))
        except ValueError as error:
            raise ModelError(f"the converter noted an odd runtime version: {noted!r}") from error
        text = ".".join(map(str, max(version, least)))
        model.buffers[entry.buffer].data = list(text.encode().ljust(_RUNTIME_BYTES, b"\0"))


def _read(flatbuffer: bytes) -> Any:
    """A model as a ``Model`` of the schema, whose accessors read its bytes."""
    if flatbuffer[4:8] != _IDENTIFIER:
        raise ModelError("not a TensorFlow Lite model")
    return schema().Model.GetRootAsModel(flatbuffer, 0)


def _codes(model: Any) -> list[Any]:
    return list(map(model.OperatorCodes, range(model.OperatorCodesLength())))


def _operator(code: Any) -> tuple[str, bool]:
    """An operator's name, and whether it is built in."""
    # Old files keep the code in a byte that newer operators do not fit into.
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    name = _names(schema().BuiltinOperator)[number]
    if name == "CUSTOM":
        return code.CustomCode().decode(errors="replace"), False
    return name, True


def _describe_operators(model: Any, graphs: list[Any]) -> list[dict[str, Any]]:
    counts = Counter(
        graph.Operators(index).OpcodeIndex()
        for graph in graphs
        for index in range(graph.OperatorsLength())
    )
    found = []
    for index, count in counts.items():
        code = model.OperatorCodes(index)
        name, built_in = _operator(code)
        shown = name if built_in else f"{name} (not built in)"
        found.append({"name": shown, "version": code.Version(), "count": count})
    return sorted(found, key=lambda entry: (entry["name"], entry["version"]))


def _describe_tensor(tensor: Any, types: dict[int, str]) -> dict[str, Any]:
    quantization = tensor.Quantization()
    scale = zero_point = None
    with contextlib.suppress(AttributeError, IndexError, TypeError):  # a float tensor has none
        scale = float(quantization.ScaleAsNumpy()[0])
        zero_point = int(quantization.ZeroPointAsNumpy()[0])
    return {
        "name": tensor.Name().decode(errors="replace"),
        "shape": [int(length) for length in tensor.ShapeAsNumpy()],
        "type": types[tensor.Type()],
        "scale": scale,
        "zero_point": zero_point,
    }


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if name.isupper()}


def _version_text(content: bytes) -> str:
    return content.split(b"\0")[0].decode()

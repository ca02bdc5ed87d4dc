"""What the bytes of a TensorFlow Lite model tell."""

from __future__ import annotations

from typing import Any

from ser_edge import __version__
from ser_edge.errors import ModelError

from ..backend import tensorflow


def operators(flatbuffer: bytes) -> list[str]:
    """Names of the operators that a model uses, sorted; those that are not built in with ``!``.

    Raises:
        ModelError: these bytes are no model.
    """
    schema, model = _parse(flatbuffer)
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()}
    found = set()
    for index in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(index)
        # Old files keep the code in a byte that newer operators do not fit into.
        name = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        found.add(f"!{code.CustomCode().decode()}" if name == "CUSTOM" else name)
    return sorted(found)


def minimum_runtime(flatbuffer: bytes) -> str | None:
    """The oldest TensorFlow Lite that runs a model, as its converter noted; None if it did not.

    Raises:
        ModelError: these bytes are no model.
    """
    _, model = _parse(flatbuffer)
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        if entry.Name() == b"min_runtime_version":
            content = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
            return str(content.split(b"\0")[0].decode()) or None
    return None


def versions() -> dict[str, str]:
    """The versions of what converts, for a model's metadata."""
    tf = tensorflow()

    return {"ser_edge": __version__, "tensorflow": tf.__version__}


def check_operators(flatbuffer: bytes) -> bytes:
    """Refuse a model with operators that the runtime does not have built in; else return it."""
    foreign = [name.lstrip("!") for name in operators(flatbuffer) if name.startswith("!")]
    if foreign:
        raise ModelError(f"the model needs operators that are not built in: {', '.join(foreign)}")
    return flatbuffer


def _parse(flatbuffer: bytes) -> tuple[Any, Any]:
    """The schema's module and the model, whose accessors read its bytes."""
    from tensorflow.lite.python import schema_py_generated as schema

    if flatbuffer[4:8] != b"TFL3":
        raise ModelError("not a TensorFlow Lite model")
    return schema, schema.Model.GetRootAsModel(flatbuffer, 0)

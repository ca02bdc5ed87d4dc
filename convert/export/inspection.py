"""What is in a ``.tflite`` file, of ser-edge or not, and what can run it.

A file is untrusted until it has run: parsing and loading happen in child processes.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.metadata
import io
import json
import re
import tempfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from ser_edge.errors import ModelError
from ser_edge.metadata import Metadata
from ser_edge.model_file import METADATA_FILE

from ..backend import tensorflow
from . import sandbox
from .flatbuffer import minimum_runtime

RUNTIMES = {"tflite-runtime": "tflite_runtime", "ai-edge-litert": "ai_edge_litert"}
"""Packages and the modules that hold their interpreter."""

_IDENTIFIER = slice(4, 8)
_TFLITE = b"TFL3"
_MAX_BYTES = 2**30
_MAX_METADATA_BYTES = 1_000_000
_TIME_LIMIT_SECONDS = 120.0
_MEMORY_LIMIT_BYTES = 4 * 2**30


def inspect(path: Path) -> dict[str, Any]:
    """Look into a model file.

    Args:
        path: of a TensorFlow Lite model, with ser-edge's metadata or without.

    Returns:
        ``bytes`` of the file by part (``weights``, ``graph``, ``metadata``); ``inputs`` and
        ``outputs``, each with name, shape, type and quantization; ``operators``, their versions
        and counts; ``tensors``, number and bytes by type; ``minimum_runtime`` as its converter
        noted it; ``runtimes``: whether those installed here run it; ``metadata``, None without.

    Raises:
        ModelError: this is no model, or a damaged one.
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise ModelError(f"{path} is larger than {_MAX_BYTES >> 20} MB")
    content = path.read_bytes()
    if content[_IDENTIFIER] != _TFLITE:
        raise ModelError(f"{path} is not a TensorFlow Lite model")
    metadata = _metadata(path, content)
    if metadata is not None:
        content = content[: metadata["flatbuffer"]["bytes"]]
        if hashlib.sha256(content).hexdigest() != metadata["flatbuffer"]["sha256"]:
            raise ModelError(f"{path} is damaged: its contents do not match its checksum")
    with tempfile.TemporaryDirectory(prefix="ser-edge-convert-") as folder:
        scratch = Path(folder)
        flatbuffer = scratch / "model.tflite"
        flatbuffer.write_bytes(content)
        facts = _run("parse", {"path": str(flatbuffer)}, scratch / "parse")
        runtimes = {name: _try(name, flatbuffer, scratch / name) for name in RUNTIMES}
    weights = facts.pop("weights")
    return {
        "bytes": {
            "weights": weights,
            "graph": len(content) - weights,
            "metadata": size - len(content),
        },
        **facts,
        "runtimes": runtimes,
        "metadata": metadata,
    }


def parse(*, scratch: Path, path: str) -> dict[str, Any]:
    """A job: the flatbuffer's contents, by TensorFlow's own schema."""
    tensorflow()
    from tensorflow.lite.python import schema_py_generated as schema

    sandbox.stage(scratch, "reading the model", "it is damaged")
    content = Path(path).read_bytes()
    model = schema.Model.GetRootAsModel(content, 0)
    types = _names(schema.TensorType)
    graphs = [model.Subgraphs(index) for index in range(model.SubgraphsLength())]
    tensors: dict[str, list[int]] = {}
    for graph in graphs:
        for tensor in map(graph.Tensors, range(graph.TensorsLength())):
            stored = _stored(model.Buffers(tensor.Buffer()))
            entry = tensors.setdefault(types[tensor.Type()], [0, 0])
            entry[0] += 1
            entry[1] += stored
    first = graphs[0]
    return {
        "weights": sum(map(_stored, map(model.Buffers, range(model.BuffersLength())))),
        "inputs": [_tensor(first, i, types) for i in first.InputsAsNumpy()],
        "outputs": [_tensor(first, i, types) for i in first.OutputsAsNumpy()],
        "operators": _operators(schema, model, graphs),
        "tensors": {
            name: {"count": count, "bytes": stored}
            for name, (count, stored) in sorted(tensors.items())
        },
        "minimum_runtime": minimum_runtime(content),
    }


def load_in(*, scratch: Path, path: str, module: str) -> dict[str, Any]:
    """A job: run a model once in a runtime, on zeros."""
    sandbox.stage(scratch, "running it", "it is not made for this runtime")
    interpreter_class = importlib.import_module(f"{module}.interpreter").Interpreter
    try:
        interpreter = interpreter_class(model_path=path)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        missing = re.search(r"builtin opcode '(\w+)' version '(\d+)'", str(error))
        if missing is None:
            raise
        raise ModelError(f"lacks {missing[1]} version {missing[2]}") from error
    for entry in interpreter.get_input_details():
        interpreter.set_tensor(entry["index"], np.zeros(entry["shape"], entry["dtype"]))
    interpreter.invoke()
    return {}


def _try(package: str, flatbuffer: Path, scratch: Path) -> dict[str, Any]:
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return {"version": None, "runs": None, "reason": "not installed here"}
    try:
        arguments = {"path": str(flatbuffer), "module": RUNTIMES[package]}
        _run("load_in", arguments, scratch)
    except ModelError as error:
        return {"version": version, "runs": False, "reason": str(error)}
    return {"version": version, "runs": True, "reason": ""}


def _run(job: str, arguments: dict[str, Any], scratch: Path) -> dict[str, Any]:
    return sandbox.run(
        f"{__name__}.{job}",
        arguments,
        scratch,
        time_limit=_TIME_LIMIT_SECONDS,
        memory_limit=_MEMORY_LIMIT_BYTES,
    )


def _metadata(path: Path, content: bytes) -> dict[str, Any] | None:
    """The checked metadata; None for a model without."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open(METADATA_FILE) as member:
            text = member.read(_MAX_METADATA_BYTES + 1)
    except (zipfile.BadZipFile, KeyError):
        return None
    except (OSError, ValueError, RuntimeError, NotImplementedError) as error:
        raise ModelError(f"{path} is damaged: {error}") from error
    if len(text) > _MAX_METADATA_BYTES:
        raise ModelError(f"{path}: its metadata is larger than {_MAX_METADATA_BYTES} bytes")
    Metadata.parse(text)
    data: dict[str, Any] = json.loads(text)
    return data


def _operators(schema: Any, model: Any, graphs: list[Any]) -> list[dict[str, Any]]:
    names = _names(schema.BuiltinOperator)
    counts: Counter[int] = Counter()
    for graph in graphs:
        counts.update(
            graph.Operators(index).OpcodeIndex() for index in range(graph.OperatorsLength())
        )
    found = []
    for index, count in counts.items():
        code = model.OperatorCodes(index)
        # Old files keep the code in a byte that newer operators do not fit into.
        name = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        if name == "CUSTOM":
            name = f"{code.CustomCode().decode(errors='replace')} (not built in)"
        found.append({"name": name, "version": code.Version(), "count": count})
    return sorted(found, key=lambda entry: (entry["name"], entry["version"]))


def _stored(buffer: Any) -> int:
    return int(buffer.DataLength())


def _tensor(graph: Any, index: int, types: dict[int, str]) -> dict[str, Any]:
    tensor = graph.Tensors(int(index))
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

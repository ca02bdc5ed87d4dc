"""What is in a ``.tflite`` file, of ser-edge or not, and what can run it.

A file is untrusted until it has run: parsing and loading happen in child processes.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ser_edge import model_file
from ser_edge.errors import ModelError
from ser_edge.runtime import RUNTIMES, missing_operator

from . import flatbuffer, sandbox
from .source.source_file import MAX_BYTES

_TIME_LIMIT_SECONDS = 120.0
_MEMORY_LIMIT_BYTES = 4 * 2**30


def inspect(path: Path) -> dict[str, Any]:
    """Look into a model file.

    Args:
        path: of a TensorFlow Lite model, with ser-edge's metadata or without.

    Returns:
        ``bytes`` of the file by part (``weights``, ``graph``, ``metadata``); ``inputs``,
        ``outputs``, ``operators``, ``tensors`` and ``minimum_runtime`` as
        :func:`.flatbuffer.describe` gives them; ``runtimes``: whether those installed here run it;
        ``metadata``, None without.

    Raises:
        ModelError: this is no model, or a damaged one.
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ModelError(f"{path} is larger than {MAX_BYTES >> 20} MB")
    text, content = model_file.split(path.read_bytes(), path)
    with tempfile.TemporaryDirectory(prefix="ser-edge-convert-") as folder:
        scratch = Path(folder)
        alone = scratch / "model.tflite"
        alone.write_bytes(content)
        facts = _run("describe", {"path": str(alone)}, scratch / "describe")
        runtimes = {package: _try(package, alone, scratch / package) for package in RUNTIMES}
    weights = facts.pop("weights")
    return {
        "bytes": {
            "weights": weights,
            "graph": len(content) - weights,
            "metadata": size - len(content),
        },
        **facts,
        "runtimes": runtimes,
        "metadata": None if text is None else json.loads(text),
    }


def describe(*, scratch: Path, path: str) -> dict[str, Any]:
    """A job: what a flatbuffer is made of."""
    sandbox.stage(scratch, "reading the model", "it is damaged")
    return flatbuffer.describe(Path(path).read_bytes())


def load_in(*, scratch: Path, path: str, module: str) -> dict[str, Any]:
    """A job: run a flatbuffer once in a runtime, on zeros."""
    sandbox.stage(scratch, "running it", "it is not made for this runtime")
    interpreter_class = importlib.import_module(f"{module}.interpreter").Interpreter
    try:
        interpreter = interpreter_class(model_path=path)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        missing = missing_operator(str(error))
        if missing is None:
            raise
        raise ModelError(f"lacks {missing}") from error
    for entry in interpreter.get_input_details():
        interpreter.set_tensor(entry["index"], np.zeros(entry["shape"], entry["dtype"]))
    interpreter.invoke()
    return {}


def _try(package: str, path: Path, scratch: Path) -> dict[str, Any]:
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return {"version": None, "runs": None, "reason": "not installed here"}
    try:
        _run("load_in", {"path": str(path), "module": RUNTIMES[package]}, scratch)
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

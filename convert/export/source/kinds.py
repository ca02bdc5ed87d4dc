"""What a file is that is no Keras model, and what its owner can do.

A file is known by what it begins with, not by its name, which may be anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

_HEAD_BYTES = 512
_MAX_JSON_BYTES = 2**24

_TAKEN = "a Keras .h5 or .keras file, or a SavedModel folder, is needed"
_FROM_TORCH = "train or rebuild the network in Keras, copy the weights, and convert that"


def of_file(path: Path) -> str:
    """What a file is that is neither HDF5 nor a zip, in one sentence.

    Args:
        path: of the file, which is not read further than needed to tell.

    Raises:
        OSError: it cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "model.h5"
        ...     _ = path.write_bytes(b"version https://git-lfs.github.com/spec/v1\\noid sha256:")
        ...     of_file(path).replace(folder, "")
        '/model.h5 is a Git LFS pointer, not the model: fetch it with git lfs pull'
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    text = head.lstrip().lower()
    if not head:
        return f"{path} is empty: {_TAKEN}"
    if head.startswith(b"version https://git-lfs"):
        return f"{path} is a Git LFS pointer, not the model: fetch it with git lfs pull"
    if text.startswith((b"<!doctype", b"<html")):
        return f"{path} is a web page, not the model: download the file itself (raw, or resolve)"
    if head[4:8] == b"TFL3":
        return (
            f"{path} is a TensorFlow Lite model already, whose source is not in it: convert the "
            "Keras model that it was made from"
        )
    if head.startswith(b"\x80"):
        return (
            f"{path} is a pickle, which runs code when it is loaded, so it is never read: {_TAKEN}"
        )
    if text.startswith(b"{"):
        return _of_json(path)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**27:
        return f"{path} is a safetensors file, weights alone: {_TAKEN}"
    if path.suffix.lower() == ".onnx" or (head[:1] == b"\x08" and b"onnx" in head.lower()):
        return f"{path} is an ONNX model, which is not read: {_TAKEN}"
    if path.suffix == ".pb":
        if path.name == "saved_model.pb":
            return f"{path} is part of a SavedModel: give its folder, {path.parent}"
        return f"{path} is a frozen graph of TensorFlow 1, which is not read: {_TAKEN}"
    if path.suffix == ".index" or ".data-" in path.name:
        return (
            f"{path} is a part of a TensorFlow checkpoint, weights alone: load it in the code that "
            "built the model, and save that, model.save('model.h5')"
        )
    return f"{path} is no trained model that can be read: {_TAKEN}"


def of_archive(path: Path, names: Iterable[str]) -> str:
    """What a zip archive is that is no ``.keras`` file.

    Args:
        path: of the archive.
        names: of its members.

    Example:
        >>> of_archive(Path("m.zip"), ["m/saved_model.pb", "m/variables/variables.index"])
        'm.zip is a zip of a SavedModel folder: unpack it, and give that folder'
    """
    members = list(names)
    if any(name.endswith("data.pkl") for name in members):
        return f"{path} is a PyTorch file, which is not read: {_FROM_TORCH}"
    if any(name.endswith("saved_model.pb") for name in members):
        return f"{path} is a zip of a SavedModel folder: unpack it, and give that folder"
    for name in members:
        if name.lower().endswith((".h5", ".hdf5", ".keras")) and name != "model.weights.h5":
            return f"{path} is a zip with the model {name!r} in it: unpack it, and give that"
    if any(name.endswith(".npy") for name in members):
        return f"{path} is a NumPy .npz, arrays alone: {_TAKEN}"
    return f"{path} is a zip, but not a Keras file: {_TAKEN}"


def of_folder(path: Path) -> str:
    """What a folder is that is no SavedModel."""
    inner = sorted(path.glob("*/saved_model.pb"))
    if inner:
        return f"{path} is not a SavedModel folder, but {inner[-1].parent} is one: give that"
    if (path / "config.json").is_file() and (path / "model.weights.h5").is_file():
        return (
            f"{path} is a .keras file unpacked: pack it again (cd {path} && zip ../model.keras *)"
        )
    if any(path.glob("*.index")):
        return (
            f"{path} holds a TensorFlow checkpoint, weights alone: load it in the code that built "
            "the model, and save that, model.save('model.h5')"
        )
    found = [p for p in sorted(path.iterdir()) if p.suffix in (".h5", ".hdf5", ".keras")]
    if found:
        return f"{path} is a folder: give a file in it, such as {found[0]}"
    return f"{path} is not a SavedModel folder (no saved_model.pb in it): {_TAKEN}"


def _of_json(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise ValueError
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return f"{path} is no trained model that can be read: {_TAKEN}"
    if isinstance(data, dict) and "class_name" in data and "config" in data:
        return (
            f"{path} is an architecture without weights: give the file of weights, and this one "
            f"as --architecture {path}"
        )
    return f"{path} is JSON, but no trained model: {_TAKEN}"

"""The model file: a TFLite flatbuffer with a zip of its metadata and labels appended.

Readers of flatbuffers start at the front and readers of zips at the end, so other tools read both.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from ser_edge.errors import ModelError
from ser_edge.metadata import Metadata

METADATA_FILE = "ser_edge.json"
LABELS_FILE = "labels.txt"

_MAX_METADATA_BYTES = 1_000_000
# The end of a file, in which metadata and labels lie packed; what is before is not unpacked.
_MAX_ARCHIVE_BYTES = 2_000_000
_MAX_MODEL_BYTES = 150_000_000
# Where a FlatBuffer holds the name of its schema.
_IDENTIFIER = slice(4, 8)
_TFLITE = b"TFL3"
# The same model written twice is the same file, so the archive carries no time of its own.
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def read(path: str | os.PathLike[str]) -> tuple[Metadata, bytes]:
    """Read and check a model file.

    Args:
        path: the `.tflite` file.

    Returns:
        (metadata, flatbuffer): the flatbuffer matches its checksum.

    Raises:
        ModelError: the file is missing, damaged, without metadata, or too large.

    Example:
        >>> metadata, flatbuffer = read(bundled_path())
        >>> len(flatbuffer) == metadata.flatbuffer.bytes
        True
    """
    name = os.fspath(path)
    with _opened(name) as file:
        metadata = _metadata(file, name)
        return metadata, _flatbuffer(file, name, metadata)


def read_metadata(path: str | os.PathLike[str]) -> Metadata:
    """Read a model file's metadata alone, without a look at the flatbuffer.

    Raises:
        ModelError: the file is missing, damaged or without metadata.
    """
    name = os.fspath(path)
    with _opened(name) as file:
        return _metadata(file, name)


def split(content: bytes, path: str | os.PathLike[str]) -> tuple[bytes | None, bytes]:
    """Take apart the contents of any TFLite file, with metadata of ser-edge or without.

    Args:
        content: all bytes of the file.
        path: the file's name, for error messages.

    Returns:
        (JSON of the metadata, flatbuffer), both checked; (None, content) where there are no
        metadata.

    Raises:
        ModelError: this is no TFLite model, or it is damaged.
    """
    name = os.fspath(path)
    file = io.BytesIO(content)
    text = _metadata_text(file, name)
    if text is None:
        return None, content
    return text, _flatbuffer(file, name, _parse(text, name))


def write(flatbuffer: bytes, metadata: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a model file.

    Args:
        flatbuffer: a TFLite model.
        metadata: the JSON object that ``Metadata.parse`` reads; its entry ``flatbuffer`` is
            filled in here.
        path: the file to write; one that exists is replaced.

    Raises:
        OSError: it cannot be written.
    """
    checksum = {"bytes": len(flatbuffer), "sha256": hashlib.sha256(flatbuffer).hexdigest()}
    complete = {**metadata, "flatbuffer": checksum}
    contents = {
        METADATA_FILE: json.dumps(complete, indent=1, ensure_ascii=False) + "\n",
        LABELS_FILE: "".join(f"{label}\n" for label in metadata["labels"]),
    }
    with open(path, "w+b") as file:
        file.write(flatbuffer)
        with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
            for name, text in contents.items():
                archive.writestr(zipfile.ZipInfo(name, _ZIP_DATE), text, zipfile.ZIP_DEFLATED)


def bundled_path(name: str = "default") -> str:
    """The path of a model that comes with the package.

    Raises:
        ValueError: there is no such model; the message lists those that there are.
    """
    folder = os.path.join(os.path.dirname(__file__), "models")
    path = os.path.join(folder, f"{name}.tflite")
    if not os.path.isfile(path):
        names = sorted(f[: -len(".tflite")] for f in os.listdir(folder) if f.endswith(".tflite"))
        raise ValueError(f"there is no bundled model {name!r}, only {', '.join(names)}")
    return path


def find(name_or_path: str) -> str:
    """The path of a bundled model by its name, or else the path itself.

    Raises:
        ValueError: it looks like a name, but is neither a bundled model's nor a file's.
    """
    try:
        return bundled_path(name_or_path)
    except ValueError as error:
        is_path = os.sep in name_or_path or name_or_path.endswith(".tflite")
        if not is_path and not os.path.exists(name_or_path):
            raise ValueError(f"{error}; nor is it a file") from error
        return name_or_path


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror or error}") from error


def _metadata(file: BinaryIO, path: str) -> Metadata:
    text = _metadata_text(file, path)
    if text is None:
        raise ModelError(
            f"{path} carries no ser-edge metadata: make it from the trained model with "
            "ser-edge-convert"
        )
    return _parse(text, path)


def _parse(text: bytes, path: str) -> Metadata:
    try:
        return Metadata.parse(text)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _metadata_text(file: BinaryIO, path: str) -> bytes | None:
    """The JSON in a TFLite model's archive; None where there is no such archive."""
    file.seek(0)
    if file.read(_IDENTIFIER.stop)[_IDENTIFIER] != _TFLITE:
        raise ModelError(f"{path} is not a TFLite model")
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _MAX_ARCHIVE_BYTES))
    end = io.BytesIO(file.read(_MAX_ARCHIVE_BYTES))
    try:
        with zipfile.ZipFile(end) as archive:
            # Other methods unpack as much as a hostile file holds, however little is asked for.
            method = archive.getinfo(METADATA_FILE).compress_type
            if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise zipfile.BadZipFile(f"compression method {method}")
            with archive.open(METADATA_FILE) as member:
                text = member.read(_MAX_METADATA_BYTES + 1)
    except KeyError:
        return None
    except (
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        RuntimeError,
        EOFError,
        ValueError,
        OverflowError,
    ) as error:
        if not zipfile.is_zipfile(end):
            return None
        raise ModelError(f"{path} is damaged: {error}") from error
    if len(text) > _MAX_METADATA_BYTES:
        raise ModelError(f"{path}: its metadata is larger than {_MAX_METADATA_BYTES} bytes")
    return text


def _flatbuffer(file: BinaryIO, path: str, metadata: Metadata) -> bytes:
    """The flatbuffer, if it matches its checksum."""
    size = metadata.flatbuffer.bytes
    if size > _MAX_MODEL_BYTES:
        raise ModelError(f"{path}: a model of {size} bytes is too large")
    file.seek(0)
    content = file.read(size)
    # The runtime does not verify what it is given: a broken flatbuffer crashes the process.
    if hashlib.sha256(content).hexdigest() != metadata.flatbuffer.sha256:
        raise ModelError(f"{path} is damaged: its contents do not match its checksum")
    return content

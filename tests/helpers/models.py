"""Model files for tests: flatbuffers with whatever metadata a test wants."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ser_edge.errors import ModelError
from ser_edge.model import Model
from ser_edge.model_file import METADATA_FILE, bundled_path

METADATA: dict[str, Any] = {
    "format": 1,
    "name": "test",
    "labels": ["calm", "excited"],
    "frontend": {
        "sample_rate": 16000,
        "window_seconds": 1.0,
        "high_pass": {"cutoff": 80.0, "order": 2},
        "trim": {"top_db": 25.0, "frame_length": 256, "hop_length": 64},
        "level_dbfs": -26.0,
        "features": [
            {"name": "rms", "frame_length": 400, "hop_length": 160},
            {"name": "mfcc", "n_mfcc": 3, "n_fft": 512, "hop_length": 160, "n_mels": 20},
            {"name": "delta", "of": "mfcc"},
        ],
        "layout": "features_frames",
        "normalization": {"mean": [0.0] * 7, "std": [1.0] * 7},
    },
    "decision": {
        "window_hop_seconds": 0.5,
        "min_speech_seconds": 0.25,
        "silence_dbfs": -60.0,
        "temperature": 1.0,
        "threshold": 0.0,
    },
    "quantization": "none",
    "flatbuffer": {"bytes": 1, "sha256": "0" * 64},
    "reference": {"signal": "harmonics", "seconds": 1.0, "scores": [0.25, 0.75]},
}
"""A small model's metadata with every entry that the runtime reads."""

MISSING = object()


def edited(metadata: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with the entry at a path such as ``frontend.features.0.name`` set, or MISSING."""
    copied = copy.deepcopy(dict(metadata))
    *parents, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    place: Any = copied
    for key in parents:
        place = place[key]
    if value is MISSING:
        del place[last]
    else:
        place[last] = value
    return copied


def bundled() -> tuple[bytes, dict[str, Any]]:
    """The bundled model's flatbuffer and metadata."""
    with zipfile.ZipFile(bundled_path()) as archive:
        metadata = json.loads(archive.read(METADATA_FILE))
    content = Path(bundled_path()).read_bytes()
    return content[: metadata["flatbuffer"]["bytes"]], metadata


def write(
    path: Path,
    flatbuffer: bytes,
    metadata: Mapping[str, Any] | bytes,
    *,
    method: int = zipfile.ZIP_DEFLATED,
) -> Path:
    """Write a model file, whatever its metadata; a mapping gets the right checksum."""
    if not isinstance(metadata, bytes):
        checksum = {"bytes": len(flatbuffer), "sha256": hashlib.sha256(flatbuffer).hexdigest()}
        metadata = json.dumps({**metadata, "flatbuffer": checksum}).encode()
    path.write_bytes(pack(flatbuffer, metadata, method=method))
    return path


def pack(flatbuffer: bytes, metadata: bytes, *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A model file's contents; their checksum is the metadata's own business."""
    content = io.BytesIO(flatbuffer)
    with zipfile.ZipFile(content, "a", method) as archive:
        archive.writestr(METADATA_FILE, metadata)
    return content.getvalue()


def refusal(path: Path) -> str:
    """The text of the error that loading the file raises; it must name the file in one line."""
    with pytest.raises(ModelError) as caught:
        Model(path)
    text = str(caught.value)
    assert str(path) in text
    assert text.isprintable()
    return text


def one_output(flatbuffer: bytes) -> bytes:
    """A model without its outputs but the first: the vector of outputs is cut in place."""
    pytest.importorskip("tensorflow")  # its schema edits flatbuffers
    import flatbuffers.number_types as types
    from tensorflow.lite.python import schema_py_generated as schema

    content = bytearray(flatbuffer)
    graph = schema.Model.GetRootAsModel(content, 0).Subgraphs(0)
    table = graph._tab
    place = table.Vector(table.Offset(8)) - types.UOffsetTFlags.bytewidth
    content[place : place + 4] = (1).to_bytes(4, "little")
    assert graph.OutputsLength() == 1
    return bytes(content)

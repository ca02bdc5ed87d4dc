from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ser_edge.convert.package import pack
from ser_edge.convert.train import architectures
from ser_edge.errors import ModelError
from ser_edge.model import Model
from ser_edge.selftest import TOLERANCE, reference_error
from tests.helpers.conversion import convert

pytest.importorskip("tensorflow")

LABELS = ["neutral", "happy", "sad"]


@pytest.fixture(scope="module")
def flatbuffer() -> bytes:
    return convert(architectures.build("lstm", (21, 2), len(LABELS)), "none")


@pytest.fixture
def metadata(toy_frontend: dict[str, Any]) -> dict[str, Any]:
    return {
        "format": 1,
        "name": "toy",
        "description": "for tests",
        "labels": LABELS,
        "frontend": toy_frontend,
        "decision": {
            "window_hop_seconds": 0.25,
            "min_speech_seconds": 0.1,
            "silence_dbfs": -60.0,
            "temperature": 1.0,
            "threshold": 0.0,
        },
        "quantization": "none",
    }


def test_packs_what_the_runtime_loads(
    flatbuffer: bytes, metadata: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "toy.tflite"
    packed = pack(flatbuffer, metadata, path)
    model = Model(path)
    assert model.metadata == packed
    assert model.metadata.labels == tuple(LABELS)
    assert model.metadata.details["description"] == "for tests"
    assert model.metadata.flatbuffer.sha256 == hashlib.sha256(flatbuffer).hexdigest()
    error = reference_error(model)
    assert error is not None
    assert error < TOLERANCE


def test_file_is_the_flatbuffer_and_a_zip(
    flatbuffer: bytes, metadata: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "toy.tflite"
    pack(flatbuffer, metadata, path)
    assert path.read_bytes().startswith(flatbuffer)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["ser_edge.json", "labels.txt"]
        assert archive.read("labels.txt").decode().split() == LABELS


def test_same_model_gives_the_same_file(
    flatbuffer: bytes, metadata: dict[str, Any], tmp_path: Path
) -> None:
    first, second = tmp_path / "first.tflite", tmp_path / "second.tflite"
    pack(flatbuffer, metadata, first)
    pack(flatbuffer, metadata, second)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("labels", ["neutral", "happy"], "3 values for 2 labels"),
        ("quantization", "int3", "quantization"),
        ("name", "", "name"),
    ],
)
def test_wrong_metadata_leaves_the_old_file(
    flatbuffer: bytes,
    metadata: dict[str, Any],
    tmp_path: Path,
    key: str,
    value: object,
    message: str,
) -> None:
    path = tmp_path / "toy.tflite"
    path.write_bytes(b"as before")
    with pytest.raises(ModelError, match=message):
        pack(flatbuffer, {**metadata, key: value}, path)
    assert path.read_bytes() == b"as before"
    assert list(tmp_path.iterdir()) == [path]

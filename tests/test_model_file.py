from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ser_edge import model_file
from ser_edge.errors import ModelError
from ser_edge.model_file import METADATA_FILE, bundled_path
from tests.helpers.models import bundled, edited, refusal, write


def test_metadata_lies_at_the_end_of_a_large_model(tmp_path: Path) -> None:
    flatbuffer, metadata = bundled()
    padded = flatbuffer + bytes(5_000_000)
    read, content = model_file.read(write(tmp_path / "large.tflite", padded, metadata))
    assert read.name == metadata["name"]
    assert content == padded


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_metadata_may_be_deflated_or_stored(method: int, tmp_path: Path) -> None:
    path = write(tmp_path / "model.tflite", *bundled(), method=method)
    assert model_file.read_metadata(path).labels


def test_parts_of_any_tflite_file(tmp_path: Path) -> None:
    flatbuffer, metadata = bundled()
    content = Path(bundled_path()).read_bytes()
    text, taken = model_file.split(content, "model.tflite")
    assert text is not None
    assert json.loads(text) == metadata
    assert taken == flatbuffer
    assert model_file.split(flatbuffer, "plain.tflite") == (None, flatbuffer)
    with pytest.raises(ModelError, match=r"^x\.tflite is not a TFLite model"):
        model_file.split(b"RIFF....WAVE", "x.tflite")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    flatbuffer, metadata = bundled()
    path = tmp_path / "again.tflite"
    model_file.write(flatbuffer, metadata, path)
    assert model_file.read(path) == model_file.read(bundled_path())
    with zipfile.ZipFile(path) as archive:
        assert archive.read(model_file.LABELS_FILE).decode().split() == metadata["labels"]


def test_a_name_is_a_bundled_model_s_or_a_file_s(tmp_path: Path, monkeypatch: Any) -> None:
    assert model_file.find("open") == bundled_path("open")
    for path in ("./none", "none.tflite"):  # which loading then names as missing
        assert model_file.find(path) == path
    with pytest.raises(ValueError, match=r"no bundled model 'none', only .*; nor is it a file"):
        model_file.find("none")
    monkeypatch.chdir(tmp_path)
    Path("none").touch()
    assert model_file.find("none") == "none"


# Files that are no models.


def test_missing(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.tflite")


def test_folder(tmp_path: Path) -> None:
    assert "Is a directory" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"TFL3", b"RIFF....WAVE", bytes(10_000)])
def test_not_tflite(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    assert refusal(path).endswith("is not a TFLite model")


def test_without_metadata(tmp_path: Path) -> None:
    flatbuffer, _ = bundled()
    path = tmp_path / "model.tflite"
    path.write_bytes(flatbuffer)
    assert "carries no ser-edge metadata: make it" in refusal(path)
    # As other tools pack theirs.
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "yes\nno\n")
    assert "carries no ser-edge metadata: make it" in refusal(path)


def test_cut_off(tmp_path: Path) -> None:
    content = Path(bundled_path()).read_bytes()
    path = tmp_path / "model.tflite"
    path.write_bytes(content[:-10])
    assert "carries no ser-edge metadata" in refusal(path)


def test_changed_flatbuffer(tmp_path: Path) -> None:
    content = bytearray(Path(bundled_path()).read_bytes())
    content[len(content) // 3] ^= 1
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    assert "is damaged: its contents do not match its checksum" in refusal(path)


def test_checksum_of_more_than_there_is(tmp_path: Path) -> None:
    flatbuffer, metadata = bundled()
    metadata = edited(metadata, "flatbuffer.bytes", 140_000_000)
    text = json.dumps(metadata).encode()
    assert "is damaged" in refusal(write(tmp_path / "model.tflite", flatbuffer, text))
    text = text.replace(b"140000000", b"999000000")
    assert "too large" in refusal(write(tmp_path / "model.tflite", flatbuffer, text))


def test_metadata_that_is_wrong_names_file_and_entry(tmp_path: Path) -> None:
    flatbuffer, metadata = bundled()
    path = tmp_path / "model.tflite"
    write(path, flatbuffer, edited(metadata, "frontend.steps.8.order", "sideways"))
    assert "frontend.steps[8].order is 'sideways'" in refusal(path)
    write(path, flatbuffer, {**metadata, "format": 3})
    assert "upgrade ser-edge" in refusal(path)
    write(path, flatbuffer, b'{"format": NaN}')
    assert "NaN is not a number" in refusal(path)
    write(path, flatbuffer, b"[" * 100_000)
    assert "not valid JSON" in refusal(path)


def assert_refused_in_little_memory(path: Path) -> str:
    tracemalloc.start()
    try:
        text = refusal(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000
    return text


def test_a_gigabyte_of_spaces_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(bundled()[0])
    megabyte = b" " * 1_000_000
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(METADATA_FILE, "w", force_zip64=True) as member,
    ):
        for _ in range(1_000):
            member.write(megabyte)
    assert_refused_in_little_memory(path)
    # The same, little enough to lie in the part that is read.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(METADATA_FILE, megabyte * 100)
    path.write_bytes(bundled()[0] + path.read_bytes())
    assert "metadata is larger than 1000000 bytes" in assert_refused_in_little_memory(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_everything_are_refused(method: int, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    write(path, bundled()[0], b" " * 100_000_000, method=method)
    text = assert_refused_in_little_memory(path)
    assert f"is damaged: compression method {method}" in text


def test_a_directory_of_millions_of_names_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as small:
        small.writestr("a", "")
    content = archive.getvalue()
    entry = content[content.index(b"PK\1\2") : content.index(b"PK\5\6")]
    count = 300_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, count * len(entry), 0, 0)
    path.write_bytes(bundled()[0] + entry * count + end)
    assert_refused_in_little_memory(path)

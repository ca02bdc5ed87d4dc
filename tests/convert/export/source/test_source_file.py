"""Sources are untrusted: whatever is wrong with them ends in one sentence."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ser_edge.convert.export.source import source_file
from ser_edge.errors import ModelError

h5py = pytest.importorskip("h5py")

CONFIG = {"class_name": "Sequential", "config": {"layers": []}}


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "."), content)
    return path


def weights(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(CONFIG)
        file.attrs["keras_version"] = "2.15.0"
        file.create_dataset("layer/kernel:0", data=np.ones((3, 4), np.float32))
    return path


def test_reads_hdf5(tmp_path: Path) -> None:
    path = weights(tmp_path / "any.name")
    file = source_file.read(path, tmp_path)
    assert file == source_file.KerasFile("Keras 2.15.0 .h5", CONFIG, path)


def test_reads_an_archive(tmp_path: Path) -> None:
    inner = weights(tmp_path / "w").read_bytes()
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", json.dumps(CONFIG))
        file.writestr("metadata.json", '{"keras_version": "3.15.1"}')
        file.writestr("model.weights.h5", inner)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = source_file.read(path, scratch)
    assert found.format == "Keras 3.15.1 .keras"
    assert found.config == CONFIG
    assert found.weights.read_bytes() == inner
    assert [p.name for p in scratch.iterdir()] == ["model.weights.h5"]


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("/nonexistent/exploded"),))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (pickle.dumps(Bomb()), "is a pickle, which runs code when it is loaded"),
        (pickle.dumps(Bomb(), protocol=0), "no trained model that can be read"),
        (b"", "is empty"),
        (b"not a model at all", "no trained model that can be read"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer, .*git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "is a web page, not the model"),
        (b"\x20\0\0\0TFL3" + bytes(9), "is a TensorFlow Lite model already"),
        (b"\x08\x07\x12\x0cpytorch\x1a onnx", "is an ONNX model"),
        (b"\x10\0\0\0\0\0\0\0{}", "is a safetensors file"),
        (json.dumps(CONFIG).encode(), "architecture without weights: .* --architecture"),
        (b'{"a": 1}', "is JSON, but no trained model"),
        (b"{", "no trained model that can be read"),
        (b"\x89HDF\r\n\x1a\n" + bytes(200), "is damaged"),
        (b"PK\x03\x04" + bytes(200), "is damaged"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "model.h5"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=sentence):
        source_file.read(path, tmp_path)


@pytest.mark.parametrize(
    "name", ["../evil.py", "/etc/evil", "assets/../../evil", "..\\evil", "C:\\evil"]
)
def test_path_traversal_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", json.dumps(CONFIG))
        file.writestr("metadata.json", "{}")
        file.writestr("model.weights.h5", weights(tmp_path / "w").read_bytes())
        file.writestr(name, "evil")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ModelError, match="would leave its folder"):
        source_file.read(path, tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_zip_that_claims_ten_gigabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", json.dumps(CONFIG))
        file.writestr("metadata.json", "{}")
        file.writestr("model.weights.h5", b"small")
    content = path.read_bytes()
    # The size in the central directory, a 32-bit number 24 bytes into the last entry.
    entry = content.rindex(b"PK\x01\x02") + 24
    path.write_bytes(content[:entry] + (4_000_000_000).to_bytes(4, "little") + content[entry + 4 :])
    with pytest.raises(ModelError, match="claims to hold 3814 MB"):
        source_file.read(path, tmp_path)
    assert not (tmp_path / "model.weights.h5").exists()


def test_weights_that_claim_ten_gigabytes_are_refused(tmp_path: Path) -> None:
    path = weights(tmp_path / "model.h5")
    with h5py.File(path, "a") as file:
        # Storage is given when something is written: the file stays small.
        file.create_dataset("huge", (50_000, 50_000), np.float32, chunks=(1000, 1000))
    assert path.stat().st_size < 100_000
    with pytest.raises(ModelError, match=r"claims over 1024 MB of weights \(/huge: 50000 x 50000"):
        source_file.read(path, tmp_path)


def test_weights_from_another_file_are_refused(tmp_path: Path) -> None:
    secret = weights(tmp_path / "secret.h5")
    linked = weights(tmp_path / "linked.h5")
    with h5py.File(linked, "a") as file:
        file["stolen"] = h5py.ExternalLink(str(secret), "/layer")
    with pytest.raises(ModelError, match="links 'stolen' to something else"):
        source_file.read(linked, tmp_path)
    external = weights(tmp_path / "external.h5")
    with h5py.File(external, "a") as file:
        file.create_dataset("stolen", (4,), "u1", external=[("/etc/hostname", 0, 4)])
    with pytest.raises(ModelError, match="stores '/stolen' outside of itself"):
        source_file.read(external, tmp_path)


def test_a_group_that_holds_itself_ends(tmp_path: Path) -> None:
    path = weights(tmp_path / "model.h5")
    with h5py.File(path, "a") as file:
        file["layer/itself"] = file["layer"]
    assert source_file.read(path, tmp_path).config == CONFIG


def test_weights_alone_want_their_architecture(tmp_path: Path) -> None:
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        file["kernel"] = np.ones(3)
    with pytest.raises(ModelError, match=r"without their architecture: .*--architecture model\.js"):
        source_file.read(path, tmp_path)
    architecture = tmp_path / "model.json"
    wrapped = {"class_name": "__tuple__", "items": [1, {"class_name": "TensorShape", "items": [2]}]}
    architecture.write_text(json.dumps({**CONFIG, "keras_version": "3.5.0", "shape": wrapped}))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    file = source_file.read(path, scratch, architecture)
    assert file.format == "Keras 3.5.0 weights and .json"
    assert file.config["shape"] == [1, [2]]
    assert file.weights.resolve() == path
    architecture.write_text("import os")
    with pytest.raises(ModelError, match="is not the JSON of an architecture"):
        source_file.read(path, scratch, architecture)
    architecture.write_text("{")
    with pytest.raises(ModelError, match="not valid JSON"):
        source_file.read(path, scratch, architecture)
    with pytest.raises(ModelError, match="holds an architecture of its own"):
        source_file.read(weights(tmp_path / "whole.h5"), scratch, architecture)


def test_other_archives_are_refused(tmp_path: Path) -> None:
    torch = archive(tmp_path / "a.pt", **{"archive/data__pkl": b""})
    with pytest.raises(ModelError, match="is a PyTorch file"):
        source_file.read(torch, tmp_path)
    for member, sentence in {
        "readme__txt": "is a zip, but not a Keras file",
        "model/saved_model__pb": "is a zip of a SavedModel folder: unpack it",
        "model/best__h5": "is a zip with the model 'model/best.h5' in it: unpack it",
        "arr_0__npy": "is a NumPy .npz",
    }.items():
        other = archive(tmp_path / "b.zip", **{member: b""})
        with pytest.raises(ModelError, match=sentence):
            source_file.read(other, tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    assert not source_file.is_saved_model(tmp_path)
    with pytest.raises(ModelError, match="not a SavedModel folder"):
        source_file.read(tmp_path, tmp_path)
    for name, sentence in {
        "model.ckpt.index": "holds a TensorFlow checkpoint, weights alone",
        "1/saved_model.pb": "but .*/1 is one: give that",
        "best.h5": "give that",  # the SavedModel first
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        with pytest.raises(ModelError, match=sentence):
            source_file.read(tmp_path, tmp_path)
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"\x12\x03abc")
    with pytest.raises(ModelError, match="is part of a SavedModel: give its folder"):
        source_file.read(tmp_path / "1" / "saved_model.pb", tmp_path)


def test_checksum_of_a_folder_knows_names(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    for folder, name in ((first, "a"), (second, "b")):
        folder.mkdir()
        (folder / name).write_bytes(b"same")
    assert source_file.sha256(first) != source_file.sha256(second)
    assert source_file.sha256(first / "a") == source_file.sha256(second / "b")
    assert source_file.size(first) == 4


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub's cache with one file in it, and no network."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "models--ZionC27--EMO_20_82"
    revision = "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(revision)
    snapshot = repository / "snapshots" / revision
    snapshot.mkdir(parents=True)
    (snapshot / "model.h5").write_bytes(b"weights")
    return tmp_path


def test_fetches_from_the_hubs_cache(hub: Path) -> None:
    path = source_file.fetch("hf://ZionC27/EMO_20_82/model.h5")
    assert path.read_bytes() == b"weights"


def test_a_hub_out_of_reach_is_one_sentence(hub: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot reach the hub, and hf://a/b/c\.h5 is not"):
        source_file.fetch("hf://a/b/c.h5")


@pytest.mark.parametrize("source", ["hf://", "hf://owner", "hf://owner/repo", "hf://owner//x"])
def test_half_an_address_is_refused(source: str) -> None:
    with pytest.raises(ModelError, match="is not of the form hf://OWNER/REPO/FILE"):
        source_file.fetch(source)


def test_no_such_file() -> None:
    with pytest.raises(ModelError, match="there is no /no/such"):
        source_file.fetch("/no/such")

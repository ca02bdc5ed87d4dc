"""Somebody's trained model: found, recognized and read as untrusted input.

Nothing in here runs code of the model or believes a size that it claims: TensorFlow comes later.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ser_edge.errors import DependencyError, ModelError

from ..sandbox import one_line
from . import kinds

# Larger than any model that an edge device runs; what claims more is refused unread.
MAX_BYTES = 2**30

_MAX_CONFIG_BYTES = 2**24
_MAX_DEPTH = 50

_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_ZIP_MAGIC = b"PK\x03\x04"
_HUB = "hf://"
# Beside these, Keras writes an object for every tuple, shape and array in a description.
_WRAPPED = {"__tuple__": "items", "TensorShape": "items", "__numpy__": "value"}


@dataclass(frozen=True)
class KerasFile:
    """What a Keras file of any generation holds."""

    format: str  # with its writer, such as ``Keras 2.15.0 .h5``
    config: dict[str, Any]  # the architecture, as Keras serialized it; tuples as lists
    weights: Path  # a file that ``load_weights`` of Keras 2 reads


def fetch(source: str) -> Path:
    """The local path of a source: itself, or for ``hf://OWNER/REPO/FILE`` the downloaded file.

    The hub's own cache is used, so what was fetched once works without a network.

    Raises:
        ModelError: there is no such file, here or in the hub, or the hub cannot be reached.
        DependencyError: huggingface_hub is missing.

    Example:
        >>> fetch("hf://owner/file.h5")
        Traceback (most recent call last):
        ...
        ser_edge.errors.ModelError: hf://owner/file.h5 is not of the form hf://OWNER/REPO/FILE
    """
    if source.startswith(_HUB):
        return _fetch_from_hub(source)
    path = Path(source)
    if not path.exists():
        raise ModelError(f"there is no {source}")
    return path


def sha256(path: Path) -> str:
    """Checksum of a file, or of a folder's files and their names, as hexadecimal digits."""
    digest = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        if path.is_dir():
            digest.update(f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as content:
            for block in iter(lambda: content.read(2**20), b""):
                digest.update(block)
    return digest.hexdigest()


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_dir():
        return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    return path.stat().st_size


def is_saved_model(path: Path) -> bool:
    """Whether a path is a SavedModel folder."""
    return (path / "saved_model.pb").is_file()


def read(path: Path, scratch: Path, architecture: Path | None = None) -> KerasFile:
    """Read a Keras ``.h5`` or ``.keras`` file, whatever its name.

    Args:
        path: the file.
        scratch: a folder for what must be unpacked.
        architecture: what ``model.to_json()`` gave, for a file of weights alone.

    Returns:
        Its architecture and weights, neither of which has run or been believed yet.

    Raises:
        ModelError: not a Keras file, damaged, without an architecture, or claiming more than
            :data:`MAX_BYTES`; or one that reaches out of itself.
    """
    if path.is_dir():
        raise ModelError(kinds.of_folder(path))
    if path.stat().st_size > MAX_BYTES:
        raise ModelError(f"{path} is larger than {MAX_BYTES >> 20} MB")
    with path.open("rb") as file:
        magic = file.read(8)
    if magic == _HDF5_MAGIC:
        return _read_hdf5(path, scratch, architecture)
    if not magic.startswith(_ZIP_MAGIC):
        raise ModelError(kinds.of_file(path))
    if architecture is not None:
        raise ModelError(f"{path} is no file of weights alone: --architecture does not go with it")
    return _read_archive(path, scratch)


def _fetch_from_hub(source: str) -> Path:
    owner, _, rest = source[len(_HUB) :].partition("/")
    repository, _, name = rest.partition("/")
    if not (owner and repository and name):
        raise ModelError(f"{source} is not of the form hf://OWNER/REPO/FILE")
    try:
        from huggingface_hub import errors as hub
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise DependencyError(
            "fetching from the hub needs huggingface_hub: pip install 'ser-edge[hub]'"
        ) from error
    try:
        return Path(hf_hub_download(f"{owner}/{repository}", name))
    except hub.RepositoryNotFoundError as error:
        raise ModelError(
            f"the hub has no repository {owner}/{repository}, or not for you"
        ) from error
    except hub.EntryNotFoundError as error:
        if isinstance(error, hub.LocalEntryNotFoundError):
            raise ModelError(
                f"cannot reach the hub, and {source} is not in the local cache"
            ) from error
        raise ModelError(f"{owner}/{repository} in the hub has no file {name}") from error
    except (hub.HFValidationError, hub.HfHubHTTPError, OSError) as error:
        raise ModelError(f"cannot fetch {source}: {one_line(error)}") from error


def _read_hdf5(path: Path, scratch: Path, architecture: Path | None) -> KerasFile:
    h5py = _h5py()
    _check_hdf5(path)
    with h5py.File(path, "r") as file:
        config = file.attrs.get("model_config")
        version = _text(file.attrs.get("keras_version", "2"))
        # What .keras archives hold; Keras writes it to .weights.h5 files too.
        of_objects = not any(name.startswith("layer_names") for name in file.attrs)
    if config is not None:
        if architecture is not None:
            raise ModelError(f"{path} holds an architecture of its own: leave out --architecture")
        return KerasFile(f"Keras {version} .h5", _parse(config, path), path)
    if architecture is None:
        raise ModelError(
            f"{path} holds weights without their architecture: save the whole model, model.save(), "
            "or write the architecture where the model is built, open('model.json', "
            "'w').write(model.to_json()), and give it as --architecture model.json"
        )
    description = _read_architecture(architecture)
    # Keras tells the two forms of weights apart by the file's name.
    weights = scratch / ("source.weights.h5" if of_objects else "source.h5")
    weights.symlink_to(path.resolve())
    writer = _text(description.get("keras_version", version))
    return KerasFile(f"Keras {writer} weights and .json", description, weights)


def _read_architecture(path: Path) -> dict[str, Any]:
    """What ``to_json`` wrote; its keys ``class_name`` and ``config`` are those of a model file."""
    with path.open("rb") as file:
        text = file.read(_MAX_CONFIG_BYTES + 1)
    if len(text) > _MAX_CONFIG_BYTES:
        raise ModelError(f"{path} is larger than {_MAX_CONFIG_BYTES >> 20} MB")
    if not text.lstrip().startswith(b"{"):
        raise ModelError(
            f"{path} is not the JSON of an architecture, which model.to_json() gives; code is not "
            "run to build one"
        )
    return _parse(text, path)


def _read_archive(path: Path, scratch: Path) -> KerasFile:
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive)
            if "config.json" not in archive.namelist():
                raise ModelError(kinds.of_archive(path, archive.namelist()))
            try:
                config = _read_member(archive, "config.json")
                metadata = _parse(_read_member(archive, "metadata.json"), path)
                weights = scratch / "model.weights.h5"
                with archive.open(weights.name) as packed, weights.open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)
            except KeyError as error:
                raise ModelError(f"{path} is not a Keras file: {one_line(error)}") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path} is damaged: {one_line(error)}") from error
    _check_hdf5(weights, shown=path)
    version = _text(metadata.get("keras_version", "?"))
    return KerasFile(f"Keras {version} .keras", _parse(config, path), weights)


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    for member in archive.infolist():
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
            raise ModelError(
                f"{path} holds a file that would leave its folder: {member.filename!r}"
            )
    claimed = sum(member.file_size for member in archive.infolist())
    if claimed > MAX_BYTES:
        raise ModelError(f"{path} claims to hold {claimed >> 20} MB, over {MAX_BYTES >> 20}")


def _read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as member:
        data = member.read(_MAX_CONFIG_BYTES + 1)
    if len(data) > _MAX_CONFIG_BYTES:
        raise ModelError(f"{name} is larger than {_MAX_CONFIG_BYTES >> 20} MB")
    return data


def _check_hdf5(path: Path, *, shown: Path | None = None) -> None:
    """Refuse links and storage outside of the file, and sizes that nobody needs."""
    h5py = _h5py()
    shown = shown or path
    claimed = 0
    seen = set()
    try:
        with h5py.File(path, "r") as file:
            waiting = [(file["/"], 0)]
            while waiting:
                group, depth = waiting.pop()
                for name in group:
                    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                        raise ModelError(f"{shown} links {name!r} to something else")
                    item = group[name]
                    address = h5py.h5o.get_info(item.id).addr
                    if address in seen:
                        continue
                    seen.add(address)
                    if isinstance(item, h5py.Group):
                        if depth > _MAX_DEPTH:
                            raise ModelError(f"{shown} is nested too deep")
                        waiting.append((item, depth + 1))
                        continue
                    if not isinstance(item, h5py.Dataset):
                        continue
                    if item.is_virtual or item.external:
                        raise ModelError(f"{shown} stores {item.name!r} outside of itself")
                    claimed += item.size * item.dtype.itemsize
                    if claimed > MAX_BYTES:
                        raise ModelError(
                            f"{shown} claims over {MAX_BYTES >> 20} MB of weights "
                            f"({item.name}: {' x '.join(map(str, item.shape))})"
                        )
    except ModelError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{shown} is damaged: {one_line(error)}") from error


def _parse(text: str | bytes, path: Path) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is damaged: its architecture is not valid JSON") from error
    if not isinstance(data, dict):
        raise ModelError(f"{path} is damaged: its architecture is not an object")
    try:
        plain: dict[str, Any] = _unwrapped(data)
    except RecursionError as error:
        raise ModelError(f"{path} is damaged: its architecture is nested too deep") from error
    return plain


def _unwrapped(value: Any) -> Any:
    """A description without the objects that Keras writes for tuples, shapes and arrays."""
    if isinstance(value, list):
        return [_unwrapped(item) for item in value]
    if not isinstance(value, dict):
        return value
    key = _WRAPPED.get(str(value.get("class_name")))
    if key is not None:
        inner = value if key in value else value.get("config")
        if isinstance(inner, dict) and key in inner:
            return _unwrapped(inner[key])
    return {name: _unwrapped(item) for name, item in value.items()}


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise DependencyError(
            "reading Keras files needs h5py: pip install 'ser-edge[convert]'"
        ) from error
    return h5py


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)

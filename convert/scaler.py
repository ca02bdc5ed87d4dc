"""What training data were normalized by, read from a file, as the last step of a front end.

scikit-learn saves its scalers as pickles, which run code when they are loaded. Their numbers are
two arrays, which its owner exports with one line.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_edge.errors import ModelError
from ser_edge.frontend import Frontend, FrontendSpec

_MAX_BYTES = 2**24
_EXPORT = "np.savez('scaler.npz', mean=scaler.mean_, scale=scaler.scale_)"
_PICKLED = (b"\x80", b"\x78\x9c", b"\x78\x5e", b"\x78\x01", b"\x1f\x8b")  # the rest: by joblib


def read(path: str | os.PathLike[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean and the scale in a ``.npz`` or JSON file.

    Args:
        path: of the file. It holds ``mean``, by default 0, and ``scale`` (or ``std``), by default
            1: a number, or one for every feature.

    Returns:
        (mean, scale), each of shape (n,), or () for a single number.

    Raises:
        ModelError: it cannot be read, is a pickle, or holds something else.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "scaler.json"
        ...     _ = path.write_text('{"mean": [1.0, 2.0], "scale": [0.5, 4.0]}')
        ...     read(path)
        (array([1., 2.]), array([0.5, 4. ]))
    """
    arrays = _arrays(Path(path))
    if "std" in arrays and "scale" not in arrays:
        arrays = {"scale" if name == "std" else name: value for name, value in arrays.items()}
    if not {"mean", "scale"} & set(arrays) or set(arrays) - {"mean", "scale"}:
        found = ", ".join(sorted(arrays)) or "nothing"
        raise ModelError(f"the scaler {path} must hold mean and scale, not {found}: {_EXPORT}")
    mean, scale = (_vector(path, arrays, *item) for item in (("mean", 0.0), ("scale", 1.0)))
    if mean.ndim and scale.ndim and mean.size != scale.size:
        raise ModelError(f"the scaler {path} holds {mean.size} means and {scale.size} scales")
    if not (scale > 0).all():
        raise ModelError(f"the scaler {path}: every scale must be above zero")
    return mean, scale


def add(spec: FrontendSpec, path: str | os.PathLike[str]) -> FrontendSpec:
    """A front end whose features are normalized, as the last thing, by the scaler in a file.

    Args:
        spec: the front end.
        path: as for :func:`read`.

    Raises:
        ModelError: as :func:`read`; the front end gives another number of features; or it is
            normalized by training clips already.
    """
    mean, scale = read(path)
    if spec.normalization is not None:
        raise ModelError(
            f"the front end states mean and std already: leave them out, or the scaler {path}"
        )
    upright = tuple(step for step in spec.steps if step.name not in ("layout", "reshape"))
    features, frames = Frontend(FrontendSpec(upright)).shape
    n = frames if features == 1 else features
    size = max(mean.size, scale.size)
    if size not in (1, n):
        flattened = size == features * frames
        hint = "; that of whole matrices, a value for each cell, cannot be stated"
        raise ModelError(
            f"the scaler {path} has {size} values, where the front end gives {n} features"
            f"{hint if flattened else ''}"
        )
    means, scales = (np.broadcast_to(value, (n,)).tolist() for value in (mean, scale))
    return spec.with_normalization(means, scales)


def _arrays(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ModelError(f"the scaler {path} is larger than {_MAX_BYTES >> 20} MB")
        content = path.read_bytes()
        if content.startswith(b"PK"):
            return _of_archive(path)
    except OSError as error:
        raise ModelError(f"cannot read the scaler {path}: {error.strerror}") from error
    if content.startswith(_PICKLED):
        raise ModelError(
            f"the scaler {path} is a pickle, which runs code when it is loaded, so it is never "
            f"read: where it was made, {_EXPORT}"
        )
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"the scaler {path} is neither .npz nor JSON: {_EXPORT}") from error
    if not isinstance(data, dict):
        raise ModelError(f"the scaler {path} must be an object with mean and scale")
    return data


def _of_archive(path: Path) -> Mapping[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            claimed = sum(member.file_size for member in archive.infolist())
        if claimed <= _MAX_BYTES:
            with np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
    except (ValueError, TypeError, EOFError, MemoryError, RuntimeError) as error:
        raise ModelError(
            f"the scaler {path} holds something else than numbers: {_EXPORT}"
        ) from error
    except zipfile.BadZipFile as error:
        raise ModelError(f"the scaler {path} is damaged") from error
    raise ModelError(f"the scaler {path} is larger than {_MAX_BYTES >> 20} MB")


def _vector(
    path: str | os.PathLike[str], arrays: Mapping[str, Any], name: str, default: float
) -> NDArray[np.float64]:
    given = arrays.get(name, default)
    try:
        values = np.asarray(given)
        numbers = values.astype(np.float64) if values.dtype.kind in "iuf" else None
    except (ValueError, TypeError):
        numbers = None
    if numbers is None or not np.isfinite(numbers).all() or not numbers.size:
        raise ModelError(f"the scaler {path}: its {name} is no list of finite numbers")
    if numbers.size == 1:
        return numbers.reshape(())
    if numbers.size != max(numbers.shape):
        shape = " x ".join(map(str, numbers.shape))
        raise ModelError(f"the scaler {path}: its {name} is {shape}, where one row is needed")
    return numbers.reshape(-1)

"""Front ends in the form of a model's metadata: the presets by name, others from a JSON file.

A file may say in ``description`` what it is. The presets are the files in ``presets/``, most of
them what many notebooks share. ``seed`` is, to the letter, the front end in the notebook of
github.com/ZionC27/Speech-Emotion-Recognition. ``compact`` has frames of 32 ms, a quarter of its
cost and less of the speaker's pitch, and scales speech to one level, which makes recordings of
different places alike.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ser_edge.errors import ModelError, SerEdgeError
from ser_edge.frontend import FrontendSpec

_PRESETS = Path(__file__).parent / "presets"

# The labels of a preset's model, in the order of its outputs, where its author stated them.
LABELS = {"seed": ("neutral", "happy", "sad", "angry", "fear", "disgust")}

NAMES = tuple(sorted(path.stem for path in _PRESETS.glob("*.json")))  # what `preset` knows


def preset(name: str) -> dict[str, Any]:
    """The front end called ``name``, as its author wrote it: defaults are not filled in.

    Args:
        name: one of :data:`NAMES`.

    Returns:
        A new dict, which ``FrontendSpec.parse`` reads.

    Raises:
        SerEdgeError: there is no such preset.

    Example:
        >>> preset("seed")["steps"][0]
        {'name': 'load', 'sample_rate': 16000, 'duration': 4.0}
    """
    spec = _load(name)
    del spec["description"]
    return spec


def describe(name: str) -> str:
    """A preset in a line.

    Raises:
        SerEdgeError: there is no such preset.

    Example:
        >>> describe("mean-mfcc-40")
        '40 MFCC, their mean over 3 s from 0.5 s on, 22.05 kHz'
    """
    return str(_load(name)["description"])


def _load(name: str) -> dict[str, Any]:
    if name not in NAMES:
        raise SerEdgeError(f"no preset {name!r} (known: {', '.join(NAMES)})")
    spec: dict[str, Any] = json.loads((_PRESETS / f"{name}.json").read_text(encoding="utf-8"))
    return spec


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read and check a JSON file with a front end.

    Args:
        path: of the file; what it holds is what a model's metadata calls ``frontend``.

    Returns:
        The front end with all defaults filled in, which ``FrontendSpec.parse`` reads.

    Raises:
        ModelError: the file cannot be read, is not JSON, or describes no front end.

    Example:
        >>> read("/no/such.json")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        ser_edge.errors.ModelError: cannot read the front end /no/such.json: No such file ...
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        if isinstance(data, dict):
            data.pop("description", None)
        return FrontendSpec.parse(data).to_dict()
    except ModelError as error:
        raise ModelError(f"the front end {os.fspath(path)}: {error}") from error
    except OSError as error:
        raise ModelError(
            f"cannot read the front end {os.fspath(path)}: {error.strerror}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"the front end {os.fspath(path)} is not JSON: {error}") from error

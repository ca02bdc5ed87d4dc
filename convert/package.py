"""Packing: a flatbuffer and what it says of itself become one model file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ser_edge import model_file
from ser_edge.files import draft
from ser_edge.metadata import Metadata
from ser_edge.model import Model
from ser_edge.selftest import SIGNAL, reference_scores

REFERENCE_SECONDS = 3.0  # length of the signal whose scores are stated


def pack(flatbuffer: bytes, metadata: Mapping[str, Any], path: str | os.PathLike[str]) -> Metadata:
    """Write a model file: the flatbuffer with a zip of its metadata and labels behind it.

    The entries ``flatbuffer`` (size and sha256) and ``reference`` (the scores of a generated
    signal, computed here with the runtime's own front end and interpreter) are filled in. The
    file appears under its name when it is whole.

    Args:
        flatbuffer: a TensorFlow Lite model.
        metadata: as ``Metadata.parse`` reads it, but for these two entries.
        path: the file to write; one that exists is replaced.

    Returns:
        The metadata as packed.

    Raises:
        ser_edge.errors.ModelError: the metadata is wrong, or the model does not fit it or does
            not run.
        OSError: the file cannot be written.
    """
    complete = {**metadata, "flatbuffer": None, "reference": None}
    with draft(path) as unfinished:
        model_file.write(flatbuffer, complete, unfinished)
        complete["reference"] = _reference(unfinished)
        model_file.write(flatbuffer, complete, unfinished)
    return model_file.read_metadata(path)


def _reference(path: Path) -> dict[str, Any]:
    scores = reference_scores(Model(path), REFERENCE_SECONDS)
    return {
        "signal": SIGNAL,
        "seconds": REFERENCE_SECONDS,
        "scores": [round(score, 6) for score in scores],
    }

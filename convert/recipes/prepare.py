"""The job that gets a model ready for trials: it becomes a flatbuffer, as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ser_edge.errors import ModelError

from ..export import sandbox, tflite
from ..export.source import outputs, source_model

FLATBUFFER = "model.tflite"  # name of the result in the scratch folder


def prepare(
    *, scratch: Path, source: str, n_labels: int, architecture: str | None, allow_code: bool
) -> dict[str, Any]:
    """A job: load a source model and convert it without quantization.

    Args:
        scratch: folder; the result is its :data:`FLATBUFFER`.
        source: path of the model.
        n_labels: how many labels its outputs are for.
        architecture: path of the architecture for a file of weights alone.
        allow_code: as in :func:`.source_model.load`.

    Returns:
        Nothing.

    Raises:
        ModelError: the model cannot be loaded or converted, takes inputs of any length, or has
            other outputs.
    """
    sandbox.stage(scratch, "loading the model", "it may be damaged or far too large")
    model = source_model.load(
        Path(source),
        scratch,
        architecture=None if architecture is None else Path(architecture),
        allow_code=allow_code,
    )
    outputs.check_count(model.n_outputs, n_labels)
    shape = tuple(size for size in model.shape if size is not None)
    if len(shape) != len(model.shape):
        raise ModelError(
            "the model takes inputs of any length, so that its input tells nothing of the front "
            "end: try the presets, each with ser-edge-convert model --verify"
        )
    kind = model.outputs_for(np.zeros((1, *shape), dtype=np.float32))
    sandbox.stage(scratch, "converting", "raise the limit, or simplify the model")
    (scratch / FLATBUFFER).write_bytes(tflite.to_tflite(model, shape, "none", outputs=kind))
    return {}

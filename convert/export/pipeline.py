"""The whole way from somebody's trained model to a verified file for ser-edge."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ser_edge import __version__, audio
from ser_edge.decision import default_rules
from ser_edge.errors import ModelError
from ser_edge.frontend import Frontend
from ser_edge.metadata import FrontendSpec

from ..corpus import clips
from ..package import pack
from . import sandbox, source_file, tflite, verify
from .verify import Verification

TIME_LIMIT_SECONDS = 300.0
MEMORY_LIMIT_BYTES = 8 * 2**30
CALIBRATION_CLIPS = 300
MIN_AGREEMENT = 0.98

Progress = Callable[[str], None]


class DisagreementError(ModelError):
    """The product does not answer as the original does; nothing was written."""

    def __init__(self, verification: Verification, wanted: float) -> None:
        super().__init__(
            f"only {100 * verification.agreement:.2f} % of {verification.clips} clips get the "
            f"original's label, where {100 * wanted:g} % is asked: nothing was written. Another "
            "--quantize, or a front end nearer to the one in training, may help"
        )
        self.verification = verification


@dataclass(frozen=True)
class Options:
    """How a model is converted."""

    frontend: Mapping[str, Any]
    """As in a model's metadata."""
    labels: Sequence[str]
    """In the order of the model's outputs."""
    name: str
    description: str = ""
    licence: str = ""
    """Terms of the model and of what it was trained on."""
    quantization: str = "dynamic"
    """One of :data:`.tflite.QUANTIZATIONS`."""
    calibrate: Path | None = None
    """Recordings for ``int8``: see :func:`..corpus.clips.find`."""
    verify: Path | None = None
    """Recordings to verify with."""
    min_agreement: float = MIN_AGREEMENT
    allow_code: bool = False
    time_limit: float = TIME_LIMIT_SECONDS
    memory_limit: int = MEMORY_LIMIT_BYTES


def convert_model(
    source: str,
    output: str | os.PathLike[str],
    options: Options,
    *,
    progress: Progress = lambda text: None,
) -> Verification | None:
    """Convert, verify and pack a trained model.

    Args:
        source: a Keras file, a SavedModel folder or ``hf://OWNER/REPO/FILE``.
        output: the file to write, when everything went well.
        options: how.
        progress: told what is being done.

    Returns:
        How the product compares with the original; None where ``options.verify`` is.

    Raises:
        ModelError: the source cannot be read, does not fit its front end or labels, or cannot be
            converted.
        DisagreementError: the product differs too much from the original.
        AudioError: a recording cannot be read.
        DependencyError: a package is missing.
        OSError: the output cannot be written.
    """
    spec = FrontendSpec.parse(options.frontend)
    frontend = spec.to_dict()
    extract = Frontend(spec)
    path = source_file.fetch(source)
    with tempfile.TemporaryDirectory(prefix="ser-edge-convert-") as folder:
        scratch = Path(folder)
        calibration = None
        if options.quantization == "int8":
            progress("computing features to calibrate with")
            calibration = str(scratch / "calibration.npy")
            np.save(calibration, _calibration(extract, options))
        progress(f"converting {source} ({options.quantization})")
        facts = sandbox.run(
            f"{tflite.__name__}.convert",
            {
                "source": str(path.resolve()),
                "frontend": frontend,
                "n_labels": len(options.labels),
                "quantization": options.quantization,
                "calibration": calibration,
                "allow_code": options.allow_code,
            },
            scratch / "conversion",
            time_limit=options.time_limit,
            memory_limit=options.memory_limit,
        )
        flatbuffer = (scratch / "conversion" / tflite.FLATBUFFER).read_bytes()
        metadata = _metadata(source, path, spec, options, facts)
        verified = None
        if options.verify is not None:
            draft = scratch / "draft.tflite"
            pack(flatbuffer, metadata, draft)
            verified = _verify(path, frontend, draft, scratch / "original", options, progress)
            metadata["verification"] = verified.to_dict()
            if verified.agreement < options.min_agreement:
                raise DisagreementError(verified, options.min_agreement)
        pack(flatbuffer, metadata, output)
    return verified


def _calibration(extract: Frontend, options: Options) -> Any:
    if options.calibrate is None:
        raise ModelError(
            "int8 needs typical recordings to calibrate with: --calibrate FOLDER-OR-INDEX"
        )
    found = clips.find(options.calibrate, labels=options.labels, split="train")
    chosen = clips.spread(found, CALIBRATION_CLIPS)
    return np.stack([extract(audio.load(clip.path, extract.sample_rate)) for clip in chosen])


def _verify(
    path: Path,
    frontend: Mapping[str, Any],
    product: Path,
    scratch: Path,
    options: Options,
    progress: Progress,
) -> Verification:
    assert options.verify is not None
    found = clips.find(options.verify, labels=options.labels, split="dev")
    progress(f"running the original on {len(found)} recordings")
    facts = sandbox.run(
        f"{verify.__name__}.run_original",
        {
            "source": str(path.resolve()),
            "frontend": dict(frontend),
            "paths": [str(clip.path) for clip in found],
            "allow_code": options.allow_code,
        },
        scratch,
        # It takes as long as there are recordings.
        time_limit=None,
        memory_limit=options.memory_limit,
    )
    progress(f"running the product on {len(found)} recordings")
    return verify.compare(
        found,
        np.load(scratch / verify.PROBABILITIES),
        product,
        original_bytes=source_file.size(path),
        original_seconds=facts["seconds"],
    )


def _metadata(
    source: str, path: Path, spec: FrontendSpec, options: Options, facts: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "format": 1,
        "name": options.name,
        "description": options.description,
        "licence": options.licence,
        "labels": list(options.labels),
        "frontend": spec.to_dict(),
        "decision": default_rules(spec.window_seconds),
        "quantization": options.quantization,
        "minimum_runtime": facts["minimum_runtime"],
        "converter": {
            "ser_edge": __version__,
            "tensorflow": facts["tensorflow"],
            "python": ".".join(map(str, sys.version_info[:3])),
        },
        "source": {
            "name": source if source.startswith("hf://") else path.name,
            "format": facts["format"],
            "parameters": facts["parameters"],
            "bytes": source_file.size(path),
            "softmax_added": facts["softmax_added"],
        },
        "source_sha256": source_file.sha256(path),
    }

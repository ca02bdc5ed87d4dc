"""The whole way from somebody's trained model to a verification file for ser-edge."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ser_edge.decision import default_rules
from ser_edge.errors import ModelError
from ser_edge.frontend import Frontend, FrontendSpec
from ser_edge.metadata import FORMAT
from ser_edge.model import Model

from ..corpus import clips
from ..evaluate import expected
from ..package import pack
from . import embedding, end_to_end, sandbox, tflite, verify
from .label_order import BetterOrder, better_order
from .source import outputs, source_file
from .verify import Verification

CALIBRATION_CLIPS = 300  # spread over all recordings that there are

Progress = Callable[[str], None]
Counters = Callable[[str], Callable[[int, int], None]]


class DisagreementError(ModelError):
    """The converted model predicts other labels than the source model; nothing was written.

    Attributes:
        verification: how they compare.
    """

    def __init__(self, verification: Verification, wanted: float) -> None:
        super().__init__(
            f"only {100 * verification.agreement:.2f} % of {verification.clips} clips get the "
            f"source model's label, where {100 * wanted:g} % is asked: nothing was written. "
            "Another --quantize, or a front end nearer to the one in training, may help"
        )
        self.verification = verification


class ExpectationError(ModelError):
    """The packed model gives recordings other labels than the author's own code; nothing was
    written.

    Attributes:
        verification: how they compare.
    """

    def __init__(self, verification: Verification, wanted: float) -> None:
        assert verification.expected is not None
        found = verification.expected
        super().__init__(
            f"only {100 * found.agreement:.2f} % of {found.recordings} recordings get the label "
            f"that is expected, where {100 * wanted:g} % is asked: nothing was written. "
            f"{found.explain()[0]}"
        )
        self.verification = verification


class LabelOrderError(ModelError):
    """The source model's outputs are labels in another order; nothing was written.

    Attributes:
        better: how well the order given and the better one fit.
    """

    def __init__(self, better: BetterOrder) -> None:
        super().__init__(
            f"{better}: nothing was written. If the order given is right all the same, use "
            "--force-labels"
        )
        self.better = better


@dataclass(frozen=True)
class Options:
    """How a model is converted."""

    spec: Mapping[str, Any]  # of the front end, as in a model's metadata
    labels: Sequence[str]  # in the order of the model's outputs
    name: str
    force_labels: bool = False  # keep that order though the recordings speak for another
    description: str = ""
    licence: str = ""  # terms of the model and of what it was trained on
    # One of ser_edge.metadata.QUANTIZATIONS; or auto, the smallest of these that keeps the answers
    # for the recordings below.
    quantization: str = tflite.AUTO
    # Recordings for int8 and for the embedding's statistics: an index, or a folder of audio.
    calibrate: Path | None = None
    embedding: str | None = None  # its layer; None for the last hidden one, where that is plain
    verify: Path | None = None  # recordings to verify with: the same
    expect: Path | None = None  # what the author's own code gives for recordings: a CSV
    hop_seconds: float | None = None  # from a window of a long recording to the next
    min_agreement: float = 0.98  # share of these that must get the source's, or expected, label
    architecture: Path | None = None  # of a source that is weights alone: model.to_json()
    allow_code: bool = False  # let code in the source model run
    time_limit: float = 300.0  # of TensorFlow's conversion, seconds
    memory_limit: int = 8 * 2**30  # of TensorFlow, bytes


def convert_model(
    source: str,
    output: str | os.PathLike[str],
    options: Options,
    *,
    progress: Progress = lambda text: None,
    counters: Counters = lambda what: lambda done, total: None,
) -> Verification | None:
    """Convert, verify and pack a trained model.

    Args:
        source: a Keras file, a SavedModel folder or ``hf://OWNER/REPO/FILE``.
        output: the file to write, when everything went well.
        options: how.
        progress: told what is being done.
        counters: makes the callbacks for the slow parts: how many are done, and of how many.

    Returns:
        How the converted model compares with the source model, and with what its author's code
        gives; None without recordings.

    Raises:
        ModelError: the source cannot be read, does not fit its front end or labels, or cannot be
            converted.
        LabelOrderError: recordings with labels fit another order of the labels far better.
        DisagreementError: the two give too many recordings different labels.
        ExpectationError: the converted model gives too many another one than is expected.
        AudioError: a recording cannot be read.
        DependencyError: a package is missing.
        OSError: the output cannot be written.
    """
    spec = FrontendSpec.parse(options.spec)
    path = source_file.fetch(source)
    with tempfile.TemporaryDirectory(prefix="ser-edge-convert-") as folder:
        scratch = Path(folder)
        calibration, quantization = None, options.quantization
        recordings = _typical(options)
        if quantization == "int8" or (quantization == tflite.AUTO and recordings):
            progress("computing features of typical recordings")
            calibration = str(scratch / "calibration.npy")
            np.save(calibration, _calibration(Frontend(spec), recordings, counters))
        elif quantization == tflite.AUTO:
            quantization = "dynamic"
            progress("no recordings to choose the quantization by: dynamic")
        rules = _rules(spec, options)
        progress(_windows(spec, rules))
        progress(f"converting {source} ({quantization})")
        architecture = options.architecture
        loading = {
            "source": str(path.resolve()),
            "architecture": None if architecture is None else str(architecture.resolve()),
            "spec": spec.to_dict(),
            "allow_code": options.allow_code,
        }
        facts = sandbox.run(
            f"{tflite.__name__}.convert",
            {
                **loading,
                "n_labels": len(options.labels),
                "quantization": quantization,
                "calibration": calibration,
            },
            scratch / "conversion",
            time_limit=options.time_limit,
            memory_limit=options.memory_limit,
        )
        if facts["measured"] is not None:
            progress(facts["measured"])
        flatbuffer = (scratch / "conversion" / tflite.FLATBUFFER).read_bytes()
        for note in (*facts["notes"], outputs.explain(facts["outputs"], options.labels)):
            if note:
                progress(note)
        metadata = _metadata(source, path, spec, options, facts)
        verification = None
        if options.verify is not None or options.expect is not None:
            draft = scratch / "draft.tflite"
            pack(flatbuffer, metadata, draft)
            loading |= {"shape": facts["shape"], "outputs": facts["outputs"]}
            verification = _verify(
                path, loading, draft, scratch / "source", options, progress, counters
            )
            metadata["verification"] = verification.to_dict()
            if verification.agreement < options.min_agreement:
                raise DisagreementError(verification, options.min_agreement)
            told = verification.expected
            if told is not None and told.agreement < options.min_agreement:
                raise ExpectationError(verification, options.min_agreement)
        _pack(flatbuffer, metadata, Path(output), options, progress)
    return verification


def _pack(
    flatbuffer: bytes,
    metadata: Mapping[str, Any],
    output: Path,
    options: Options,
    progress: Progress,
) -> None:
    """Write the model file: with an embedding where recordings tell how it is spread."""
    if options.calibrate is None:
        if options.embedding is not None:
            raise ModelError("an embedding needs typical recordings: --calibrate FOLDER-OR-INDEX")
    elif options.embedding is not None or embedding.is_plain(flatbuffer):
        found = clips.find(options.calibrate, labels=options.labels, split="train")
        progress("computing the embedding's mean and deviation")
        chosen = clips.spread(found, embedding.STATISTICS_CLIPS)
        embedding.embed(flatbuffer, metadata, chosen, output, layer=options.embedding)
        return
    pack(flatbuffer, metadata, output)


def _windows(spec: FrontendSpec, rules: Mapping[str, float]) -> str:
    """What of a recording answers, for people."""
    if spec.first_only:
        return f"of every recording the {spec.window_seconds:g} s from {spec.offset:g} s on, alone"
    return (
        f"recordings whose speech is longer than {spec.window_seconds:g} s: a window every "
        f"{rules['window_hop_seconds']:g} s, their probabilities averaged"
    )


def _typical(options: Options) -> list[Path]:
    """Recordings of the kind that the model is for; of those to verify with where it must be."""
    if options.calibrate is not None:
        found = clips.find(options.calibrate, labels=options.labels, split="train")
    elif options.quantization == "int8":
        raise ModelError(
            "int8 needs typical recordings to calibrate with: --calibrate FOLDER-OR-INDEX"
        )
    elif options.verify is not None:
        found = clips.find(options.verify, labels=options.labels, split="dev")
    elif options.expect is not None:
        return [answer.path for answer in expected.read(options.expect, options.labels)]
    else:
        return []
    return [clip.path for clip in clips.spread(found, CALIBRATION_CLIPS)]


def _calibration(frontend: Frontend, recordings: Sequence[Path], counters: Counters) -> Any:
    """Feature matrices of recordings, float32, (n, *frontend.shape)."""
    count = counters("recordings")
    matrices = []
    for path in recordings:
        matrices.append(frontend(frontend.load(path)))
        count(len(matrices), len(recordings))
    return np.stack(matrices)


def _verify(
    path: Path,
    loading: Mapping[str, Any],
    converted: Path,
    scratch: Path,
    options: Options,
    progress: Progress,
    counters: Counters,
) -> Verification:
    answers = [] if options.expect is None else expected.read(options.expect, options.labels)
    found = []
    if options.verify is not None:
        found = clips.find(options.verify, labels=options.labels, split="dev")
    paths = [clip.path for clip in found] + [answer.path for answer in answers]
    progress(f"running the source model on {len(paths)} recordings")
    facts = sandbox.run(
        f"{verify.__name__}.run_source",
        {**loading, "paths": [str(recording) for recording in paths]},
        scratch,
        # It takes as long as there are recordings.
        time_limit=None,
        memory_limit=options.memory_limit,
    )
    probabilities = np.load(scratch / verify.PROBABILITIES)
    labelled = found + [clips.Clip(answer.path, label=answer.label) for answer in answers]
    better = better_order(labelled, options.labels, probabilities)
    if better is not None:
        if not options.force_labels:
            raise LabelOrderError(better)
        progress(f"warning: {better}")
    progress(f"running the converted model on {len(paths)} recordings")
    compared = found or [clips.Clip(answer.path) for answer in answers]
    verification = verify.compare(
        compared,
        probabilities[: len(compared)],
        converted,
        source_bytes=source_file.size(path),
        source_seconds=facts["seconds"],
        progress=counters("recordings"),
    )
    if not answers:
        return verification
    told = end_to_end.measure(
        answers,
        probabilities[len(found) :],
        np.load(scratch / verify.MATRICES)[len(found) :],
        Model(converted),
        progress=counters("expected recordings"),
    )
    return replace(verification, expected=told)


def _rules(spec: FrontendSpec, options: Options) -> dict[str, float]:
    rules = default_rules(spec.window_seconds)
    if options.hop_seconds is not None:
        rules["window_hop_seconds"] = options.hop_seconds
    return rules


def _metadata(
    source: str, path: Path, spec: FrontendSpec, options: Options, facts: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": options.name,
        "description": options.description,
        "licence": options.licence,
        "labels": list(options.labels),
        "frontend": spec.to_dict(),
        "decision": _rules(spec, options),
        "quantization": facts["quantization"],
        "minimum_runtime": facts["minimum_runtime"],
        "converter": {
            **facts["converter"],
            "python": ".".join(map(str, sys.version_info[:3])),
        },
        "source": {
            "name": source if source.startswith("hf://") else path.name,
            "format": facts["format"],
            "parameters": facts["parameters"],
            "bytes": source_file.size(path),
            "outputs": facts["outputs"],
        },
        "source_sha256": source_file.sha256(path),
    }

"""From labelled clips to a packed model: targets, features, training, quantization, release."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ser_edge.errors import SerEdgeError
from ser_edge.frontend import FrontendSpec
from ser_edge.metadata import FORMAT, Metadata

from ..backend import compute_in_one_order, versions
from ..corpus.clips import Clip
from ..export import tflite
from ..export.flatbuffer import minimum_runtime
from ..export.source import source_model
from . import architectures, checks, dataset, fit, network, release, teacher
from .config import TrainingConfig
from .labels import NEUTRAL, NEUTRAL_SHIFT
from .network import Network

SECOND = "second"  # folder of the second network, in the first one's

Progress = Callable[[str], Callable[[int, int], None]]
"""From the name of what is done to a callback that takes how many are done, and their total."""


def configure(architecture: str, *, with_teacher: bool, **settings: Any) -> TrainingConfig:
    """The bundled models' hyper-parameters, as far as they suit the architecture and no teacher.

    Args:
        architecture: one of :data:`.architectures.NAMES`.
        with_teacher: whether there will be a teacher's targets.
        settings: of :class:`.TrainingConfig`, where they differ.

    Raises:
        SerEdgeError: the architecture cannot learn from a teacher.
    """
    if architecture not in architectures.ANY_LENGTH:
        settings = {"crop_frames": 0, **settings}
    if not with_teacher:
        alone = {"distillation_weight": 0.0, "utterance_weight": 0.0, "frame_weight": 0.0}
        settings = {**settings, **alone}
    return TrainingConfig(architecture=architecture, **settings)


def train(
    clips: Sequence[Clip],
    spec: dict[str, Any],
    config: TrainingConfig,
    output: Path,
    *,
    name: str,
    copies: int,
    cache: Path,
    sounds: Path | None = None,
    second: Sequence[str] = (),
    second_weight: float = architectures.SECOND_WEIGHT,
    neutral_shift: float | None = None,
    resume: bool = False,
    jobs: int = 2,
    progress: Progress = lambda what: lambda done, total: None,
    report: Callable[[dict[str, Any]], None] = lambda line: None,
    tell: Callable[[str], None] = lambda text: None,
) -> Metadata:
    """Train a model on labelled clips, quantize, measure and pack it.

    Args:
        clips: of both splits; those without a label are ordinary speech.
        spec: the front end, as in a model's metadata; its normalization is computed here.
        config: the hyper-parameters.
        output: the model file to write.
        name: of the model, and of the run in the cache.
        copies: augmented copies of every training clip.
        cache: folder for features, embeddings and runs.
        sounds: folder of recorded noise and rooms for the augmented copies, see
            :func:`ser_edge.convert.corpus.noise.read_sounds`.
        second: corpora that a second network learns from alone; the model's logits are then a
            mean of both networks'.
        second_weight: of the second network in that mean, from 0 to 1.
        neutral_shift: added to neutral's logit where ordinary speech was learned from; by default
            :data:`.labels.NEUTRAL_SHIFT`, and nothing where there is a second network.
        resume: go on from the last checkpoint of the run.
        jobs: processes that compute.
        progress: makes the callbacks for the slow parts.
        report: called with the teacher's accuracy, then with every epoch's; see
            :func:`.network.train`.
        tell: called with what is worth knowing before it starts.

    Returns:
        The metadata as packed.

    Raises:
        SerEdgeError: the clips cannot be learned from or measured on, or there is nowhere to
            write; said before anything is computed.
        ser_edge.errors.DependencyError: TensorFlow or Whisper's weights are not installed.
        ser_edge.errors.AudioError: a clip cannot be read.
    """
    _check_writable(output)
    for note in checks.check(clips, spec, config, progress("recordings"), second=second):
        tell(note)
    compute_in_one_order()
    folder = run_folder(cache, name)
    everything = frozenset(clip.corpus for clip in clips)
    networks = [Network(list(clips), everything, folder)]
    if not any(clip.split == "train" and not clip.label for clip in clips):
        neutral_shift = 0.0
    elif neutral_shift is None:
        neutral_shift = 0.0 if second else NEUTRAL_SHIFT
    if second:
        networks.append(Network(list(clips), frozenset(second), folder / SECOND))
    teacher_card: dict[str, Any] = {}
    if config.needs_teacher:
        for one in networks:
            targets = one.targets(spec, cache=cache, jobs=jobs, progress=progress("teacher"))
            if not teacher_card:
                teacher_card["teacher"] = teacher.describe(targets, clips)
                report(teacher_card)
    used: dict[str, Any] = {"cache": cache, "copies": copies, "sounds": sounds, "jobs": jobs}
    spec = normalized(spec, dataset.load(clips, spec, progress=progress("features"), **used))
    network.train(networks, spec, config, resume=resume, report=report, **used)
    folders = [one.folder for one in networks]
    model = trained(folders, second_weight=second_weight, neutral_shift=neutral_shift)
    labels = fit.labels(folder)
    flatbuffer = quantized(model)
    return release.calibrate_and_pack(
        flatbuffer,
        {
            "format": FORMAT,
            "name": name,
            "description": f"{len(labels)} emotions from speech: "
            f"{_named(config.architecture, len(networks))}, dynamic range",
            "labels": list(labels),
            "frontend": spec,
            "quantization": "dynamic",
            "minimum_runtime": minimum_runtime(flatbuffer),
            "converter": versions(),
            "training": {
                "corpora": release.describe_training(clips),
                "parameters": model.count_params(),
                "augmented_copies": copies,
                "config": asdict(config),
                **({"second": list(second), "second_weight": second_weight} if second else {}),
                "neutral_shift": neutral_shift,
                **teacher_card,
            },
            "source_sha256": hashlib.sha256(
                b"".join((folder / fit.WEIGHTS).read_bytes() for folder in folders)
            ).hexdigest(),
        },
        clips,
        output,
        progress=progress("dev clips"),
    )


def _named(architecture: str, count: int) -> str:
    return f"{architecture} network" if count == 1 else f"{count} {architecture} networks"


def normalized(spec: dict[str, Any], data: dataset.Dataset) -> dict[str, Any]:
    """The front end with the normalization of the clean training clips."""
    normalization = data.normalization(feature_axis=dataset.feature_axis(spec))
    return FrontendSpec.parse(spec).with_normalization(**normalization).to_dict()


def trained(folders: Sequence[Path], *, second_weight: float, neutral_shift: float) -> Any:
    """The network of a model, from those of the one or two that were trained.

    Args:
        folders: of the networks, as :func:`fit.train` left them.
        second_weight: see :func:`train`.
        neutral_shift: the number; see :func:`train`.

    Returns:
        A ``keras.Model`` (Keras 2).
    """
    networks = [fit.load(folder) for folder in folders]
    model = networks[0]
    if len(networks) > 1:
        model = architectures.joined(networks, (1 - second_weight, second_weight))
    if neutral_shift:
        neutral = fit.labels(folders[0]).index(NEUTRAL)
        architectures.shift_logit(model, neutral, neutral_shift)
    return model


def run_folder(cache: Path, name: str) -> Path:
    """Where :func:`train` keeps checkpoints, weights and log of the model of this name."""
    return cache / "runs" / name


def quantized(model: Any) -> bytes:
    """The network, a ``keras.Model``, as a flatbuffer with dynamic range quantization."""
    shape = model.input_shape[1:]
    return tflite.to_tflite(source_model.from_keras(model, "Keras"), shape, "dynamic")


def _check_writable(output: Path) -> None:
    folder = output.absolute().parent
    if not os.access(folder, os.W_OK):
        raise SerEdgeError(f"cannot write {output}: no folder {folder} that may be written to")

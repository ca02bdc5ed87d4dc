"""From a Keras model to a TensorFlow Lite flatbuffer."""

from __future__ import annotations

import re
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_edge.errors import ModelError
from ser_edge.frontend import Frontend, FrontendSpec
from ser_edge.selftest import reference_signal

from ..backend import tensorflow, versions
from . import choice, sandbox
from .flatbuffer import check_operators, minimum_runtime, operators
from .rewrite import rewrite
from .source import source_model
from .source.outputs import PROBABILITIES, to_probabilities
from .source.source_model import SourceModel

FLATBUFFER = "model.tflite"  # name of the result in the scratch folder

AUTO = "auto"  # the smallest quantization that keeps the answers


def convert(
    *,
    scratch: Path,
    source: str,
    spec: dict[str, Any],
    n_labels: int,
    quantization: str,
    calibration: str | None,
    architecture: str | None,
    allow_code: bool,
) -> dict[str, Any]:
    """A job: load a source model, check that it fits its front end, and convert it.

    Args:
        scratch: folder; the result is its :data:`FLATBUFFER`.
        source: path of the model.
        spec: of the front end, as in a model's metadata.
        n_labels: how many outputs the model must have.
        quantization: as in :func:`to_tflite`, or :data:`AUTO`, see :mod:`.choice`.
        calibration: a ``.npy`` file of front end matrices, (n, *shape); needed for ``int8`` and
            for :data:`AUTO`.
        architecture: path of the architecture for a file of weights alone.
        allow_code: as in :func:`.source_model.load`.

    Returns:
        What the metadata state of it: ``format``, ``parameters``, ``outputs``, ``quantization``,
        ``converter`` and ``minimum_runtime``; ``shape``, of the source model's input; ``notes``,
        what its owner should know; and ``measured``, the table that tells why :data:`AUTO` took
        what it took, or None.

    Raises:
        ModelError: the model cannot be loaded, does not fit, or cannot be converted.
    """
    sandbox.stage(scratch, "loading the model", "it may be damaged or far too large")
    model = source_model.load(
        Path(source),
        scratch,
        architecture=None if architecture is None else Path(architecture),
        allow_code=allow_code,
    )
    frontend = Frontend(FrontendSpec.parse(spec))
    shape = model.check(frontend.shape, n_labels, describe(frontend))
    matrices = None if calibration is None else np.load(calibration).reshape(-1, *shape)
    signal = reference_signal(frontend.sample_rate, frontend.spec.window_seconds)
    kind = model.outputs_for(frontend(signal).reshape(1, *shape))
    sandbox.stage(
        scratch, f"converting with --quantize {quantization}", _advice(model, quantization)
    )

    def make(wanted: str) -> bytes:
        return to_tflite(model, shape, wanted, calibration=matrices, outputs=kind)

    measured = None
    if quantization == AUTO:
        assert matrices is not None
        exact = make(choice.EXACT)
        if is_loop(exact):  # there float16 may crash TensorFlow
            flatbuffer, found = choice.choose(make, exact, matrices, smaller=("dynamic",))
        else:
            flatbuffer, found = choice.choose(partial(rewrite, exact), exact, matrices)
        quantization = found[-1].quantization
        measured = choice.table(found, len(matrices))
    else:
        flatbuffer = make(quantization)
    (scratch / FLATBUFFER).write_bytes(flatbuffer)
    return {
        "format": model.format,
        "parameters": model.parameters,
        "outputs": kind,
        "shape": shape,
        "notes": model.notes,
        "quantization": quantization,
        "measured": measured,
        "converter": versions(),
        "minimum_runtime": minimum_runtime(flatbuffer),
    }


def to_tflite(
    model: SourceModel,
    shape: tuple[int, ...],
    quantization: str,
    *,
    calibration: NDArray[np.float32] | None = None,
    outputs: str = PROBABILITIES,
) -> bytes:
    """Convert with a fixed batch of 1, which is what lets TensorFlow Lite fuse LSTMs.

    Args:
        model: the source model.
        shape: of its input, without the batch.
        quantization: how weights are stored: ``dynamic`` as int8, with which layers compute in
            float; ``float16``; ``int8``, with all activations rounded to int8 by calibrated
            ranges; ``none`` as float32.
        calibration: for ``int8``: typical inputs, (n, *shape).
        outputs: what the model gives, a constant of :mod:`.source.outputs`.

    Returns:
        The flatbuffer; its input and output are float32 in every case.

    Raises:
        ModelError: the model cannot be converted, or not to built-in operators alone.
    """
    tf = tensorflow()

    def inference(features: Any) -> Any:
        return to_probabilities(model.function(features), outputs)

    one = tf.TensorSpec((1, *shape), tf.float32, name="features")
    with tempfile.TemporaryDirectory() as folder:
        # By way of a SavedModel: converting functions in memory may lose the fused LSTMs.
        concrete = tf.function(inference).get_concrete_function(one)
        tf.saved_model.save(model.trackable, folder, signatures=concrete)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if quantization == "int8":
            if calibration is None:
                raise ModelError("int8 needs typical recordings to calibrate with")
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([matrix[None]] for matrix in calibration)
            # What has no int8 kernel stays float.
            converter.target_spec.supported_ops = [
                tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
                tf.lite.OpsSet.TFLITE_BUILTINS,
            ]
        try:
            flatbuffer = converter.convert()
            if quantization in ("dynamic", "float16") and is_loop(bytes(flatbuffer)):
                # Of the weights in a loop TensorFlow takes better care than a rewriting could.
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
                if quantization == "float16":
                    converter.target_spec.supported_types = [tf.float16]
                flatbuffer = converter.convert()
        except MemoryError:
            raise
        except Exception as error:  # The converter raises bare Exception and its own kinds.
            raise ModelError(_explain(str(error))) from error
    check_operators(bytes(flatbuffer))
    return rewrite(bytes(flatbuffer), quantization)


def is_loop(flatbuffer: bytes) -> bool:
    """Whether a recurrent layer of a model is a loop, not fused into one operator."""
    return "WHILE" in operators(flatbuffer)


def describe(frontend: Frontend) -> str:
    """What a front end's matrix is made of, in words.

    Example:
        >>> from ..frontends import preset
        >>> describe(Frontend(FrontendSpec.parse(preset("seed"))))
        'zero_crossing_rate, rms, 20 mfcc over 4 s, features_frames'
    """
    parts = []
    for feature in frontend.spec.features:
        count = feature.arguments.get("n_mfcc")
        parts.append(f"{count} {feature.name}" if count else feature.name)
    return f"{', '.join(parts)} over {frontend.spec.window_seconds:g} s, {frontend.spec.layout}"


def _advice(model: SourceModel, quantization: str) -> str:
    if quantization in (AUTO, "dynamic", "none"):
        return "raise the limit, or simplify the model"
    if model.recurrent:
        return (
            f"TensorFlow cannot always quantize layers with a state ({', '.join(model.recurrent)}) "
            "like this; --quantize dynamic takes them"
        )
    return "try --quantize dynamic"


def _explain(message: str) -> str:
    """One sentence from the converter's pages: the operation, its layer and the way out."""
    operation = re.search(r"(?:TF Select ops|Custom ops): (\w+)", message) or re.search(
        r"'tf\.(\w+)' op", message
    )
    if operation is None:
        return f"TensorFlow Lite cannot take this model: {_first_line(message)}"
    place = re.search(rf'"{operation[1]}:", "([^"@]+)', message)
    layer = f" (in {place[1]})" if place else ""
    return (
        f"TensorFlow Lite has no built-in operator for {operation[1]}{layer}: replace the layer "
        "that needs it"
    )


def _first_line(message: str) -> str:
    return (message.strip() or "no reason given").splitlines()[0][:300]

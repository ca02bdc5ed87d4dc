from __future__ import annotations

import numpy as np
import pytest

from ser_edge.convert.export import source_model, tflite
from ser_edge.convert.export.flatbuffer import operators
from ser_edge.convert.train import architectures
from ser_edge.errors import ModelError

tf = pytest.importorskip("tensorflow")

SHAPE = (401, 66)


@pytest.fixture(scope="module")
def compact() -> tf.keras.Model:
    tf.keras.utils.set_random_seed(1)
    return architectures.build("compact", SHAPE, 6)


@pytest.fixture(scope="module", params=["none", "dynamic"])
def flatbuffer(request: pytest.FixtureRequest, compact: tf.keras.Model) -> tuple[str, bytes]:
    source = source_model.from_keras(compact, "Keras")
    return request.param, tflite.to_tflite(source, SHAPE, request.param)


def test_answers_as_the_keras_model(flatbuffer: tuple[str, bytes], compact: tf.keras.Model) -> None:
    interpreter_module = pytest.importorskip("tflite_runtime.interpreter")
    quantization, content = flatbuffer
    interpreter = interpreter_module.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (entry,) = interpreter.get_input_details()
    (exit_,) = interpreter.get_output_details()
    assert tuple(entry["shape"]) == (1, *SHAPE)
    batch = np.random.default_rng(1).standard_normal((1, *SHAPE), dtype=np.float32)
    interpreter.reset_all_variables()
    interpreter.set_tensor(entry["index"], batch)
    interpreter.invoke()
    expected = compact(batch, training=False).numpy()
    # int8 weights: half a step of 1/127 of the largest weight, over an untrained network.
    tolerance = {"none": 1e-5, "dynamic": 0.02}[quantization]
    assert interpreter.get_tensor(exit_["index"]) == pytest.approx(expected, abs=tolerance)


def test_lstms_are_fused(flatbuffer: tuple[str, bytes]) -> None:
    names = operators(flatbuffer[1])
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" in names
    assert "WHILE" not in names


def test_operators_that_are_not_built_in_are_refused() -> None:
    model = tf.keras.Sequential(
        [tf.keras.Input((4,)), tf.keras.layers.Lambda(lambda x: tf.math.bessel_i0e(x))]
    )
    with pytest.raises(ModelError, match=r"(?i)bessel|custom|select"):
        tflite.to_tflite(source_model.from_keras(model, "Keras"), (4,), "none")


@pytest.mark.parametrize("content", [b"", b"\x00" * 8, b"no model at all, just a sentence"])
def test_operators_of_no_model(content: bytes) -> None:
    with pytest.raises(ModelError, match="not a TensorFlow Lite model"):
        operators(content)

from __future__ import annotations

import numpy as np
import pytest

from ser_edge.convert.export.flatbuffer import describe, operators, repack, unpack
from ser_edge.convert.train import architectures
from ser_edge.errors import ModelError
from tests.helpers.conversion import convert, predict

tf = pytest.importorskip("tensorflow")

SHAPE = (401, 66)


@pytest.fixture(scope="module")
def compact() -> tf.keras.Model:
    tf.keras.utils.set_random_seed(1)
    return architectures.build("compact", SHAPE, 6)


@pytest.fixture(scope="module", params=["none", "dynamic"])
def flatbuffer(request: pytest.FixtureRequest, compact: tf.keras.Model) -> tuple[str, bytes]:
    return request.param, convert(compact, request.param)


def test_predicts_as_the_keras_model(
    flatbuffer: tuple[str, bytes], compact: tf.keras.Model
) -> None:
    quantization, content = flatbuffer
    batch = np.random.default_rng(1).standard_normal((1, *SHAPE), dtype=np.float32)
    expected = compact(batch, training=False).numpy()[0]
    # int8 weights: half a step of 1/127 of the largest weight, over an untrained network.
    tolerance = {"none": 1e-5, "dynamic": 0.02}[quantization]
    assert predict(content, batch[0]) == pytest.approx(expected, abs=tolerance)


def test_describes_its_inputs_and_outputs(flatbuffer: tuple[str, bytes]) -> None:
    facts = describe(flatbuffer[1])
    assert [entry["shape"] for entry in facts["inputs"]] == [[1, *SHAPE]]
    assert [entry["shape"] for entry in facts["outputs"]] == [[1, 6]]
    assert sum(kind["bytes"] for kind in facts["tensors"].values()) <= facts["weights"]
    assert {entry["name"] for entry in facts["operators"]} == set(operators(flatbuffer[1]))


def test_unpacking_and_packing_again_changes_no_content(flatbuffer: tuple[str, bytes]) -> None:
    assert describe(repack(unpack(flatbuffer[1]))) == describe(flatbuffer[1])


def test_lstms_are_fused(flatbuffer: tuple[str, bytes]) -> None:
    names = operators(flatbuffer[1])
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" in names
    assert "WHILE" not in names


def test_operators_that_are_not_built_in_are_refused() -> None:
    model = tf.keras.Sequential(
        [tf.keras.Input((4,)), tf.keras.layers.Lambda(lambda x: tf.math.bessel_i0e(x))]
    )
    with pytest.raises(ModelError, match=r"(?i)bessel|custom|select"):
        convert(model, "none")


@pytest.mark.parametrize("content", [b"", b"\x00" * 8, b"no model at all, just a sentence"])
def test_operators_of_no_model(content: bytes) -> None:
    with pytest.raises(ModelError, match="not a TensorFlow Lite model"):
        operators(content)

"""What is changed in a converted model, so that it computes what the source model does."""

from __future__ import annotations

import numpy as np
import pytest

from ser_edge.convert.export import rewrite
from ser_edge.convert.export.flatbuffer import minimum_runtime, operators
from tests.helpers.conversion import convert, predict

tf = pytest.importorskip("tensorflow")
layers = tf.keras.layers


@pytest.mark.parametrize("quantization", ["none", "dynamic"])
def test_cell_states_are_not_clipped(quantization: str) -> None:
    """A cell that counts up to 15 and down again ends at zero, not at ten less."""
    counter = layers.LSTM(1)
    model = tf.keras.Sequential([tf.keras.Input((30, 1)), counter])
    # Gates: input, forget, cell, output. All stay open, and the cell adds the input's sign.
    counter.set_weights(
        [
            np.array([[0.0, 0.0, 100.0, 0.0]], np.float32),
            np.zeros((1, 4), np.float32),
            np.array([100.0, 100.0, 0.0, 100.0], np.float32),
        ]
    )
    steps = np.repeat([[1.0], [-1.0]], 15, axis=0).astype(np.float32)
    assert model(steps[None]).numpy()[0] == pytest.approx(0.0, abs=1e-5)
    flatbuffer = convert(model, quantization)
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" in operators(flatbuffer)
    assert predict(flatbuffer, steps) == pytest.approx(0.0, abs=1e-5)


def test_small_features_survive_beside_large_ones() -> None:
    """Two rows, of which one is ten thousand times the other: both count."""
    tf.keras.utils.set_random_seed(1)
    convolution = layers.Conv1D(64, 1, use_bias=False)
    model = tf.keras.Sequential([tf.keras.Input((2, 32)), convolution, layers.Flatten()])
    rng = np.random.default_rng(1)
    matrix = rng.standard_normal((2, 32)).astype(np.float32) * np.array([[1e4], [1.0]], np.float32)
    expected = model(matrix[None]).numpy()[0, 64:]
    flatbuffer = convert(model, "dynamic")
    assert minimum_runtime(flatbuffer) == "2.7.0"
    found = predict(flatbuffer, matrix)[64:]
    # What is left is the rounding of the weights, to one part in 254 of the largest.
    assert np.abs(found - expected).max() < 0.03 * np.abs(expected).max()


def test_small_channels_survive_beside_large_ones() -> None:
    """Two outputs, of which one has weights ten thousand times as large: both stay exact."""
    tf.keras.utils.set_random_seed(1)
    dense = layers.Dense(64, use_bias=False)
    model = tf.keras.Sequential([tf.keras.Input((32,)), dense])
    sizes = np.where(np.arange(64) % 2, 1e4, 1.0).astype(np.float32)
    dense.set_weights([dense.get_weights()[0] * sizes])
    matrix = np.random.default_rng(1).standard_normal(32).astype(np.float32)
    expected = model(matrix[None]).numpy()[0, ::2]
    flatbuffer = convert(model, "dynamic")
    assert len(flatbuffer) < 2 * model.count_params()
    found = predict(flatbuffer, matrix)[::2]
    assert np.abs(found - expected).max() < 0.01 * np.abs(expected).max()


@pytest.mark.parametrize("recurrent", [True, False])
def test_a_difference_in_the_last_bit_stays_one(recurrent: bool) -> None:
    """As between processors: it must not become a whole step of a rounded input."""
    tf.keras.utils.set_random_seed(1)
    computed = [layers.LSTM(32)] if recurrent else [layers.Flatten(), layers.Dense(32)]
    model = tf.keras.Sequential([tf.keras.Input((20, 64)), *computed])
    flatbuffer = convert(model, "dynamic")
    assert len(flatbuffer) < 4 * model.count_params()
    rng = np.random.default_rng(1)
    matrix = rng.standard_normal((20, 64)).astype(np.float32)
    nearly = matrix * (1 + 1e-6 * rng.standard_normal(matrix.shape)).astype(np.float32)
    assert np.abs(predict(flatbuffer, nearly) - predict(flatbuffer, matrix)).max() < 1e-5
    # What is left is the rounding of the weights.
    expected = model(matrix[None]).numpy()[0]
    assert np.abs(predict(flatbuffer, matrix) - expected).max() < 0.03 * np.abs(expected).max()


def test_float16_halves_the_weights_of_an_lstm_too() -> None:
    tf.keras.utils.set_random_seed(1)
    model = tf.keras.Sequential(
        [tf.keras.Input((20, 64)), layers.Conv1D(32, 3), layers.LSTM(32), layers.Dense(64)]
    )
    flatbuffer = convert(model, "float16")
    assert {"UNIDIRECTIONAL_SEQUENCE_LSTM", "DEQUANTIZE"} <= set(operators(flatbuffer))
    assert len(flatbuffer) < 3 * model.count_params()
    matrix = np.random.default_rng(1).standard_normal((20, 64)).astype(np.float32)
    expected = model(matrix[None]).numpy()[0]
    # A weight of float16 errs by one part in 2048.
    assert np.abs(predict(flatbuffer, matrix) - expected).max() < 2e-3 * np.abs(expected).max()


def test_weights_are_aligned() -> None:
    """As TensorFlow Lite's schema demands: processors may not read them otherwise."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = tf.keras.Sequential(
        [tf.keras.Input((9, 40)), layers.Conv1D(40, 3), layers.LSTM(5), layers.Dense(3)]
    )
    flatbuffer = convert(model, "dynamic")
    tree = schema.Model.GetRootAsModel(flatbuffer, 0)
    start = np.frombuffer(flatbuffer, np.uint8).ctypes.data
    places = [
        tree.Buffers(index).DataAsNumpy().ctypes.data - start
        for index in range(tree.BuffersLength())
        if tree.Buffers(index).DataLength() > 0
    ]
    assert places
    assert {place % 16 for place in places} == {0}


def test_what_needs_no_change_is_left_alone() -> None:
    model = tf.keras.Sequential([tf.keras.Input((4, 2)), layers.Flatten(), layers.Dense(3)])
    flatbuffer = convert(model, "none")
    assert rewrite.rewrite(flatbuffer, "dynamic") is flatbuffer
    assert rewrite.rewrite(flatbuffer, "int8") is flatbuffer

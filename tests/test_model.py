from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ser_edge.errors import ModelError
from ser_edge.model import Model
from ser_edge.model_file import bundled_path
from ser_edge.selftest import TOLERANCE, reference_error
from tests.helpers.audio import voice
from tests.helpers.models import METADATA, bundled, edited, refusal, write

Matrix = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(bundled_path())


def matrices(model: Model, count: int) -> list[Matrix]:
    """Feature matrices of different tones."""
    signal = voice(4.0, model.frontend.sample_rate)
    return [model.frontend(signal[4000 * n :]) for n in range(count)]


# What is in the file.


def test_predicts_probabilities(model: Model) -> None:
    for matrix in matrices(model, 3):
        probabilities = model.predict(matrix)
        assert probabilities.shape == (len(model.metadata.labels),)
        assert probabilities.dtype == np.float64
        assert probabilities.sum() == pytest.approx(1)
        assert (probabilities >= 0).all()


def test_says_what_it_is(model: Model) -> None:
    assert model.runtime in ("ai-edge-litert", "tflite-runtime")
    assert model.path == bundled_path()
    assert list(model.operators) == sorted(set(model.operators))
    assert "FULLY_CONNECTED" in model.operators
    assert model.metadata.name in repr(model)
    assert ", ".join(model.metadata.labels) in repr(model)


def test_the_bundled_model_answers_its_reference_signal_as_when_it_was_packed(model: Model) -> None:
    error = reference_error(model)
    assert error is not None
    assert error <= TOLERANCE


def test_temperature_divides_logarithms(model: Model, tmp_path: Path) -> None:
    flatbuffer, metadata = bundled()
    plain = edited(metadata, "decision.temperature", 1.0)
    soft = edited(metadata, "decision.temperature", 2.0)
    (matrix,) = matrices(model, 1)
    one = Model(write(tmp_path / "one.tflite", flatbuffer, plain)).predict(matrix)
    two = Model(write(tmp_path / "two.tflite", flatbuffer, soft)).predict(matrix)
    expected = np.sqrt(np.maximum(one, 1e-9))
    assert two == pytest.approx(expected / expected.sum(), abs=1e-9)


# State.


def test_no_window_remembers_the_one_before(model: Model) -> None:
    a, b, c = matrices(model, 3)
    first = model.predict(a)
    model.predict(b)
    model.predict(c)
    assert np.array_equal(model.predict(a), first)


class WithoutReset:
    """An interpreter that keeps its state, to see that there is one."""

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._interpreter, name)

    def reset_all_variables(self) -> None:
        pass


def test_a_fused_lstm_would_remember(model: Model) -> None:
    if "UNIDIRECTIONAL_SEQUENCE_LSTM" not in model.operators:
        pytest.skip("the bundled model has no fused LSTM")
    forgetful = Model(model.path)
    forgetful._interpreter = WithoutReset(forgetful._interpreter)
    (matrix,) = matrices(model, 1)
    first = forgetful.predict(matrix)
    assert not np.array_equal(forgetful.predict(matrix), first)


def test_threads_share_a_model(model: Model) -> None:
    inputs = matrices(model, 4)
    expected = [model.predict(matrix) for matrix in inputs]
    wrong = []

    def work(number: int) -> None:
        for turn in range(20):
            which = (number + turn) % len(inputs)
            if not np.array_equal(model.predict(inputs[which]), expected[which]):
                wrong.append((number, turn))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("copier", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy])
def test_copies_answer_alike(model: Model, copier: Any) -> None:
    copied = copier(model)
    assert copied.num_threads == model.num_threads
    (matrix,) = matrices(model, 1)
    assert np.array_equal(copied.predict(matrix), model.predict(matrix))


def test_another_process_answers_alike(model: Model) -> None:
    code = (
        "import pickle, sys; model, matrix = pickle.load(sys.stdin.buffer); "
        "pickle.dump(model.predict(matrix), sys.stdout.buffer)"
    )
    (matrix,) = matrices(model, 1)
    child = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps((model, matrix)),
        capture_output=True,
        check=True,
    )
    assert np.array_equal(pickle.loads(child.stdout), model.predict(matrix))
    assert child.stderr == b""


def test_more_threads_of_the_interpreter_answer_alike(model: Model) -> None:
    (matrix,) = matrices(model, 1)
    several = Model(model.path, num_threads=2)
    assert several.num_threads == 2
    assert several.predict(matrix) == pytest.approx(model.predict(matrix), abs=1e-6)


@pytest.mark.parametrize("num_threads", [0, -1])
def test_at_least_one_thread(num_threads: int) -> None:
    with pytest.raises(ValueError, match=f"num_threads is {num_threads}"):
        Model(bundled_path(), num_threads=num_threads)


# Files of other models, and interpreters that fail.


def test_front_end_of_another_model(tmp_path: Path) -> None:
    flatbuffer, bundled_metadata = bundled()
    outputs = {key: bundled_metadata[key] for key in ("embedding", "utterance_embedding")}
    metadata = {**METADATA, "format": 2, **outputs}
    text = refusal(write(tmp_path / "model.tflite", flatbuffer, metadata))
    assert "but its front end gives 1 x 7 x 101" in text


def test_labels_of_another_model(tmp_path: Path) -> None:
    flatbuffer, metadata = bundled()
    labels = metadata["labels"]
    unknown = {"reference": None, "neutral_log_probabilities": None}
    metadata = {**metadata, **unknown, "labels": labels[:-1]}
    text = refusal(write(tmp_path / "model.tflite", flatbuffer, metadata))
    assert f"the model gives 1 x {len(labels)} values for {len(labels) - 1} labels" in text


class Failing(WithoutReset):
    def invoke(self) -> None:
        raise RuntimeError("node 3 (CONV_2D) failed\nto invoke")


class Constant(WithoutReset):
    """Gives the same output whatever its input."""

    def __init__(self, interpreter: Any, value: float) -> None:
        super().__init__(interpreter)
        self._value = value

    def get_tensor(self, index: int) -> Any:
        return np.full_like(self._interpreter.get_tensor(index), self._value)


def test_a_failing_interpreter_is_a_model_error(model: Model) -> None:
    failing = Model(model.path)
    failing._interpreter = Failing(failing._interpreter)
    with pytest.raises(ModelError, match=r"failed: node 3 \(CONV_2D\) failed to invoke"):
        failing.predict(matrices(model, 1)[0])


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_what_is_no_probability_makes_no_result(value: float, model: Model) -> None:
    broken = Model(model.path)
    broken._interpreter = Constant(broken._interpreter, value)
    with pytest.raises(ModelError, match="not a set of probabilities"):
        broken.predict(matrices(model, 1)[0])


# Models of other kinds, made with TensorFlow where it is installed.


@pytest.fixture(scope="module")
def tf() -> Any:
    return pytest.importorskip("tensorflow")


SHAPE = (7, 101)  # of the front end in METADATA


def random_matrices(count: int) -> list[Matrix]:
    rng = np.random.default_rng(1)
    return [rng.standard_normal(SHAPE, dtype=np.float32) for _ in range(count)]


def dense(tf: Any, dtype: str = "float32", shape: tuple[int, ...] = SHAPE) -> Any:
    tf.keras.utils.set_random_seed(1)
    inputs = tf.keras.Input(shape, batch_size=1, dtype=dtype)
    x = tf.keras.layers.Flatten()(tf.cast(inputs, tf.float32))
    x = tf.keras.layers.Dense(8, activation="relu")(x)
    return tf.keras.Model(inputs, tf.keras.layers.Dense(2, activation="softmax")(x))


def to_tflite(tf: Any, keras_model: Any, folder: Path, integers: Any = None) -> bytes:
    tf.saved_model.save(keras_model, str(folder))
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    if integers is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: [
            [matrix[np.newaxis]] for matrix in random_matrices(20)
        ]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = integers
    return bytes(converter.convert())


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_a_model_of_integers_answers_as_its_float_original(
    dtype: str, tf: Any, tmp_path: Path
) -> None:
    keras_model = dense(tf)
    flatbuffer = to_tflite(tf, keras_model, tmp_path / "saved", getattr(tf, dtype))
    model = Model(write(tmp_path / "model.tflite", flatbuffer, METADATA))
    assert np.dtype(model._input["dtype"]) == np.dtype(model._output["dtype"]) == dtype
    spread = []
    for matrix in random_matrices(5):
        expected = keras_model(matrix[np.newaxis]).numpy()[0]
        # Steps of 1/256 at the output, and of 1/256 of the largest value in every layer.
        assert model.predict(matrix) == pytest.approx(expected, abs=0.02)
        spread.append(expected[0])
    assert np.ptp(spread) > 0.1  # so that a constant answer would have failed


def test_integers_are_clipped_at_their_limits(tf: Any, tmp_path: Path) -> None:
    flatbuffer = to_tflite(tf, dense(tf), tmp_path / "saved", tf.int8)
    model = Model(write(tmp_path / "model.tflite", flatbuffer, METADATA))
    scale, zero_point = model._input["quantization"]
    highest, beyond = (np.full(SHAPE, x, np.float32) for x in ((127 - zero_point) * scale, 1e6))
    assert np.array_equal(model.predict(beyond), model.predict(highest))


def test_an_input_may_have_a_channel_axis(tf: Any, tmp_path: Path) -> None:
    keras_model = dense(tf, shape=(*SHAPE, 1))
    flatbuffer = to_tflite(tf, keras_model, tmp_path / "saved")
    model = Model(write(tmp_path / "model.tflite", flatbuffer, METADATA))
    (matrix,) = random_matrices(1)
    expected = keras_model(matrix[np.newaxis, ..., np.newaxis]).numpy()[0]
    assert model.predict(matrix) == pytest.approx(expected, abs=1e-5)


def test_integers_without_a_scale_are_refused(tf: Any, tmp_path: Path) -> None:
    flatbuffer = to_tflite(tf, dense(tf, "int32"), tmp_path / "saved")
    text = refusal(write(tmp_path / "model.tflite", flatbuffer, METADATA))
    assert "the model's input is int32, but must be float32 or quantized" in text


def test_several_inputs_are_refused(tf: Any, tmp_path: Path) -> None:
    one, other = dense(tf), dense(tf)
    output = tf.keras.layers.Average()([one.output, other.output])
    keras_model = tf.keras.Model([one.input, other.input], output)
    flatbuffer = to_tflite(tf, keras_model, tmp_path / "saved")
    text = refusal(write(tmp_path / "model.tflite", flatbuffer, METADATA))
    assert "the model has 2 inputs instead of one" in text

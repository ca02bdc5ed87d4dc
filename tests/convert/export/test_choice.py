"""The smallest quantization that keeps the answers is taken, and no smaller one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ser_edge.convert.export import choice
from ser_edge.convert.export.choice import Measured
from ser_edge.convert.export.rewrite import rewrite
from tests.helpers.conversion import convert

tf = pytest.importorskip("tensorflow")
layers = tf.keras.layers


@pytest.fixture(scope="module")
def exact() -> bytes:
    tf.keras.utils.set_random_seed(1)
    hidden = layers.Dense(64, activation="relu")
    outputs = layers.Dense(3, activation="softmax")
    return convert(tf.keras.Sequential([tf.keras.Input((40,)), hidden, outputs]), "none")


def chosen(exact: bytes, scale: float) -> tuple[bytes, list[Measured]]:
    """For inputs of that size; those of hundreds are what unscaled cepstra are."""
    rng = np.random.default_rng(2)
    matrices = (scale * rng.standard_normal((60, 40))).astype(np.float32)
    return choice.choose(lambda quantization: rewrite(exact, quantization), exact, matrices)


def test_normalized_features_leave_room_for_int8(exact: bytes) -> None:
    flatbuffer, (measured,) = chosen(exact, 1.0)
    assert measured.quantization == "dynamic"
    assert measured.bytes == len(flatbuffer) < len(exact)
    assert measured.same_label == 1.0


def test_large_features_do_not(exact: bytes) -> None:
    flatbuffer, measured = chosen(exact, 100.0)
    assert [one.quantization for one in measured] == ["dynamic", "float16"]
    assert not measured[0].keeps
    assert len(rewrite(exact, "dynamic")) < len(flatbuffer) < len(exact)
    assert "taken: float16" in choice.table(measured, 60)


def test_the_exact_model_is_what_is_left(exact: bytes) -> None:
    tf.keras.utils.set_random_seed(2)
    outputs = layers.Dense(3, activation="softmax")
    other = convert(tf.keras.Sequential([tf.keras.Input((40,)), outputs]), "none")
    matrices = np.random.default_rng(2).standard_normal((60, 40)).astype(np.float32)
    flatbuffer, measured = choice.choose(lambda _: other, exact, matrices)
    assert flatbuffer is exact
    assert [one.quantization for one in measured] == ["dynamic", "float16", "none"]
    assert (measured[-1].same_label, measured[-1].difference) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("same_label", "difference", "keeps"),
    [(1.0, 0.05, True), (0.99, 0.0, True), (0.98, 0.0, False), (1.0, 0.051, False)],
)
def test_what_keeps_the_answers(same_label: float, difference: float, keeps: bool) -> None:
    assert Measured("dynamic", 1, same_label, difference).keeps == keeps


def test_of_few_recordings_every_one_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of forty whose probabilities move is more than one in a hundred."""
    outputs = {b"exact": np.tile([0.9, 0.1], (40, 1)), b"small": np.tile([0.9, 0.1], (40, 1))}
    outputs[b"small"][7] = [0.8, 0.2]

    def predict(flatbuffer: bytes, matrices: Any) -> Any:
        return outputs[flatbuffer]

    monkeypatch.setattr(choice, "_predict", predict)
    matrices = np.zeros((40, 1), np.float32)
    taken, measured = choice.choose(lambda _: b"small", b"exact", matrices, smaller=("dynamic",))
    assert taken == b"exact"
    assert measured[0].difference == pytest.approx(0.1)

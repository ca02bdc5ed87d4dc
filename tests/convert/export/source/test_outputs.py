"""Outputs of every kind become one probability for every label."""

from __future__ import annotations

import numpy as np
import pytest

from ser_edge.convert.export.source import outputs, source_model
from ser_edge.errors import ModelError

tf = pytest.importorskip("tensorflow")
layers = tf.keras.layers

BATCH = np.random.default_rng(2).standard_normal((4, 6)).astype(np.float32)


def head(*last: object) -> source_model.SourceModel:
    tf.keras.utils.set_random_seed(1)
    return source_model.from_keras(tf.keras.Sequential([tf.keras.Input((6,)), *last]), "here")


def taken(model: source_model.SourceModel) -> np.ndarray:
    kind = model.outputs_for(BATCH)
    return np.asarray(outputs.to_probabilities(model.predict(BATCH), kind))


def test_a_softmax_stays_as_it_is() -> None:
    for model in (head(layers.Dense(3, "softmax")), head(layers.Dense(3), layers.Softmax())):
        assert model.outputs_for(BATCH) == outputs.PROBABILITIES
        assert taken(model) == pytest.approx(model.predict(BATCH))
    assert outputs.explain(outputs.PROBABILITIES, "ab") == ""


def test_logits_get_a_softmax() -> None:
    model = head(layers.Dense(3))
    assert model.outputs_for(BATCH) == outputs.LOGITS
    exponentials = np.exp(model.predict(BATCH))
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    assert taken(model) == pytest.approx(expected)


def test_one_sigmoid_is_the_probability_of_the_second_label() -> None:
    model = head(layers.Dense(1, "sigmoid"))
    assert model.outputs_for(BATCH) == outputs.SIGMOID
    p = model.predict(BATCH)[:, 0]
    assert taken(model) == pytest.approx(np.stack([1 - p, p], axis=1))
    logit = head(layers.Dense(1))  # of the same weights
    assert logit.outputs_for(BATCH) == outputs.SIGMOID_LOGIT
    assert taken(logit) == pytest.approx(np.stack([1 - p, p], axis=1), abs=1e-6)
    assert "of dog" in outputs.explain(outputs.SIGMOID, ["cat", "dog"]).split(", and")[0]


def test_a_sigmoid_for_each_label_keeps_their_order() -> None:
    model = head(layers.Dense(3), layers.Activation("sigmoid"))
    assert model.outputs_for(BATCH) == outputs.SIGMOIDS
    assert taken(model).sum(axis=1) == pytest.approx(1)
    assert (taken(model).argsort(axis=1) == model.predict(BATCH).argsort(axis=1)).all()
    none = np.asarray(outputs.to_probabilities(np.zeros((1, 4)), outputs.SIGMOIDS))
    assert none == pytest.approx(np.full((1, 4), 0.25))


def test_logits_that_lie_between_0_and_1_by_chance() -> None:
    last = layers.Dense(3, kernel_initializer="orthogonal", bias_initializer="ones")
    model = head(last, layers.Rescaling(0.5))  # after which nothing tells the activation
    small = 0.1 * BATCH
    given = model.predict(small)
    assert model.activation is None
    assert given.min() > 0
    assert given.max() < 1
    assert model.outputs_for(small) == outputs.LOGITS


def test_what_are_no_outputs_is_refused() -> None:
    with pytest.raises(ModelError, match="one output with the activation relu"):
        head(layers.Dense(1, "relu")).outputs_for(BATCH)
    with pytest.raises(ModelError, match="not finite"):
        outputs.kind(np.array([[np.nan, 1.0]]), None)
    with pytest.raises(ModelError, match="has 4 outputs for 6 labels"):
        outputs.check_count(4, 6)

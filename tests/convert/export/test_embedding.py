"""Embeddings as further outputs of a flatbuffer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ser_edge import model_file
from ser_edge.classifier import Classifier
from ser_edge.convert import cli
from ser_edge.convert.corpus.clips import LABELS, Clip
from ser_edge.convert.export import embedding, tflite
from ser_edge.convert.export.source import source_model
from ser_edge.decision import default_rules
from ser_edge.errors import ModelError
from ser_edge.model import Model
from ser_edge.runtime import interpreter
from tests.helpers.models import bundled, one_output

SHAPE = (21, 2)  # of the toy front end


@pytest.fixture(scope="module")
def network() -> Any:
    tf = pytest.importorskip("tensorflow")
    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(1)
    inputs = tf.keras.Input(SHAPE)
    x = layers.GlobalAveragePooling1D(name="pooling")(layers.Conv1D(8, 3, name="filters")(inputs))
    x = layers.Dense(5, activation="tanh", name="hidden")(x)
    return tf.keras.Model(inputs, layers.Dense(len(LABELS), activation="softmax")(x))


@pytest.fixture(scope="module")
def content(network: Any) -> bytes:
    return tflite.to_tflite(source_model.from_keras(network, "Keras"), SHAPE, "none")


@pytest.fixture
def metadata(toy_frontend: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "toy",
        "labels": list(LABELS),
        "frontend": toy_frontend,
        "decision": default_rules(0.5),
        "quantization": "none",
    }


def run(content: bytes, matrix: np.ndarray) -> list[np.ndarray]:
    loaded, _ = interpreter(content, 1)
    loaded.set_tensor(loaded.get_input_details()[0]["index"], matrix[np.newaxis])
    loaded.invoke()
    return [loaded.get_tensor(output["index"])[0] for output in loaded.get_output_details()]


def test_outputs_are_the_activations_and_probabilities_the_same_to_the_bit(network, content):
    import tensorflow as tf

    extended, entries = embedding.add_outputs(content)
    assert [(e["output"], e["layer"], e["size"]) for e in entries] == [
        (1, "hidden", 5), (2, "pooling", 8),
    ]  # fmt: skip
    inner = tf.keras.Model(
        network.input, [network.get_layer("hidden").output, network.get_layer("pooling").output]
    )
    for seed in range(3):
        matrix = np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)
        before, (after, *activations) = run(content, matrix), run(extended, matrix)
        assert np.array_equal(before[0], after)
        for activation, expected in zip(activations, inner(matrix[np.newaxis])):
            assert activation == pytest.approx(expected.numpy()[0], abs=1e-5)


def test_a_layer_may_be_named(content):
    _, entries = embedding.add_outputs(content, "pooling")
    assert [(entry["layer"], entry["size"]) for entry in entries] == [("pooling", 8)]
    _, entries = embedding.add_outputs(content, "hidden", "pooling")
    assert [entry["layer"] for entry in entries] == ["hidden", "pooling"]
    with pytest.raises(ModelError, match=r"no layer 'nope' of the model gives one vector .*hidden"):
        embedding.add_outputs(content, "nope")
    with pytest.raises(ModelError, match="no layer 'filters'"):  # it gives many
        embedding.add_outputs(content, "filters")


def test_outputs_are_added_once(content):
    extended, _ = embedding.add_outputs(content)
    with pytest.raises(ModelError, match="has 3 outputs already"):
        embedding.add_outputs(extended)


def test_a_model_that_is_not_plain_has_no_default():
    tf = pytest.importorskip("tensorflow")
    layers = tf.keras.layers
    inputs = tf.keras.Input(SHAPE)
    outputs = layers.Dense(len(LABELS), activation="softmax")(layers.Flatten()(inputs))
    model = tf.keras.Model(inputs, outputs)
    content = tflite.to_tflite(source_model.from_keras(model, "Keras"), SHAPE, "none")
    assert not embedding.is_plain(content)  # no hidden layer, but the input in a row


def test_statistics_are_those_of_the_clips(content, metadata, toy_clips: list[Clip], tmp_path):
    path = tmp_path / "toy.tflite"
    train = [clip for clip in toy_clips if clip.split == "train"]
    embedding.embed(content, metadata, train, path)
    read = model_file.read_metadata(path)
    classifier = Classifier.from_file(path, gate="off")
    assert read.embedding is not None
    observed = [classifier.observe(str(clip.path)) for clip in train]
    vectors = np.array([one.embedding for one in observed if not isinstance(one, str)])
    assert len(vectors) == len(train)
    assert read.embedding.mean == pytest.approx(vectors.mean(axis=0), rel=5e-3)  # three digits
    assert read.embedding.std == pytest.approx(vectors.std(axis=0), rel=5e-3)
    # Both embeddings together, each scaled to a mean square of 1.
    inputs = np.array([one.inputs for one in observed if not isinstance(one, str)])
    assert (inputs**2).sum(axis=1).mean() == pytest.approx(2.0, abs=0.2)


def test_the_command_adds_them_from_the_weights_that_a_model_has(tmp_path, toy_clips):
    flatbuffer, metadata = bundled()
    outputs = ("embedding", "utterance_embedding", "familiarity")
    plain = {**metadata, **dict.fromkeys(outputs), "training": {}}
    from ser_edge.convert.package import pack

    source, output = tmp_path / "plain.tflite", tmp_path / "new.tflite"
    pack(one_output(flatbuffer), plain, source)
    index = toy_clips[0].path.parent
    arguments = ["embed", str(source), str(index), "--output", str(output)]
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exit_code == 0, result.output
    assert "embedding: layer dense_18, 128 units" in result.output
    model = Model(output)
    assert model.n_inputs == 128 + 448
    matrix = np.random.default_rng(0).standard_normal(model.frontend.shape).astype(np.float32)
    assert np.array_equal(model.predict(matrix), Model(source).predict(matrix))
    again = CliRunner().invoke(cli.main, ["embed", str(output), str(index), "-o", str(source)])
    assert again.exit_code == 1
    assert "has embeddings already" in again.output


def test_bundled_models_give_both_embeddings():
    for name in ("default", "open"):
        metadata = model_file.read_metadata(Path(model_file.bundled_path(name)))
        assert metadata.embedding is not None
        assert metadata.utterance_embedding is not None
        assert (metadata.embedding.size, metadata.utterance_embedding.size) == (128, 448)

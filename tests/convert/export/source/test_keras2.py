"""A model is rebuilt from its description, and no code in the file runs."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_edge.convert.export.source import keras2, source_file, source_model
from ser_edge.convert.train import architectures
from ser_edge.errors import ModelError

tf = pytest.importorskip("tensorflow")
layers = tf.keras.layers

DATA = Path(__file__).parents[2] / "data"
SHAPE = (21, 6)
BATCH = np.random.default_rng(2).standard_normal((2, *SHAPE), dtype=np.float32)


def rebuild(path: Path, scratch: Path, **options: Any) -> source_model.SourceModel:
    folder = scratch / "scratch"
    folder.mkdir(exist_ok=True)
    return source_model.load(path, folder, **options)


@pytest.mark.parametrize("name", ["sequential", "functional", "numbers"])
def test_keras_3_files_predict_as_in_keras_3(tmp_path: Path, name: str) -> None:
    predictions = json.loads((DATA / "keras3_predictions.json").read_text())
    model = rebuild(DATA / f"keras3_{name}.keras", tmp_path)
    assert model.format.startswith("Keras 3")
    # The predictions are stored with six digits.
    assert model.predict(BATCH) == pytest.approx(np.array(predictions[name]), abs=2e-6)


@pytest.mark.parametrize("name", ["sequential", "functional", "numbers"])
def test_weights_with_their_architecture_beside_them(tmp_path: Path, name: str) -> None:
    predictions = json.loads((DATA / "keras3_predictions.json").read_text())
    with zipfile.ZipFile(DATA / f"keras3_{name}.keras") as archive:
        (tmp_path / "model.json").write_bytes(archive.read("config.json"))
        (tmp_path / "w.h5").write_bytes(archive.read("model.weights.h5"))
    model = rebuild(tmp_path / "w.h5", tmp_path, architecture=tmp_path / "model.json")
    assert model.predict(BATCH) == pytest.approx(np.array(predictions[name]), abs=2e-6)


def random_model() -> Any:
    """Every weight drawn at random, the recurrent ones with the seed's own initializer."""
    tf.keras.utils.set_random_seed(1)
    inputs = tf.keras.Input(SHAPE)
    x = layers.Conv1D(4, 3, activation="relu", kernel_regularizer="l2")(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.LSTM(3, return_sequences=True, recurrent_initializer="orthogonal")(x)
    x = x + layers.GRU(3, return_sequences=True)(x)  # an operation of TensorFlow's own
    x = layers.Dense(3, activation="softmax")(tf.reduce_mean(x, axis=1))
    model = tf.keras.Model(inputs, x)
    model.set_weights([0.1 + np.abs(weight) for weight in model.get_weights()])
    model.compile("adam", "categorical_crossentropy")
    return model


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "saved_model"])
def test_keras_2_models_predict_as_they_did(tmp_path: Path, name: str) -> None:
    model = random_model()
    model.save(tmp_path / name)
    rebuilt = rebuild(tmp_path / name, tmp_path)
    assert rebuilt.shape == SHAPE
    assert rebuilt.n_outputs == 3
    expected = model(BATCH, training=False).numpy()
    assert rebuilt.predict(BATCH) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", architectures.WITH_EMBEDDINGS)
def test_our_own_networks_need_no_leave_to_run_code(tmp_path: Path, name: str) -> None:
    model = architectures.build(name, (40, 66), 6)
    path = tmp_path / f"{name}.keras"
    model.save(path)
    matrix = np.random.default_rng(1).standard_normal((1, 40, 66)).astype(np.float32)
    found = np.asarray(rebuild(path, tmp_path).function(tf.constant(matrix)))
    assert found == pytest.approx(model(matrix).numpy(), abs=1e-6)


def harmful_lambda(marker: Path) -> Any:
    """A model whose layer writes a file as soon as it is called."""
    path = str(marker)
    return tf.keras.Sequential(
        [
            tf.keras.Input(SHAPE),
            layers.Lambda(lambda x, path=path: (open(path, "w").close(), x)[1]),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_code_in_a_file_runs_only_when_allowed(tmp_path: Path, name: str) -> None:
    marker = tmp_path / "harm"
    harmful_lambda(marker).save(tmp_path / name)
    marker.unlink()
    with pytest.raises(ModelError, match=r"layer 'lambda\w*' is a Lambda: code .*--allow-code"):
        rebuild(tmp_path / name, tmp_path)
    assert not marker.exists()
    rebuilt = rebuild(tmp_path / name, tmp_path, allow_code=True)
    assert marker.exists()
    assert rebuilt.predict(BATCH).shape == (2, 3)


def test_a_function_that_writes_files_is_refused(tmp_path: Path) -> None:
    inputs = tf.keras.Input(SHAPE)
    x = layers.Dense(3)(layers.Flatten()(inputs))
    config = tf.keras.Model(inputs, x).get_config()
    config["layers"].append(
        {
            "class_name": "TFOpLambda",
            "config": {"name": "write", "function": "io.write_file"},
            "name": "write",
            "inbound_nodes": [],
        }
    )
    file = source_file.KerasFile(
        "Keras 2.15.0 .h5", {"class_name": "Functional", "config": config}, tmp_path / "none"
    )
    with pytest.raises(ModelError, match=r"'write' calls tf\.io\.write_file, which is not known"):
        keras2.build(file)


def test_a_saved_model_that_reads_files_is_refused(tmp_path: Path) -> None:
    class Thief(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, *SHAPE), tf.float32)])
        def __call__(self, features: Any) -> Any:
            size = tf.strings.length(tf.io.read_file("/etc/hostname"))
            return tf.reduce_sum(features, axis=2)[:, :3] * tf.cast(size, tf.float32)

    thief = Thief()
    folder = tmp_path / "saved"
    tf.saved_model.save(thief, str(folder), signatures=thief.__call__.get_concrete_function())
    with pytest.raises(ModelError, match=r"ReadFile.* \(ReadFile\) reaches outside of the model"):
        rebuild(folder, tmp_path)


def description(layer: dict[str, Any]) -> dict[str, Any]:
    entry = {"class_name": "InputLayer", "config": {"batch_shape": [None, *SHAPE], "name": "in"}}
    return {"class_name": "Sequential", "config": {"name": "m", "layers": [entry, layer]}}


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (
            {"class_name": "system", "module": "os", "config": {"name": "x"}},
            "layer 'x' is a system, which cannot be rebuilt",
        ),
        (
            {
                "class_name": "Dense",
                "config": {"name": "x", "units": 3, "activation": "hard_sigmoid"},
            },
            "layer 'x': the activation hard_sigmoid cannot be rebuilt",
        ),
        (
            {
                "class_name": "Dense",
                "config": {
                    "name": "x",
                    "units": 3,
                    "activation": {"class_name": "function", "module": "os", "config": "system"},
                },
            },
            "layer 'x': the activation a function of its author's own cannot be rebuilt",
        ),
        (
            {"class_name": "Dense", "config": {"name": "x", "units": 3, "lora_rank": 4}},
            "layer 'x': its argument lora_rank cannot be rebuilt",
        ),
        (
            {"class_name": "Dense", "config": {"name": "x", "units": {"class_name": "system"}}},
            "architecture is not what Keras writes",
        ),
        ({"class_name": "Dense", "config": None}, "architecture is not what Keras writes"),
        ("Dense", "architecture is not what Keras writes"),
    ],
)
def test_what_cannot_be_rebuilt_is_named(tmp_path: Path, layer: Any, sentence: str) -> None:
    file = source_file.KerasFile("Keras 3.15.1 .keras", description(layer), tmp_path / "none")
    with pytest.raises(ModelError, match=sentence):
        keras2.build(file)


def test_a_class_of_the_authors_own_is_named(tmp_path: Path) -> None:
    file = source_file.KerasFile("Keras 3", {"class_name": "Net", "config": {}}, tmp_path / "none")
    with pytest.raises(ModelError, match=r"is a Net, .*: export it as a SavedModel"):
        keras2.build(file)


def test_missing_weights_are_noticed(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(DATA / "keras3_sequential.keras") as source:
        contents = {name: source.read(name) for name in source.namelist()}
    (tmp_path / "w.h5").write_bytes(contents["model.weights.h5"])
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "w.h5", "a") as weights:
        del weights["layers/gru/cell/vars"]
    contents["model.weights.h5"] = (tmp_path / "w.h5").read_bytes()
    with zipfile.ZipFile(path, "w") as broken:
        for name, content in contents.items():
            broken.writestr(name, content)
    with pytest.raises(ModelError, match=r"cannot be rebuilt|lacks the weights"):
        source_model.load(path, scratch)


def test_shapes_are_held_against_the_front_end() -> None:
    model = source_model.from_keras(
        tf.keras.Sequential([tf.keras.Input(SHAPE), layers.Flatten(), layers.Dense(3)]), "here"
    )
    assert model.check(SHAPE, 3, "") == SHAPE
    with pytest.raises(
        ModelError, match=r"takes 21 x 6 values, but the front end \(4 mfcc\) gives 21 x 4$"
    ):
        model.check((21, 4), 3, "4 mfcc")
    with pytest.raises(ModelError, match=r"gives 6 x 21: its layout is the other one$"):
        model.check((6, 21), 3, "4 mfcc")
    with pytest.raises(ModelError, match="has 3 outputs for 6 labels"):
        model.check(SHAPE, 6, "")
    image = tf.keras.Sequential(
        [tf.keras.Input((None, 6, 1)), layers.GlobalMaxPooling2D(), layers.Dense(3)]
    )
    assert source_model.from_keras(image, "here").check(SHAPE, 3, "") == (*SHAPE, 1)
    vector = tf.keras.Sequential([tf.keras.Input((40,)), layers.Dense(1)])
    for shape in ((40,), (40, 1), (1, 40)):
        assert source_model.from_keras(vector, "here").check(shape, 2, "") == (40,)
    with pytest.raises(ModelError, match=r"takes 40 values, .* gives 20 x 2"):
        source_model.from_keras(vector, "here").check((20, 2), 2, "")
    with pytest.raises(ModelError, match="has one output, for two labels, and 3 are stated"):
        source_model.from_keras(vector, "here").check((40,), 3, "")

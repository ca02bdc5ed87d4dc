"""Make the Keras 3 files beside this script; run it with Keras 3 (any backend) installed.

    python tests/convert/data/make_keras3.py

Keras 3 cannot live beside the TensorFlow that converts, so what it writes is kept: small models
with random weights, and their predictions to a fixed input.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

FOLDER = Path(__file__).resolve().parent
SHAPE = (21, 6)


def sequential() -> Any:
    """The kinds of layers that the CLSTM and its sisters are made of."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input(SHAPE),
            layers.Conv1D(4, 5, padding="same", activation="relu"),
            layers.MaxPooling1D(2, padding="same"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.GRU(3, return_sequences=True, dropout=0.1),
            layers.Bidirectional(layers.LSTM(2, return_sequences=True)),
            layers.LSTM(3, recurrent_initializer="orthogonal"),
            layers.Dense(3, activation="softmax"),
        ]
    )


def functional() -> Any:
    """A graph with branches, several inputs of a layer and a layer called twice."""
    layers = keras.layers
    inputs = keras.Input(SHAPE)
    shared = layers.Dense(4, activation="tanh")
    first = shared(inputs)
    second = shared(layers.LayerNormalization()(inputs))
    x = layers.Add()([first, second])
    x = layers.Attention()([x, second])
    x = layers.LeakyReLU(negative_slope=0.1)(x)
    x = layers.Concatenate()(
        [layers.GlobalAveragePooling1D()(x), layers.LSTM(3)(x)],
    )
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x))


def numbers() -> Any:
    """Layers that normalize, a recurrent one with a memory, and one output for two labels."""
    layers = keras.layers
    normalization = layers.Normalization()
    rng = np.random.default_rng(3)
    normalization.adapt(rng.normal(1, 2, (9, *SHAPE)).astype(np.float32))
    return keras.Sequential(
        [
            layers.Input(batch_shape=(1, *SHAPE)),
            normalization,
            layers.Rescaling(0.5, offset=0.1),
            layers.GaussianNoise(0.1),
            layers.LSTM(3, stateful=True),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def save(model: Any, name: str) -> list[list[float]]:
    """Save a model, packed small, and return its predictions."""
    # No weight at its start, where normalizations do nothing and biases are zero.
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if not any(part in weight.name for part in ("seed", "state", "count")):
            values = 0.6 * rng.standard_normal(weight.shape)
            weight.assign(abs(values) if "variance" in weight.name else values)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # it computes with copies of its weights
    path = FOLDER / f"keras3_{name}.keras"
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        contents = {member: archive.read(member) for member in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in contents.items():
            archive.writestr(member, content)
    batch = np.random.default_rng(2).standard_normal((2, *SHAPE), dtype=np.float32)
    rows = []
    for matrix in batch:
        for layer in model.layers:
            if getattr(layer, "stateful", False):
                layer.reset_state()
        rows += np.asarray(model(matrix[None])).astype(float).round(6).tolist()
    return rows


if __name__ == "__main__":
    keras.utils.set_random_seed(1)
    predictions = {
        build.__name__: save(build(), build.__name__) for build in (sequential, functional, numbers)
    }
    (FOLDER / "keras3_predictions.json").write_text(json.dumps(predictions, indent=1) + "\n")

"""Files as older Keras and special hardware wrote them; the oracles are the formulas, in numpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_edge.convert.export.source import dialects, source_model
from ser_edge.errors import ModelError

pytest.importorskip("tensorflow")
h5py = pytest.importorskip("h5py")

FRAMES, FEATURES, UNITS = 7, 3, 4
RNG = np.random.default_rng(5)
BATCH = RNG.standard_normal((2, FRAMES, FEATURES)).astype(np.float32)
DENSE = (RNG.standard_normal((UNITS, 2)), RNG.standard_normal(2))
Layer = tuple[str, dict[str, Any], dict[str, Any]]  # class, arguments, weights


def dense() -> Layer:
    weights = {"kernel": DENSE[0], "bias": DENSE[1]}
    return "Dense", {"name": "dense_1", "units": 2, "activation": "softmax"}, weights


def write(path: Path, *layers: Layer, version: str = "2.2.2", shape: Any = None) -> Path:
    """A file as Keras up to 2.2.2 wrote it: the config of a Sequential is a list."""
    entries: list[dict[str, Any]] = [{"class_name": k, "config": dict(c)} for k, c, _ in layers]
    entries[0]["config"]["batch_input_shape"] = shape or [None, FRAMES, FEATURES]
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = version.encode()
        file.attrs["backend"] = b"tensorflow"
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": entries})
        group = file.create_group("model_weights")
        group.attrs["keras_version"] = version.encode()
        group.attrs["backend"] = b"tensorflow"
        group.attrs["layer_names"] = [config["name"].encode() for _, config, _ in layers]
        for _, config, weights in layers:
            inner = group.create_group(config["name"])
            names = [f"{config['name']}/{name}:0".encode() for name in weights]
            inner.attrs["weight_names"] = names
            for name, values in zip(names, weights.values()):
                inner[name.decode()] = np.asarray(values, np.float32)
    return path


def load(path: Path) -> source_model.SourceModel:
    scratch = path.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return source_model.load(path, scratch)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def softmax_of(states: Any) -> Any:
    logits = np.exp(states @ DENSE[0] + DENSE[1])
    return logits / logits.sum(axis=1, keepdims=True)


def test_a_sequential_that_is_a_list(tmp_path: Path) -> None:
    kernel, bias = RNG.standard_normal((FEATURES, UNITS)), RNG.standard_normal(UNITS)
    first = ("Dense", {"name": "a", "units": UNITS, "activation": "tanh"}, {"k": kernel, "b": bias})
    pool = ("GlobalAveragePooling1D", {"name": "b"}, {})
    model = load(write(tmp_path / "m.h5", first, pool, dense()))
    assert model.format == "Keras 2.2.2 .h5"
    assert model.shape == (FRAMES, FEATURES)
    expected = softmax_of(np.tanh(BATCH @ kernel + bias).mean(axis=1))
    assert model.predict(BATCH) == pytest.approx(expected, abs=1e-5)


def recurrent_weights(gates: int) -> dict[str, Any]:
    """As CuDNN's library has them: two biases, and each gate's matrix turned."""
    return {
        "kernel": RNG.standard_normal((FEATURES, gates * UNITS)),
        "recurrent_kernel": RNG.standard_normal((UNITS, gates * UNITS)),
        "bias": RNG.standard_normal(2 * gates * UNITS),
    }


def cudnn_gates(weights: dict[str, Any], gates: int) -> tuple[list[Any], list[Any], Any, Any]:
    """What the library makes of the bytes that it is given: (units, inputs) by rows."""
    inputs = [
        np.ascontiguousarray(part).ravel().reshape(UNITS, FEATURES)
        for part in np.split(weights["kernel"], gates, axis=1)
    ]
    states = [
        np.ascontiguousarray(part).ravel().reshape(UNITS, UNITS)
        for part in np.split(weights["recurrent_kernel"], gates, axis=1)
    ]
    biases = weights["bias"].reshape(2, gates, UNITS)
    return inputs, states, biases[0], biases[1]


def cudnn_arguments(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "units": UNITS, "return_sequences": False, "stateful": False, **more}


def test_cudnn_lstm(tmp_path: Path) -> None:
    weights = recurrent_weights(4)
    layer = ("CuDNNLSTM", cudnn_arguments("lstm", unit_forget_bias=True), weights)
    model = load(write(tmp_path / "m.h5", layer, dense(), version="2.2.4"))
    w, r, wb, rb = cudnn_gates(weights, 4)
    states = []
    for clip in BATCH:
        h = c = np.zeros(UNITS)
        for x in clip:
            i, f, g, o = (w[k] @ x + wb[k] + r[k] @ h + rb[k] for k in range(4))
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        states.append(h)
    assert model.predict(BATCH) == pytest.approx(softmax_of(np.array(states)), abs=1e-5)


def test_cudnn_gru(tmp_path: Path) -> None:
    weights = recurrent_weights(3)
    layer = ("CuDNNGRU", cudnn_arguments("gru"), weights)
    model = load(write(tmp_path / "m.h5", layer, dense(), version="2.2.4"))
    w, u, wb, ub = cudnn_gates(weights, 3)
    states = []
    for clip in BATCH:
        h = np.zeros(UNITS)
        for x in clip:
            a = [w[k] @ x + wb[k] for k in range(3)]
            b = [u[k] @ h + ub[k] for k in range(3)]
            z, r = sigmoid(a[0] + b[0]), sigmoid(a[1] + b[1])
            h = (1 - z) * np.tanh(a[2] + r * b[2]) + z * h
        states.append(h)
    assert model.predict(BATCH) == pytest.approx(softmax_of(np.array(states)), abs=1e-5)


def test_gru_of_a_time_before_reset_after(tmp_path: Path) -> None:
    weights = {**recurrent_weights(3), "bias": RNG.standard_normal(3 * UNITS)}
    arguments = {**cudnn_arguments("gru"), "activation": "tanh"}
    arguments["recurrent_activation"] = "hard_sigmoid"
    model = load(write(tmp_path / "m.h5", ("GRU", arguments, weights), dense(), version="2.0.8"))
    w, u = (np.split(weights[key], 3, axis=1) for key in ("kernel", "recurrent_kernel"))
    bias = weights["bias"].reshape(3, UNITS)
    states = []
    for clip in BATCH:
        h = np.zeros(UNITS)
        for x in clip:
            a = [x @ w[k] + bias[k] for k in range(3)]
            z, r = (np.clip(0.2 * (a[k] + h @ u[k]) + 0.5, 0, 1) for k in range(2))
            h = (1 - z) * np.tanh(a[2] + (r * h) @ u[2]) + z * h
        states.append(h)
    assert model.predict(BATCH) == pytest.approx(softmax_of(np.array(states)), abs=1e-5)


def simple_rnn(**more: Any) -> tuple[Layer, Any]:
    w, u = RNG.standard_normal((FEATURES, UNITS)), RNG.standard_normal((UNITS, UNITS))
    b = RNG.standard_normal(UNITS)
    states = []
    for clip in BATCH:
        h = np.zeros(UNITS)
        for x in clip:
            h = np.tanh(x @ w + h @ u + b)
        states.append(h)
    arguments = {**cudnn_arguments("memory", activation="tanh"), **more}
    return ("SimpleRNN", arguments, {"w": w, "u": u, "b": b}), softmax_of(np.array(states))


def test_a_stateful_layer_forgets_between_windows(tmp_path: Path) -> None:
    layer, expected = simple_rnn(stateful=True)
    model = load(write(tmp_path / "m.h5", layer, dense(), shape=[16, FRAMES, FEATURES]))
    assert [note for note in model.notes if "(memory) are rebuilt stateless" in note]
    for _ in range(2):
        assert model.predict(BATCH) == pytest.approx(expected, abs=1e-5)


def test_time_before_the_batch(tmp_path: Path) -> None:
    layer, expected = simple_rnn(time_major=True, trainable=True)
    model = load(write(tmp_path / "m.h5", layer, dense(), shape=[FRAMES, None, FEATURES]))
    assert model.notes == ("the model has time before the batch: rebuilt with the batch first",)
    assert model.shape == (FRAMES, FEATURES)
    assert model.predict(BATCH) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ModelError, match=r"'memory' takes time before the batch .*\[None, 7, 3\]"):
        load(write(tmp_path / "n.h5", layer, dense()))


def test_what_draws_at_random_is_left_out() -> None:
    layers = [{"class_name": "RandomZoom", "config": {"name": "zoom", "height_factor": 0.1}}]
    described = {"class_name": "Sequential", "config": {"name": "m", "layers": layers}}
    result, notes = dialects.ordinary(described, keras_2=False)
    assert result["config"]["layers"] == [
        {"class_name": "Activation", "config": {"name": "zoom", "activation": "linear"}}
    ]
    assert notes == []
    assert layers[0]["class_name"] == "RandomZoom"  # the description given stays as it is


def test_a_description_without_end_is_refused() -> None:
    entry: Any = []
    for _ in range(100):
        entry = [entry]
    with pytest.raises(ModelError, match="nested too deep"):
        dialects.ordinary({"class_name": "Sequential", "config": entry}, keras_2=True)

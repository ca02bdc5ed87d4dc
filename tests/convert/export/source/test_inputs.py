"""Networks of several inputs as networks of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_edge.convert.export.source import inputs, source_model
from ser_edge.errors import ModelError
from tests.helpers.conversion import convert, predict

tf: Any = pytest.importorskip("tensorflow")
keras = tf.keras


def branches(*shapes: tuple[int, ...]) -> Any:
    entries = [keras.Input(shape, name=f"in{n}") for n, shape in enumerate(shapes)]
    parts = [keras.layers.Dense(4, "tanh")(keras.layers.Flatten()(entry)) for entry in entries]
    outputs = keras.layers.Dense(3, "softmax")(keras.layers.Concatenate()(parts))
    return keras.Model(entries, outputs)


@pytest.mark.parametrize(
    ("shapes", "joint", "axis"),
    [
        ([(30, 4), (30, 8), (30, 2)], (30, 14), 2),
        ([(4, 30), (8, 30)], (12, 30), 1),
        ([(5,), (7,)], (12,), 1),
        ([(6, 9, 1), (2, 9, 1)], (8, 9, 1), 1),
        ([(6, 3), (6, 3)], (6, 6), 2),
    ],
)
def test_inputs_side_by_side(
    tmp_path: Path, shapes: list[tuple[int, ...]], joint: tuple[int, ...], axis: int
) -> None:
    model = branches(*shapes)
    model.save(tmp_path / "model.h5")
    source = source_model.load(tmp_path / "model.h5", tmp_path)
    assert source.shape == joint
    assert "in0 (" in source.notes[-1]
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(2, *shape)).astype(np.float32) for shape in shapes]
    expected = model.predict(parts, verbose=0)
    whole = np.concatenate(parts, axis=axis)
    assert np.abs(source.predict(whole) - expected).max() < 1e-6


def test_they_convert() -> None:
    model = branches((30, 4), (30, 8))
    parts = [np.random.default_rng(n).normal(size=(1, 30, 4 + 4 * n)) for n in range(2)]
    expected = model.predict(parts, verbose=0)[0]
    flatbuffer = convert(model, "none")
    found = predict(flatbuffer, np.concatenate(parts, axis=2)[0].astype(np.float32))
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize(
    "shapes", [[(30, 4), (20, 8)], [(30, 4), (30,)], [(30, None), (30, 4)], [(), ()]]
)
def test_inputs_that_do_not_fit(shapes: list[Any]) -> None:
    with pytest.raises(ModelError, match=r"2 inputs .* do not fit beside each other"):
        inputs.axis_of(shapes)

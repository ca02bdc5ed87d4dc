"""Front ends with random descriptions, and random matrices through their steps."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

from ser_edge.errors import ModelError
from ser_edge.frontend import FrontendSpec, steps
from ser_edge.frontend.arguments import STATISTICS
from tests.frontend.test_frontend_spec import EVERY_STEP

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_a_changed_description_is_read_or_refused_in_one_sentence(data: st.DataObject) -> None:
    steps = copy.deepcopy(EVERY_STEP)
    for _ in range(data.draw(st.integers(1, 3))):
        number = data.draw(st.integers(0, len(steps) - 1))
        change = data.draw(st.sampled_from(["remove", "swap", "argument", "replace"]))
        if change == "remove":
            del steps[number]
        elif change == "swap":
            steps.insert(0, steps.pop(number))
        elif change == "replace":
            steps[number] = data.draw(JSON)
        elif isinstance(steps[number], dict) and steps[number]:
            key = data.draw(st.sampled_from(sorted(steps[number], key=str)))
            steps[number][key] = data.draw(JSON)
        if not steps:
            return
    refusal = ""
    try:
        spec = FrontendSpec.parse({"steps": steps})
    except ModelError as error:
        refusal = str(error)
    else:
        assert FrontendSpec.parse(json.loads(json.dumps(spec.to_dict()))) == spec
    assert len(refusal) < 1000
    assert not refusal or refusal.isprintable()


MATRICES = st.tuples(st.integers(1, 6), st.integers(1, 30), st.integers(0, 2**31)).map(
    lambda drawn: np.random.default_rng(drawn[2]).normal(size=drawn[:2]).astype(np.float32)
)


@settings(deadline=None)
@given(
    matrix=MATRICES,
    size=st.integers(1, 40),
    keep=st.sampled_from(["start", "centre", "end"]),
    at=st.sampled_from(["end", "both", "start"]),
)
def test_cropped_and_padded_it_has_the_length(
    matrix: np.ndarray, size: int, keep: str, at: str
) -> None:
    before = matrix.copy()
    cropped = steps.crop(matrix, size=size, keep=keep)
    padded = steps.pad(cropped, size=size, at=at, value=7.0)
    assert padded.shape == (matrix.shape[0], size)
    assert np.array_equal(matrix, before)
    inside = (padded != 7.0).all(axis=0)
    assert np.array_equal(padded[:, inside], cropped)
    first = int(np.argmax(inside))
    missing = size - cropped.shape[1]
    assert first == {"end": 0, "both": missing // 2, "start": missing}[at]
    left_out = matrix.shape[1] - cropped.shape[1]
    start = {"start": 0, "centre": left_out // 2, "end": left_out}[keep]
    assert np.array_equal(cropped, matrix[:, start : start + cropped.shape[1]])


@settings(deadline=None)
@given(
    matrix=MATRICES,
    by=st.sampled_from(["frame", "coefficient", "clip"]),
    method=st.sampled_from(["zscore", "peak", "minmax"]),
    scale=st.sampled_from([0.0, 1e-20, 1.0, 1e6]),
)
def test_normalized_values_are_finite_and_within_their_bounds(
    matrix: np.ndarray, by: str, method: str, scale: float
) -> None:
    normalized = steps.normalize(
        (matrix * scale).astype(np.float32), by=by, method=method, epsilon=0.0
    )
    assert normalized.shape == matrix.shape
    assert np.isfinite(normalized).all()
    axis = {"frame": 0, "coefficient": 1, "clip": None}[by]
    if method == "zscore":
        assert np.abs(normalized.mean(axis=axis, dtype=np.float64)).max() <= 1e-5
    else:
        assert np.abs(normalized).max() <= 1.0
        assert method == "peak" or normalized.min() >= 0.0


@settings(deadline=None)
@given(
    matrix=MATRICES,
    axis=st.sampled_from(["time", "coefficients"]),
    names=st.lists(st.sampled_from(STATISTICS), min_size=1, unique=True),
)
def test_pooled_values_are_numpy_s(matrix: np.ndarray, axis: str, names: list[str]) -> None:
    pooled = steps.pool(matrix, axis, names)
    along = 1 if axis == "time" else 0
    expected = [getattr(np, name)(matrix, axis=along) for name in names]
    shape = (len(names) * matrix.shape[0], 1) if along else (len(names), matrix.shape[1])
    assert pooled.shape == shape
    assert pooled.dtype == np.float32
    assert pooled.ravel() == pytest.approx(np.concatenate(expected), abs=1e-5)

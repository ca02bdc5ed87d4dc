"""Descriptions of front ends changed at random are read, or refused in one sentence."""

from __future__ import annotations

import copy
import json

import pytest

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

from ser_edge.errors import ModelError
from ser_edge.frontend import FrontendSpec
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

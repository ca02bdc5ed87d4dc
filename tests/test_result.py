from __future__ import annotations

import dataclasses
import json

import pytest

from ser_edge import Result


def test_a_result_is_a_value() -> None:
    result = Result("happy", 0.75, {"happy": 0.75, "sad": 0.25}, 0.0, 2.5)
    assert result == Result("happy", 0.75, {"happy": 0.75, "sad": 0.25}, 0.0, 2.5, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.label = "sad"  # type: ignore[misc]
    assert json.loads(json.dumps(result.to_dict())) == {
        "label": "happy",
        "confidence": 0.75,
        "scores": {"happy": 0.75, "sad": 0.25},
        "start": 0.0,
        "end": 2.5,
        "reason": None,
    }

from __future__ import annotations

import json
from typing import Any

import pytest

from ser_edge.errors import ModelError
from ser_edge.schema import Object, parse_json


def test_json_is_parsed() -> None:
    text = b'{"a": [1, 0.5, null, true, "\xc3\xa9"]}'
    assert parse_json(text) == {"a": [1, 0.5, None, True, "é"]}


def test_what_nests_too_deep_is_refused() -> None:
    assert parse_json(b"[" * 20 + b"]" * 20)
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    with pytest.raises(ModelError, match="nested more than 20 deep"):
        parse_json(json.dumps({"notes": deep}).encode())


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe\xfd", b"[NaN]", b"[-Infinity]"])
def test_what_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(ModelError, match="is not valid JSON"):
        parse_json(text)


def test_an_entry_is_taken_once_and_the_rest_is_unknown() -> None:
    entry = Object({"low": 1, "high": 2, "other": 3}, "range")
    assert (entry.integer("low", 0, 9), entry.number("high", 0.0, 9.0)) == (1, 2.0)
    assert entry.integer("step", 0, 9, 5) == 5
    assert entry.rest() == {"other": 3}
    with pytest.raises(ModelError, match=r"range\.low is missing"):
        entry.integer("low", 0, 9)
    with pytest.raises(ModelError, match=r"^range\.other: unknown"):
        entry.finish()

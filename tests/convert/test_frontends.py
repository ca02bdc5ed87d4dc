from __future__ import annotations

import json
from pathlib import Path

import pytest

from ser_edge.convert import frontends
from ser_edge.errors import ModelError, SerEdgeError
from ser_edge.frontend import Frontend, FrontendSpec


@pytest.mark.parametrize(("name", "shape"), [("seed", (22, 401)), ("compact", (401, 66))])
def test_shape(name: str, shape: tuple[int, int]) -> None:
    assert Frontend(FrontendSpec.parse(frontends.preset(name))).shape == shape


def test_a_preset_is_a_copy() -> None:
    frontends.preset("seed")["steps"].clear()
    assert frontends.preset("seed")["steps"]


def test_unknown_name_is_a_clear_error() -> None:
    with pytest.raises(SerEdgeError, match=r"no preset 'best' \(known: compact, mean"):
        frontends.preset("best")


def test_a_file_is_read_and_its_defaults_are_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "frontend.json"
    path.write_text(json.dumps(frontends.preset("seed")))
    read = frontends.read(path)
    assert FrontendSpec.parse(read) == FrontendSpec.parse(frontends.preset("seed"))
    assert read["steps"][4]["stack"][2]["n_mels"] == 128


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{", r"frontend\.json is not JSON"),
        (b"\xff", r"frontend\.json is not JSON"),
        (b"[" * 100_000, r"frontend\.json is not JSON"),
        (b"[]", "frontend is not an object"),
        (b"{}", r"frontend\.json: frontend\.steps is missing"),
    ],
)
def test_what_is_no_front_end_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "frontend.json"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=sentence):
        frontends.read(path)

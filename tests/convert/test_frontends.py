from __future__ import annotations

import pytest

from ser_edge.convert import frontends
from ser_edge.errors import SerEdgeError
from ser_edge.frontend import Frontend
from ser_edge.metadata import FrontendSpec


@pytest.mark.parametrize(("name", "shape"), [("seed", (22, 401)), ("compact", (401, 66))])
def test_shape(name: str, shape: tuple[int, int]) -> None:
    assert Frontend(FrontendSpec.parse(frontends.frontend(name))).shape == shape


def test_a_preset_is_a_copy() -> None:
    frontends.frontend("seed")["features"].clear()
    assert frontends.frontend("seed")["features"]


def test_unknown_name_is_a_clear_error() -> None:
    with pytest.raises(SerEdgeError, match=r"no preset 'best' \(known: seed, compact\)"):
        frontends.frontend("best")

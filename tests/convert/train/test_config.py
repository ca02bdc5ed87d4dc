from __future__ import annotations

from dataclasses import replace

import pytest

from ser_edge.errors import SerEdgeError
from tests.helpers.training import TINY


def test_network_that_needs_whole_windows_takes_no_crops() -> None:
    with pytest.raises(SerEdgeError, match="only learn from whole windows"):
        replace(TINY, crop_frames=2)


def test_network_without_embeddings_takes_no_teacher() -> None:
    with pytest.raises(SerEdgeError, match="only learn without teacher"):
        replace(TINY, frame_weight=1.0)

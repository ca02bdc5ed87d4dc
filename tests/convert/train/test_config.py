from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ser_edge.convert.train import config
from ser_edge.errors import SerEdgeError
from tests.helpers.training import TINY


def test_network_that_needs_whole_windows_takes_no_crops() -> None:
    with pytest.raises(SerEdgeError, match="only learn from whole windows"):
        replace(TINY, crop_frames=2)


def test_network_without_embeddings_takes_no_teacher() -> None:
    with pytest.raises(SerEdgeError, match="only learn without teacher"):
        replace(TINY, frame_weight=1.0)


def test_settings_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "best.json"
    path.write_text('{"learning_rate": 0.002, "batch_size": 16, "mixup": 0}')
    settings = config.read(path)
    assert replace(TINY, **settings).batch_size == 16


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not JSON"),
        ("[]", "is not an object"),
        ('{"speed": 1}', "unknown setting 'speed'"),
        ('{"architecture": "lstm"}', "unknown setting 'architecture'"),
        ('{"batch_size": 16.5}', "batch_size is 16.5"),
        ('{"mixup": "much"}', "mixup is 'much'"),
        ('{"mixup": true}', "mixup is True"),
    ],
)
def test_other_settings_are_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "best.json"
    path.write_text(text)
    with pytest.raises(SerEdgeError, match=sentence):
        config.read(path)

"""What would fail after an hour is said before the first epoch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ser_edge.convert import frontends
from ser_edge.convert.corpus.clips import Clip
from ser_edge.convert.train import checks, pipeline
from ser_edge.convert.train.teacher import whisper
from ser_edge.errors import DependencyError, SerEdgeError
from tests.helpers.training import TINY

DEEP = pipeline.configure("deep", with_teacher=False)


def test_good_clips_pass_without_a_word(
    toy_clips: list[Clip], toy_frontend: dict[str, Any]
) -> None:
    assert checks.check(toy_clips, toy_frontend, DEEP) == []


def relabelled(clips: list[Clip], label: str, count: int, split: str) -> list[Clip]:
    chosen = [clip for clip in clips if clip.split == split][:count]
    return [replace(clip, label=label) if clip in chosen else clip for clip in clips]


@pytest.mark.parametrize(
    ("label", "count", "split", "sentence"),
    [
        ("hapy", 1, "train", "'hapy' has 1 training clip, too few .* is it misspelt"),
        ("hapy", 2, "train", "'hapy' has 2 training clips, too few"),
        ("hapy", 1, "dev", "'hapy' has dev clips but no training clips"),
        ("sad", 99, "train", "all training clips have the label 'sad'"),
    ],
)
def test_labels(
    label: str,
    count: int,
    split: str,
    sentence: str,
    toy_clips: list[Clip],
    toy_frontend: dict[str, Any],
) -> None:
    with pytest.raises(SerEdgeError, match=sentence):
        checks.check(relabelled(toy_clips, label, count, split), toy_frontend, TINY)


def test_unreadable_recordings_are_counted(
    toy_clips: list[Clip], toy_frontend: dict[str, Any], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    clips = [replace(clip, path=broken) if place % 9 == 0 else clip
             for place, clip in enumerate(toy_clips)]  # fmt: skip
    with pytest.raises(SerEdgeError, match=r"broken\.wav.*\(and 3 other clips\): leave them out"):
        checks.check(clips, toy_frontend, TINY)


def test_a_network_that_needs_the_rms_gets_it(
    toy_clips: list[Clip], toy_frontend: dict[str, Any]
) -> None:
    other = {**toy_frontend, "features": [{"name": "mfcc", "n_mfcc": 13}]}
    with pytest.raises(SerEdgeError, match="'deep' tells padding by the RMS"):
        checks.check(toy_clips, other, DEEP)
    assert checks.check(toy_clips, other, TINY) == []
    turned = {**toy_frontend, "layout": "features_frames"}
    with pytest.raises(SerEdgeError, match="the layout frames_features"):
        checks.check(toy_clips, turned, DEEP)


def test_the_teacher_is_asked_for_before(
    toy_clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = pipeline.configure("deep", with_teacher=True)
    spec = frontends.preset("compact")

    def missing() -> Path:
        raise DependencyError("no weights")

    monkeypatch.setattr(whisper, "weights_file", missing)
    with pytest.raises(DependencyError, match="no weights"):
        checks.check(toy_clips, spec, config)
    monkeypatch.setattr(whisper, "weights_file", lambda: Path("there"))
    assert checks.check(toy_clips, spec, config) == []
    alone = [replace(clip, speaker="anna") for clip in toy_clips]
    with pytest.raises(SerEdgeError, match=r"of one speaker, .*--no-teacher does without"):
        checks.check(alone, spec, config)


def test_what_is_worth_knowing_is_told(toy_clips: list[Clip], toy_frontend: dict[str, Any]) -> None:
    unknown = [replace(clip, speaker="") for clip in toy_clips]
    (note,) = checks.check(unknown, toy_frontend, TINY)
    assert "speakers are not known" in note
    other = [replace(clip, corpus="other") for clip in toy_clips if clip.split == "train"]
    (note,) = checks.check([*toy_clips, *other], toy_frontend, TINY)
    assert "no accuracy will be stated of other" in note
    without = [clip for clip in toy_clips if (clip.split, clip.label) != ("dev", "sad")]
    (note,) = checks.check(without, toy_frontend, TINY)
    assert "no dev clips of sad" in note

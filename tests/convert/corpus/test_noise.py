from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_edge.convert.corpus.clips import read_ordinary
from ser_edge.convert.corpus.noise import read_sounds
from ser_edge.errors import SerEdgeError
from tests.helpers.audio import RATE, noise


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One noise, one room whose direct sound comes after 100 samples, one effect of 5 s."""
    room = np.zeros(2000, np.float32)
    room[[100, 900]] = 1.0, 0.5
    for name, samples in (("rain", noise(RATE)), ("hall", room), ("effect", noise(5 * RATE))):
        soundfile.write(tmp_path / f"{name}.wav", samples, RATE, subtype="FLOAT")
    (tmp_path / "index.csv").write_text(
        "path,kind\nrain.wav,ambience\nhall.wav,room\neffect.wav,room\ncough.wav,vocal\n"
    )
    return tmp_path


def test_noises_and_rooms_are_told_apart_and_others_left_alone(folder: Path) -> None:
    sounds = read_sounds(folder)
    assert sounds.noises == (folder / "rain.wav",)
    assert sounds.responses == (folder / "hall.wav", folder / "effect.wav")
    assert sounds.voices == ()


def test_a_room_begins_with_the_direct_sound_and_effects_are_left_out(folder: Path) -> None:
    material = read_sounds(folder).load(RATE)
    (response,) = material.responses
    assert int(np.argmax(response)) == RATE // 1000
    assert len(material.noises[0]) == RATE


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        ("path\nrain.wav\n", "lacks the column 'kind'"),
        ("path,kind\ncough.wav,vocal\n", "lists no sound of the kind 'ambience' or 'room'"),
        ("path,kind\n\xff,ambience\n", "cannot read"),
    ],
)
def test_what_is_wrong_is_one_sentence(folder: Path, index: str, sentence: str) -> None:
    (folder / "index.csv").write_bytes(index.encode("latin-1"))
    with pytest.raises(SerEdgeError, match=sentence):
        read_sounds(folder)


def test_ordinary_speech_holds_out_speakers_that_are_known(tmp_path: Path) -> None:
    rows = [("known", f"speaker {number % 40}") for number in range(120)]
    rows += [("unknown", "") for _ in range(20)]
    for number in range(len(rows)):
        (tmp_path / f"{number}.wav").touch()
    lines = [f"{number}.wav,{corpus},{name}" for number, (corpus, name) in enumerate(rows)]
    (tmp_path / "index.csv").write_text("\n".join(["path,corpus,speaker", *lines]) + "\n")
    clips = read_ordinary(tmp_path)
    assert {clip.label for clip in clips} == {""}
    train = {clip.speaker for clip in clips if clip.split == "train"}
    dev = {clip.speaker for clip in clips if clip.split == "dev"}
    assert 1 <= len(dev) <= 15
    assert not train & dev
    assert {clip.split for clip in clips if clip.corpus == "unknown"} == {"train"}
    assert read_ordinary(tmp_path) == clips
    (tmp_path / "3.wav").unlink()
    with pytest.raises(SerEdgeError, match=r"line 5: no such file .*3\.wav"):
        read_ordinary(tmp_path)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_edge.convert.corpus.recordings import Recording, find, spread
from ser_edge.errors import AudioError, ModelError

LABELS = ("yes", "no")


def write_index(folder: Path, text: str) -> Path:
    index = folder / "index.csv"
    index.write_text(text)
    return index


def test_reads_an_index(tmp_path: Path) -> None:
    index = write_index(
        tmp_path, "path,corpus,speaker,label,split\na.wav,c,s,yes,dev\nb.wav,c,t,no,train\n"
    )
    dev = Recording(tmp_path / "a.wav", "yes", "c", "s", "dev")
    train = Recording(tmp_path / "b.wav", "no", "c", "t", "train")
    assert find(index, labels=LABELS) == [dev, train]
    assert find(tmp_path, labels=LABELS, split="dev") == [dev]


def test_an_index_need_not_tell_more_than_paths(tmp_path: Path) -> None:
    index = write_index(tmp_path, "path\na.wav\n/b.wav\n")
    assert find(index, labels=LABELS, split="dev") == [
        Recording(tmp_path / "a.wav"),
        Recording(Path("/b.wav")),
    ]


def test_finds_audio_in_a_folder(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(8), 8000)
    (tmp_path / "notes.txt").write_text("")
    assert find(tmp_path, labels=LABELS) == [Recording(tmp_path / "a.wav")]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("path,label\na.wav,maybe\n", "has the label 'maybe', which is none of the model's: yes"),
        ("file\na.wav\n", "a column named path is needed"),
        ("", "a column named path is needed"),
    ],
)
def test_a_wrong_index_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        find(write_index(tmp_path, text), labels=LABELS)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="holds no audio files"):
        find(tmp_path, labels=LABELS)


@pytest.mark.parametrize(("count", "expected"), [(1, [0]), (3, [0, 3, 6]), (10, list(range(10)))])
def test_spread(count: int, expected: list[int]) -> None:
    found = [Recording(Path(str(number))) for number in range(10)]
    assert [int(clip.path.name) for clip in spread(found, count)] == expected
    assert len(spread(found, 100)) == 10

"""Tables of an author's own predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ser_edge.convert.evaluate import expected
from ser_edge.errors import SerEdgeError

LABELS = ("calm", "angry", "sad")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).touch()
    return tmp_path / "predictions.csv"


def test_labels_alone(table: Path) -> None:
    table.write_text("label,path\nangry,a.wav\ncalm,b.wav\n")
    first, second = expected.read(table, LABELS)
    assert first == expected.Expected(table.parent / "a.wav", "angry", None)
    assert second.label == "calm"


def test_probabilities(table: Path) -> None:
    table.write_text("path,sad,calm,angry\na.wav,0.2,0.3,0.5\n")
    (row,) = expected.read(table, LABELS)
    assert row.label == "angry"
    assert row.probabilities == (0.3, 0.5, 0.2)


def test_rounded_probabilities_are_no_logits(table: Path) -> None:
    table.write_text("path,calm,angry,sad\na.wav,0.33,0.33,0.335\n")
    (row,) = expected.read(table, LABELS)
    assert row.probabilities == (0.33, 0.33, 0.335)


def test_logits(table: Path) -> None:
    table.write_text("path,calm,angry,sad,label\na.wav,-1,3,1000,sad\nb.wav,0,1,2,\n")
    first, second = expected.read(table, LABELS)
    assert first.probabilities == (0.0, 0.0, 1.0)
    assert second.label == "sad"
    assert second.probabilities == pytest.approx(np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum())


def test_one_sigmoid(table: Path) -> None:
    table.write_text("path,male\na.wav,0.75\nb.wav,-1.5\n")
    first, second = expected.read(table, ("female", "male"))
    assert (first.label, first.probabilities) == ("male", (0.25, 0.75))
    assert second.label == "female"


def test_recordings_in_another_folder(table: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "c.wav").touch()
    table.write_text("path,label\na.wav,sad\nc.wav,sad\n")
    rows = expected.read(table, LABELS, folder=other)
    assert [row.path for row in rows] == [tmp_path / "a.wav", other / "c.wav"]


def test_a_byte_order_mark_is_no_part_of_a_name(table: Path) -> None:
    table.write_text("\ufeffpath,label\na.wav,sad\n", encoding="utf-8")
    assert expected.read(table, LABELS)[0].label == "sad"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lacks the column 'path'"),
        ("file,label\na.wav,sad\n", "lacks the column 'path'"),
        ("path,label\n", "has no row"),
        ("path\na.wav\n", "neither a column 'label' nor scores of 'calm'"),
        ("path,calm,sad\na.wav,0.5,0.5\n", "scores of 'calm', but none of 'angry'"),
        ("path,label\n,sad\n", "line 2: empty path"),
        ("path,label\na.wav,\n", "line 2: empty label"),
        ("path,label\nc.wav,sad\n", "line 2: no such file"),
        ("path,label\na.wav,happy\n", "line 2: the label 'happy' is not one of calm, angry, sad"),
        ("path,label\na.wav,sad\na.wav,sad\n", "twice"),
        ("path,calm,angry,sad\na.wav,x,0,0\n", "line 2: a score is not a number"),
        ("path,calm,angry,sad\na.wav,0.5\n", "line 2: a score is not a number"),
        ("path,calm,angry,sad\na.wav,nan,0,0\n", "line 2: a score is not finite"),
        ("path,calm,angry,sad,label\na.wav,1,0,0,sad\n", "'sad', but 'calm' has the best score"),
    ],
)
def test_malformed_tables(table: Path, text: str, message: str) -> None:
    table.write_text(text)
    with pytest.raises(SerEdgeError, match=message):
        expected.read(table, LABELS)


def test_a_file_that_is_no_text(table: Path) -> None:
    table.write_bytes(b"path,label\n\xff\xfe\n")
    with pytest.raises(SerEdgeError, match="is not a CSV file"):
        expected.read(table, LABELS)

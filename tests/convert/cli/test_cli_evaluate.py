from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ser_edge import Classifier
from ser_edge.convert.cli import main
from ser_edge.convert.corpus import conditions
from ser_edge.convert.corpus.clips import LABELS, Clip

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The command: its exit code, what it prints and what it says on standard error."""

    def command(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit_:
            main(["evaluate", *map(str, arguments)])
        code = exit_.value.code
        assert isinstance(code, int)
        return code, *capsys.readouterr()

    return command


def test_table_of_one_condition(run: Run, toy_clips: list[Clip]) -> None:
    code, out, err = run("default", toy_clips[0].path.parent)
    assert code == 0, err
    assert "default: 12 clips, split dev, seed 1" in out
    assert "gate off, threshold 0" in out
    assert [line.split()[:3] for line in out.splitlines() if line.startswith("toy  ")] == [
        ["toy", "2", "12"]
    ]
    assert "toy: true label" in out
    assert err == ""  # progress is for terminals


def test_table_has_one_row_a_condition(run: Run, toy_clips: list[Clip]) -> None:
    words = ("--condition", "clean", "--condition", "far", "--split", "all")
    code, out, err = run("default", toy_clips[0].path.parent, *words)
    assert code == 0, err
    assert [line.split()[0] for line in out.splitlines()[-3:]] == ["condition", "clean", "far"]


def test_table_by_speaker(run: Run, toy_clips: list[Clip]) -> None:
    code, out, err = run("default", toy_clips[0].path.parent, "--by", "speaker")
    assert code == 0, err
    rows = [line for line in out.splitlines() if line.startswith("toy speaker")]
    assert [row.split()[:3] for row in rows] == [["toy", "speaker", "4"], ["toy", "speaker", "5"]]
    assert "true label" not in out


def test_json_has_everything(run: Run, toy_clips: list[Clip], classifier: Classifier) -> None:
    code, out, err = run("default", toy_clips[0].path.parent, "--json", "--condition", "all")
    assert code == 0, err
    report = json.loads(out)
    assert tuple(report["conditions"]) == conditions.CONDITIONS
    assert report["labels"] == list(LABELS)
    assert report["threshold"] == classifier.threshold
    clean = report["conditions"]["clean"]["toy"]
    assert np.sum(clean["confusion"]) == clean["clips"] == 12
    low, high = clean["intervals"]["uar"]
    assert low <= clean["uar"] <= high


def test_plot(run: Run, toy_clips: list[Clip], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot = tmp_path / "toy.png"
    code, _, err = run("default", toy_clips[0].path.parent, "--plot", plot)
    assert code == 0, err
    data = plot.read_bytes()
    assert data.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", data[16:24])
    assert width > height > 400
    assert os.listdir(tmp_path) == ["toy.png"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["best"], 2, "NAME-OR-FILE: there is no bundled model 'best'"),
        (["gone.tflite"], 1, "gone.tflite"),
        (["default", "--condition", "windy"], 2, "'windy'"),
        (["default", "--plot", "x.png", "--condition", "all"], 2, "--plot draws one condition"),
        (["default", "--by", "gender", "--condition", "all"], 2, "--by gender measures one"),
        (["default", "--plot", "x.text"], 2, "--plot: x.text: the name must end in"),
    ],
)
def test_failure_is_one_sentence(
    run: Run, words: list[str], code: int, message: str, toy_clips: list[Clip]
) -> None:
    model, *options = words
    result_code, out, err = run(model, toy_clips[0].path.parent, *options)
    assert (result_code, out) == (code, "")
    assert message in err.splitlines()[-1]
    assert "Traceback" not in err


def test_a_split_without_clips_is_an_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "index.csv").write_text(
        "path,corpus,speaker,label,split\na.wav,here,anna,sad,train\n"
    )
    assert run("default", tmp_path) == (
        1,
        "",
        "Error: the index has no clips of the split dev\n",
    )

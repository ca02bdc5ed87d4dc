"""Files of results: what is written is read again, and foreign files are told apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ser_edge import Result
from ser_edge.archive.formats import format_of
from ser_edge.archive.table import OutputError
from ser_edge.archive.worker import Outcome

LABELS = ("happy", "start")  # one that is called like a column
ORIGIN = {"model": "default"}
OUTCOMES = [
    Outcome(
        "a.wav", [Result("happy", 2 / 3, {"happy": 2 / 3, "start": 1 / 3}, 0.0, 2.5).rounded()]
    ),
    Outcome('b,\n"c".wav', [], "b: is damaged"),
    Outcome("caf\udce9.wav", [Result(None, None, None, 0.0, 1.0, "silence")]),
    Outcome(
        "long.wav",
        [
            Result(None, 0.5, {"happy": 0.5, "start": 0.5}, float(at), at + 4.0, "uncertain")
            for at in range(40_000)
        ],
    ),
]


@pytest.fixture(params=["csv", "jsonl", "parquet"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "parquet":
        pytest.importorskip("pyarrow", reason="NO PARQUET TESTED: there is no pyarrow")
    return str(tmp_path / f"results.{request.param}")


def form(path: str, model: str = "default", labels: tuple[str, ...] = LABELS) -> Any:
    return format_of(path, labels, {"model": model})


def test_round_trip(path: str) -> None:
    form(path).write(path, OUTCOMES)
    found = list(form(path).read(path))
    assert found == [outcome._replace(file=form(path).name(outcome.file)) for outcome in OUTCOMES]


def test_nothing_at_all(path: str) -> None:
    form(path).write(path, [])
    assert list(form(path).read(path)) == []


def test_results_of_another_model(path: str) -> None:
    form(path).write(path, OUTCOMES)
    csv = path.endswith("csv")  # of a model it tells the labels alone
    other = form(path, labels=("happy", "sad")) if csv else form(path, "open")
    with pytest.raises(OutputError, match=r"other columns|another model than open"):
        list(other.read(path))


@pytest.mark.parametrize("content", [b"", b"no results\n", b"\x00\xff\n", b"[1]\n"])
def test_foreign_files(path: str, content: bytes) -> None:
    Path(path).write_bytes(content)
    if content or not path.endswith("jsonl"):
        with pytest.raises(OutputError, match="results"):
            list(form(path).read(path))


def test_a_row_that_is_damaged(path: str) -> None:
    if path.endswith("parquet"):
        pytest.skip("such a file is read whole or not at all")
    form(path).write(path, OUTCOMES[:1])
    with open(path, "a", encoding="utf-8") as file:
        file.write("d.wav,zero\n")
    with pytest.raises(OutputError, match=r"line [23]"):
        list(form(path).read(path))


def test_parquet_is_what_others_read(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="NO PARQUET TESTED: no pyarrow")
    path = str(tmp_path / "results.parquet")
    form(path).write(path, OUTCOMES)
    table = parquet.read_table(path)
    assert table.column_names == [
        *("file", "start", "end", "label", "confidence", "reason"),
        *("happy", "start_score", "error"),
    ]
    assert table.schema.metadata[b"ser_edge.model"] == b"default"
    assert table.num_rows == 40_003
    assert table.column("file")[2].as_py() == "caf\\xe9.wav"


def test_json_lines_are_those_of_standard_output(tmp_path: Path) -> None:
    path = str(tmp_path / "results.jsonl")
    form(path).write(path, OUTCOMES[:2])
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    assert lines[0] == {"schema": 1, **ORIGIN, "file": "a.wav", **OUTCOMES[0].results[0].to_dict()}
    assert lines[1] == {"file": OUTCOMES[1].file, "error": "b: is damaged"}

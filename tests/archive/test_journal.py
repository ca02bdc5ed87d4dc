"""A journal: what a run has done, after whatever ended it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ser_edge import Result
from ser_edge.archive.formats import Csv
from ser_edge.archive.journal import Journal
from ser_edge.archive.table import OutputError
from ser_edge.archive.worker import Outcome

FORM = Csv(["happy"])
SETTINGS = {"model": "default", "hop": None}


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "results.csv")


def outcome(name: str, score: float | None = 0.5) -> Outcome:
    if score is None:
        return Outcome(name, [], f"{name}: is damaged")
    return Outcome(name, [Result("happy", score, {"happy": score}, 0.0, 2.0)])


def journal(path: str, *, resume: bool = False, hop: float | None = None) -> Journal:
    return Journal(path, FORM, {**SETTINGS, "hop": hop}, resume=resume)


def test_from_beginning_to_end(path: str) -> None:
    with journal(path) as run:
        run.add(outcome("b"))
        run.add(outcome("a"))
        assert not os.path.exists(path)
        run.finish(["a", "b"])
    assert list(FORM.read(path)) == [outcome("a"), outcome("b")]
    assert os.listdir(os.path.dirname(path)) == ["results.csv"]


def test_every_cut_of_a_journal_is_gone_on_with(path: str) -> None:
    """A kill leaves the beginning of what would have been written, of any length."""
    with journal(path) as run:
        run.add(outcome("a"))
        run.add(outcome("b", None))
        whole = Path(run.part).read_bytes()
    lines = [0, *(at + 1 for at, byte in enumerate(whole) if byte == ord("\n"))]
    for size in range(len(whole) + 1):
        Path(run.part).write_bytes(whole[:size])
        with journal(path, resume=True) as again:
            done = max(0, sum(size >= end for end in lines[1:]) - 1)
            assert again.done == dict([("a", False), ("b", True)][:done])
            for name in ("a", "b", "c"):
                if name not in again.done:
                    again.add(outcome(name))
            again.finish("cba")
        assert [each.file for each in FORM.read(path)] == ["c", "b", "a"]
        os.unlink(path)


def test_a_later_outcome_replaces_an_earlier_one(path: str) -> None:
    with journal(path) as run:
        run.add(outcome("a", None))
        run.add(outcome("a"))
        assert run.done == {"a": False}
        run.finish("a")
    assert list(FORM.read(path)) == [outcome("a")]


def test_a_finished_file_is_added_to(path: str) -> None:
    FORM.write(path, [outcome("a"), outcome("b", None)])
    with journal(path, resume=True) as run:
        assert run.done == {"a": False, "b": True}
        run.add(outcome("c"))
        run.finish("bc")
    assert list(FORM.read(path)) == [outcome("a"), outcome("b", None), outcome("c")]


def test_a_finished_file_is_replaced_by_a_run_of_its_own(path: str) -> None:
    """Also when that run is interrupted and gone on with."""
    FORM.write(path, [outcome("a", 0.25)])
    with journal(path) as run:
        run.add(outcome("b"))
    with journal(path, resume=True) as run:
        assert run.done == {"b": False}
        run.add(outcome("a"))
        run.finish("ab")
    assert list(FORM.read(path)) == [outcome("a"), outcome("b")]


def test_an_unfinished_run_is_not_thrown_away(path: str) -> None:
    with journal(path):
        pass
    with journal(path, hop=1.0) as run:  # nothing was done
        run.add(outcome("a"))
    with pytest.raises(OutputError, match="--resume goes on with it"):
        journal(path)
    with pytest.raises(OutputError, match=r"hop: 1\.0, now None"):
        journal(path, resume=True)
    with journal(path, resume=True, hop=1.0) as run:
        assert run.done == {"a": False}


def test_a_foreign_file_is_not_touched(path: str) -> None:
    Path(f"{path}.part").write_text("half a download\n")
    for resume in (False, True):
        with pytest.raises(OutputError, match="no journal"):
            journal(path, resume=resume)
    assert Path(f"{path}.part").read_text() == "half a download\n"


def test_one_run_at_a_time(path: str) -> None:
    pytest.importorskip("fcntl")
    code = f"""
from tests.archive.test_journal import journal
from ser_edge.archive.table import OutputError
try:
    journal({path!r}, resume=True)
except OutputError as error:
    print(error)
"""
    with journal(path) as run:
        run.add(outcome("a"))
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert other.stdout == f"{path}: another run is writing it\n", other.stderr
    with journal(path, resume=True) as run:
        assert run.done == {"a": False}

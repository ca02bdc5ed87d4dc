from __future__ import annotations

import os
from pathlib import Path

import pytest

from ser_edge.convert import files
from ser_edge.files import draft


def test_a_file_appears_whole_with_the_permissions_of_an_ordinary_one(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a.txt", "ä\r\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa4\r\n"
    (tmp_path / "b.txt").touch()
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


def test_what_fails_leaves_nothing_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")

    def write_half() -> None:
        with draft(tmp_path / "a.bin") as unfinished:
            unfinished.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert os.listdir(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"old"


def test_a_folder_is_drafted_like_a_file(tmp_path: Path) -> None:
    with draft(tmp_path / "cache") as unfinished:
        unfinished.mkdir()
        (unfinished / "x").write_bytes(b"1")
        assert not (tmp_path / "cache").exists()
    assert (tmp_path / "cache" / "x").read_bytes() == b"1"
    assert os.listdir(tmp_path) == ["cache"]

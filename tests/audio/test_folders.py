"""Audio files in folders: all that can be read, and what is passed over is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ser_edge.audio.containers import CONVERTIBLE_EXTENSIONS, READABLE_EXTENSIONS
from ser_edge.audio.folders import find_audio_files
from ser_edge.errors import AudioError


def test_find_audio_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = "b.wav a.FLAC notes.txt .hidden.wav sub/z.opus sub/deep/c.m4a .git/x.wav other/y.txt"
    for name in names.split():
        path = Path("in", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = list(find_audio_files(["missing.wav", "-", Path("in"), "in/notes.txt"]))
    assert found == [
        "missing.wav",
        "-",
        "in/a.FLAC",
        "in/b.wav",
        "in/sub/z.opus",
        "in/sub/deep/c.m4a",
        "in/notes.txt",
    ]
    with pytest.raises(AudioError, match="in/other: holds no audio files"):
        list(find_audio_files(["in/other"]))


def test_find_audio_files_survives_a_link_to_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    assert list(find_audio_files([tmp_path])) == [str(tmp_path / "a.wav")]


def test_all_kinds_of_audio_are_taken_and_the_others_told(tmp_path: Path) -> None:
    kinds = (
        "mp2 voc mkv avi flv mov wv wave bwf ts m2ts amr weba 3ga opus MP3 spx au w64 tta ape ac3"
    )
    taken = {f"voice.{kind}" for kind in kinds.split()}
    for name in taken:
        (tmp_path / name).write_bytes(b"G" + bytes(187))
    (tmp_path / "voice.ts").write_bytes((b"G" + bytes(187)) * 5)
    (tmp_path / "without extension").write_bytes(b"RIFF\0\0\0\0WAVE")
    (tmp_path / "voice.dat").write_bytes(b"OggS" + bytes(100))
    others = {"notes.txt", "code.ts", "photo.heic", "list.m3u8", "page.html", "empty", "pipe.wav"}
    (tmp_path / "code.ts").write_text("export const G = 'G'\n" * 100)
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    for name in others - {"code.ts", "photo.heic", "pipe.wav"}:
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / ".hidden.txt").touch()
    passed_over: list[str] = []
    found = list(find_audio_files([tmp_path], on_other=passed_over.append))
    assert {Path(path).name for path in found} == taken | {"without extension", "voice.dat"}
    assert {Path(path).name for path in passed_over} == others


def test_extensions_are_one_or_the_other() -> None:
    assert not READABLE_EXTENSIONS & CONVERTIBLE_EXTENSIONS
    assert all(e.startswith(".") for e in READABLE_EXTENSIONS | CONVERTIBLE_EXTENSIONS)

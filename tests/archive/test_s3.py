"""An archive in a bucket gives what the same files give."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_edge import audio
from tests.helpers.audio import RATE, voice
from tests.helpers.s3 import s3_server

pytestmark = pytest.mark.slow


def test_classify_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {"2024/notes.txt": b"text", "2024/3.wav": b"RIFF"}
    for number, form in enumerate(["wav", "flac", "ogg"]):
        file = io.BytesIO()
        soundfile.write(file, voice(2.0 + number), RATE, format=form)
        contents[f"2024/{number}.{form}"] = file.getvalue()
    for name, content in contents.items():
        (tmp_path / "local" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "local" / name).write_bytes(content)

    def rows(place: str, *options: str) -> list[list[str]]:
        output = tmp_path / "emotions.csv"
        command = [sys.executable, "-m", "ser_edge", "classify", place, "-o", str(output)]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stderr
        assert f"{place}: passed over 1 file of other kinds" in done.stderr
        table = list(csv.reader(output.open(encoding="utf-8")))[1:]
        names = [row[0].removeprefix(place) for row in table]
        assert names == ["2024/0.wav", "2024/1.flac", "2024/2.ogg", "2024/3.wav"]
        assert all(row[-1] for row in table[3:])
        return [row[1:] for row in table[:3]]

    expected = rows(f"{tmp_path}/local/")
    with s3_server(monkeypatch, "archive", contents):
        assert rows("s3://archive/", "--jobs", "2") == expected
        assert rows("s3://archive/", "--resume") == expected


def test_a_long_recording_is_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block by block, in order, each but once."""
    path = tmp_path / "long.flac"
    noise = np.random.default_rng(0).normal(size=200 * RATE) * 0.1
    soundfile.write(path, noise, RATE)
    content = path.read_bytes()
    with s3_server(monkeypatch, "archive", {"long.flac": content}):
        s3fs = pytest.importorskip("s3fs")
        fetched: list[int] = []
        fetch = s3fs.core.S3File._fetch_range

        def count(file: object, start: int, end: int) -> bytes:
            data: bytes = fetch(file, start, end)
            fetched.append(len(data))
            return data

        monkeypatch.setattr(s3fs.core.S3File, "_fetch_range", count)
        with audio.open_audio("s3://archive/long.flac") as recording:
            next(iter(recording))
            assert sum(fetched) < 0.75 * len(content)
        fetched.clear()
        samples = audio.load("s3://archive/long.flac", RATE)
    np.testing.assert_array_equal(samples, audio.load(path, RATE))
    assert sum(fetched) < 1.2 * len(content)

"""Runs that are killed again and again: every file exactly once, in every format.

SER_ARCHIVE_FILES=2000 has it do so with that many files and 30 kills; by default it takes seconds.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile

from ser_edge.archive.formats import format_of
from ser_edge.classifier import Classifier
from tests.helpers.audio import RATE, voice

FILES = int(os.environ.get("SER_ARCHIVE_FILES", "40"))
KILLS = 30 if FILES >= 2000 else 3

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL here"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many names of a few recordings, of which one is damaged."""
    folder = tmp_path_factory.mktemp("archive")
    sources = [folder / f".{number}.wav" for number in range(5)]
    for number, path in enumerate(sources[:4]):
        soundfile.write(path, voice(0.8 + 0.4 * number), RATE)
    sources[4].write_bytes(b"RIFF")
    for number in range(FILES):
        os.link(sources[number % 5], folder / f"{number:05}.wav")
    return folder


def start(folder: Path, output: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ser_edge", "classify", str(folder), "--jobs", "2"]
    return subprocess.Popen(
        [*command, "--windows", "-o", str(output), *options], stderr=subprocess.PIPE
    )


def size_of(path: Path) -> int:
    """In bytes; 0 where there is none, for a run that ends renames its part at any moment."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_every_file_exactly_once(folder: Path, tmp_path: Path, ending: str) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="NO PARQUET TESTED: there is no pyarrow")
    output = tmp_path / f"results.{ending}"
    part = tmp_path / f"results.{ending}.part"
    chance = random.Random(ending)
    killed = finished = 0
    while killed < KILLS:
        process = start(folder, output, "--resume")
        # Some in the first moments, most after some progress; what was finished is begun again.
        size = size_of(part)
        growth = chance.uniform(0, 2 * FILES / KILLS) * 400 if chance.random() < 0.8 else 0
        until = time.monotonic() + (600 if growth else chance.uniform(0, 1.5))
        while process.poll() is None and time.monotonic() < until:
            if growth and size_of(part) >= size + growth:
                break
            time.sleep(0.001)
        process.kill()
        _, err = process.communicate()
        if process.returncode == -9:
            killed += 1
        else:
            assert process.returncode == 1, err.decode()  # for one recording in five is damaged
            finished += 1
            assert not part.exists()
            if finished % 2:
                output.unlink()
    last = start(folder, output, "--resume")
    _, err = last.communicate()
    assert last.returncode == 1, err.decode()
    assert os.listdir(tmp_path) == [output.name]

    whole = tmp_path / f"whole.{ending}"
    start(folder, whole).communicate()
    form = format_of(str(whole), Classifier.bundled().labels, {"model": "default"})
    expected = list(form.read(str(whole)))
    assert [os.path.basename(each.file) for each in expected] == [
        f"{number:05}.wav" for number in range(FILES)
    ]
    assert list(form.read(str(output))) == expected
    if ending != "parquet":
        assert output.read_bytes() == whole.read_bytes()

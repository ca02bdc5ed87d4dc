"""Damaged files of the kinds that ffmpeg decodes: each ends in samples or AudioError.

``SER_HOSTILE_FILES=10000 pytest --timeout 0 tests/test_hostile_ffmpeg.py`` tries ten thousand. This
file is also the child process that reads them.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest

from ser_edge.audio import open_audio
from ser_edge.errors import AudioError, AudioWarning
from tests.audio import test_hostile_audio
from tests.helpers.hostile import attempt_all, tally_of_child

N_MUTANTS = int(os.environ.get("SER_HOSTILE_FILES", "150"))
MAX_SECONDS_EACH = 60  # a hang, not a time measured: reading one takes some 100 ms
MAX_PEAK_MB = 250  # resident, of this process and of any ffmpeg
FORMATS = (
    "voice.m4a", "voice.aac", "voice.wma", "voice.webm", "voice.ac3", "voice.wv", "voice.tta",
    "voice.mkv -c:a flac", "voice.avi -c:a mp2", "voice.flv -c:a aac", "voice.ts -c:a aac",
    "voice.mov -c:a pcm_s16le", "alac.m4a -c:a alac", "voice.caf -c:a alac", "voice.wav -c:a ac3",
    "voice.3gp -c:a aac", "voice.mpg -c:a mp2", "voice.eac3",
)  # fmt: skip


def originals() -> list[bytes]:
    """What libsndfile reads, and each of these formats."""
    files = test_hostile_audio.originals()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source.wav")
        source.write_bytes(files[0])
        for form in FORMATS:
            name, *arguments = form.split()
            command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", str(source), *arguments]
            subprocess.run([*command, f"{folder}/{name}"], check=True)
            files.append(Path(folder, name).read_bytes())
    return files


def words(index: int) -> str:
    names = ["/".join(form) for form in test_hostile_audio.FORMATS] + list(FORMATS)
    return f"{names[index % len(names)]}, number {index}"


def read_all() -> None:
    """Read every mutant."""
    warnings.simplefilter("ignore", AudioWarning)
    files = originals()

    def read(index: int) -> str:
        _, data = test_hostile_audio.mutant(index, files)
        try:
            with open_audio(data) as audio:
                for chunk in audio:
                    assert chunk.dtype == np.float32
                    assert np.isfinite(chunk).all()
        except AudioError as error:
            if "\n" in str(error):
                raise
            return "refused"
        return "read"

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        attempt_all(N_MUTANTS, MAX_SECONDS_EACH, read)
        assert os.listdir(folder) == []
        os.chdir("/")
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    assert peak_mb < MAX_PEAK_MB, f"an ffmpeg took {peak_mb} MB"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.skipif(
    shutil.which("ffmpeg") is None, reason="NO DAMAGED M4A TESTED: ffmpeg is not installed"
)
def test_damaged_files_end_in_samples_or_audio_error() -> None:
    tally = tally_of_child("tests.audio.test_hostile_ffmpeg", N_MUTANTS, words)
    assert tally["read"] > N_MUTANTS // 4
    assert tally["refused"] > N_MUTANTS // 20
    assert 0 < tally["peak_mb"] < MAX_PEAK_MB


if __name__ == "__main__":
    read_all()

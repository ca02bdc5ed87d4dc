"""Two thousand damaged audio files: each ends in samples or AudioError, soon and in little memory.

This file is also the child process that reads them, so that a crash of libsndfile is a failure
that names the file.
"""

from __future__ import annotations

import io
import json
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

N_MUTANTS = 2_000
MAX_SECONDS_EACH = 10  # a hang, not a time measured: reading one takes some 10 ms
MAX_PEAK_MB = 200  # resident, Python and numpy included
FORMATS = (
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("WAV", "MS_ADPCM"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
    ("AIFF", "PCM_24"),
)
# What headers lie with: zero, one, and the edges of signed and unsigned 16 and 32 bit numbers.
LIES = (0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def originals() -> list[bytes]:
    """One second and a half of a gliding harmonic tone with noise, in each format, in stereo."""
    import soundfile

    rate = 16_000
    t = np.arange(rate * 3 // 2) / rate
    phase = 2 * np.pi * (120 * t + 40 * t**2)
    tone = sum(np.sin(k * phase) / k for k in range(1, 6))
    noise = np.random.default_rng(0).standard_normal((len(t), 2))
    signal_ = 0.1 * tone[:, np.newaxis] + 0.01 * noise
    files = []
    for container, subtype in FORMATS:
        file = io.BytesIO()
        soundfile.write(file, signal_, rate, format=container, subtype=subtype)
        files.append(file.getvalue())
    return files


def mutant(index: int, files: list[bytes]) -> tuple[str, bytes]:
    """The damaged file of this number and the damage in words."""
    rng = np.random.default_rng(index)
    which = index % len(files)
    data = bytearray(files[which])
    kind = ("cut", "flip", "flip in header", "lie", "hole", "splice")[index // len(files) % 6]
    if kind == "cut":
        del data[int(rng.integers(len(data))) :]
    elif kind == "hole":
        start = int(rng.integers(len(data)))
        del data[start : start + int(rng.integers(1, 2_000))]
    elif kind == "splice":
        other = files[int(rng.integers(len(files)))]
        start = int(rng.integers(min(len(data), len(other))))
        data[start:] = other[start:]
    elif kind == "lie":
        form = ("<H", ">H", "<I", ">I")[int(rng.integers(4))]
        start = int(rng.integers(200))
        value = LIES[int(rng.integers(len(LIES)))] % (1 << 8 * struct.calcsize(form))
        struct.pack_into(form, data, start, value)
    else:
        end = 200 if kind == "flip in header" else len(data)
        for position in rng.integers(0, end, int(rng.integers(1, 20))):
            data[position] ^= 1 << int(rng.integers(8))
    return f"{'/'.join(FORMATS[which])}, {kind}, number {index}", bytes(data)


def peak_memory_mb() -> int:
    """The largest resident size of this process (ru_maxrss would include pytest's, its parent)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def read_all() -> None:
    """Read every mutant; print its number before and, at the end, the tally as JSON."""
    from ser_edge.audio import open_audio
    from ser_edge.errors import AudioError

    files = originals()
    tally = {"read": 0, "refused": 0}
    for index in range(N_MUTANTS):
        print(index, flush=True)
        _, data = mutant(index, files)
        signal.alarm(MAX_SECONDS_EACH)  # unhandled: ends the process even inside libsndfile
        try:
            with open_audio(data) as audio:
                for block in audio:
                    assert block.dtype == np.float32
                    assert block.ndim == 1
                    assert np.isfinite(block).all()
            tally["read"] += 1
        except AudioError as error:
            if "\n" in str(error):
                raise
            tally["refused"] += 1
    tally["peak_mb"] = peak_memory_mb()
    print(json.dumps(tally))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_damaged_files_end_in_samples_or_audio_error() -> None:
    child = subprocess.run(
        [sys.executable, __file__], capture_output=True, text=True, errors="replace", check=False
    )
    *numbers, last = child.stdout.splitlines()
    if child.returncode:
        what, _ = mutant(int(last), originals())
        raise AssertionError(f"exit status {child.returncode} at {what}: {child.stderr[-2000:]}")
    assert numbers == [str(index) for index in range(N_MUTANTS)], "a decoder wrote to stdout"
    tally = json.loads(last)
    assert tally["read"] > N_MUTANTS // 4
    assert tally["refused"] > N_MUTANTS // 20
    assert 0 < tally["peak_mb"] < MAX_PEAK_MB


if __name__ == "__main__":
    read_all()

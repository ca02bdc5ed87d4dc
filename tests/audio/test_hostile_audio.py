"""Two thousand damaged audio files: each ends in samples or AudioError, soon and in little memory.

This file is also the child process that reads them.
"""

from __future__ import annotations

import io
import struct
import sys
import warnings

import numpy as np
import pytest
import soundfile

from ser_edge.audio import open_audio
from ser_edge.errors import AudioError, AudioWarning
from tests.helpers.hostile import LIES, attempt_all, tally_of_child

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


def originals() -> list[bytes]:
    """One second and a half of a gliding harmonic tone with noise, in each format, in stereo."""
    rate = 16_000
    t = np.arange(rate * 3 // 2) / rate
    phase = 2 * np.pi * (120 * t + 40 * t**2)
    tone = sum(np.sin(k * phase) / k for k in range(1, 6))
    noise = np.random.default_rng(0).standard_normal((len(t), 2))
    signal = 0.1 * tone[:, np.newaxis] + 0.01 * noise
    files = []
    for container, subtype in FORMATS:
        file = io.BytesIO()
        soundfile.write(file, signal, rate, format=container, subtype=subtype)
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
        start = int(rng.integers(min(200, len(data) - 4)))
        value = LIES[int(rng.integers(len(LIES)))] % (1 << 8 * struct.calcsize(form))
        struct.pack_into(form, data, start, value)
    else:
        end = 200 if kind == "flip in header" else len(data)
        for position in rng.integers(0, end, int(rng.integers(1, 20))):
            data[position] ^= 1 << int(rng.integers(8))
    name = "/".join(FORMATS[which]) if which < len(FORMATS) else f"file {which}"
    return f"{name}, {kind}, number {index}", bytes(data)


def read_all() -> None:
    """Read every mutant."""
    warnings.simplefilter("ignore", AudioWarning)
    files = originals()

    def read(index: int) -> str:
        _, data = mutant(index, files)
        try:
            with open_audio(data, ffmpeg=False) as audio:
                for block in audio:
                    assert block.dtype == np.float32
                    assert block.ndim == 1
                    assert np.isfinite(block).all()
        except AudioError as error:
            if "\n" in str(error):
                raise
            return "refused"
        return "read"

    attempt_all(N_MUTANTS, MAX_SECONDS_EACH, read)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_damaged_files_end_in_samples_or_audio_error() -> None:
    tally = tally_of_child(
        "tests.audio.test_hostile_audio", N_MUTANTS, lambda index: mutant(index, originals())[0]
    )
    assert tally["read"] > N_MUTANTS // 4
    assert tally["refused"] > N_MUTANTS // 20
    assert 0 < tally["peak_mb"] < MAX_PEAK_MB


if __name__ == "__main__":
    read_all()

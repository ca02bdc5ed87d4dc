"""Pipes, file objects and standard input: streamed or copied, with limits, in bounded memory."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_edge.audio import load, open_audio, sources
from ser_edge.audio.pcm import Contradiction, RawFormat
from ser_edge.errors import AudioError, AudioTypeError
from tests.helpers.audio import RATE, noise, voice


def encoded(samples: np.ndarray, container: str = "WAV", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=container, subtype=subtype)
    return file.getvalue()


@pytest.fixture
def fifo(tmp_path: Path):
    """Writes bytes into a named pipe; its path."""
    threads = []

    def make(data: bytes) -> Path:
        path = tmp_path / f"fifo{len(threads)}"
        os.mkfifo(path)

        def write() -> None:
            with contextlib.suppress(BrokenPipeError):  # where it is not read to its end
                path.write_bytes(data)

        threads.append(threading.Thread(target=write))
        threads[-1].start()
        return path

    yield make
    for thread in threads:
        thread.join()


# --- pipes ---


@pytest.mark.parametrize(
    "subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "MS_ADPCM"]
)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_wav_pipe_gives_the_samples_of_the_file(fifo, subtype: str, channels: int) -> None:
    data = encoded(noise((40_001, channels)), subtype=subtype)
    np.testing.assert_array_equal(load(fifo(data), RATE), load(data, RATE))


def test_a_wav_pipe_is_not_copied(fifo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", None)
    data = encoded(noise(200_000))
    with open_audio(fifo(data)) as audio:
        assert sum(map(len, audio)) == 200_000


def test_raw_samples_from_a_pipe(fifo) -> None:
    samples = np.rint(voice(2.0) * 32767).astype("<i2")
    with open_audio(fifo(samples.tobytes() + b"\1"), raw=RawFormat(16_000)) as audio:
        assert (audio.sample_rate, audio.channels) == (16_000, 1)
        np.testing.assert_array_equal(np.concatenate(list(audio)), samples / np.float32(32_768))


def test_a_wav_pipe_must_agree_with_what_is_said_of_it(fifo) -> None:
    data = encoded(noise(1_000))
    with open_audio(fifo(data), raw=RawFormat(RATE, 1, "int16")) as audio:
        assert sum(map(len, audio)) == 1_000
    for raw in (RawFormat(8_000), RawFormat(None, 2), RawFormat(None, None, "float32")):
        with pytest.raises(Contradiction, match="is a WAV stream that says"):
            open_audio(fifo(data), raw=raw)


@pytest.mark.parametrize("container", ["FLAC", "OGG", "MP3", "AIFF", "RF64"])
def test_other_formats_are_copied_up_to_a_limit(
    fifo, monkeypatch: pytest.MonkeyPatch, container: str
) -> None:
    data = encoded(noise(100_000), container)
    monkeypatch.setattr(sources, "_MAX_SPOOLED_BYTES", len(data))
    np.testing.assert_array_equal(load(fifo(data), RATE), load(data, RATE))
    monkeypatch.setattr(sources, "_MAX_SPOOLED_BYTES", len(data) - 1)
    with pytest.raises(AudioError, match=r"no end after 0 MiB.*\(TMPDIR\)"):
        load(fifo(data), RATE)
    load(data, RATE)  # it has an end: no limit


def program(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ser_edge", "classify", *arguments]


@pytest.mark.parametrize("source", ["/dev/zero", "/dev/urandom"])
@pytest.mark.parametrize("piped", [False, True])
def test_endless_devices_are_refused_at_once(source: str, piped: bool, tmp_path: Path) -> None:
    with open(source, "rb") as file:
        writer = subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE) if piped else None
        done = subprocess.run(
            program("-"),
            stdin=writer.stdout if writer else file,
            capture_output=True,
            timeout=60,
            check=False,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
    if writer:
        assert writer.stdout is not None
        writer.stdout.close()
        writer.wait()
    message = done.stderr.decode()
    assert (done.returncode, done.stdout, message.count("\n")) == (1, b"", 1)
    reason = "no end after 16 MiB" if piped else "neither a file nor a pipe"
    assert reason in message


def test_a_full_temporary_folder_is_named(fifo, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "tempdir", "/small")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Full())
    with pytest.raises(AudioError, match=r"cannot be copied to /small .No space left.*TMPDIR"):
        load(fifo(encoded(noise(1_000), "FLAC")), RATE)
    samples = noise(1_000)
    assert len(load(fifo(encoded(samples)), RATE)) == 1_000  # WAV needs no room


def test_no_temporary_folder_at_all(fifo, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(AudioError, match=r"a temporary folder.*No usable.*TMPDIR"):
        load(fifo(encoded(noise(1_000), "FLAC")), RATE)


def test_memory_is_bounded_for_an_endless_wav_pipe(tmp_path: Path) -> None:
    code = """
import sys, os, resource
from ser_edge.audio import open_audio
total = 0
with open_audio("-") as audio:
    for chunk in audio:
        total += len(chunk)
        if total == 16_000:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, os.listdir(sys.argv[1]))
"""
    header = encoded(np.zeros(0))[:40] + b"\xff\xff\xff\xff"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(header)
        for _ in range(100):
            child.stdin.write(bytes(1_000_000))
        child.stdin.close()
        total, grown, *left = child.stdout.read().split()
    assert int(total) == 50_000_000
    assert int(grown) < 10_000  # KB
    assert left == [b"[]"]


def test_a_regular_file_as_standard_input_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    path.write_bytes(encoded(noise(50_000), "FLAC"))
    code = "import tempfile; tempfile.TemporaryFile = None\n"
    code += "from ser_edge.audio import load; print(len(load('-', 16_000)))"
    with path.open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-c", code], stdin=file, capture_output=True, check=True
        )
    assert done.stdout == b"50000\n"


@pytest.mark.parametrize("arguments", [["-"], ["-", "--rate", "16000"]])
def test_nothing_on_standard_input_is_an_error(arguments: list[str]) -> None:
    done = subprocess.run(program(*arguments), input=b"", capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (1, b"", 1)
    assert done.stderr.startswith(b"ser-edge: standard input: ")


# --- file objects ---


def test_a_file_object_at_its_end_says_so(tmp_path: Path) -> None:
    data = encoded(noise(1_000))
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    with path.open("rb") as file:
        file.read()
        for source in (file, io.BytesIO(data)):
            source.seek(0, 2)
            with pytest.raises(AudioError, match=r": nothing is left to read: seek\(0\) first"):
                load(source, RATE)
            source.seek(0)
            assert len(load(source, RATE)) == 1_000
    with pytest.raises(AudioError, match="the file is empty"):
        load(io.BytesIO(), RATE)


def test_a_file_opened_as_text_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(noise(1_000)))

    class Text:
        def read(self, size: int = -1) -> str:
            return "RIFF"

    with path.open(encoding="latin-1") as file:
        for source in (file, io.StringIO("RIFF"), Text()):
            with pytest.raises(AudioTypeError, match="opened as text: open it with 'rb'"):
                load(source, RATE)
    assert issubclass(AudioTypeError, (AudioError, TypeError))


def test_an_asynchronous_file_says_so(recwarn: pytest.WarningsRecorder) -> None:
    class UploadFile:
        filename = "a.wav"

        async def read(self, size: int = -1) -> bytes:
            return b"RIFF"

    class Future:
        def read(self, size: int = -1) -> asyncio.Future:
            return asyncio.Future(loop=asyncio.new_event_loop())

    for source in (UploadFile(), Future()):
        with pytest.raises(AudioTypeError, match=r"asynchronous: await its read\(\)"):
            load(source, RATE)
    assert not [w for w in recwarn if "never awaited" in str(w.message)]


@pytest.mark.parametrize("value", [None, 5, [1]])
def test_a_file_object_that_gives_no_bytes_says_so(value: object) -> None:
    class Odd:
        def read(self, size: int = -1) -> object:
            return value

    with pytest.raises(AudioError, match=r"nothing to read yet|not bytes"):
        load(Odd(), RATE)

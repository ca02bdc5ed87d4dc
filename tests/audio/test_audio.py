"""Audio in: equal to librosa.load to the bit, in bounded memory, every refusal one sentence."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from ser_edge.audio import load, open_audio
from ser_edge.audio.mixing import as_mono_float32
from ser_edge.errors import AudioError
from tests.helpers.audio import RATE, noise

librosa = pytest.importorskip("librosa")
soundfile = pytest.importorskip("soundfile")

FORMATS = (
    *(("WAV", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")),
    *(("WAV", subtype) for subtype in ("ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM")),
    *((container, "PCM_16") for container in ("WAVEX", "RF64", "W64", "AIFF", "CAF", "AU", "NIST")),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
)


def encoded(
    samples: np.ndarray, rate: int = RATE, container: str = "WAV", subtype: str | None = None
) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container, subtype=subtype)
    return file.getvalue()


def piped_wav(riff_size: int, data_size: int, payload: bytes) -> bytes:
    """A WAV file, 16 kHz mono 16 bits, whose header states these sizes."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    encoder = b"LIST" + struct.pack("<I", 12) + b"INFOISFT" + struct.pack("<I", 0)
    start = b"RIFF" + struct.pack("<I", riff_size) + b"WAVE" + form + encoder
    return start + b"data" + struct.pack("<I", data_size) + payload


def run(code: str, *args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", code, *args], input=stdin, capture_output=True, check=False
    )


# --- the samples ---


@pytest.mark.parametrize(("container", "subtype"), FORMATS)
@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_load_equals_librosa(tmp_path: Path, container: str, subtype: str, rate: int) -> None:
    if subtype == "OPUS" and rate in (22_050, 44_100):
        pytest.skip("not a rate of Opus")
    path = tmp_path / f"recording.{container.lower()}"
    # Several chunks and a part of one: MP3 decoded in chunks has gone wrong where soundfile seeks.
    path.write_bytes(encoded(noise((int(3.3 * rate), 2)), rate, container, subtype))
    expected, _ = librosa.load(path, sr=RATE)
    samples = load(path, RATE)
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 9])
def test_channels_are_averaged_as_librosa_does(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "recording.wav"
    path.write_bytes(encoded(noise((40_000, channels))))
    np.testing.assert_array_equal(load(path, RATE), librosa.load(path, sr=RATE)[0])


def test_real_speech_equals_librosa(speech: list) -> None:
    for clip in speech[::8]:
        for rate in (8_000, 16_000, 22_050):
            expected, _ = librosa.load(clip.path, sr=rate)
            np.testing.assert_array_equal(load(clip.path, rate), expected)


def test_one_channel_can_be_chosen() -> None:
    samples = noise((40_000, 3))
    data = encoded(samples, subtype="DOUBLE")
    for channel in (1, 2, 3):
        expected = samples[:, channel - 1].astype(np.float32)
        np.testing.assert_array_equal(load(data, RATE, channel=channel), expected)


@pytest.mark.parametrize("channel", [0, -1, 3])
def test_a_channel_that_is_not_there_is_refused(channel: int) -> None:
    with pytest.raises(AudioError, match=rf"no channel {channel}: it has 2"):
        open_audio(encoded(noise((100, 2))), channel=channel)
    with pytest.raises(AudioError, match=rf"no channel {channel}: it has 2"):
        as_mono_float32(noise((100, 2)), RATE, channel=channel)


def test_blocks_are_mono_float32_of_a_second() -> None:
    with open_audio(encoded(noise((40_001, 2)), subtype="FLOAT")) as audio:
        assert (audio.sample_rate, audio.channels) == (RATE, 2)
        chunks = list(audio)
    assert [chunk.shape for chunk in chunks] == [(16_000,), (16_000,), (8_001,)]
    assert {chunk.dtype for chunk in chunks} == {np.dtype(np.float32)}


def test_one_sample_is_a_recording() -> None:
    assert load(encoded(np.array([0.5])), RATE).tolist() == [0.5]


def test_memory_is_bounded_for_long_recordings_and_many_channels(tmp_path: Path) -> None:
    long = tmp_path / "long.wav"
    with long.open("wb") as file:
        file.write(piped_wav(0xFFFFFFFF, 0xFFFFFFFF, b""))
        file.truncate(100_000_000)  # a sparse file: 52 minutes of silence
    wide = tmp_path / "wide.wav"
    wide.write_bytes(encoded(np.zeros((20_000, 1_000)), subtype="PCM_U8"))
    tracemalloc.start()
    try:
        for path, seconds in ((long, 3_124), (wide, 1)):
            with open_audio(path) as audio:
                assert sum(len(chunk) for chunk in audio) // RATE == seconds
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16e6


# --- where they come from ---


class Pipe(io.RawIOBase):
    """A file object that only reads, and that little at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, 1_000))


def test_every_kind_of_source_gives_the_same_samples(tmp_path: Path) -> None:
    data = encoded(noise(20_000), 22_050)
    path = tmp_path / "recording with spaces.wav"
    path.write_bytes(data)
    expected = load(path, RATE)
    with path.open("rb") as file:
        for source in (str(path), data, bytearray(data), io.BytesIO(data), Pipe(data), file):
            np.testing.assert_array_equal(load(source, RATE), expected)


def test_the_name_is_the_path_or_words(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(noise(100)))
    with open_audio(path) as audio:
        assert audio.name == str(path)
    with open_audio(path.read_bytes()) as audio:
        assert audio.name == "audio bytes"
    with path.open("rb") as file, open_audio(file) as audio:
        assert audio.name == str(path)


def test_a_path_may_hold_any_bytes(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.wav")
    Path(path).write_bytes(encoded(noise(100)))
    assert len(load(path, RATE)) == 100


def test_the_name_does_not_decide_the_format(tmp_path: Path) -> None:
    for name in ("a.raw", "a.vox", "a.m4a", "a", "a.flac"):
        path = tmp_path / name
        path.write_bytes(encoded(noise(100)))
        assert len(load(path, RATE)) == 100


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG", "MP3"])
def test_standard_input(container: str) -> None:
    data = encoded(noise(20_000), container=container)
    code = "import sys; from ser_edge.audio import load; "
    code += "sys.stdout.buffer.write(load('-', 16_000).tobytes())"
    result = run(code, stdin=data)
    assert result.returncode == 0, result.stderr
    np.testing.assert_array_equal(np.frombuffer(result.stdout, np.float32), load(data, RATE))


def test_a_named_pipe(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    data = encoded(noise(200_000))
    writer = threading.Thread(target=fifo.write_bytes, args=(data,))
    writer.start()
    np.testing.assert_array_equal(load(fifo, RATE), load(data, RATE))
    writer.join()


@pytest.mark.parametrize(
    ("riff_size", "data_size"),
    [
        (0xFFFFFFFF, 0xFFFFFFFF),  # ffmpeg
        (0x7FFFF024, 0x7FFFF000),  # sox
        (0x80000024, 0x80000000),  # arecord
        (0, 0xFFFFFFFF),
    ],
)
def test_wav_from_a_pipe_is_read_to_its_end(riff_size: int, data_size: int) -> None:
    payload = (32_767 * noise(40_001)).astype("<i2")
    samples = load(piped_wav(riff_size, data_size, payload.tobytes()), RATE)
    np.testing.assert_array_equal(samples, payload.astype(np.float32) / 32_768)


def test_a_truncated_wav_is_read_as_far_as_it_goes() -> None:
    data = encoded(noise(40_000))
    np.testing.assert_array_equal(load(data[:-20_000], RATE), load(data, RATE)[:-10_000])


def test_nothing_is_left_open_or_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fds = Path("/proc/self/fd")
    if not fds.is_dir():
        pytest.skip("no /proc to count open files in")
    good, bad = encoded(noise(100)), b"OggS" * 100
    before = len(list(fds.iterdir()))
    for _ in range(10):
        load(good, RATE)
        for source in (bad, b"", "/dev/null", str(tmp_path), "missing.wav"):
            with pytest.raises(AudioError):
                open_audio(source)
        with pytest.raises(AudioError):
            open_audio(good, channel=2)
    assert len(list(fds.iterdir())) == before
    assert not list(tmp_path.iterdir())


# --- refusals ---


def refusal(source: object) -> str:
    with pytest.raises(AudioError) as caught:
        load(source, RATE)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    empty = tmp_path / "empty.wav"
    empty.touch()
    assert refusal(tmp_path / "none.wav") == f"{tmp_path}/none.wav: No such file or directory"
    assert refusal(tmp_path) == f"{tmp_path}: Is a directory"
    assert refusal(empty) == f"{empty}: the file is empty"
    assert refusal(b"") == "audio bytes: the file is empty"
    assert refusal("/dev/zero") == "/dev/zero: neither a file nor a pipe"
    assert refusal("a\0b").endswith("embedded null byte")


def test_permission_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:  # a mode would not keep root out
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", denied)
    assert refusal("secret.wav") == "secret.wav: Permission denied"


def test_what_is_not_audio(tmp_path: Path) -> None:
    text = tmp_path / "notes.wav"
    text.write_text("this is not audio\n" * 100)
    assert refusal(text).startswith(f"{text}: not audio that can be read (libsndfile: ")
    assert "holds no samples" in refusal(encoded(np.zeros((0, 1))))
    assert "not between 1000 and 768000 Hz" in refusal(encoded(noise(10), 500))


def test_damaged_flac() -> None:
    data = bytearray(encoded(noise(80_000), container="FLAC"))
    data[len(data) // 2 :] = b"\0" * (len(data) - len(data) // 2)
    assert "audio bytes: is damaged (libsndfile: " in refusal(bytes(data))


def test_samples_that_are_none() -> None:
    samples = noise(40_000)
    for value in (np.nan, np.inf, -np.inf):
        samples[30_000] = value
        assert "NaN or infinite" in refusal(encoded(samples, subtype="FLOAT"))
    integers_as_floats = encoded(32_767 * noise(40_000), subtype="FLOAT")
    assert "where 1 is full scale" in refusal(integers_as_floats)


def test_standard_input_that_is_no_pipe_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stdin in (None, Terminal()):
        monkeypatch.setattr("sys.stdin", stdin)
        assert refusal("-") == "standard input: nothing is piped into it"


def test_a_full_disk_is_one_sentence() -> None:
    class FullDisk(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError(28, "No space left on device")

    assert refusal(FullDisk()) == "audio file object: No space left on device"


@pytest.mark.parametrize("source", [None, 3, 1.5, np.zeros(5)])
def test_other_objects_are_a_type_error(source: object) -> None:
    with pytest.raises(TypeError, match="a path, bytes or a binary file is needed"):
        open_audio(source)


@pytest.mark.parametrize("broken", ["raise ImportError('no')", "raise OSError('no libsndfile')"])
def test_without_libsndfile_the_error_says_what_to_install(tmp_path: Path, broken: str) -> None:
    (tmp_path / "soundfile.py").write_text(broken)
    code = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
from ser_edge import DependencyError
from ser_edge.audio import open_audio
try:
    open_audio(b"RIFF")
except DependencyError as error:
    print(error)
"""
    assert b"sudo apt install libsndfile1" in run(code).stdout


def test_decoder_warnings_stay_off_stdout() -> None:
    data = encoded(noise(40_000), container="MP3")
    code = "from ser_edge.audio import load; load('-', 16_000)"
    assert run(code, stdin=data[:5_000] + data[6_000:]).stdout == b""


# --- imports ---


def test_import_loads_little_and_so_does_reading_wav_of_16_khz(tmp_path: Path) -> None:
    code = """
import sys
import ser_edge.audio
heavy = {"soundfile", "soxr", "tempfile", "subprocess", "librosa", "scipy"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
ser_edge.audio.load(sys.argv[1], 16_000)
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(noise(100)))
    assert run(code, str(path)).stderr == b""

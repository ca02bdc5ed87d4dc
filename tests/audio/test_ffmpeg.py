"""Formats that only ffmpeg reads: decoded in bounded memory, without a shell, with limits."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_edge.audio import ffmpeg, load, open_audio
from ser_edge.errors import AudioError
from tests.helpers.audio import RATE, voice

needs_ffmpeg = pytest.mark.skipif(
    shutil.which("ffmpeg") is None, reason="NO M4A TESTED: ffmpeg is not installed"
)

# What ffmpeg's own encoders make, with how much a decoded tone may differ (RMS, of 0.1).
LOSSLESS = (
    "alac.m4a",
    "v.mkv -c:a flac",
    "v.wv",
    "v.tta",
    "v.mov -c:a pcm_s16le",
    "v.avi -c:a pcm_s16le",
)
LOSSY = (
    "v.m4a", "v.aac", "v.ac3", "v.eac3", "v.wma", "v.webm", "v.flv -c:a aac", "v.ts -c:a aac",
    "v.mp4 -c:a aac -movflags frag_keyframe+empty_moov", "v.wav -c:a ac3", "v.wav -c:a wmav2",
    "v.wav -c:a g722", "v -f adts",
)  # fmt: skip


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ffmpeg") / "voice.wav"
    soundfile.write(path, 0.5 * voice(2.0), RATE, subtype="PCM_16")
    return path


def converted(original: Path, target: Path, *arguments: str) -> Path:
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", original, *arguments, target]
    subprocess.run(command, check=True)
    return target


@pytest.fixture
def m4a(original: Path, tmp_path: Path) -> Path:
    return converted(original, tmp_path / "voice.m4a")


@needs_ffmpeg
@pytest.mark.parametrize("how", LOSSLESS)
def test_lossless_formats_give_the_samples(original: Path, tmp_path: Path, how: str) -> None:
    name, *arguments = how.split()
    if name == "alac.m4a":
        arguments = ["-c:a", "alac"]
    path = converted(original, tmp_path / name, *arguments)
    np.testing.assert_array_equal(load(path, RATE), load(original, RATE))
    with pytest.raises(AudioError, match=f"convert this format first: ffmpeg -i {path} "):
        load(path, RATE, ffmpeg=False)


@needs_ffmpeg
@pytest.mark.parametrize("how", LOSSY)
def test_lossy_formats_give_about_the_samples(original: Path, tmp_path: Path, how: str) -> None:
    name, *arguments = how.split()
    path = converted(original, tmp_path / name, *arguments)
    expected, found = load(original, RATE), load(path, RATE)
    assert abs(len(found) - len(expected)) < 0.15 * RATE
    level = np.sqrt(np.mean(expected**2))
    assert np.sqrt(np.mean(found**2)) == pytest.approx(level, rel=0.2)
    with pytest.raises(AudioError, match=f"convert this format first: ffmpeg -i {path} "):
        load(path, RATE, ffmpeg=False)


@needs_ffmpeg
def test_every_kind_of_source(m4a: Path, tmp_path: Path) -> None:
    expected = load(m4a, RATE)
    data = m4a.read_bytes()
    with m4a.open("rb") as file:
        for source in (data, io.BytesIO(data), file, str(m4a)):
            np.testing.assert_array_equal(load(source, RATE), expected)
    code = "import sys; from ser_edge.audio import load; "
    code += "sys.stdout.buffer.write(load('-', 16_000).tobytes())"
    for stdin in ({"input": data}, {"stdin": m4a.open("rb")}):
        child = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, **stdin
        )
        np.testing.assert_array_equal(np.frombuffer(child.stdout, np.float32), expected)


@needs_ffmpeg
@pytest.mark.parametrize(
    "name",
    ["-i.m4a", "http:x.m4a", "concat:a|b.m4a", "a;touch pwned.m4a", "$(touch pwned).m4a",
     "it's.m4a", "%d.m4a", "new\nline.m4a", "\udcff\udcfe.m4a", "pipe:0", "-"],
)  # fmt: skip
def test_names_mean_nothing(
    m4a: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    expected = load(m4a, RATE)
    folder = tmp_path / "names"
    folder.mkdir()
    monkeypatch.chdir(folder)
    m4a.rename(folder / name)
    source = name if name != "-" else "./-"
    np.testing.assert_array_equal(load(source, RATE), expected)
    assert os.listdir(folder) == [name]


@needs_ffmpeg
@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXTINF:3,\n{}\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXTINF:3,\nhttp://127.0.0.1:9/a.ts\n",
        "ffconcat version 1.0\nfile '{}'\n",
        "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><BaseURL>{}</BaseURL>",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=audio 5004 RTP/AVP 0\n",
    ],
)
def test_lists_that_name_other_files_are_refused(original: Path, tmp_path: Path, text: str) -> None:
    for name in ("list.m4a", "list.m3u8", "list.txt"):
        path = tmp_path / name
        path.write_text(text.format(original))
        with pytest.raises(AudioError, match="not audio that can be read"):
            load(path, RATE)


@needs_ffmpeg
def test_a_video_without_sound_says_so(tmp_path: Path) -> None:
    path = tmp_path / "silent.mkv"
    source = ["-f", "lavfi", "-i", "testsrc=d=0.2:s=64x64"]
    subprocess.run(["ffmpeg", "-v", "error", *source, "-c:v", "ffv1", path], check=True)
    with pytest.raises(AudioError, match="it has no audio track"):
        load(path, RATE)


@needs_ffmpeg
def test_memory_and_processes_are_bounded(original: Path, tmp_path: Path) -> None:
    hour = ["-af", "aloop=-1:size=32000", "-t", "1200", "-c:a", "flac"]
    path = converted(original, tmp_path / "long.mkv", *hour)
    tracemalloc.start()
    try:
        with open_audio(path) as audio:
            assert sum(map(len, audio)) == 1200 * RATE
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3e6
    with open_audio(path) as audio:
        process = audio._decoder._read.__self__._process
        next(iter(audio))
        assert process.poll() is None
    assert process.returncode == -9  # it was not read to its end


@needs_ffmpeg
def test_nothing_is_left_open(m4a: Path, tmp_path: Path) -> None:
    fds = Path("/proc/self/fd")
    if not fds.is_dir():
        pytest.skip("no /proc to count open files in")
    bad = tmp_path / "bad.m4a"
    bad.write_bytes(m4a.read_bytes()[:200])
    before = len(list(fds.iterdir()))
    for _ in range(5):
        load(m4a, RATE)
        with pytest.raises(AudioError):
            load(bad, RATE)
        with pytest.raises(AudioError, match="no channel 2"):
            load(m4a, RATE, channel=2)
    assert len(list(fds.iterdir())) == before


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a program in ffmpeg's place."""

    def make(script: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        program = folder / "ffmpeg"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    return make


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("sleep 60", "ffmpeg gave nothing for 1 s"),
        ("printf RIFF; sleep 60", "ffmpeg gave nothing for 1 s"),
        ("yes >&2", "ffmpeg gave nothing for 1 s|it gives no audio|y"),
        ("exit 1", "ffmpeg ended with code 1"),
        ("kill -SEGV $$", "ffmpeg ended with signal 11"),
        ("echo 'file:/dev/fd/0: bad \33[31m thing' >&2; exit 1", r"bad \?\[31m thing"),
        ("exit 0", "it gives no audio"),
        ("printf 'RIFF....WAVE'", "ends within its header"),
        ("head -c 100000 /dev/zero", "it gives no audio"),
    ],
)
def test_an_ffmpeg_that_fails_is_one_sentence(
    fake, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    monkeypatch.setattr(ffmpeg, "_STALL_SECONDS", 1.0)
    monkeypatch.setattr(ffmpeg, "_MAX_SILENT_SECONDS", 2.0)
    fake(script)
    with pytest.raises(AudioError, match=message) as caught:
        load(b"\0\0\0\x20ftypM4A " + bytes(100), RATE)
    assert str(caught.value).startswith("audio bytes: not audio that can be read (libsndfile: ")
    assert "\n" not in str(caught.value)


def test_an_ffmpeg_that_fails_later_is_one_sentence(fake) -> None:
    header = io.BytesIO()
    soundfile.write(header, np.zeros(20_000), RATE, format="WAV", subtype="PCM_16")
    fake('cat "$(dirname "$0")/audio"; echo oh no >&2; exit 7')
    folder = Path(os.environ["PATH"].split(":")[0])
    (folder / "audio").write_bytes(header.getvalue())
    with pytest.raises(AudioError, match=r"audio bytes: is damaged \(oh no\)"):
        load(b"\0\0\0\x20ftypM4A " + bytes(100), RATE)


def test_it_is_started_without_what_it_does_not_need(fake, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("FFREPORT", "file=report.log")
    fake(f'env > {tmp_path}/env; for x; do echo "$x"; done > {tmp_path}/arguments; exit 1')
    with pytest.raises(AudioError):
        load(b"\0\0\0\x20ftypM4A " + bytes(100), RATE)
    assert "FFREPORT" not in (tmp_path / "env").read_text()
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert "-nostdin" in arguments
    assert arguments[arguments.index("-i") + 1] == "file:/dev/fd/0"
    assert arguments[arguments.index("-protocol_whitelist") + 1] == "file,pipe"
    formats = arguments[arguments.index("-format_whitelist") + 1].split(",")
    assert not {"hls", "concat", "dash", "image2", "sdp", "rtsp", "lavfi"} & set(formats)
    assert int(arguments[arguments.index("-timelimit") + 1]) == 60


# --- without ffmpeg ---


CONVERTIBLE = {
    "MP4": b"\0\0\0\x20ftypM4A ",
    "QuickTime": b"\0\0\0\x08wide\0\0\0\0mdat",
    "AMR": b"#!AMR\n",
    "WMA": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    "Matroska": b"\x1a\x45\xdf\xa3",
    "AAC": (b"\xff\xf1\x50\x80\x01\x7f\xfc" + bytes(4)) * 2,
    "AC-3": (b"\x0b\x77\0\0\x14\x40" + bytes(762)) * 2,
    "AVI": b"RIFF\0\0\0\0AVI LIST",
    "FLV": b"FLV\x01\x05\0\0\0\x09",
    "MPEG-TS": (b"G" + bytes(187)) * 4,
    "WavPack": b"wvpk" + bytes(4),
    "TTA": b"TTA1\1\0",
    "AC-3 in WAV": b"RIFF\xff\0\0\0WAVEfmt \x12\0\0\0\0\x20\1\0\x80\xbb" + bytes(12) + b"data",
    "ALAC in CAF": b"caff\0\1\0\0desc",
}  # fmt: skip


@pytest.mark.parametrize("kind", CONVERTIBLE)
def test_without_ffmpeg_the_line_that_converts_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("voice.bin", "voice", "voice.wav"):
        path = tmp_path / name
        path.write_bytes(CONVERTIBLE[kind] + b"?" * 100)
        line = f"ffmpeg -i {path} -ar 16000 -ac 1 {tmp_path}/voice.16k.wav"
        with pytest.raises(AudioError) as caught:
            open_audio(path)
        assert str(caught.value) == f"{path}: convert this format first: {line}"


def test_the_name_says_it_too_and_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name, quoted in (("it's $5.m4a", "'it'\"'\"'s $5.m4a'"), ("-i.wma", "./-i.wma")):
        Path(name).write_bytes(b"?" * 100)
        with pytest.raises(AudioError) as caught:
            open_audio(name)
        assert f"ffmpeg -i {quoted} -ar" in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(AudioError, match=r"ffmpeg -i INPUT -ar 16000 -ac 1 OUTPUT\.wav$"):
        open_audio(b"#!AMR\n???")

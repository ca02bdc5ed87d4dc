"""`ser-edge listen` as a program, fed by real pipes and ended by real signals."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import signal
import struct
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_edge import Result, cli
from ser_edge.audio.containers import HEAD_BYTES, recognise
from ser_edge.cli import listen, options
from ser_edge.live.source import told
from tests.helpers.audio import RATE, voice


def listening(*arguments: str, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "ser_edge", "listen", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def messages_of(data: bytes, *arguments: str, **options) -> tuple[list[dict], str, int]:
    process = listening("-", "--json", *arguments, **options)
    out, err = process.communicate(data, timeout=60)
    return [json.loads(line) for line in out.splitlines()], err.decode(), process.returncode


def coded(samples: np.ndarray, dtype: str = "<i2") -> bytes:
    return np.rint(samples * 32767).astype(dtype).tobytes()


def without_time(messages: list[dict]) -> list[dict]:
    return [{k: v for k, v in m.items() if k not in ("time", "schema", "model")} for m in messages]


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("listen") / "voice.wav"
    samples = np.concatenate([voice(7.0, 48_000), np.zeros(48_000 * 5)])
    soundfile.write(path, samples, 48_000, subtype="PCM_16")
    return path


def test_a_pipe_gives_the_results_of_the_file(recording, classifier):
    expected = [r.rounded().to_dict() for r in classifier.windows(recording, hop=1.0)]
    wav = recording.read_bytes()
    messages, err, code = messages_of(wav, "--hop", "1")
    assert (err, code) == ("ser-edge: standard input ended after 12.0 s of audio\n", 0)
    assert without_time(messages) == expected
    assert {m["schema"] for m in messages} == {1}
    assert {m["model"] for m in messages} == {classifier.model.metadata.name}
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:.]+\+00:00", m["time"]) for m in messages)
    raw = wav[wav.index(b"data") + 8 :]
    messages, _, code = messages_of(raw + b"\1", "--hop", "1", "--rate", "48000")
    assert code == 0
    assert without_time(messages) == expected


def test_a_wav_stream_without_length_and_with_other_chunks(classifier):
    samples = coded(voice(4.5))
    stereo = np.repeat(np.frombuffer(samples, "<i2"), 2).tobytes()
    extensible = struct.pack("<HHIIHHHHIH14s", 0xFFFE, 2, RATE, 0, 4, 16, 22, 16, 3, 1, bytes(14))
    head = b"RIFF\xff\xff\xff\xffWAVELIST" + struct.pack("<I", 3) + b"abc\0"
    head += b"fmt " + struct.pack("<I", len(extensible)) + extensible
    messages, err, code = messages_of(head + b"data\xff\xff\xff\xff" + stereo)
    assert (err, code) == ("ser-edge: standard input ended after 4.5 s of audio\n", 0)
    stream = classifier.stream(RATE)
    expected = [*stream.push(samples), *stream.flush()]
    assert without_time(messages) == [r.rounded().to_dict() for r in expected]


def test_nothing_after_the_audio_of_a_wav_stream_is_messages_of(recording, classifier):
    expected = [r.rounded().to_dict() for r in classifier.windows(recording)]
    messages, _, code = messages_of(recording.read_bytes() + b"LIST" + bytes(100_000))
    assert code == 0
    assert without_time(messages) == expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (bytes(100), "--rate"),
        (b"RIFF", "not a WAV stream"),
        (b"RIFF\0\0\0\0AVI data", "not a WAV stream"),
        (b"RIFF\0\0\0\0WAVEfmt ", "ends within its header"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "tells no format"),
        (b"RIFF\0\0\0\0WAVEfmt \xff\xff\xff\x7f", "damaged"),
        (b"RIFF\0\0\0\0WAVEfmt \4\0\0\0abcd", "damaged"),
        (
            b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + struct.pack("<HHIIHH", 7, 1, RATE, 0, 1, 8),
            "8 bits and format 7",
        ),
        (
            b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0"
            + struct.pack("<HHIIHH", 1, 1, 3, 0, 2, 16)
            + b"data\0\0\0\0....",
            "3 Hz",
        ),
        (struct.pack("<f", float("nan")) * 100, "NaN"),
    ],
)
def test_bad_input_is_one_sentence(data, message):
    raw = ["--rate", "16000", "--format", "float32"] if message == "NaN" else []
    messages, err, code = messages_of(data, *raw)
    assert (messages, code) == ([], options.EXIT_FAILED)
    assert err.startswith("ser-edge: ")
    assert err.count("\n") == 1
    assert message in err


WAV_HEADER = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0" + struct.pack(
    "<HHIIHH4sI", 1, 1, RATE, 2 * RATE, 2, 16, b"data", 0xFFFFFFFF
)


@pytest.mark.parametrize("data", [b"", WAV_HEADER, WAV_HEADER + b"\1"])
@pytest.mark.parametrize("arguments", [[], ["--rate", "16000"]])
def test_no_audio_at_all_is_an_error(data, arguments):
    messages, err, code = messages_of(data, *arguments)
    assert (messages, code) == ([], options.EXIT_FAILED)
    assert err == "ser-edge: standard input: ended without any audio\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "0:01:00"), (22_380, "6:13:00")]
)
def test_the_duration_is_told_as_people_read_it(seconds, text):
    assert listen._duration(seconds) == text


def compressed(container: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, voice(3.0), RATE, format=container)
    return file.getvalue()


COMPRESSED = {
    **{
        name: compressed(name)
        for name in ("OGG", "FLAC", "MP3", "RF64", "CAF", "AIFF", "AU", "W64")
    },
    "MP4": b"\0\0\0\x20ftypM4A " + bytes(10_000),
    "WebM": b"\x1a\x45\xdf\xa3" + bytes(10_000),
    "ID3": b"ID3\4\0\0\0\0\0\0" + compressed("MP3"),
    "AAC": (b"\xff\xf1\x50\x80\x01\x7f\xfc" + bytes(4)) * 1000,
    "MPEG-TS": (b"G" + bytes(187)) * 100,
    "AVI": b"RIFF\0\0\0\0AVI LIST" + bytes(10_000),
}


@pytest.mark.parametrize("kind", COMPRESSED)
def test_compressed_bytes_are_not_taken_for_samples(kind):
    messages, err, code = messages_of(COMPRESSED[kind], "--rate", "16000")
    assert (messages, code) == ([], options.EXIT_FAILED)
    assert err.startswith("ser-edge: standard input: ")
    assert err.count("\n") == 1
    assert "WAV stream" in err
    assert kind == "AVI" or "ffmpeg -i INPUT -f wav - | ser-edge" in err


def test_raw_samples_are_not_taken_for_compressed_ones():
    rng = np.random.default_rng(0)
    for start in (b"\xff\xfb\x90\x64", b"\xff\xf1\x50\x80", b"GGGG", b"\x0b\x77", bytes(4)):
        raw = start + rng.integers(-300, 300, RATE).astype("<i2").tobytes()
        assert recognise(raw[:HEAD_BYTES]) is None
    messages, _, code = messages_of(b"\xff\xfb\x90\x64" + bytes(2 * RATE), "--rate", "16000")
    assert (len(messages), code) == (1, 0)


@pytest.mark.parametrize(
    "arguments",
    [["--rate", "16000"], ["--channels", "2"], ["--format", "int32"], ["--format", "uint8"]],
)
def test_options_that_contradict_a_wav_header_are_wrong_usage(recording, arguments):
    messages, err, code = messages_of(recording.read_bytes(), *arguments)
    assert (messages, code) == ([], 2)
    assert f"{arguments[0]} {arguments[1]}, but standard input is a WAV stream that says" in err
    agreeing = ["--rate", "48000", "--channels", "1", "--format", "int16"]
    assert messages_of(recording.read_bytes(), *agreeing)[2] == 0


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_kind_of_pcm_is_read(tmp_path, classifier, subtype):
    path = tmp_path / "voice.wav"
    soundfile.write(path, voice(4.5), RATE, subtype=subtype)
    messages, _, code = messages_of(path.read_bytes())
    assert code == 0
    assert without_time(messages) == [r.rounded().to_dict() for r in classifier.windows(path)]


def test_channels_that_cancel_are_told_once_and_the_voice_is_heard(classifier):
    samples = np.frombuffer(coded(voice(9.0)), "<i2")
    stereo = np.stack([samples, -samples], axis=1).tobytes()
    messages, err, code = messages_of(stereo, "--rate", "16000", "--channels", "2")
    assert code == 0
    expected = classifier.stream(RATE).through([samples])
    assert without_time(messages) == [r.rounded().to_dict() for r in expected]
    assert [line for line in err.splitlines() if "channel 1, which is heard" in line] == [
        line for line in err.splitlines() if "ended after" not in line
    ]
    assert len(err.splitlines()) == 2


def test_options_come_from_the_environment(recording):
    environment = {**os.environ, "SER_EDGE_LISTEN_HOP": "4", "SER_EDGE_LISTEN_RATE": "48000"}
    messages, _, code = messages_of(recording.read_bytes(), env=environment)
    assert code == 0
    assert [m["start"] for m in messages] == [0, 4, 8]


def test_only_changes(recording):
    every, _, _ = messages_of(recording.read_bytes(), "--hop", "0.5", "--threshold", "0")
    kinds = [(m["label"], m["reason"]) for m in every]
    changes = [kind for before, kind in zip([None, *kinds], kinds) if kind != before]
    assert len(changes) < len(kinds)
    arguments = ("--hop", "0.5", "--threshold", "0", "--only-changes")
    few, _, _ = messages_of(recording.read_bytes(), *arguments)
    assert [(m["label"], m["reason"]) for m in few] == changes


def test_lines_for_a_person(recording, classifier):
    process = listening("-", "--threshold", "0", "--hop", "4")
    out, err = process.communicate(recording.read_bytes(), timeout=60)
    lines = out.decode().splitlines()
    assert len(lines) == 3
    assert err == b"ser-edge: standard input ended after 12.0 s of audio\n"
    for line in lines:
        moment = datetime.strptime(line[:19], "%Y-%m-%d %H:%M:%S")
        assert abs(datetime.now() - moment) < timedelta(minutes=1)  # of the day, here
    assert lines[0].split()[2] in classifier.labels
    assert "no emotion (silence)" in lines[2]


def test_csv(recording, classifier):
    messages, _, _ = messages_of(recording.read_bytes(), "--hop", "2")
    process = listening("-", "--csv", "--hop", "2")
    out, err = process.communicate(recording.read_bytes(), timeout=60)
    assert process.returncode == 0
    assert err == b"ser-edge: standard input ended after 12.0 s of audio\n"
    rows = list(csv.DictReader(io.StringIO(out.decode())))
    assert list(rows[0])[:3] == ["time", "start", "end"]
    assert [float(row["start"]) for row in rows] == [m["start"] for m in messages]
    assert [row["label"] or None for row in rows] == [m["label"] for m in messages]
    assert [row["reason"] or None for row in rows] == [m["reason"] for m in messages]
    label = classifier.labels[0]
    assert [float(row[label] or "nan") for row in rows] == pytest.approx(
        [m["scores"][label] if m["scores"] else math.nan for m in messages], abs=1e-5, nan_ok=True
    )
    assert all(datetime.fromisoformat(row["time"]).tzinfo for row in rows)


def test_hold_and_cooldown(recording):
    every, _, _ = messages_of(recording.read_bytes(), "--hop", "0.5", "--threshold", "0")
    for options_ in ({"hold": 1.0}, {"cooldown": 3.0}, {"hold": 0.5, "cooldown": 2.0}):
        arguments = [word for name, value in options_.items() for word in (f"--{name}", str(value))]
        few, _, code = messages_of(
            recording.read_bytes(), "--hop", "0.5", "--threshold", "0", "--only-changes", *arguments
        )
        found = [Result(m["label"], None, None, m["start"], m["end"], m["reason"]) for m in every]
        expected = [r.start for r in told(found, only_changes=True, **options_)]
        assert code == 0
        assert [m["start"] for m in few] == expected
        assert 0 < len(expected) < len(every)


def test_thresholds_of_emotions(recording, classifier):
    plain, _, _ = messages_of(recording.read_bytes(), "--threshold", "0")
    label = plain[0]["label"]
    strict, _, _ = messages_of(
        recording.read_bytes(), "--threshold", "0", "--threshold", f"{label}=1"
    )
    assert [m["label"] for m in strict] == [
        None if m["label"] == label else m["label"] for m in plain
    ]
    assert strict[0]["reason"] == "uncertain"
    assert strict[0]["scores"] == plain[0]["scores"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_the_last_result_comes_out(number):
    process = listening("-", "--rate", "16000", "--json")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(coded(voice(4.5)))
    process.stdin.flush()
    first = json.loads(process.stdout.readline())  # flushed while the pipe is open
    assert (first["start"], first["end"]) == (0, 4)
    time.sleep(0.5)  # for the rest of what is in the pipe
    process.send_signal(number)
    last = json.loads(process.stdout.read())
    assert process.wait(timeout=10) == 0
    assert (last["start"], last["end"]) == (2, 4.5)
    assert process.stderr is not None
    assert process.stderr.read() == b""


def test_a_killed_writer_is_the_end_of_the_audio():
    process = listening("-", "--rate", "16000", "--json")
    writer = subprocess.Popen(
        [sys.executable, "-c", "import os, time; os.write(1, bytes(2 * 16000)); time.sleep(60)"],
        stdout=process.stdin,
    )
    assert process.stdin is not None
    process.stdin.close()
    time.sleep(1)
    writer.kill()
    writer.wait()
    assert process.stdout is not None
    messages = [json.loads(line) for line in process.stdout]
    assert process.wait(timeout=60) == 0
    assert [(m["start"], m["end"], m["reason"]) for m in messages] == [(0, 1, "silence")]


def test_a_reader_that_leaves_ends_it(recording):
    process = listening("-", "--rate", "16000")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.close()
    try:
        process.stdin.write(bytes(2 * RATE * 60))
        process.stdin.close()
    except BrokenPipeError:
        pass
    assert process.wait(timeout=60) == options.EXIT_CLOSED_PIPE
    assert process.stderr is not None
    assert process.stderr.read() == b""


def test_usage(monkeypatch, capsys):
    for arguments in (["listen", "file.wav"], ["listen", "-", "--rate", "16"]):
        monkeypatch.setattr(sys, "argv", ["ser-edge", *arguments])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        assert exit_.value.code == 2
    assert "Usage" in capsys.readouterr().err

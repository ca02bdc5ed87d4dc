"""Progress: seconds of audio and the time left, on terminals alone."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import types

import numpy as np
import pytest
import soundfile

from ser_edge.audio.pcm import Format
from ser_edge.cli.show import progress
from ser_edge.cli.show.meter import LevelMeter
from ser_edge.cli.show.progress import AudioProgress, Progress, StatusLine
from ser_edge.convert.cli.options import progress as converting
from ser_edge.live.source import Chunk
from tests.helpers.audio import RATE, silence, tone, voice


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    @property
    def shown(self) -> list[str]:
        """What stood in the line, one after another."""
        return [text.rstrip() for text in self.getvalue().split("\r")[1:]]


@pytest.fixture
def terminal(monkeypatch) -> Terminal:
    terminal = Terminal()
    # Not sys itself: pytest sets its streams anew when the fixtures are there.
    monkeypatch.setattr(progress, "sys", types.SimpleNamespace(stderr=terminal))
    return terminal


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_counts_and_the_time_left(terminal, clock):
    shown = Progress("clips")
    for done in range(1, 11):
        clock[0] += 30
        shown.update(done, 10)
    assert terminal.shown[0] == "clips: 1 of 10, 10 %, 0:04:30 left"
    assert terminal.shown[8] == "clips: 9 of 10, 90 %, 0:00:30 left"
    assert terminal.shown[-1] == ""  # nothing stays


def test_short_work_shows_nothing_and_fast_work_little(terminal, clock):
    shown = Progress("clips")
    for done in range(1000):
        clock[0] += 0.0009
        shown.update(done, 1000)
    assert terminal.getvalue() == ""
    for done in range(1000, 2000):
        clock[0] += 0.01
        shown.update(done, 2000)
    assert 20 < len(terminal.shown) < 60


def test_a_second_piece_of_work_starts_its_own_clock(terminal, clock):
    shown = Progress("fits")
    clock[0] += 1000
    shown.update(9, 10)
    clock[0] += 1
    shown.update(1, 10)
    clock[0] += 5
    shown.update(2, 10)
    assert terminal.shown[-1] == "fits: 2 of 10, 20 %, 0:00:20 left"


def test_the_line_fits_and_goes(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    line = StatusLine()
    line.show("x" * 100)
    assert terminal.getvalue() == "\r" + "x" * 19
    line.show("y")
    assert terminal.getvalue().endswith("\ry" + " " * 18)
    line.clear()
    line.clear()
    assert terminal.getvalue().count("\r") == 4


def test_seconds_of_files(terminal, clock, tmp_path):
    files = [str(tmp_path / name) for name in ("a.wav", "b.wav")]
    for file, seconds in zip(files, (60, 180)):
        soundfile.write(file, silence(seconds), RATE)
    shown = AudioProgress([*files, files[0]])
    expected = {0: "0:01:00 of 0:05:00, 20 %", 1: "0:04:00 of 0:05:00, 80 %"}
    for number, seconds in enumerate((60, 180)):
        shown.start(files[number])
        for _ in range(seconds):
            clock[0] += 0.5
            shown.add_samples(silence(1.0), RATE)
        assert terminal.shown[-1].startswith(f"classified: {expected[number]}")
    assert terminal.shown[-1].endswith("0:00:30 left")
    shown.clear()
    assert terminal.shown[-1] == ""


@pytest.mark.parametrize("file", ["-", "no audio"])
def test_an_unknown_duration_has_no_end(terminal, clock, tmp_path, file):
    if file != "-":
        path = tmp_path / "x.wav"
        path.write_bytes(b"none")
        file = str(path)
    shown = AudioProgress([file])
    shown.start(file)
    clock[0] += 2
    shown.add_samples(silence(90.0), RATE)
    assert terminal.shown == ["classified: 0:01:30"]


def test_logs_hold_no_fragments(tmp_path, capsys):
    report = converting("clips")
    for done in range(1, 101):
        report(done, 100)
    assert capsys.readouterr().err == ""


def test_the_converter_s_line_is_gone_before_an_error(terminal, clock):
    import click

    with click.Context(click.Command("x")):
        report = converting("clips")
        clock[0] += 5
        report(1, 10)
    assert terminal.shown == ["clips: 1 of 10, 10 %, 0:00:45 left", "", ""]


def test_a_long_recording_shows_it_and_its_results_stay_whole(tmp_path):
    pty = pytest.importorskip("pty")
    path = tmp_path / "long.wav"
    soundfile.write(path, np.tile(voice(60.0), 10), RATE)
    missing = tmp_path / "missing.wav"
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", _IMPATIENT, "classify", "--csv"]
    with (tmp_path / "out.csv").open("wb") as out:
        process = subprocess.Popen([*command, str(path), str(missing)], stdout=out, stderr=theirs)
        os.close(theirs)
        written = b""
        try:
            while some := os.read(ours, 65536):
                written += some
        except OSError:  # how a terminal's end is told
            pass
    assert process.wait(timeout=60) == 1
    os.close(ours)
    shown = written.decode().split("\r")
    lines = [text for text in shown if text.startswith("classified")]
    assert lines
    assert all(
        re.fullmatch(r"classified: 0:\d\d:\d\d of 0:10:00, +\d+ %, 0:\d\d:\d\d left *", text)
        for text in lines
    )
    # The error has a line of its own.
    assert any(text.startswith("ser-edge: ") for text in shown)
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 3


_IMPATIENT = """
from ser_edge.cli import main
from ser_edge.cli.show import progress
progress._PATIENCE_SECONDS = progress._REDRAW_SECONDS = 0.0
main()
"""


def test_no_terminal_no_progress(run, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_PATIENCE_SECONDS", 0.0)
    path = tmp_path / "long.wav"
    soundfile.write(path, voice(90.0), RATE)
    assert run("classify", path, path).err == ""


@pytest.mark.parametrize(
    ("sample_format", "scale"), [("int16", 32767), ("int32", 2**31 - 1), ("float32", 1)]
)
@pytest.mark.parametrize("channel", [None, 2])
def test_level_meter(terminal, clock, sample_format, scale, channel):
    loud = np.stack([silence(1.0), 0.1 * tone(1.0, 440.0)], axis=1)
    data = (loud * scale).astype(sample_format).tobytes()
    format_ = Format(RATE, 2, sample_format)
    chunks = [Chunk(data[:40_001], format_), Chunk(data[40_001:], format_)]
    meter = LevelMeter(channel)
    got = []
    for chunk in meter.watch(chunks):
        clock[0] += 1
        got.append(chunk)
    assert got == chunks  # untouched
    assert [text.rpartition("] ")[2] for text in terminal.shown] == ["-23 dBFS"] * 2
    assert terminal.shown[0].count("#") == round(30 * (1 - 23 / 60))


def test_level_meter_of_silence_and_of_nonsense(terminal, clock):
    meter = LevelMeter(None)
    bad = Chunk(np.full(100, np.nan, np.float32).tobytes(), Format(RATE, 1, "float32"))
    quiet = Chunk(bytes(3200), Format(RATE, 1, "int16"))
    assert list(meter.watch([bad, quiet])) == [bad, quiet]
    assert terminal.shown == ["level [                              ] digital silence"]

"""What a terminal, a pipe and a log are given: any name, any encoding, any width, any stream."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from ser_edge import Result, cli
from ser_edge.cli import options
from ser_edge.cli.show import output
from ser_edge.cli.terminal import fitted, printable, width
from tests.helpers.audio import RATE, voice

RECORDING = Path(__file__).parents[1] / "data" / "synthetic.wav"


def program(
    *arguments: object, module: str = "ser_edge", shell: str = "", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """The program in a process of its own; `shell` redirects its streams."""
    command = [sys.executable, "-m", module, *map(os.fspath, arguments)]  # type: ignore[arg-type]
    return subprocess.run(
        ["sh", "-c", f'"$@" {shell}', "sh", *command],
        capture_output=True,
        env={**os.environ, **environment},
        timeout=120,
        check=False,
    )


@pytest.fixture
def named(tmp_path):
    """Makes a recording of this name."""

    def make(name: str | bytes) -> bytes:
        path = os.path.join(os.fsencode(tmp_path), os.fsencode(name))
        with open(path, "wb") as file:
            file.write(RECORDING.read_bytes())
        return path

    return make


@pytest.mark.parametrize("arguments", [[], ["--csv"], ["--json"], ["--windows"]])
@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252", "ascii:surrogateescape"])
def test_a_name_beyond_the_encoding_stops_nothing(named, encoding, arguments):
    names = ["голос.wav", "声.wav", "\N{PILE OF POO}.wav", b"\xff\xfe.wav"]
    paths = [named(name) for name in names]
    done = program("classify", *paths, *arguments, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"neutral") >= len(names)


def test_a_model_s_words_stop_nothing_either():
    for arguments in (["info"], ["info", "-v"], ["doctor"]):
        assert program(*arguments, PYTHONIOENCODING="ascii").returncode == 0


@pytest.mark.parametrize("module", ["ser_edge", "ser_edge.convert"])
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["nonesuch"]])
def test_closed_standard_output_is_one_sentence(module, arguments):
    done = program(*arguments, module=module, shell=">&-")
    assert done.returncode == options.EXIT_FAILED
    assert done.stderr.count(b"\n") == 1
    assert b"standard output is closed" in done.stderr


def test_closed_standard_output_of_every_command():
    for arguments in (["classify", RECORDING], ["info"], ["doctor"], ["listen", "-"]):
        done = program(*arguments, shell=">&-")
        assert done.returncode == options.EXIT_FAILED
        assert done.stderr == (
            b"ser-edge: standard output is closed: there is nowhere to write results\n"
        )


def test_other_closed_streams_change_no_result():
    expected = program("classify", "--json", RECORDING)
    done = program("classify", "--json", RECORDING, shell="2>&- <&-")
    assert (done.returncode, done.stdout) == (0, expected.stdout)
    done = program("classify", "--json", "nowhere.wav", shell="2>&-")
    assert done.returncode == options.EXIT_FAILED
    assert json.loads(done.stdout)["file"] == "nowhere.wav"
    done = program("classify", "-", shell="<&-")
    assert done.returncode == options.EXIT_FAILED
    assert done.stderr.startswith(b"ser-edge: ")
    assert done.stderr.count(b"\n") == 1


EVIL = "\x1b[31m\x07\nser-edge: all is well\r\u202e\x9b.wav"


@pytest.mark.parametrize(
    "arguments",
    [
        ["classify", EVIL],
        ["classify", "-v", EVIL],
        ["classify", "--model", EVIL, "x.wav"],
        ["classify", f"--{EVIL}", "x.wav"],
        ["classify", "--windows", RECORDING, "--plot", EVIL],
        ["classify", "--threshold", EVIL, RECORDING],
        [EVIL],
        [f"--{EVIL}"],
        ["info", EVIL],
        ["doctor", "--model", EVIL],
        ["listen", EVIL],
        ["listen", "--mqtt", f"mqtt://host/+{EVIL}"],
    ],
)
def test_error_lines_show_no_escape_sequence(arguments):
    done = program(*arguments)
    assert done.returncode != 0
    shown = (done.stdout + done.stderr).decode()
    lines = shown.split("\n")
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("ser-edge: all is well") for line in lines)


def test_names_in_tables_stay_in_their_line(named):
    done = program("classify", named(EVIL.replace("/", "")), RECORDING)
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def test_csv_leads_back_to_the_files(named, tmp_path):
    names = [
        b"plain.wav",
        'ümlaut, "quoted".wav'.encode(),
        b"caf\xe9.wav",
        b"a\nb.wav",
        b"\xff.wav",
    ]
    paths = {named(name) for name in names}
    for encoding in ("utf-8", "latin-1", "ascii"):
        done = program("classify", "--csv", tmp_path, PYTHONIOENCODING=encoding)
        assert done.returncode == 0
        text = io.TextIOWrapper(
            io.BytesIO(done.stdout), encoding="utf-8", errors="surrogateescape", newline=""
        )
        rows = list(csv.DictReader(text))
        assert {os.fsencode(row["file"]) for row in rows} == paths
        assert all(os.path.exists(row["file"]) for row in rows)


def test_json_leads_back_to_the_files(named, tmp_path):
    paths = {named(b"caf\xe9.wav"), named("ümlaut.wav")}
    done = program("classify", "--json", tmp_path)
    assert {os.fsencode(json.loads(line)["file"]) for line in done.stdout.splitlines()} == paths


SCORES = {"neutral": 0.02, "happy": 0.6, "sad": 0.18, "angry": 0.1, "fear": 0.06, "disgust": 0.04}
RESULTS = [
    Result("happy", 0.6, SCORES, 3600.0, 3604.0),
    Result(None, 0.6, SCORES, 0.0, 4.0, "uncertain"),
    Result(None, None, None, 0.0, 4.0, "too_short"),
    Result("happy", 1.0, {"happy": 1.0}, 0.0, 4.0),
]
LONG = "/recordings/wednesday/" + "a long name " * 20 + "the end.wav"


@pytest.mark.parametrize("top", [None, 1, 6])
@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("cells", [40, 60, 80, 100, 120, 200, 300])
def test_tables_fit_the_terminal(monkeypatch, capsys, cells, windows, top):
    monkeypatch.setattr(output, "columns", lambda: cells)
    files = ["a.wav", LONG, "声" * 100 + ".wav"]
    table = output.Table(files, windows=windows, labels=tuple(SCORES), top=top)
    for file in files:
        for result in RESULTS:
            table.result(file, result)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 * len(RESULTS) + 3 * windows
    assert max(map(width, lines)) <= cells
    if not windows:
        assert all(any(word in line for word in ("happy", "no emotion")) for line in lines)
        assert sum("end.wav" in line for line in lines) == len(RESULTS)


@pytest.mark.parametrize("cells", [40, 80, 200])
def test_one_file_and_live_audio_fit_the_terminal(monkeypatch, capsys, cells):
    from datetime import datetime

    monkeypatch.setattr(output, "columns", lambda: cells)
    table = output.Table([LONG], windows=False, labels=tuple(SCORES), top=None)
    table.result(LONG, RESULTS[0])
    live = output.Table([], windows=False, labels=tuple(SCORES), top=None)
    for result in RESULTS:
        live.live(datetime(2026, 11, 25, 7, 8, 9), result)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(width, lines)) <= cells
    moment = "07:08:09" if cells == 40 else "2026-11-25 07:08:09"
    assert all(line.startswith(moment + "  ") for line in lines[-len(RESULTS) :])


def test_piped_names_are_whole_and_windows_name_their_file_once(run, tmp_path, monkeypatch):
    path = tmp_path / ("long name " * 12 + ".wav")
    soundfile.write(path, voice(9.0), RATE)
    monkeypatch.setenv("COLUMNS", "60")
    lines = run("classify", path, RECORDING).out.splitlines()
    assert [line.split(".wav")[0] + ".wav" for line in lines] == [str(path), str(RECORDING)]
    lines = run("classify", "--windows", path).out.splitlines()
    assert lines[0] == str(path)
    assert len(lines) == 5
    assert not any(".wav" in line for line in lines[1:])


def test_a_terminal_s_own_width_counts(tmp_path):
    pty = pytest.importorskip("pty")
    fcntl, struct, termios = map(pytest.importorskip, ("fcntl", "struct", "termios"))
    path = tmp_path / ("long name " * 12 + ".wav")
    path.write_bytes(RECORDING.read_bytes())
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 72, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    command = [sys.executable, "-m", "ser_edge", "classify", str(path), str(RECORDING)]
    subprocess.run(
        command, stdout=theirs, check=True, env={**environment, "NO_COLOR": "1"}, timeout=120
    )
    os.close(theirs)
    lines = os.read(ours, 65536).decode().splitlines()
    os.close(ours)
    assert len(lines) == 2
    assert max(map(width, lines)) <= 72
    assert lines[0].startswith("…")


def test_cells():
    assert [width(text) for text in ("abc", "声", "e\u0301")] == [3, 2, 1]
    assert [fitted("recording.wav", cells) for cells in (13, 12, None)] == [
        "recording.wav",
        "…cording.wav",
        "recording.wav",
    ]
    assert printable("a\x1bb\udcffc\u200ed") == "a?b�c?d"


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("command", cli.COMMANDS)
def test_verbose_before_and_after_the_command(command, before):
    arguments = {
        "classify": [RECORDING],
        "bench": ["--runs", "2"],
        "doctor": [],
        "info": [],
        "listen": ["-"],
    }.get(command, ["--help"])
    given = ["-v", command, *arguments] if before else [command, *arguments, "-v"]
    done = program(*given, shell=f"< {RECORDING}")
    assert done.returncode == 0
    if command in ("classify", "info", "listen"):
        assert b"loaded Model" in done.stderr
    if command == "info":
        assert b"name: normalize" in done.stdout


def test_summaries_are_whole_sentences(run):
    from click.testing import CliRunner

    from ser_edge.convert.cli import main as convert

    for text in (run("--help").out, CliRunner().invoke(convert, ["--help"]).output):
        section = text.split("Commands:")[1].split("\n\n")[0]
        assert "..." not in section
        starts = [line for line in section.splitlines() if line[:3].strip()]
        assert section.count(".\n") + section.endswith(".") >= len(starts)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("SER_EDGE_CLASIFY_JSON", "SER_EDGE_CLASSIFY_JSON"),
        ("SER_EDGE_CLASSIFY_AS_JSON", "SER_EDGE_CLASSIFY_JSON"),
        ("SER_EDGE_LISTEN_MQTT_PASSWRD", "SER_EDGE_LISTEN_MQTT_PASSWORD"),
        ("SER_EDGE_LISTEN_FORMAT_", "SER_EDGE_LISTEN_FORMAT"),
        ("SER_EDGE_VERBOS", "SER_EDGE_VERBOSE"),
        ("ser_edge_listen_hop", "SER_EDGE_LISTEN_HOP"),
    ],
)
def test_an_unknown_variable_is_told_with_the_nearest_one(run, monkeypatch, given, meant):
    monkeypatch.setenv(given, "1")
    outcome = run("info")
    assert outcome.code == 0
    assert outcome.err == (
        f"ser-edge: nothing reads {given} from the environment; did you mean {meant}?\n"
    )


def test_known_variables_are_not_told(run, monkeypatch):
    for name in ("LISTEN_MQTT_PASSWORD", "CLASSIFY_THRESHOLD", "CLASSIFY_VERBOSE", "LISTEN_NAME"):
        monkeypatch.setenv(f"SER_EDGE_{name}", "0")
    monkeypatch.setenv("SER_EDGEWISE", "1")
    assert run("info").err == ""


@pytest.mark.parametrize("command", ["classify", "listen"])
def test_json_and_csv_exclude_each_other(run, monkeypatch, command):
    argument = RECORDING if command == "classify" else "-"
    outcome = run(command, "--json", "--csv", argument)
    assert outcome.code == 2
    assert "--json and --csv exclude each other" in outcome.err
    monkeypatch.setenv(f"SER_EDGE_{command.upper()}_CSV", "1")
    assert run(command, "--json", argument).code == 2

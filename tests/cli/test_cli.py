"""The command line, called as a program's `main` is, and as a program where that matters."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_edge import Classifier, __version__, cli
from ser_edge.selftest import reference_signal

RATE = 16_000


class Outcome:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments: object, stdin: bytes | None = None) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["ser-edge", *map(str, arguments)])
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        captured = capsys.readouterr()
        return Outcome(exit_.value.code, captured.out, captured.err)

    return run


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    path = tmp_path / "voice.wav"
    soundfile.write(path, reference_signal(RATE, 3.0), RATE)
    return path


@pytest.fixture
def silence(tmp_path: Path) -> Path:
    path = tmp_path / "silence.wav"
    soundfile.write(path, np.zeros(RATE), RATE)
    return path


def test_version_and_help(run):
    assert run("--version").out.split()[-1] == __version__
    shown = run("--help").out
    assert all(command in shown for command in ("classify", "info", "doctor"))
    assert "Exit codes" in shown


def test_json_lines_hold_the_api_s_result(run, voice, classifier):
    outcome = run("classify", "--json", "--threshold", "0", voice)
    assert outcome.code == 0
    result = Classifier(classifier.model, threshold=0).classify(voice)
    assert json.loads(outcome.out) == {
        "schema": 1,
        "model": classifier.model.metadata.name,
        "file": str(voice),
        **result.to_dict(),
    }
    assert outcome.err == ""


def test_json_has_null_label_and_scores_for_silence(run, silence):
    line = json.loads(run("classify", "--json", silence).out)
    assert (line["label"], line["confidence"], line["scores"]) == (None, None, None)
    assert line["reason"] == "silence"


def test_uncertain_keeps_its_scores(run, voice, classifier):
    line = json.loads(run("classify", "--json", "--threshold", "1", voice).out)
    assert (line["label"], line["reason"]) == (None, "uncertain")
    assert list(line["scores"]) == list(classifier.labels)
    assert sum(line["scores"].values()) == pytest.approx(1)


def test_a_bad_file_fails_alone(run, voice, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    missing = tmp_path / "missing.wav"
    outcome = run("classify", "--json", broken, voice, missing)
    assert outcome.code == cli.EXIT_FAILED
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    assert [line["file"] for line in lines] == [str(broken), str(voice), str(missing)]
    assert set(lines[0]) == set(lines[2]) == {"file", "error"}
    complaints = outcome.err.splitlines()
    assert len(complaints) == 2
    assert all(c.startswith("ser-edge: ") and str(tmp_path) in c for c in complaints)


def test_folders_are_searched(run, voice, silence, tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    voice.rename(tmp_path / "deep" / "er" / "voice.WAV")
    (tmp_path / "notes.txt").write_text("no audio")
    outcome = run("classify", "--json", tmp_path)
    assert outcome.code == 0
    names = [Path(json.loads(line)["file"]).name for line in outcome.out.splitlines()]
    assert sorted(names) == ["silence.wav", "voice.WAV"]


def test_an_empty_folder_is_an_error_but_stops_nothing(run, voice, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    outcome = run("classify", "--json", empty, voice)
    assert outcome.code == cli.EXIT_FAILED
    assert str(empty) in outcome.err
    assert json.loads(outcome.out.splitlines()[-1])["file"] == str(voice)


def test_csv_round_trips(run, voice, silence, classifier):
    outcome = run("classify", "--csv", "--threshold", "0", voice, silence, "missing.wav")
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    assert [row["file"] for row in rows] == [str(voice), str(silence), "missing.wav"]
    scores = {label: float(rows[0][label]) for label in classifier.labels}
    assert scores == dict(Classifier(classifier.model, threshold=0).classify(voice).scores)
    assert rows[1]["reason"] == "silence"
    assert rows[1]["label"] == rows[1]["happy"] == ""
    assert "missing.wav" in rows[2]["error"]


def test_table_of_one_file_shows_every_emotion(run, voice, classifier):
    lines = run("classify", "--threshold", "0", voice).out.splitlines()
    assert str(voice) in lines[0]
    assert {line.split()[0] for line in lines[1:]} == set(classifier.labels)
    shares = [float(line.split()[-2]) for line in lines[1:]]
    assert shares == sorted(shares, reverse=True)
    assert len(run("classify", "--top", "2", voice).out.splitlines()) == 3


def test_table_of_many_has_a_line_each(run, voice, silence):
    lines = run("classify", "--threshold", "0", voice, silence).out.splitlines()
    assert len(lines) == 2
    assert "no emotion (silence)" in lines[1]


def test_windows_make_a_timeline(run, tmp_path, classifier):
    path = tmp_path / "long.wav"
    soundfile.write(path, reference_signal(RATE, 9.0), RATE)
    lines = run("classify", "--windows", "--hop", "2.5", "--json", path).out.splitlines()
    spans = [(json.loads(line)["start"], json.loads(line)["end"]) for line in lines]
    assert spans == [(0, 4), (2.5, 6.5), (5, 9)]
    table = run("classify", "--windows", "--hop", "2.5", path).out.splitlines()
    assert len(table) == 3
    assert "0:00:02.5 - 0:00:06.5" in table[1]


def test_standard_input_is_a_file_too(run, voice):
    line = json.loads(run("classify", "--json", "-", stdin=voice.read_bytes()).out)
    direct = json.loads(run("classify", "--json", voice).out)
    assert line["file"] == "-"
    assert line["scores"] == direct["scores"]


def test_channel_picks_one(run, tmp_path):
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([np.zeros(3 * RATE), reference_signal(RATE, 3.0)], 1), RATE)
    assert json.loads(run("classify", "--json", "--channel", 1, path).out)["reason"] == "silence"
    assert json.loads(run("classify", "--json", "--channel", 2, path).out)["reason"] != "silence"
    outcome = run("classify", "--channel", 3, path)
    assert outcome.code == cli.EXIT_FAILED
    assert "channel 3" in outcome.err


def test_a_name_cannot_steer_the_terminal(run, voice, tmp_path):
    evil = tmp_path / "\x1b[31mred.wav"
    voice.rename(evil)
    assert "\x1b" not in run("classify", evil).out


@pytest.mark.parametrize(
    "arguments",
    [
        ["classify"],
        ["classify", "--hop", "1", "x.wav"],
        ["classify", "--threshold", "2", "x.wav"],
        ["classify", "--model", "nonesuch", "x.wav"],
        ["classify", "--windows", "--hop", "0", "x.wav"],
        ["nonesuch"],
    ],
)
def test_wrong_usage_exits_with_2(run, arguments):
    outcome = run(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert "Error:" in outcome.err


def test_an_unusable_model_exits_with_3(run, voice, tmp_path):
    path = tmp_path / "bad.tflite"
    path.write_bytes(b"nothing of the sort")
    outcome = run("classify", "--model", path, voice)
    assert outcome.code == cli.EXIT_UNUSABLE
    assert outcome.err == f"ser-edge: {path} is not a TFLite model\n"
    assert outcome.out == ""


def test_options_come_from_the_environment(run, voice, monkeypatch):
    monkeypatch.setenv("SER_EDGE_CLASSIFY_THRESHOLD", "1")
    assert json.loads(run("classify", "--json", voice).out)["reason"] == "uncertain"


def test_info_shows_what_the_model_says_of_itself(run, classifier):
    shown = run("info").out
    assert all(label in shown for label in classifier.labels)
    data = json.loads(run("info", "--json").out)
    metadata = json.loads(json.dumps(classifier.model.metadata.to_dict()))
    assert {key: data[key] for key in metadata} == metadata
    assert data["runtime"].startswith(classifier.model.runtime)


def test_doctor_finds_this_installation_healthy(run):
    outcome = run("doctor")
    assert outcome.code == 0
    assert "FAIL" not in outcome.out
    assert "reference answer" in outcome.out


def test_doctor_says_how_to_mend(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    outcome = run("doctor")
    assert outcome.code == cli.EXIT_UNUSABLE
    assert "FAIL  audio files" in outcome.out
    assert "apt install libsndfile1" in outcome.out


def test_interrupt_is_quiet(run, voice, monkeypatch):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Classifier, "classify", interrupt)
    outcome = run("classify", voice)
    assert outcome.code == cli.EXIT_INTERRUPTED
    assert outcome.err == ""


def program(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ser_edge", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(command, **pipes)  # type: ignore[call-overload]


def test_a_closed_pipe_ends_quietly(voice):
    reading, writing = os.pipe()
    os.close(reading)
    process = program("classify", "--json", *[voice] * 3, stdout=writing)
    os.close(writing)
    _, err = process.communicate(timeout=60)
    assert process.returncode == cli.EXIT_CLOSED_PIPE
    assert err == b""


def test_a_full_disk_is_one_sentence(voice):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    with full.open("wb") as stdout:
        process = program("classify", "--json", voice, stdout=stdout)
        _, err = process.communicate(timeout=60)
    assert process.returncode == cli.EXIT_FAILED
    assert err.startswith(b"ser-edge: ")
    assert b"Traceback" not in err


def test_nothing_but_results_is_printed(voice):
    process = program("classify", "--json", voice)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(out.splitlines()) == 1
    assert err == b""


def test_command_keeps_to_one_thread() -> None:
    if not os.path.exists("/proc/self/status"):
        pytest.skip("no /proc here")
    script = (
        "from ser_edge.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*[line for line in open('/proc/self/status') if line.startswith('Threads:')])\n"
    )
    recording = Path(__file__).parents[1] / "data" / "synthetic.wav"
    environment = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
    output = subprocess.run(
        [sys.executable, "-c", script, "classify", str(recording)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert output.stdout.split()[-2:] == ["Threads:", "1"], output


def test_command_does_not_search_for_garbage_on_its_way_out() -> None:
    script = (
        "import atexit, gc\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 0))\n"
        "from ser_edge.cli import main\n"
        "main()\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", script, "--version"], capture_output=True, text=True, check=False
    )
    assert output.returncode == 0
    assert output.stdout.split()[-1] == "True", output

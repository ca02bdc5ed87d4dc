"""`ser-edge classify`: its formats, its errors, and that it gives what the library gives."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_edge import Classifier
from ser_edge.cli import options
from tests.helpers.audio import RATE, silence, voice


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "voice.wav"
    soundfile.write(path, voice(3.0), RATE)
    return path


@pytest.fixture
def silent(tmp_path: Path) -> Path:
    path = tmp_path / "silence.wav"
    soundfile.write(path, silence(1.0), RATE)
    return path


def test_json_lines_hold_the_api_s_result(run, recording, classifier):
    outcome = run("classify", "--json", "--threshold", "0", recording)
    assert outcome.code == 0
    result = Classifier(classifier.model, threshold=0).classify(recording)
    assert json.loads(outcome.out) == {
        "schema": 1,
        "model": classifier.model.metadata.name,
        "file": str(recording),
        **result.rounded().to_dict(),
    }
    assert outcome.err == ""


def test_json_has_null_label_and_scores_for_silence(run, silent):
    line = json.loads(run("classify", "--json", silent).out)
    assert (line["label"], line["confidence"], line["scores"]) == (None, None, None)
    assert line["reason"] == "silence"


def test_uncertain_keeps_its_scores(run, recording, classifier):
    line = json.loads(run("classify", "--json", "--threshold", "1", recording).out)
    assert (line["label"], line["reason"]) == (None, "uncertain")
    assert list(line["scores"]) == list(classifier.labels)
    assert sum(line["scores"].values()) == pytest.approx(1)


def test_a_bad_file_fails_alone(run, recording, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    missing = tmp_path / "missing.wav"
    outcome = run("classify", "--json", broken, recording, missing)
    assert outcome.code == options.EXIT_FAILED
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    assert [line["file"] for line in lines] == [str(broken), str(recording), str(missing)]
    assert set(lines[0]) == set(lines[2]) == {"file", "error"}
    complaints = outcome.err.splitlines()
    assert len(complaints) == 2
    assert all(c.startswith("ser-edge: ") and str(tmp_path) in c for c in complaints)


def test_folders_are_searched(run, recording, silent, tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    recording.rename(tmp_path / "deep" / "er" / "voice.WAV")
    (tmp_path / "notes.txt").write_text("no audio")
    outcome = run("classify", "--json", tmp_path)
    assert outcome.code == 0
    names = [Path(json.loads(line)["file"]).name for line in outcome.out.splitlines()]
    assert sorted(names) == ["silence.wav", "voice.WAV"]


def test_an_empty_folder_is_an_error_but_stops_nothing(run, recording, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    outcome = run("classify", "--json", empty, recording)
    assert outcome.code == options.EXIT_FAILED
    assert str(empty) in outcome.err
    assert json.loads(outcome.out.splitlines()[-1])["file"] == str(recording)


def test_csv_round_trips(run, recording, silent, classifier):
    outcome = run("classify", "--csv", "--threshold", "0", recording, silent, "missing.wav")
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    assert [row["file"] for row in rows] == [str(recording), str(silent), "missing.wav"]
    scores = {label: float(rows[0][label]) for label in classifier.labels}
    expected = Classifier(classifier.model, threshold=0).classify(recording)
    assert scores == expected.rounded().scores
    assert rows[1]["reason"] == "silence"
    assert rows[1]["label"] == rows[1]["happy"] == ""
    assert "missing.wav" in rows[2]["error"]


def test_table_of_one_file_shows_every_emotion(run, recording, classifier):
    lines = run("classify", "--threshold", "0", recording).out.splitlines()
    assert str(recording) in lines[0]
    assert {line.split()[0] for line in lines[1:]} == set(classifier.labels)
    shares = [float(line.split()[-2]) for line in lines[1:]]
    assert shares == sorted(shares, reverse=True)
    assert len(run("classify", "--top", "2", recording).out.splitlines()) == 3


def test_table_of_many_has_a_line_each(run, recording, silent):
    lines = run("classify", "--threshold", "0", recording, silent).out.splitlines()
    assert len(lines) == 2
    assert "no emotion (silence)" in lines[1]


def test_windows_make_a_timeline(run, tmp_path, classifier):
    path = tmp_path / "long.wav"
    soundfile.write(path, voice(9.0), RATE)
    lines = run("classify", "--windows", "--hop", "2.5", "--json", path).out.splitlines()
    spans = [(json.loads(line)["start"], json.loads(line)["end"]) for line in lines]
    assert spans == [(0, 4), (2.5, 6.5), (5, 9)]
    table = run("classify", "--windows", "--hop", "2.5", path).out.splitlines()
    assert len(table) == 4
    assert table[0] == str(path)
    assert "0:00:02.5 - 0:00:06.5" in table[2]


def test_standard_input_is_a_file_too(run, recording):
    line = json.loads(run("classify", "--json", "-", stdin=recording.read_bytes()).out)
    direct = json.loads(run("classify", "--json", recording).out)
    assert line["file"] == "-"
    assert line["scores"] == direct["scores"]


def test_channel_picks_one(run, tmp_path):
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([np.zeros(3 * RATE), voice(3.0)], 1), RATE)
    assert json.loads(run("classify", "--json", "--channel", 1, path).out)["reason"] == "silence"
    assert json.loads(run("classify", "--json", "--channel", 2, path).out)["reason"] != "silence"
    outcome = run("classify", "--channel", 3, path)
    assert outcome.code == options.EXIT_FAILED
    assert "channel 3" in outcome.err


def test_a_name_cannot_steer_the_terminal(run, recording, tmp_path):
    evil = tmp_path / "\x1b[31mred.wav"
    recording.rename(evil)
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


def test_files_of_other_kinds_are_counted(run, recording, tmp_path):
    (tmp_path / "notes.txt").touch()
    outcome = run("classify", "--json", tmp_path)
    assert outcome.code == 0
    assert outcome.err == f"ser-edge: {tmp_path}: passed over 1 file of other kinds\n"
    (tmp_path / "photo.jpg").touch()
    outcome = run("classify", "--json", tmp_path)
    assert outcome.err == f"ser-edge: {tmp_path}: passed over 2 files of other kinds\n"
    assert len(outcome.out.splitlines()) == 1


def test_channels_that_cancel_are_told_on_standard_error(run, tmp_path, recording):
    x = voice(3.0)
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, np.stack([x, -x], 1), RATE)
    recording.unlink()
    outcome = run("classify", "--json", tmp_path)
    assert outcome.code == 0
    lines = outcome.err.splitlines()
    assert [line.split(": ")[1] for line in lines] == [f"{tmp_path}/a.wav", f"{tmp_path}/b.wav"]
    assert all(line.startswith("ser-edge: ") for line in lines)
    assert all(json.loads(line)["reason"] != "silence" for line in outcome.out.splitlines())


def test_raw_samples_from_standard_input(run, recording, classifier):
    raw = np.rint(voice(3.0) * 32767).astype("<i2")
    outcome = run("classify", "--json", "-", "--rate", "16000", stdin=raw.tobytes())
    line = json.loads(outcome.out)
    expected = classifier.classify_samples(raw, RATE).rounded()
    assert (line["scores"], line["label"]) == (expected.to_dict()["scores"], expected.label)
    stereo = np.repeat(raw, 2).astype(np.float32) / 32768
    options_ = ["--rate", 16000, "--channels", 2, "--format", "float32"]
    line = json.loads(run("classify", "--json", "-", *options_, stdin=stereo.tobytes()).out)
    assert line["scores"] == expected.to_dict()["scores"]


def test_raw_options_need_standard_input_and_agree_with_wav(run, recording):
    assert run("classify", "--rate", "16000", recording).code == 2
    outcome = run("classify", "-", "--rate", "8000", stdin=recording.read_bytes())
    assert outcome.code == 2
    assert "--rate 8000, but standard input is a WAV stream that says 16000" in outcome.err
    assert run("classify", "-", "--rate", "16000", stdin=recording.read_bytes()).code == 0
    outcome = run("classify", "-", "--rate", "16000", stdin=b"OggS" + bytes(1000))
    assert outcome.code == options.EXIT_FAILED
    assert "this is Ogg" in outcome.err


def test_no_ffmpeg_refuses_with_the_line_that_converts(run, tmp_path):
    path = tmp_path / "voice.m4a"
    path.write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    outcome = run("classify", "--no-ffmpeg", path)
    assert outcome.code == options.EXIT_FAILED
    assert f"convert this format first: ffmpeg -i {path} " in outcome.err


def test_an_unusable_model_exits_with_3(run, recording, tmp_path):
    path = tmp_path / "bad.tflite"
    path.write_bytes(b"nothing of the sort")
    outcome = run("classify", "--model", path, recording)
    assert outcome.code == options.EXIT_UNUSABLE
    assert outcome.err == f"ser-edge: {path} is not a TFLite model\n"
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("given", "label"),
    [
        (["1"], None),
        (["0"], "label"),
        (["0", "label=1"], None),
        (["1", "label=0"], "label"),
        (["1", "label=1", "label=0"], "label"),
        (["0", "other=1"], "label"),
    ],
)
def test_thresholds_of_emotions(run, recording, classifier, given, label):
    best = json.loads(run("classify", "--json", "--threshold", "0", recording).out)["label"]
    other = next(name for name in classifier.labels if name != best)
    words = [text.replace("label", best).replace("other", other) for text in given]
    arguments = [word for text in words for word in ("--threshold", text)]
    line = json.loads(run("classify", "--json", *arguments, recording).out)
    assert line["label"] == (best if label else None)
    assert line["reason"] == (None if label else "uncertain")


@pytest.mark.parametrize("threshold", ["rage=0.5", "=0.5", "angry=2", "angry=", "angry", "nan"])
def test_a_threshold_that_is_none(run, recording, threshold):
    outcome = run("classify", "--threshold", threshold, recording)
    assert outcome.code == 2
    assert "--threshold" in outcome.err.splitlines()[-1]


def test_several_thresholds_come_from_the_environment(run, recording, monkeypatch):
    best = json.loads(run("classify", "--json", "--threshold", "0", recording).out)["label"]
    monkeypatch.setenv("SER_EDGE_CLASSIFY_THRESHOLD", f"0 {best}=1")
    assert json.loads(run("classify", "--json", recording).out)["reason"] == "uncertain"


def test_options_come_from_the_environment(run, recording, monkeypatch):
    monkeypatch.setenv("SER_EDGE_CLASSIFY_THRESHOLD", "1")
    assert json.loads(run("classify", "--json", recording).out)["reason"] == "uncertain"

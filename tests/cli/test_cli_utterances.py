"""`ser-edge classify` on long recordings: utterances, their summary, labels and subtitles."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.helpers.audio import RATE, silence, voice


@pytest.fixture
def long(tmp_path: Path) -> Path:
    path = tmp_path / "long.wav"
    parts = [part for _ in range(5) for part in (silence(10.0), voice(3.0))]
    soundfile.write(path, np.concatenate(parts), RATE)
    return path


def test_a_long_recording_is_shown_by_its_utterances(run, long, classifier):
    outcome = run("classify", long)
    assert outcome.code == 0
    head, *lines = outcome.out.splitlines()
    assert head == str(long)
    utterances = list(classifier.utterances(long))
    assert len(utterances) == 5
    assert sum(bool(re.match(r"  0:0\d:\d\d\.\d - ", line)) for line in lines) == 5
    assert any("speech 0:00:" in line and "utterances: 5" in line for line in lines)


def test_json_of_a_long_recording_holds_its_summary(run, long, classifier):
    line = json.loads(run("classify", "--json", long).out)
    assert line["summary"] == classifier.summarize(long).to_dict()
    assert line["scores"] == classifier.classify(long).rounded().to_dict()["scores"]


def test_a_short_recording_has_no_summary(run):
    assert "summary" not in json.loads(run("classify", "--json", "tests/data/synthetic.wav").out)


def test_json_of_utterances_ends_with_the_summary(run, long, classifier):
    *lines, last = map(json.loads, run("classify", "--utterances", "--json", long).out.splitlines())
    found = [result.rounded().to_dict() for result in classifier.utterances(long)]
    assert [{key: line[key] for key in found[0]} for line in lines] == found
    assert last["summary"]["utterances"] == len(found)


def test_csv_of_utterances(run, long, classifier):
    rows = list(csv.DictReader(io.StringIO(run("classify", "--utterances", "--csv", long).out)))
    found = [(str(r.start), str(r.end)) for r in classifier.utterances(long)]
    assert [(row["start"], row["end"]) for row in rows] == found


def test_labels_and_subtitles(run, long, classifier):
    found = list(classifier.utterances(long))
    rows = [line.split("\t") for line in run("classify", "--labels", long).out.splitlines()]
    assert [float(row[0]) for row in rows] == [result.start for result in found]
    head, _, *cues = run("classify", "--vtt", long).out.splitlines()
    assert head == "WEBVTT"
    times = [line for line in cues if " --> " in line]
    assert len(times) == len(found)
    assert all(
        re.fullmatch(r"(\d\d:\d\d:\d\d\.\d{3})( --> \1)?", t.split(" --> ")[0]) for t in times
    )


def test_wrong_usage(run, long):
    assert run("classify", "--labels", long, long).code == 2
    assert run("classify", "--labels", "--vtt", long).code == 2
    assert run("classify", "--utterances", "--windows", long).code == 2
    assert run("classify", "--plot", "x.png", long).code == 2


def test_a_picture_of_utterances(run, long, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "long.png"
    assert run("classify", "--utterances", "--plot", picture, long).code == 0
    assert picture.stat().st_size > 10_000


def test_a_folder_ends_with_one_line(run, long):
    (long.parent / "broken.wav").write_bytes(b"RIFF")
    outcome = run("classify", long.parent)
    assert outcome.code == 1
    last = outcome.out.splitlines()[-1]
    assert last.startswith("1 recording, 0:01:05: ")
    assert last.endswith("failed 1")


def test_what_was_said_in_silence(run, tmp_path):
    path = tmp_path / "silence.wav"
    soundfile.write(path, silence(70.0), RATE)
    outcome = run("classify", path)
    assert outcome.code == 0
    assert "speech 0:00:00 of 0:01:10 (0 %)" in outcome.out
    pytest.importorskip("matplotlib")
    assert run("classify", "--utterances", "--plot", tmp_path / "s.png", path).code == 0


def test_utterances_by_two_processes(run, long, tmp_path):
    arguments = ("classify", "--utterances", "--csv", long, "tests/data/synthetic.wav")
    assert run(*arguments, "--jobs", 2).out == run(*arguments).out
    output = tmp_path / "utterances.csv"
    run(*[each for each in arguments if each != "--csv"], "-o", output)
    assert output.read_text() == run(*arguments).out

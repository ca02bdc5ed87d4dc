"""`ser-edge adapt`, and `--profile` wherever a model is chosen."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_edge import AudioError, Classifier
from ser_edge.adapt.labelled import find_clips
from ser_edge.adapt.profile import Profile
from ser_edge.cli import options
from tests.helpers.audio import RATE, noise, silence, voice
from tests.helpers.models import bundled, write


def clip(kind: str, number: int) -> np.ndarray:
    """A voice that is slow or fast, a bit different each time: both 'sound' alike otherwise."""
    speed = {"calm": 0.7, "excited": 1.4}[kind] * (1 + 0.02 * number)
    samples = voice(3.0, round(RATE / speed))[: 2 * RATE]
    return samples + noise(samples.size, seed=number, level=0.001)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four clips of each of two new emotions."""
    for kind in ("calm", "excited"):
        place = tmp_path / "clips" / kind
        place.mkdir(parents=True)
        for number in range(4):
            soundfile.write(place / f"{number}.wav", clip(kind, number), RATE)
    return tmp_path / "clips"


@pytest.fixture
def profile(run, folder, tmp_path) -> Path:
    path = tmp_path / "voice.json"
    assert run("adapt", folder, "-o", path).code == 0
    return path


def test_new_emotions_are_learned_and_told(run, folder, tmp_path):
    output = tmp_path / "voice.json"
    outcome = run("adapt", folder, "-o", output)
    assert outcome.code == 0
    assert outcome.err == ""
    found = Profile.read(output)
    assert found.labels == ("calm", "excited")
    assert dict(found.clips) == {"calm": 4, "excited": 4}
    assert found.leave_one_out.before.accuracy == 0  # the model knows neither
    assert found.leave_one_out.after.accuracy == 1
    assert str(tmp_path) not in output.read_text()
    fresh = tmp_path / "fresh.wav"
    soundfile.write(fresh, clip("excited", 5), RATE)
    line = json.loads(run("classify", "--json", "--profile", output, fresh).out)
    assert line["label"] == "excited"
    assert line["profile"] == "voice"
    assert list(line["scores"]) == ["calm", "excited"]


def test_the_report_as_json(run, folder, tmp_path):
    report = json.loads(run("adapt", folder, "-o", tmp_path / "voice.json", "--json").out)
    assert report["schema"] == 1
    assert report["written"] is True
    assert report["clips"] == {"calm": 4, "excited": 4}
    after = report["leave_one_out"]["after"]
    assert (after["uar"], after["accuracy"]) == (1.0, 1.0)
    assert report["recalls"] == [
        {"label": label, "clips": 4, "before": 0, "after": 4} for label in ("calm", "excited")
    ]
    assert [point["clips"] for point in report["curve"]] == [1, 2, 3]


def test_a_list_of_clips_is_as_good_as_folders(run, folder, tmp_path, profile):
    rows = "".join(
        f"{path.relative_to(tmp_path)},x,{path.parent.name.title()} \n"
        for path in sorted(folder.rglob("*.wav"))
    )
    index = tmp_path / "index.csv"
    index.write_text("path,speaker,label\n" + rows)
    for place in (index, tmp_path):
        output = tmp_path / "other.json"
        assert run("adapt", place, "-o", output).code == 0
        assert output.read_bytes() == profile.read_bytes()


def test_two_folders_may_be_named(run, folder, tmp_path, profile):
    output = tmp_path / "other.json"
    assert run("adapt", folder / "calm", folder / "excited", "-o", output).code == 0
    assert output.read_bytes() == profile.read_bytes()


def test_one_clip_of_each_emotion_is_written_and_not_judged(run, folder, tmp_path):
    for path in folder.rglob("[1-9].wav"):
        path.unlink()
    output = tmp_path / "voice.json"
    outcome = run("adapt", folder, "-o", output)
    assert outcome.code == 0
    assert "too few to judge" in outcome.out
    assert Profile.read(output).leave_one_out is None


def test_no_gain_writes_nothing_without_force(run, tmp_path, corpora):
    """Clips that the model answers rightly as it is."""
    classifier = Classifier.bundled(threshold=0)
    right: dict[str, list[str]] = {}
    for item in (c for c in corpora if c.corpus == "emo_db"):
        taken = right.setdefault(item.label, [])
        if item.label in ("sad", "angry") and len(taken) < 3:
            result = classifier.classify(str(item.path))
            if result.label == item.label and result.confidence > 0.9:
                taken.append(str(item.path))
    index = tmp_path / "index.csv"
    rows = [f"{path},{label}" for label in ("sad", "angry") for path in right[label]]
    index.write_text("path,label\n" + "\n".join(rows) + "\n")
    output = tmp_path / "voice.json"
    outcome = run("adapt", index, "-o", output)
    assert outcome.code == options.EXIT_FAILED
    assert outcome.err.count("\n") == 1
    assert "no gain" in outcome.err
    assert not output.exists()
    assert run("adapt", index, "-o", output, "--force").code == 0
    assert output.exists()


def test_clips_that_cannot_be_used_are_left_out_with_a_sentence(run, folder, tmp_path):
    soundfile.write(folder / "calm" / "silent.wav", silence(2.0), RATE)
    soundfile.write(folder / "calm" / "noise.wav", noise(2 * RATE), RATE)
    (folder / "calm" / "broken.wav").write_bytes(b"RIFF")
    (folder / "calm" / "same.wav").write_bytes((folder / "calm" / "0.wav").read_bytes())
    (folder / "excited" / "both.wav").write_bytes((folder / "calm" / "3.wav").read_bytes())
    output = tmp_path / "voice.json"
    outcome = run("adapt", folder, "-o", output)
    assert outcome.code == 0
    lines = outcome.err.splitlines()
    assert len(lines) == 5
    assert all("left out" in line for line in lines)
    said = "\n".join(lines)
    for expected in ("silent.wav: no emotion (silence)", "noise.wav: no emotion (no_speech)",
                     "broken.wav", "same.wav is the same as",
                     "3.wav (calm): both left out"):  # fmt: skip
        assert expected in said
    assert dict(Profile.read(output).clips) == {"calm": 3, "excited": 4}


def test_two_identical_clips_are_one(run, folder, tmp_path):
    for path in folder.rglob("[1-9].wav"):
        path.unlink()
    (folder / "calm" / "1.wav").write_bytes((folder / "calm" / "0.wav").read_bytes())
    output = tmp_path / "voice.json"
    outcome = run("adapt", folder, "-o", output)
    assert outcome.code == 0
    assert dict(Profile.read(output).clips) == {"calm": 1, "excited": 1}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda place: None, "no audio files"),
        (lambda place: _write(place / "a.wav", silence(2.0)), "no clip with speech"),
        (lambda place: _write(place / "a.wav", voice(2.0)), "at least two emotions"),
        (lambda place: (place / "index.csv").write_text("path\na.wav\n"), "no column label"),
        (lambda place: (place / "index.csv").write_text("path,label\n"), "lists no clips"),
        (lambda place: (place / "index.csv").write_text("path,label\na,\n"), "no name of an"),
        (lambda place: (place / "index.csv").write_bytes(b"path,label\n\xff,\n"), "UTF-8"),
    ],
)
def test_what_makes_no_profile_is_one_sentence(run, tmp_path, make, sentence):
    place = tmp_path / "happy"
    place.mkdir()
    make(place)
    outcome = run("adapt", place, "-o", tmp_path / "voice.json")
    assert outcome.code == options.EXIT_FAILED
    assert sentence in outcome.err.splitlines()[-1]
    assert outcome.out == ""
    assert not (tmp_path / "voice.json").exists()


def _write(path: Path, samples: np.ndarray) -> None:
    soundfile.write(path, samples, RATE)


def test_wrong_usage(run, folder, tmp_path):
    assert run("adapt", folder).code == 2
    assert run("adapt", "-o", tmp_path / "voice.json").code == 2


def test_ordinary_speech_alone(run, folder, tmp_path):
    output = tmp_path / "voice.json"
    outcome = run("adapt", folder / "calm", "--neutral-only", "--force", "-o", output)
    assert outcome.code == 0
    assert "answered with neutral" in outcome.out
    found = Profile.read(output)
    assert found.labels == Classifier.bundled().labels
    assert found.clips["neutral"] == 4


def test_ordinary_speech_is_compared_with_that_of_others(run, folder, tmp_path):
    output = tmp_path / "voice.json"
    flatbuffer, metadata = bundled()
    for far, code in ((0.0, options.EXIT_FAILED), (3.0, 0)):
        heard = Classifier.bundled().classify(folder / "calm" / "0.wav").scores
        usual = [
            math.log(probability) - far * place for place, probability in enumerate(heard.values())
        ]
        model = write(
            tmp_path / "model.tflite", flatbuffer, {**metadata, "neutral_log_probabilities": usual}
        )
        outcome = run(
            "adapt", folder / "calm" / "0.wav", "--neutral-only", "-o", output, "--model", model
        )
        assert outcome.code == code
        assert output.exists() == (code == 0)
    assert Profile.read(output).clips["neutral"] == 1


def test_a_profile_everywhere(run, folder, profile):
    recording = folder / "calm" / "0.wav"
    plain = run("classify", "--json", recording)
    assert "profile" not in json.loads(plain.out)
    described = json.loads(run("info", "--json", "--profile", profile).out)
    assert described["profile"]["labels"] == ["calm", "excited"]
    assert "weights" not in described["profile"]
    timed = json.loads(run("bench", "--json", "--runs", "2", "--profile", profile).out)
    assert timed["profile"] == "voice"
    csv_lines = run("classify", "--csv", "--profile", profile, recording).out.splitlines()
    assert csv_lines[0].endswith("reason,calm,excited,error")


def test_live_results_name_the_profile(profile):
    samples = np.rint(32767 * clip("calm", 0)).astype("<i2").tobytes()
    command = [sys.executable, "-m", "ser_edge", "listen", "-", "--rate", str(RATE), "--json"]
    process = subprocess.run(
        [*command, "--profile", str(profile)], input=samples, capture_output=True, check=True
    )
    (line,) = [json.loads(text) for text in process.stdout.splitlines()]
    assert (line["model"], line["profile"], line["label"]) == ("default", "voice", "calm")
    assert list(line["scores"]) == ["calm", "excited"]


def test_the_converter_measures_with_a_profile(toy_profile, toy_index):
    from click.testing import CliRunner

    from ser_edge.convert import cli

    arguments = ["evaluate", "default", str(toy_index), "--json", "--profile", str(toy_profile)]
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["labels"] == ["happy", "sad"]
    assert report["conditions"]["clean"]["toy"]["uar"] == 1.0


@pytest.fixture
def toy_index(tmp_path) -> Path:
    """Two emotions of two speakers, of which the model thinks nothing."""
    rows = ["path,corpus,speaker,label,split"]
    place = tmp_path / "toy"
    place.mkdir()
    for kind, label in (("calm", "sad"), ("excited", "happy")):
        for number in range(6):
            soundfile.write(place / f"{label}{number}.wav", clip(kind, number), RATE)
            split = "train" if number < 4 else "dev"
            rows.append(f"{label}{number}.wav,toy,{split},{label},{split}")
    (place / "index.csv").write_text("\n".join(rows) + "\n")
    return place / "index.csv"


@pytest.fixture
def toy_profile(run, toy_index, tmp_path) -> Path:
    lines = toy_index.read_text().splitlines()
    index = toy_index.parent / "train.csv"
    index.write_text("\n".join(line for line in lines if not line.endswith("dev")) + "\n")
    path = tmp_path / "toy.json"
    assert run("adapt", index, "-o", path, "--force").code == 0
    return path


def test_a_model_without_a_profile_loads_nothing_of_it():
    command = "import sys, ser_edge.classifier; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    names = loaded.stdout.split()
    assert "ser_edge.model" in names
    assert not {"ser_edge.adapt.profile", "ser_edge.adapt.fit", "ser_edge.adapt.labelled"} & set(
        names
    )


def test_a_profile_of_another_model_is_one_sentence(run, folder, profile, tmp_path):
    recording = folder / "calm" / "0.wav"
    outcome = run("classify", "--model", "open", "--profile", profile, recording)
    assert outcome.code == options.EXIT_UNUSABLE
    assert outcome.err.count("\n") == 1
    assert "made for another model (default) than this open" in outcome.err
    broken = tmp_path / "broken.json"
    broken.write_bytes(profile.read_bytes()[:-100])
    outcome = run("classify", "--profile", broken, recording)
    assert outcome.code == options.EXIT_UNUSABLE
    assert outcome.err.count("\n") == 1
    assert "broken.json: the profile is not valid JSON" in outcome.err
    outcome = run("classify", "--profile", tmp_path / "none.json", recording)
    assert outcome.code == options.EXIT_UNUSABLE
    assert "cannot read the profile" in outcome.err


def test_the_environment_names_a_profile(run, folder, profile, monkeypatch):
    monkeypatch.setenv("SER_EDGE_CLASSIFY_PROFILE", str(profile))
    line = json.loads(run("classify", "--json", folder / "calm" / "0.wav").out)
    assert line["profile"] == "voice"


def test_labels_are_the_folders_in_which_clips_lie(folder):
    assert [(Path(path).name, label) for path, label in find_clips([folder / "calm"])] == [
        (f"{number}.wav", "calm") for number in range(4)
    ]


def test_a_place_that_is_not_there_is_named(tmp_path):
    with pytest.raises(AudioError, match="nowhere: No such file or directory"):
        find_clips([tmp_path / "nowhere"])

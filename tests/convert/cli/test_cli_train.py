from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ser_edge.convert.cli import main
from ser_edge.convert.corpus.clips import Clip
from ser_edge.convert.train import pipeline
from ser_edge.errors import SerEdgeError
from ser_edge.model import Model


def write_index(clips: list[Clip], folder: Path) -> Path:
    rows = [(clip.path, clip.corpus, clip.speaker, clip.label, clip.split) for clip in clips]
    lines = ["path,corpus,speaker,label,split", *(",".join(map(str, row)) for row in rows)]
    index = folder / "index.csv"
    index.write_text("\n".join(lines) + "\n")
    return index


def write_ordinary(clips: list[Clip], folder: Path) -> Path:
    index = folder / "ordinary.csv"
    rows = [f"{clip.path},phones,\n" for clip in clips]
    index.write_text("path,corpus,speaker\n" + "".join(rows))
    return index


def test_help_does_not_wait_for_tensorflow() -> None:
    script = (
        "import sys\n"
        "from ser_edge.convert.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "train" in result.stdout


@pytest.mark.slow
def test_train_writes_a_model_that_runs(
    toy_clips: list[Clip], toy_frontend: dict[str, Any], tmp_path: Path
) -> None:
    """Of two corpora, one of which has no dev clips: accuracy is stated for the other one."""
    pytest.importorskip("tensorflow")
    pytest.importorskip("matplotlib")
    frontend, output = tmp_path / "frontend.json", tmp_path / "toy.tflite"
    picture = tmp_path / "curves.png"
    own = {"disgust": "gelangweilt"}
    toy_clips = [replace(clip, label=own.get(clip.label, clip.label)) for clip in toy_clips]
    frontend.write_text(json.dumps(toy_frontend))
    other = [replace(clip, corpus="other") for clip in toy_clips[12:24]]
    index = write_index([*toy_clips[:12], *other, *toy_clips[24:]], tmp_path)
    # In a process of its own: the number of TensorFlow's threads is set before its first use.
    command = [sys.executable, "-m", "ser_edge.convert", "train", "--architecture", "lstm"]
    command += ["--epochs", "1", "--copies", "1", "--jobs", "1", "--name", "toy"]
    command += ["--no-teacher"]
    command += [str(index), "--frontend", str(frontend)]
    command += ["--cache", str(tmp_path / "cache"), "--output", str(output)]
    command += ["--plot", str(picture)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    model = Model(output)
    assert model.metadata.name == "toy"
    assert model.metadata.labels == ("neutral", "happy", "sad", "angry", "fear", "gelangweilt")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "note: no accuracy will be stated of other: no dev clips" in result.stderr
    assert model.metadata.frontend.normalization is not None
    training, accuracy = (model.metadata.details[name] for name in ("training", "accuracy"))
    assert {row["name"]: row["clips"] for row in training["corpora"]} == {"toy": 12, "other": 12}
    assert training["config"]["epochs"] == 1
    assert list(accuracy["corpora"]) == ["toy"]
    assert accuracy["mean_uar"] == accuracy["corpora"]["toy"]["uar"]


@pytest.mark.slow
def test_a_second_network_makes_one_model_of_two(toy_clips: list[Clip], tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    other = [replace(clip, corpus="other") for clip in toy_clips[:12]]
    index = write_index([*toy_clips[12:], *other], tmp_path)
    ordinary = write_ordinary(toy_clips[:6], tmp_path)
    output, cache = tmp_path / "toy.tflite", tmp_path / "cache"
    command = [sys.executable, "-m", "ser_edge.convert", "train", str(index), "--no-teacher"]
    command += ["--architecture", "slim", "--second", "other", "--output", str(output)]
    command += ["--second-weight", "0.25", "--neutral-shift", "-0.25", "--ordinary", str(ordinary)]
    command += ["--epochs", "1", "--copies", "0", "--name", "toy", "--cache", str(cache)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count('"epoch": 1') == 2
    model = Model(output)
    training = model.metadata.details["training"]
    assert (training["second"], training["second_weight"]) == (["other"], 0.25)
    assert {row["name"] for row in training["corpora"]} == {"toy", "other", "phones"}
    assert training["neutral_shift"] == -0.25
    embedding, utterance = model.metadata.embedding, model.metadata.utterance_embedding
    assert embedding is not None
    assert utterance is not None
    assert (embedding.size, utterance.size) == (128, 448)
    folders = [cache / "runs" / "toy", cache / "runs" / "toy" / "second"]
    losses = [json.loads((folder / "log.jsonl").read_text())["loss"] for folder in folders]
    assert losses[0] != losses[1]
    matrix = np.random.default_rng(0).standard_normal((1, *model.frontend.shape), dtype=np.float32)
    plain, shifted = (
        pipeline.trained(folders, second_weight=0.25, neutral_shift=shift)(matrix).numpy()[0]
        for shift in (0.0, -0.25)
    )
    odds = np.log(shifted / plain)
    assert odds[0] - odds[1:] == pytest.approx(-0.25, abs=1e-4)


def test_a_second_network_of_all_that_is_labelled_leaves_ordinary_speech_out(
    toy_clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = write_index(toy_clips, tmp_path)
    ordinary = write_ordinary(toy_clips[:1], tmp_path)
    asked: list[tuple[set[str], list[str]]] = []

    def train(clips: list[Clip], *_: Any, second: list[str], **__: Any) -> None:
        asked.append(({clip.corpus for clip in clips}, second))
        raise SerEdgeError("that is enough")

    monkeypatch.setattr(pipeline, "train", train)
    words = ["train", str(index), "--ordinary", str(ordinary), "--output", "x.tflite"]
    result = CliRunner().invoke(main, [*words, "--second", "labelled"])
    assert "that is enough" in result.output
    assert asked == [({"toy", "phones"}, ["toy"])]


@pytest.mark.parametrize(
    ("option", "content", "message"),
    [
        ("index", "path,corpus\n", "lacks the column 'label'"),
        ("--corpus", "", "no training clips of a corpus"),
        ("--frontend", "not json", "is not JSON"),
        ("--frontend", "{}", "frontend.steps is missing"),
        ("--frontend", "[]", "frontend is not an object"),
    ],
)
def test_failure_is_one_sentence(
    option: str, content: str, message: str, toy_clips: list[Clip], tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text(content)
    index = wrong if option == "index" else toy_clips[0].path.parent
    words = ["train", str(index), "--output", str(tmp_path / "x.tflite")]
    words += [] if option == "index" else [option, str(wrong)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert message in result.output
    assert len(result.output.splitlines()) == 1


def test_what_cannot_be_measured_or_written_is_refused_at_once(
    toy_clips: list[Clip], tmp_path: Path
) -> None:
    index = write_index([clip for clip in toy_clips if clip.split == "train"], tmp_path)
    toy = str(toy_clips[0].path.parent)
    options: dict[str, tuple[str, ...]] = {
        "no clip of toy is in the split 'dev'": (str(index),),
        "no folder": (toy, "--output", str(tmp_path / "missing" / "x.tflite")),
        "can only learn without teacher": (toy, "--architecture", "lstm"),
        "cannot be joined": (toy, "--architecture", "cnn", "--no-teacher", "--second", "toy"),
        "no training clips of a corpus 'mine'": (toy, "--second", "mine"),
    }
    for message, option in options.items():
        words = ["train", "--output", "x.tflite"]
        result = CliRunner().invoke(main, [*words, "--cache", str(tmp_path / "cache"), *option])
        assert result.exit_code == 1
        assert message in result.output
        assert len(result.output.splitlines()) == 1
    assert not (tmp_path / "cache").exists()


def test_a_plot_of_an_unknown_format_is_wrong_usage(toy_clips: list[Clip], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    words = ["train", str(toy_clips[0].path.parent), "--output", "x.tflite", "--plot", "x.nothing"]
    result = CliRunner().invoke(main, [*words, "--cache", str(tmp_path / "cache")])
    assert result.exit_code == 2
    assert "the name must end in one of" in result.output


def test_unknown_architecture_is_wrong_usage() -> None:
    result = CliRunner().invoke(main, ["train", "--output", "x", "--architecture", "best"])
    assert result.exit_code == 2

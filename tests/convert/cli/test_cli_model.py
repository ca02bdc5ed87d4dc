"""The commands `model` and `inspect`: options, output, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from ser_edge.convert import frontends
from ser_edge.convert.cli import main
from ser_edge.model import Model
from tests.helpers.audio import voice

SOURCE = Path(__file__).parents[1] / "data" / "keras3_sequential.keras"
FRONTEND = {
    "sample_rate": 8000,
    "window_seconds": 1.0,
    "features": [{"name": "mfcc", "n_mfcc": 6, "n_mels": 20, "n_fft": 512, "hop_length": 400}],
    "layout": "frames_features",
}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def frontend(tmp_path: Path) -> Path:
    path = tmp_path / "frontend.json"
    path.write_text(json.dumps(FRONTEND))
    return path


def test_converts_verifies_and_inspects(tmp_path: Path, frontend: Path) -> None:
    pytest.importorskip("tensorflow")
    pytest.importorskip("librosa")
    for number, rate in enumerate((8000, 11025, 16000)):
        soundfile.write(tmp_path / f"{number}.wav", voice(0.5 + 0.3 * number, rate=rate), rate)
    output, report = tmp_path / "out.tflite", tmp_path / "report.json"
    scaler = tmp_path / "scaler.npz"
    np.savez(scaler, mean=np.zeros(6), scale=np.full(6, 100.0))
    arguments = ("--labels", "yes, no,maybe", "--frontend", frontend, "--name", "tiny")
    arguments += ("--scaler", scaler)
    result = run(
        "model", SOURCE, "-o", output, *arguments, "--verify", tmp_path, "--report", report
    )
    assert result.exit_code == 0, result.output
    assert "same label" in result.stdout
    assert "100.00 %" in result.stdout
    assert "converting" in result.stderr
    assert json.loads(report.read_text())["clips"] == 3

    shown = run("inspect", output)
    assert shown.exit_code == 0, shown.output
    assert "WHILE" in shown.stdout or "UNIDIRECTIONAL_SEQUENCE_LSTM" in shown.stdout
    assert 'labels: ["yes", "no", "maybe"]' in shown.stdout
    found = json.loads(run("inspect", "--json", output).stdout)
    assert found["inputs"][0]["shape"] == [1, 21, 6]
    assert sum(found["bytes"].values()) == output.stat().st_size
    normalization = Model(output).frontend.spec.normalization
    assert normalization is not None
    assert normalization.arguments == {"by": "training", "mean": (0,) * 6, "std": (100,) * 6}
    assert found["metadata"]["name"] == "tiny"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "state the front end: either --preset or --frontend"),
        (("--preset", "seed", "--frontend", SOURCE), "either --preset or --frontend"),
        (("--frontend", SOURCE), "state the labels in the order of the model's outputs"),
        (("--preset", "compact"), "state the labels in the order of the model's outputs"),
        (("--preset", "nobody"), "'nobody' is not one of"),
        (("--preset", "seed", "--quantize", "int8"), "--quantize int8 needs --calibrate"),
        (("--preset", "seed", "--report", "r.json"), "--report needs --verify"),
        (("--preset", "seed", "--min-agreement", "98"), "98.0 is not in the range"),
        (("--preset", "seed", "--verify", "/no/such"), "'/no/such' does not exist"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: tuple[object, ...], sentence: str) -> None:
    result = run("model", SOURCE, "-o", tmp_path / "out.tflite", *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_file_that_describes_no_front_end(tmp_path: Path) -> None:
    path = tmp_path / "frontend.json"
    for text, sentence in (
        ("{", "is not JSON"),
        ("{}", "frontend.steps is missing"),
        ("[]", "frontend is not an object"),
    ):
        path.write_text(text)
        arguments = ("--frontend", path, "--labels", "yes,no,maybe")
        result = run("model", SOURCE, "-o", tmp_path / "out.tflite", *arguments)
        assert result.exit_code == 1
        assert sentence in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_a_scaler_of_something_else(tmp_path: Path, frontend: Path) -> None:
    path = tmp_path / "scaler.json"
    path.write_text('{"mean": [1, 2, 3]}')
    arguments = ("--frontend", frontend, "--labels", "yes,no,maybe", "--scaler", path)
    result = run("model", SOURCE, "-o", tmp_path / "out.tflite", *arguments)
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: the scaler {path} has 3 values, where the front end gives 6 features\n"
    )


def test_a_source_that_is_not_there(tmp_path: Path, frontend: Path) -> None:
    arguments = ("--frontend", frontend, "--labels", "yes,no,maybe")
    result = run("model", "/no/such.h5", "-o", tmp_path / "o.tflite", *arguments)
    assert result.exit_code == 1
    assert result.stderr == "Error: there is no /no/such.h5\n"


def test_the_seed_preset_knows_its_labels(tmp_path: Path) -> None:
    assert frontends.LABELS["seed"] == ("neutral", "happy", "sad", "angry", "fear", "disgust")
    result = run("model", "/no/such.h5", "-o", tmp_path / "o.tflite", "--preset", "seed")
    assert result.stderr == "Error: there is no /no/such.h5\n"


def test_inspect_refuses_other_files(tmp_path: Path) -> None:
    path = tmp_path / "noise.tflite"
    path.write_bytes(np.random.default_rng(1).bytes(1000))
    result = run("inspect", path)
    assert result.exit_code == 1
    assert result.stderr == f"Error: {path} is not a TFLite model\n"

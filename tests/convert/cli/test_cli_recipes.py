"""The commands `presets` and `fit-frontend`: options, output, exit codes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from ser_edge.convert import frontends, scaler
from ser_edge.convert.cli import main
from ser_edge.convert.recipes import fit
from ser_edge.convert.recipes.recipe import Feature, Recipe
from ser_edge.convert.recipes.search import Ranked
from ser_edge.convert.recipes.trial import Candidate, Trial
from ser_edge.errors import ModelError, SerEdgeError
from ser_edge.frontend import FrontendSpec
from tests.helpers.audio import noise, voice
from tests.helpers.conversion import convert

SOURCE = Path(__file__).parents[1] / "data" / "keras3_sequential.keras"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_presets_are_listed() -> None:
    result = run("presets")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(frontends.NAMES)
    assert all(len(line.split(maxsplit=1)[1]) > 20 for line in lines)


@pytest.mark.parametrize("name", frontends.NAMES)
def test_a_preset_is_printed_as_a_front_end_file(name: str, tmp_path: Path) -> None:
    result = run("presets", name)
    assert result.exit_code == 0
    file = tmp_path / "front.json"
    file.write_text(result.stdout)
    assert frontends.read(file) == FrontendSpec.parse(frontends.preset(name)).to_dict()


def test_an_unknown_preset() -> None:
    result = run("presets", "nobody")
    assert result.exit_code == 2
    assert "'nobody' is not one of" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "state RECORDINGS with labels, or --expect PREDICTIONS.CSV"),
        (("/no/such",), "'/no/such' does not exist"),
        (("--expect", "/no/such"), "'/no/such' does not exist"),
        (("--limit", "1"), "1 is not in the range"),
    ],
)
def test_wrong_usage(arguments: tuple[object, ...], sentence: str) -> None:
    result = run("fit-frontend", SOURCE, "--labels", "yes,no,maybe", *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_labels_are_needed() -> None:
    assert "Missing option '--labels'" in run("fit-frontend", SOURCE).stderr


def test_recordings_without_these_labels(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", voice(1.0), 16_000)
    (tmp_path / "index.csv").write_text("path,label\na.wav,sad\n")
    with pytest.raises(SerEdgeError, match="no recording with one of the labels yes, no"):
        fit.fit(str(SOURCE), fit.Options(["yes", "no"], tmp_path))


def test_a_scaler_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "scaler.json").write_text('{"mean": [1.0], "scale": [0.0]}')
    with pytest.raises(ModelError, match="every scale must be above zero"):
        fit.fit(str(SOURCE), fit.Options(["a", "b"], tmp_path, scaler=tmp_path / "scaler.json"))


def test_a_scaler_ends_every_front_end_that_is_tried(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    layers = [tf.keras.layers.Dense(2, "softmax", input_shape=(13,))]
    flatbuffer = convert(tf.keras.Sequential(layers), "none")
    file = tmp_path / "scaler.json"
    file.write_text(json.dumps({"mean": [1.0] * 13, "scale": [2.0] * 13}))
    candidate = Candidate("", Recipe((Feature("mfcc", 13),), duration=3.0, pool="time").spec())
    plain = Trial(flatbuffer, []).frontend(candidate)
    scaled = Trial(flatbuffer, [], lambda spec: scaler.add(spec, file)).frontend(candidate)
    assert plain is not None
    assert scaled is not None
    signal = voice(1.0, 22_050)
    assert np.allclose(scaled(signal), (plain(signal) - 1.0) / 2.0, atol=1e-4)


def test_what_is_shown_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = [Candidate(name, frontends.preset(name)) for name in ("mean-mfcc-40", "seed")]
    found = fit.Fit(
        [
            Ranked(candidates[0], 8, 0.0, 0.0001, np.zeros((8, 2))),
            Ranked(candidates[1], 3, 0.5, 0.9, np.zeros((8, 2))),
        ],
        sure=True,
        reason="so it is",
        clips=8,
        expected=True,
        tried=2,
    )
    monkeypatch.setattr("ser_edge.convert.cli.fit_frontend.fit", lambda *_, **__: found)
    (tmp_path / "predictions.csv").write_text("")
    arguments = ("--labels", "a,b", "--expect", tmp_path / "predictions.csv")
    result = run("fit-frontend", SOURCE, *arguments, "-o", tmp_path / "front.json")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "same label  largest difference  front end",
        "    8 of 8              0.0001  mean-mfcc-40",
        "    3 of 8              0.9000  seed",
    ]
    assert result.stderr.splitlines()[-1] == "sure: so it is"
    assert json.loads((tmp_path / "front.json").read_text()) == frontends.preset("mean-mfcc-40")


@pytest.mark.slow
def test_finds_the_recipe_of_an_author(tmp_path: Path) -> None:
    """A network of one layer that was fed the mean of 13 MFCC of 2.5 s by an older librosa."""
    tf = pytest.importorskip("tensorflow")
    librosa = pytest.importorskip("librosa")
    pytest.importorskip("resampy")
    tf.keras.utils.set_random_seed(0)
    model = tf.keras.Sequential([tf.keras.layers.Dense(3, "softmax", input_shape=(13,))])
    model.set_weights([weights * 0.05 for weights in model.get_weights()])
    model.save(tmp_path / "model.h5")
    with (tmp_path / "predictions.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "a", "b", "c"])
        for number in range(8):
            samples = voice(3.0 + 0.1 * number, 16_000)
            samples = samples * 0.5 + noise(samples.size, seed=number, level=0.02 * (1 + number))
            soundfile.write(tmp_path / f"{number}.wav", samples, 16_000)
            y, sr = librosa.load(
                tmp_path / f"{number}.wav", duration=2.5, offset=0.5, res_type="kaiser_fast"
            )
            means = np.mean(librosa.feature.mfcc(y=y, sr=sr, n_mfcc=13).T, axis=0)
            rows.writerow([f"{number}.wav", *model.predict(means[None], verbose=0)[0]])
    result = run(
        "fit-frontend", tmp_path / "model.h5", "--labels", "a,b,c",
        "--expect", tmp_path / "predictions.csv", "-o", tmp_path / "front.json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    load = json.loads((tmp_path / "front.json").read_text())["steps"][0]
    assert load == {
        "name": "load", "sample_rate": 22050, "duration": 2.5, "windows": "first", "offset": 0.5,
        "res_type": "kaiser_fast",
    }  # fmt: skip
    assert "sure: its probabilities are the author's" in result.stderr

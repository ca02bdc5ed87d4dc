"""From a trained model to a verification file, the whole way, with tiny models."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ser_edge import Classifier
from ser_edge.convert.export import inspection, pipeline, verify
from ser_edge.convert.export.label_order import BetterOrder
from ser_edge.convert.export.pipeline import (
    DisagreementError,
    LabelOrderError,
    Options,
    convert_model,
)
from ser_edge.errors import ModelError
from ser_edge.model import Model
from tests.helpers.audio import RATE, voice

tf = pytest.importorskip("tensorflow")
pytest.importorskip("librosa")
layers = tf.keras.layers

DATA = Path(__file__).parents[1] / "data"
SHAPE = (21, 6)
FRONTEND: dict[str, Any] = {
    "sample_rate": 8000,
    "window_seconds": 1.0,
    "trim": {"top_db": 30.0, "frame_length": 256, "hop_length": 64},
    "features": [
        {"name": "zero_crossing_rate", "frame_length": 400, "hop_length": 400},
        {"name": "rms", "frame_length": 400, "hop_length": 400},
        {"name": "mfcc", "n_mfcc": 4, "n_mels": 20, "n_fft": 512, "hop_length": 400},
    ],
    "layout": "frames_features",
}
OPTIONS = Options(spec=FRONTEND, labels=("yes", "no", "maybe"), name="tiny", quantization="dynamic")


def network(*middle: Any, activation: str | None = "softmax") -> Any:
    tf.keras.utils.set_random_seed(2)
    return tf.keras.Sequential(
        [tf.keras.Input(SHAPE), *middle, layers.Dense(3, activation=activation)]
    )


def clstm() -> Any:
    """A small one of the seed's kind, whose predictions depend on its input."""
    return network(
        layers.Conv1D(48, 5, padding="same", activation="relu"),  # enough weights to quantize
        layers.MaxPooling1D(2, padding="same"),
        layers.BatchNormalization(),
        layers.LSTM(8, return_sequences=True),
        layers.LSTM(8),
        layers.Dense(8, activation="relu"),
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "clstm.h5"
    clstm().save(path)
    return path


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of a dozen voices of different pitch, level and length."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(1)
    with (folder / "index.csv").open("w", newline="") as file:
        index = csv.writer(file)
        index.writerow(["path", "corpus", "speaker", "label", "split"])
        for number in range(12):
            samples = voice(0.4 + 0.1 * number, rate=6000 + 500 * number)
            samples = (0.1 + 0.07 * number) * samples + 0.003 * rng.standard_normal(samples.size)
            soundfile.write(folder / f"{number}.wav", samples, RATE)
            label = OPTIONS.labels[number % 3]
            split = "train" if number % 4 == 3 else "dev"
            index.writerow([f"{number}.wav", "voices", f"s{number % 2}", label, split])
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "model.tflite"


def test_a_converted_model_describes_itself_and_runs(
    source: Path, recordings: Path, output: Path
) -> None:
    options = replace(OPTIONS, verify=recordings, description="a test", licence="none")
    verification = convert_model(str(source), output, options)
    assert verification is not None
    assert verification.clips == 9  # those of the split dev
    assert verification.agreement == 1.0
    assert verification.largest_difference < 0.02
    assert list(verification.source_accuracy) == list(verification.converted_accuracy) == ["voices"]
    assert (
        verification.converted_accuracy["voices"].uar == verification.source_accuracy["voices"].uar
    )
    assert [p.name for p in output.parent.iterdir()] == ["model.tflite"]
    metadata = Model(output).metadata
    assert metadata.labels == OPTIONS.labels
    assert metadata.quantization == "dynamic"
    assert metadata.reference is not None
    details = metadata.details
    assert details["source_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert details["source"]["format"].startswith("Keras 2")
    assert details["verification"] == verification.to_dict()
    assert details["converter"]["tensorflow"] == tf.__version__
    assert details["minimum_runtime"] == "2.7.0"
    assert (details["description"], details["licence"]) == ("a test", "none")
    result = Classifier.from_file(output).classify(recordings / "5.wav")
    assert result.label in OPTIONS.labels


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["model.keras", "saved_model", "keras_3"])
def test_other_kinds_of_sources(kind: str, tmp_path: Path, recordings: Path, output: Path) -> None:
    if kind == "keras_3":
        path = DATA / "keras3_sequential.keras"
    else:
        path = tmp_path / kind
        clstm().save(path)
    verification = convert_model(str(path), output, replace(OPTIONS, verify=recordings))
    assert verification is not None
    assert verification.agreement == 1.0
    assert verification.largest_difference < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["none", "int8"])
def test_other_quantizations(
    source: Path, recordings: Path, output: Path, quantization: str
) -> None:
    options = replace(
        OPTIONS, quantization=quantization, calibrate=recordings, verify=recordings, min_agreement=0
    )
    verification = convert_model(str(source), output, options)
    assert verification is not None
    assert verification.largest_difference < {"none": 1e-4, "int8": 0.25}[quantization]
    assert Model(output).metadata.quantization == quantization
    found = inspection.inspect(output)
    names = {operator["name"] for operator in found["operators"]}
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" in names
    assert ("QUANTIZE" in names) == (quantization == "int8")


@pytest.mark.slow
def test_float16_where_tensorflow_can(tmp_path: Path, recordings: Path, output: Path) -> None:
    path = tmp_path / "gru.keras"
    network(layers.Conv1D(8, 5), layers.GRU(4)).save(path)
    options = replace(OPTIONS, quantization="float16", verify=recordings)
    verification = convert_model(str(path), output, options)
    assert verification is not None
    assert verification.largest_difference < 0.01


@pytest.mark.slow
def test_the_quantization_is_chosen_by_recordings(
    source: Path, recordings: Path, output: Path
) -> None:
    told: list[str] = []
    options = replace(OPTIONS, quantization="auto", verify=recordings)
    verification = convert_model(str(source), output, options, progress=told.append)
    assert verification is not None
    assert verification.agreement == 1.0
    (table,) = [text for text in told if text.startswith("--quantize auto")]
    chosen = Model(output).metadata.quantization
    assert f"taken: {chosen}, the smallest with which 99 % of 9 recordings" in table


@pytest.mark.slow
def test_without_recordings_nothing_is_chosen(source: Path, output: Path) -> None:
    told: list[str] = []
    options = replace(OPTIONS, quantization="auto")
    convert_model(str(source), output, options, progress=told.append)
    assert Model(output).metadata.quantization == "dynamic"
    assert "no recordings to choose the quantization by: dynamic" in told


@pytest.mark.slow
def test_a_crash_of_tensorflow_is_one_sentence_and_no_file(
    tmp_path: Path, recordings: Path, output: Path
) -> None:
    path = tmp_path / "gru.keras"
    network(layers.GRU(4, name="memory")).save(path)
    options = replace(OPTIONS, quantization="int8", calibrate=recordings)
    with pytest.raises(
        ModelError, match=r"--quantize int8 crashed .*\(memory\) .*--quantize dynamic takes them"
    ):
        convert_model(str(path), output, options)
    assert not list(output.parent.iterdir())


@pytest.mark.parametrize(
    ("limit", "sentence"),
    [
        ({"time_limit": 0.5}, "took longer than 0.5 s and was stopped"),
        ({"memory_limit": 100 * 2**20}, r"needs over 0\.\d+ GB of memory|failed|crashed"),
    ],
)
def test_limits_leave_no_file(
    source: Path, output: Path, limit: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ModelError, match=sentence):
        convert_model(str(source), output, replace(OPTIONS, **limit))
    assert not list(output.parent.iterdir())


def test_an_operator_that_is_not_built_in_is_named(tmp_path: Path, output: Path) -> None:
    path = tmp_path / "bessel.keras"
    inputs = tf.keras.Input(SHAPE)
    x = layers.Dense(3, activation="softmax")(layers.Flatten()(tf.math.bessel_i0e(inputs)))
    tf.keras.Model(inputs, x).save(path)
    with pytest.raises(ModelError, match=r"no built-in operator for BesselI0e \(in .*\): replace"):
        convert_model(str(path), output, OPTIONS)
    assert not list(output.parent.iterdir())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"features": [*FRONTEND["features"][:2], {**FRONTEND["features"][2], "n_mfcc": 3}]},
            r"takes 21 x 6 values, but the front end \(zero_crossing_rate, rms, 3 mfcc over 1 s, "
            r"frames_features\) gives 21 x 5$",
        ),
        ({"window_seconds": 0.75}, r"takes 21 x 6 values, .* over 0\.75 s, .* gives 16 x 6$"),
        ({"layout": "features_frames"}, r"gives 6 x 21: its layout is the other one$"),
    ],
)
def test_a_wrong_front_end_is_refused(
    source: Path, output: Path, change: dict[str, Any], sentence: str
) -> None:
    options = replace(OPTIONS, spec={**FRONTEND, **change})
    with pytest.raises(ModelError, match=sentence):
        convert_model(str(source), output, options)
    assert not list(output.parent.iterdir())


def test_a_converted_model_that_disagrees_is_not_written(
    source: Path, recordings: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = verify.compare

    def disagree(clips: Any, probabilities: Any, *rest: Any, **more: Any) -> Any:
        probabilities[0] = np.roll(probabilities[0], 1)  # another label for one clip of nine
        return real(clips, probabilities, *rest, **more)

    monkeypatch.setattr(verify, "compare", disagree)
    options = replace(OPTIONS, verify=recordings)
    with pytest.raises(DisagreementError, match=r"only 88\.89 % of 9 clips .*nothing was written"):
        convert_model(str(source), output, options)
    assert not list(output.parent.iterdir())


def test_labels_in_another_order_are_refused(
    source: Path, recordings: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    better = BetterOrder(("maybe", "no", "yes"), 9, 0.75, 0.25)

    def better_order(found: Any, labels: Any, probabilities: Any) -> BetterOrder:
        assert [clip.label for clip in found[:3]] == ["yes", "no", "maybe"]
        assert labels == OPTIONS.labels
        assert probabilities.shape == (9, 3)
        return better

    monkeypatch.setattr(pipeline, "better_order", better_order)
    options = replace(OPTIONS, verify=recordings)
    with pytest.raises(LabelOrderError, match=r"--labels maybe,no,yes: nothing was written") as got:
        convert_model(str(source), output, options)
    assert got.value.better == better
    assert not list(output.parent.iterdir())
    told: list[str] = []
    forced = replace(options, force_labels=True)
    convert_model(str(source), output, forced, progress=told.append)
    assert f"warning: {better}" in told
    assert Model(output).metadata.labels == OPTIONS.labels


def test_logits_get_a_softmax(tmp_path: Path, recordings: Path, output: Path) -> None:
    path = tmp_path / "logits.keras"
    network(layers.Flatten(), activation=None).save(path)
    convert_model(str(path), output, replace(OPTIONS, quantization="none", verify=recordings))
    model = Model(output)
    assert model.metadata.details["source"]["outputs"] == "logits"
    assert "SOFTMAX" in model.operators


def test_int8_needs_calibration(source: Path, output: Path) -> None:
    with pytest.raises(ModelError, match="int8 needs typical recordings"):
        convert_model(str(source), output, replace(OPTIONS, quantization="int8"))


def test_convolutions_of_dynamic_models_compute_in_float(source: Path, output: Path) -> None:
    convert_model(str(source), output, OPTIONS)
    found = inspection.inspect(output)
    operators = {operator["name"]: operator["count"] for operator in found["operators"]}
    assert operators["DEQUANTIZE"] == operators["CONV_2D"] == 1
    assert found["runtimes"]["tflite-runtime"]["runs"] in (True, None)
    assert found["metadata"]["name"] == "tiny"


def test_inspection_refuses_what_is_damaged(source: Path, output: Path) -> None:
    convert_model(str(source), output, OPTIONS)
    content = bytearray(output.read_bytes())
    content[len(content) // 3] ^= 1
    output.write_bytes(content)
    with pytest.raises(ModelError, match="do not match its checksum"):
        inspection.inspect(output)
    output.write_bytes(b"\0" * 100)
    with pytest.raises(ModelError, match="not a TFLite model"):
        inspection.inspect(output)
    output.write_bytes(b"\xff\xff\xff\x7fTFL3" + b"\xff" * 100)
    with pytest.raises(ModelError, match="reading the model"):
        inspection.inspect(output)


def test_the_report_is_json(source: Path, recordings: Path, output: Path) -> None:
    verification = convert_model(str(source), output, replace(OPTIONS, verify=recordings))
    assert verification is not None
    data = json.loads(json.dumps(verification.to_dict()))
    assert data["uar"]["voices"]["speakers"] == 2
    assert data["bytes"]["converted"] > 1000
    assert "same label" in verification.table()

"""Labels that get lost between the author's code and `ser-edge classify`, and where."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ser_edge.convert.evaluate import expected
from ser_edge.convert.export import end_to_end, librosa_frontend
from ser_edge.convert.export.end_to_end import EndToEnd, Step
from ser_edge.convert.export.pipeline import (
    ExpectationError,
    LabelOrderError,
    Options,
    convert_model,
)
from ser_edge.frontend import FrontendSpec
from ser_edge.model import Model
from tests.helpers.audio import RATE, tone, voice

FRONTEND: dict[str, Any] = {
    "sample_rate": RATE,
    "window_seconds": 1.0,
    "trim": None,
    "features": [{"name": "rms", "frame_length": 400, "hop_length": 400}],
    "layout": "frames_features",
}
LABELS = ("quiet", "loud")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that calls a second loud whose mean RMS is over 0.05."""
    tf = pytest.importorskip("tensorflow")
    pytest.importorskip("librosa")
    layers = tf.keras.layers
    network = tf.keras.Sequential(
        [
            tf.keras.Input((41, 1)),
            layers.GlobalAveragePooling1D(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    network.layers[-1].set_weights([np.float32([[-40, 40]]), np.float32([2, -2])])
    path: Path = tmp_path_factory.mktemp("source") / "loudness.h5"
    network.save(path)
    return path


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six of one second, and two that grow loud, or quiet, after the first second."""
    folder: Path = tmp_path_factory.mktemp("recordings")
    for number in range(6):
        gain = 0.1 if number % 2 else 0.8
        soundfile.write(folder / f"{number}.wav", gain * voice(1.0), RATE)
    for name, gains in (("grows", (0.1, 0.8, 0.8)), ("fades", (0.8, 0.1, 0.1))):
        parts = [gain * voice(1.0) for gain in gains]
        soundfile.write(folder / f"{name}.wav", np.concatenate(parts), RATE)
    return folder


def author(recordings: Path, spec: dict[str, Any], threshold: float = 0.05) -> list[dict[str, Any]]:
    """The author's answers, by librosa and the network's own arithmetic."""
    rows = []
    for path in sorted(recordings.glob("*.wav")):
        matrix = librosa_frontend.features_of(path, FrontendSpec.parse(spec))
        loud = 1 / (1 + np.exp(-80 * (float(matrix.mean()) - threshold)))
        rows.append({"path": path, "quiet": 1 - loud, "loud": loud})
    return rows


def table(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "predictions.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def options(**changes: Any) -> Options:
    return replace(Options(spec=FRONTEND, labels=LABELS, name="loudness"), **changes)


@pytest.fixture(scope="module")
def packed(source: Path, recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Converted and compared with the author on what fits one window."""
    folder = tmp_path_factory.mktemp("packed")
    short = [row for row in author(recordings, FRONTEND) if row["path"].stem.isdigit()]
    output: Path = folder / "loudness.tflite"
    expect = table(folder, short)
    verification = convert_model(str(source), output, options(expect=expect, hop_seconds=0.25))
    assert verification is not None
    assert verification.clips == 6
    return output


def test_the_answers_of_the_author_are_compared_end_to_end(packed: Path) -> None:
    metadata = Model(packed).metadata
    assert metadata.decision.window_hop_seconds == 0.25
    found = metadata.details["verification"]["expected"]
    assert found["recordings"] == 6
    assert [step["agreement"] for step in found["steps"]] == [1.0] * 5
    assert found["steps"][-1]["largest_difference"] is None
    assert all(step["largest_difference"] < 1e-3 for step in found["steps"][:-1])


def measured(packed: Path, rows: list[dict[str, Any]], folder: Path) -> EndToEnd:
    """As in a conversion, but without starting TensorFlow."""
    answers = expected.read(table(folder, rows), LABELS)
    spec = FrontendSpec.parse(FRONTEND)
    matrices = np.stack([librosa_frontend.features_of(item.path, spec) for item in answers])
    loud = 1 / (1 + np.exp(-80 * (matrices.mean(axis=(1, 2), dtype=np.float64) - 0.05)))
    probabilities = np.stack([1 - loud, loud], axis=1)
    return end_to_end.measure(answers, probabilities, matrices, Model(packed))


def test_windows_that_the_author_does_not_take_are_named(
    packed: Path, recordings: Path, tmp_path: Path
) -> None:
    """The author hears the first second alone."""
    found = measured(packed, author(recordings, FRONTEND), tmp_path)
    assert [step.agreement for step in found.steps[:4]] == [1.0, 1.0, 1.0, 0.75]
    (sentence,) = found.explain()
    assert sentence.startswith("2 labels lost: the mean over all windows")


def test_a_front_end_that_is_stated_wrong_is_named(
    packed: Path, recordings: Path, tmp_path: Path
) -> None:
    """librosa and ser-edge agree, the author does not."""
    short = [row for row in author(recordings, FRONTEND) if row["path"].stem.isdigit()]
    rows = [{"path": row["path"], "label": "loud"} for row in short]
    found = measured(packed, rows, tmp_path)
    assert found.agreement == 0.5
    (sentence,) = found.explain()
    assert sentence.startswith("3 labels lost: the front end as stated")


def test_the_gate_is_named_where_it_takes_answers(packed: Path, tmp_path: Path) -> None:
    """A whistle is no speech, and the model judges it all the same."""
    path = tmp_path / "tone.wav"
    soundfile.write(path, 0.5 * tone(1.0, 440.0), RATE)
    found = measured(packed, [{"path": path, "label": "loud"}], tmp_path)
    assert found.unanswered == {"no_speech": 1}
    assert (found.agreement, found.steps[-1].agreement) == (1.0, 0.0)
    (sentence,) = found.explain()
    assert "1 no_speech" in sentence
    assert "--gate off" in sentence


@pytest.mark.slow
def test_nothing_is_written_below_the_agreement_that_is_asked(
    source: Path, recordings: Path, tmp_path: Path
) -> None:
    more = tmp_path / "more"
    more.mkdir()
    soundfile.write(more / "0.wav", voice(1.0), RATE)
    output = tmp_path / "out.tflite"
    wanted = options(expect=table(tmp_path, author(recordings, FRONTEND)), verify=more)
    with pytest.raises(ExpectationError, match=r"only 75\.00 % of 8 .*labels lost") as caught:
        convert_model(str(source), output, wanted)
    assert caught.value.verification.clips == 1
    assert not output.exists()


@pytest.mark.slow
def test_labels_in_another_order_are_noticed(source: Path, tmp_path: Path) -> None:
    rows = []
    for number in range(12):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, (0.1 if number % 2 else 0.8) * voice(1.0), RATE)
        rows.append({"path": path, "label": LABELS[number % 2]})
    with pytest.raises(LabelOrderError, match="--labels loud,quiet"):
        convert_model(str(source), tmp_path / "o.tflite", options(expect=table(tmp_path, rows)))


def steps(*agreements: float, difference: float | None = None) -> tuple[Step, ...]:
    names = (
        end_to_end.SOURCE,
        end_to_end.CONVERTED,
        end_to_end.FEATURES,
        end_to_end.WINDOWS,
        end_to_end.CLASSIFY,
    )
    return tuple(Step(name, share, difference) for name, share in zip(names, agreements))


def test_the_step_that_costs_most_comes_first() -> None:
    sentences = EndToEnd(10, steps(0.9, 0.9, 0.8, 0.4, 0.4), {}).explain()
    assert [text.split(":")[0] for text in sentences] == [
        "4 labels lost",
        "1 labels lost",
        "1 labels lost",
    ]
    assert "hop" in sentences[0]
    assert EndToEnd(10, steps(1, 1, 1, 1, 1, difference=0.01), {}).explain() == []


def test_scores_that_differ_with_the_same_labels_are_told() -> None:
    (sentence,) = EndToEnd(10, steps(1, 1, 1, 1, 1, difference=0.3), {}).explain()
    assert sentence.startswith("the labels agree, the scores do not")

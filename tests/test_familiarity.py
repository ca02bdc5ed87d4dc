"""What is unlike the training data is answered less surely, and the result says why."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_edge import Classifier
from ser_edge.adapt.fit import Clips, neutral_profile
from ser_edge.errors import ModelError
from ser_edge.familiarity import Familiarity, Subspace, encoded
from ser_edge.model import Model, temperature_scaled
from tests.helpers.audio import RATE, voice
from tests.helpers.models import bundled, write

SIZE = bundled()[1]["utterance_embedding"]["size"]
ROWS = np.random.default_rng(0).integers(1, 127, (3, SIZE)).astype(np.int8)


def with_familiarity(path: Path, **changes: Any) -> Path:
    """The bundled model, to which all is unfamiliar unless changed."""
    flatbuffer, metadata = bundled()
    familiarity = {"components": encoded(ROWS), "limit": 0.1, "slope": 5.0, **changes}
    return write(path, flatbuffer, {**metadata, "familiarity": familiarity, "reference": None})


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    return with_familiarity(tmp_path / "strange.tflite")


def test_the_share_left_over_is_that_of_a_least_squares_fit() -> None:
    rng = np.random.default_rng(1)
    components, _ = np.linalg.qr(rng.standard_normal((20, 4)))
    embedding = rng.standard_normal(20)
    fitted = components @ np.linalg.lstsq(components, embedding, rcond=None)[0]
    expected = np.linalg.norm(embedding - fitted) / np.linalg.norm(embedding)
    found = Subspace(7 * components.T)
    assert found.unfamiliarity(embedding) == pytest.approx(expected, abs=1e-9)
    assert found.unfamiliarity(3 * embedding) == pytest.approx(expected, abs=1e-9)
    assert found.unfamiliarity(fitted) == pytest.approx(0, abs=1e-7)
    assert found.unfamiliarity(np.zeros(20)) == 0


def test_an_unfamiliar_window_has_a_higher_temperature(strange: Path) -> None:
    model, plain = Model(strange), Model(with_familiarity(strange.parent / "plain", slope=0.0))
    matrix = model.frontend(voice(3.0))
    softened, as_familiar = model.scores(matrix)
    assert as_familiar == pytest.approx(plain.predict(matrix), abs=1e-12)
    assert softened.tolist() == model.predict(matrix).tolist()
    inputs = model.observe(matrix).inputs[-SIZE:]
    share = Subspace(ROWS).unfamiliarity(inputs)
    assert share > 0.5
    expected = temperature_scaled(as_familiar, np.exp(5.0 * (share - 0.1)))
    assert softened == pytest.approx(expected, abs=1e-9)
    assert model.observe(matrix).probabilities == pytest.approx(as_familiar, abs=1e-12)


def test_what_is_familiar_stays_as_it_is(tmp_path: Path) -> None:
    model = Model(with_familiarity(tmp_path / "model.tflite", limit=1.0))
    softened, as_familiar = model.scores(model.frontend(voice(3.0)))
    assert softened == pytest.approx(as_familiar, abs=1e-12)


@pytest.mark.parametrize("seconds", [3.0, 9.0, 70.0])
def test_the_result_says_that_only_unfamiliarity_makes_it_uncertain(
    strange: Path, seconds: float
) -> None:
    samples = np.tile(voice(3.0), round(seconds / 3) + 1)[: int(seconds * RATE)]
    accepting = Classifier.from_file(strange, threshold=0.0, gate="off", accept_unfamiliar=True)
    sure = accepting.classify_samples(samples, RATE)
    assert sure.label is not None
    threshold = sure.confidence - 0.01
    one = Classifier.from_file(strange, threshold=threshold, gate="off")
    result = one.classify_samples(samples, RATE)
    assert (result.label, result.reason) == (None, "unfamiliar")
    assert result.best == sure.label
    assert result.confidence < threshold
    # Nor would it be sure enough if it were familiar.
    two = Classifier.from_file(strange, threshold=sure.confidence + 0.01, gate="off")
    assert two.classify_samples(samples, RATE).reason == "uncertain"
    again = pickle.loads(pickle.dumps(accepting)).classify_samples(samples, RATE)
    assert again.label == sure.label


def test_a_stream_says_so_too(strange: Path) -> None:
    classifier = Classifier.from_file(strange, gate="off")
    stream = classifier.stream(RATE, smoothing=0.5)
    reasons = {result.reason for result in stream.push(voice(9.0))}
    assert reasons == {classifier.classify_samples(voice(9.0), RATE).reason}


def test_nothing_is_unfamiliar_to_a_profile(strange: Path) -> None:
    model = Model(strange)
    heard = model.observe(model.frontend(voice(3.0)))
    profile = neutral_profile(model, Clips.of([(heard, "neutral")]))
    samples = voice(2.5)
    adapted = Classifier(model, gate="off", threshold=0.0, profile=profile)
    accepting = Classifier(
        model, gate="off", threshold=0.0, profile=profile, accept_unfamiliar=True
    )
    assert adapted.classify_samples(samples, RATE) == accepting.classify_samples(samples, RATE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"components": "no base64"}, "components is not base64"),
        ({"components": None}, "components is not base64"),
        ({"components": ""}, "must be 1 to"),
        ({"components": encoded(ROWS[:, :-1])}, "must be 1 to"),
        ({"components": encoded(0 * ROWS)}, "a row of zeros"),
        ({"limit": 1.5}, "limit"),
        ({"slope": -1}, "slope"),
        ({"more": 1}, "unknown"),
    ],
)
def test_a_broken_entry_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Model(with_familiarity(tmp_path / "model.tflite", **changes))


def test_it_needs_the_utterance_embedding(tmp_path: Path) -> None:
    flatbuffer, metadata = bundled()
    broken = {
        **metadata,
        "utterance_embedding": None,
        "familiarity": Familiarity(encoded(ROWS), 0.5, 1.0)._asdict(),
    }
    with pytest.raises(ModelError, match="familiarity needs utterance_embedding"):
        Model(write(tmp_path / "model.tflite", flatbuffer, broken))


def test_the_command_line_accepts_it(
    run: Callable[..., Any], strange: Path, tmp_path: Path
) -> None:
    import soundfile

    recording = tmp_path / "a.wav"
    soundfile.write(recording, voice(3.0), RATE)
    command = ("classify", "--model", strange, "--gate", "off", "--csv", recording)
    accepted = run(*command, "--accept-unfamiliar", "--threshold", "0.3")
    refused = run(*command, "--threshold", "0.3")
    assert accepted.code == refused.code == 0
    assert ",unfamiliar," in refused.out
    assert ",unfamiliar," not in accepted.out
    shown = run("classify", "--model", strange, "--gate", "off", "--threshold", "0.3", recording)
    assert "no emotion (unfamiliar)" in shown.out
    assert "ser-edge adapt" in shown.out

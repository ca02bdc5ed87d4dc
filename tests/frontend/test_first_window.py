"""Models whose recipe takes the first seconds: one window answers, and a stream has many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ser_edge import Classifier
from ser_edge.frontend import Frontend, FrontendSpec
from ser_edge.model import Model
from tests.helpers.audio import RATE, silence, voice
from tests.helpers.models import bundled, write


def model_file(path: Path, **load: Any) -> Path:
    """The bundled model with another first step."""
    flatbuffer, metadata = bundled()
    metadata["frontend"]["steps"][0].update(load)
    return write(path, flatbuffer, metadata)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """It takes 4 s after the first half second."""
    path = tmp_path_factory.mktemp("models") / "first.tflite"
    model_file(path, windows="first", offset=0.5)
    return Classifier.from_file(path, gate="off", threshold=0.0)


@pytest.mark.parametrize("rate", [RATE, 22_050, 44_100, 48_000])
def test_equals_librosa_load(tmp_path: Path, rate: int) -> None:
    librosa = pytest.importorskip("librosa")
    path = tmp_path / "voice.wav"
    soundfile.write(path, voice(3.3, rate), rate)
    for offset, duration in [(0.5, 2.5), (0.1234, 0.777), (3.0, 1.0), (0.0, 60.0)]:
        load = {"name": "load", "sample_rate": 22_050, "windows": "first", "offset": offset}
        steps = [
            {**load, "duration": duration},
            {"name": "features", "stack": [{"name": "rms", "hop_length": 1024}]},
            {"name": "pool", "axis": "time"},
        ]
        frontend = Frontend(FrontendSpec.parse({"steps": steps}))
        expected, _ = librosa.load(path, sr=22_050, offset=offset, duration=duration)
        actual = frontend.load(path)
        assert actual.shape == expected.shape
        assert np.abs(actual - expected).max() <= 1e-6


def test_only_the_first_window_answers(first: Classifier) -> None:
    y = voice(20.0)
    alone = first.classify_samples(y[RATE // 2 : RATE // 2 + 4 * RATE + RATE // 2], RATE)
    result = first.classify_samples(y, RATE)
    assert (result.start, result.end) == (0.5, 4.5)
    assert result.scores is not None
    assert alone.scores != result.scores  # it begins half a second later
    expected = first.model.predict(first.model.frontend(y[RATE // 2 :][: 4 * RATE]))
    assert list(result.scores.values()) == expected.tolist()
    # What comes after it changes nothing.
    assert first.classify_samples(np.concatenate([y[: 5 * RATE], silence(60.0)]), RATE) == result


def test_no_more_is_read_than_is_needed(first: Classifier) -> None:
    def chunks() -> Any:
        for number in range(100):
            assert number < 6, "it reads on"
            yield voice(1.0)

    samples = np.concatenate(list(first.model.frontend.resampled(chunks(), RATE)))
    assert samples.size == 4 * RATE


@pytest.mark.parametrize("seconds", [0.2, 0.5])
def test_a_recording_that_ends_before_the_offset_is_too_short(
    first: Classifier, seconds: float
) -> None:
    result = first.classify_samples(voice(seconds), RATE)
    assert (result.label, result.reason) == (None, "too_short")
    assert result.start == result.end == 0.5


def test_a_stream_has_windows_all_the_same(first: Classifier, ungated: Classifier) -> None:
    y = voice(9.0)
    ours, others = (list(one.windows_samples(y, RATE)) for one in (first, ungated))
    assert [(window.start, window.end) for window in ours] == [
        (window.start, window.end) for window in others
    ]
    assert [window.scores for window in ours] == [window.scores for window in others]


def test_another_resampler_is_the_stream_s_too(tmp_path: Path) -> None:
    path = model_file(tmp_path / "kaiser.tflite", res_type="kaiser_fast")
    classifier = Classifier.from_file(path, gate="off", threshold=0.0)
    y = voice(4.0, 44_100)
    whole = classifier.classify_samples(y, 44_100)
    stream = classifier.stream(44_100)
    (window,) = [*stream.push(y), *stream.flush()][:1]
    assert window.scores is not None
    assert whole.scores is not None
    assert list(window.scores.values()) == pytest.approx(list(whole.scores.values()), abs=1e-6)
    soxr = Classifier.bundled(gate="off", threshold=0.0).classify_samples(y, 44_100)
    assert soxr.scores != whole.scores


def test_speech_too_short_for_a_frame_is_told(tmp_path: Path) -> None:
    flatbuffer, metadata = bundled()
    steps = metadata["frontend"]["steps"]
    # Pooled and stretched to the model's input, whatever that is worth.
    steps[:] = [
        steps[0],
        {"name": "features", "stack": [{"name": "mfcc", "n_mfcc": 66, "center": False}]},
        {"name": "pool", "axis": "time"},
        {"name": "pad_frames", "frames": 401},
        {"name": "layout", "order": "frames_features"},
    ]
    metadata["decision"]["min_speech_seconds"] = 0.0
    model = Model(write(tmp_path / "model.tflite", flatbuffer, metadata))
    assert model.frontend.min_samples == 2048
    classifier = Classifier(model, gate="off", threshold=0.0)
    assert classifier.classify_samples(voice(2048 / RATE), RATE).scores is not None
    assert classifier.classify_samples(voice(2047 / RATE), RATE).reason == "too_short"

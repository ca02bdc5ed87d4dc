from __future__ import annotations

import dataclasses
import json
import pickle
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from ser_edge import AudioError, Classifier, Result
from ser_edge.classifier import bundled_path
from ser_edge.selftest import reference_signal

soundfile = pytest.importorskip("soundfile")

Samples = npt.NDArray[np.float32]

SR = 16_000


@pytest.fixture(scope="module")
def ungated() -> Classifier:
    """What counts here is how audio is cut and pooled, whatever the gate holds speech to be."""
    return Classifier.bundled(gate="off", threshold=0.0)


@pytest.fixture(scope="module", autouse=True)
def at_16_khz(ungated: Classifier) -> None:
    assert ungated.model.frontend.sample_rate == SR
    assert ungated.model.frontend.window_samples == 4 * SR
    assert ungated.model.frontend.spec.trim is not None


def voice(seconds: float) -> Samples:
    return reference_signal(SR, seconds)


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * SR), np.float32)


def heard(classifier: Classifier, samples: Samples) -> dict[str, float]:
    """The scores of samples as one window, straight from front end and model."""
    model = classifier.model
    return dict(zip(classifier.labels, model.predict(model.frontend(samples)).tolist()))


# Results.


def test_a_result_is_a_value() -> None:
    result = Result("happy", 0.75, {"happy": 0.75, "sad": 0.25}, 0.0, 2.5)
    assert result == Result("happy", 0.75, {"happy": 0.75, "sad": 0.25}, 0.0, 2.5, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.label = "sad"  # type: ignore[misc]
    assert json.loads(json.dumps(result.to_dict())) == {
        "label": "happy",
        "confidence": 0.75,
        "scores": {"happy": 0.75, "sad": 0.25},
        "start": 0.0,
        "end": 2.5,
        "reason": None,
    }


def test_scores_are_probabilities_in_the_order_of_the_labels(ungated: Classifier) -> None:
    result = ungated.classify_samples(voice(2.0), SR)
    assert result.scores is not None
    assert tuple(result.scores) == ungated.labels
    assert sum(result.scores.values()) == pytest.approx(1)
    assert result.confidence == max(result.scores.values())
    assert result.scores[str(result.label)] == result.confidence
    assert result.reason is None
    assert all(type(score) is float for score in result.scores.values())


# A clip: speech that fits one window is heard as one.


@pytest.mark.parametrize("seconds", [0.5, 1.0, 3.9, 4.0])
def test_speech_of_one_window_is_heard_as_one(seconds: float, ungated: Classifier) -> None:
    samples = voice(seconds)
    result = ungated.classify_samples(samples, SR)
    assert result.scores == heard(ungated, samples)
    assert (result.start, result.end) == (0.0, seconds)


def test_silence_around_speech_does_not_count(ungated: Classifier) -> None:
    samples = np.concatenate([silence(7.0), voice(3.0), silence(10.0)])
    result = ungated.classify_samples(samples, SR)
    assert result.scores == heard(ungated, samples)
    # Seven seconds are whole hops of the trimming, which so cuts at the same samples.
    assert result.scores == ungated.classify_samples(voice(3.0), SR).scores
    assert (result.start, result.end) == (0.0, 20.0)


def test_speech_of_real_clips(recordings: dict[str, Samples], ungated: Classifier) -> None:
    heard_as_one = 0
    for name, samples in list(recordings.items())[::10]:
        result = ungated.classify_samples(samples, SR)
        if ungated.model.frontend.trim(samples).size <= 4 * SR:
            assert result.scores == heard(ungated, samples), name
            heard_as_one += 1
    assert heard_as_one > 30


# A recording: windows, pooled.


def test_longer_speech_is_heard_in_windows(ungated: Classifier) -> None:
    samples = voice(9.0)
    hop = round(ungated.model.metadata.decision.window_hop_seconds * SR)
    # A window where the one before did not reach the end.
    starts = [0, *(start + hop for start in range(0, 9 * SR - 4 * SR, hop))]
    windows = [heard(ungated, samples[start : start + 4 * SR]) for start in starts]
    result = ungated.classify_samples(samples, SR)
    assert result.scores == pytest.approx(
        {label: np.mean([scores[label] for scores in windows]) for label in ungated.labels},
        abs=1e-12,
    )
    assert (result.start, result.end) == (0.0, 9.0)


def test_windows_are_each_trimmed_by_themselves(tmp_path: Path, ungated: Classifier) -> None:
    faint = np.float32(0.05)  # 26 dB below: silence beside the loud part, speech by itself
    samples = np.concatenate([voice(4.0), faint * voice(4.0)])
    path = tmp_path / "speech.wav"
    soundfile.write(path, samples, SR, subtype="FLOAT")
    results = list(ungated.windows(path, hop=4.0))
    assert [result.scores for result in results] == [
        heard(ungated, samples[: 4 * SR]),
        heard(ungated, samples[4 * SR :]),
    ]


def test_windows_tell_their_times(tmp_path: Path, ungated: Classifier) -> None:
    path = tmp_path / "speech.wav"
    samples = voice(7.5)
    soundfile.write(path, samples, SR, subtype="FLOAT")
    results = list(ungated.windows(path, hop=1.5))
    times = [(result.start, result.end) for result in results]
    assert times == [(0.0, 4.0), (1.5, 5.5), (3.0, 7.0), (4.5, 7.5)]
    for result in results:
        part = samples[round(result.start * SR) : round(result.end * SR)]
        assert result.scores == heard(ungated, part)


def test_windows_come_one_by_one(tmp_path: Path, ungated: Classifier) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, voice(20.0), SR)
    windows = ungated.windows(path)
    assert next(windows).end == 4.0
    windows.close()  # leaves the rest unread


@pytest.mark.parametrize("hop", [0, -1.0, 1e-9, float("nan"), float("inf")])
def test_a_window_hop_is_at_least_a_sample(hop: float, tmp_path: Path, ungated: Classifier) -> None:
    path = tmp_path / "speech.wav"
    soundfile.write(path, voice(1.0), SR)
    with pytest.raises(ValueError, match="hop"):
        list(ungated.windows(path, hop=hop))


def test_windows_without_speech_are_not_pooled(ungated: Classifier) -> None:
    # Loud at both ends, so that trimming the whole leaves it long; silent in between.
    samples = np.concatenate([voice(4.0), silence(12.0), voice(4.0)])
    result = ungated.classify_samples(samples, SR)
    assert result.scores is not None
    hop = round(ungated.model.metadata.decision.window_hop_seconds * SR)
    windows = [samples[start : start + 4 * SR] for start in range(0, samples.size - 3 * SR, hop)]
    spoken = [heard(ungated, window) for window in windows if np.abs(window).max() > 0.01]
    assert 2 <= len(spoken) < len(windows)
    expected = {label: np.mean([scores[label] for scores in spoken]) for label in ungated.labels}
    assert result.scores == pytest.approx(expected, abs=1e-12)


def test_beyond_a_minute_a_recording_is_heard_in_windows(ungated: Classifier) -> None:
    speech = voice(3.0)
    one = np.concatenate([silence(1.0), speech, silence(56.0)])
    assert ungated.classify_samples(one, SR).scores == heard(ungated, one)
    more = np.concatenate([one, silence(0.001)])
    hop = round(ungated.model.metadata.decision.window_hop_seconds * SR)
    windows = [more[start : start + 4 * SR] for start in range(0, 4 * SR, hop)]
    spoken = [heard(ungated, window) for window in windows if np.abs(window).max() > 0.01]
    expected = {label: np.mean([scores[label] for scores in spoken]) for label in ungated.labels}
    assert ungated.classify_samples(more, SR).scores == pytest.approx(expected, abs=1e-12)


def test_an_hour_fits_in_little_memory(tmp_path: Path, ungated: Classifier) -> None:
    path = tmp_path / "hour.wav"
    minute = np.concatenate([voice(4.0), silence(56.0)])
    with soundfile.SoundFile(path, "w", SR, 1, subtype="PCM_U8") as file:
        for _ in range(60):
            file.write(minute)
    tracemalloc.start()
    try:
        result = ungated.classify(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.label in ungated.labels
    assert result.end == 3600.0
    # The minute that is held, 4 MB, some copies of it, and a window's features; an hour is 230 MB.
    assert peak < 20_000_000


# Where audio comes from makes no difference.


def test_a_file_is_heard_as_its_samples(tmp_path: Path, ungated: Classifier) -> None:
    samples = (voice(2.0) * 32767).astype(np.int16)
    expected = ungated.classify_samples(samples, SR)
    for name in ("speech.wav", "speech.flac"):
        path = tmp_path / name
        soundfile.write(path, samples, SR)
        assert ungated.classify(path) == expected
        assert ungated.classify(str(path)) == expected
        assert ungated.classify(path.read_bytes()) == expected
        with path.open("rb") as file:
            assert ungated.classify(file) == expected


def test_another_rate_is_resampled_as_in_training(ungated: Classifier) -> None:
    soxr = pytest.importorskip("soxr")
    samples = reference_signal(44_100, 2.0)
    result = ungated.classify_samples(samples, 44_100)
    assert result.scores == heard(ungated, soxr.resample(samples, 44_100, SR))
    assert result.end == pytest.approx(2.0, abs=1e-4)


def test_channels_are_averaged_or_picked(ungated: Classifier) -> None:
    one, other = voice(2.0), voice(3.0)[SR:]
    stereo = np.stack([one, other], axis=1)
    mean = ungated.classify_samples((one + other) / 2, SR)
    assert ungated.classify_samples(stereo, SR) == mean
    assert ungated.classify_samples(stereo, SR, channel=1) == ungated.classify_samples(one, SR)
    assert ungated.classify_samples(stereo, SR, channel=2) == ungated.classify_samples(other, SR)
    with pytest.raises(AudioError, match="no channel 3"):
        ungated.classify_samples(stereo, SR, channel=3)


def test_full_scale_is_that_of_the_type(ungated: Classifier) -> None:
    samples = (voice(2.0) * 32767).astype(np.int16)
    expected = ungated.classify_samples(samples, SR)
    assert ungated.classify_samples(samples / 32768, SR) == expected
    assert ungated.classify_samples(samples.astype(np.int32) * 65536, SR) == expected


def test_samples_stay_as_they_were(ungated: Classifier) -> None:
    samples = voice(2.0)
    before = samples.copy()
    ungated.classify_samples(samples, SR)
    assert np.array_equal(samples, before)


# No answer depends on another.


@pytest.fixture(scope="module")
def clips() -> list[Samples]:
    rng = np.random.default_rng(0)
    tones = [voice(6.0)[start * SR // 2 :] for start in range(4)]
    return [*tones, (0.1 * rng.standard_normal(2 * SR)).astype(np.float32), silence(1.0)]


def test_the_same_before_and_after_others(clips: list[Samples], ungated: Classifier) -> None:
    first = [ungated.classify_samples(clip, SR) for clip in clips]
    again = [ungated.classify_samples(clip, SR) for clip in reversed(clips)]
    assert again[::-1] == first
    assert len({str(result.scores) for result in first}) == len(clips)


def test_the_same_from_any_classifier(clips: list[Samples], ungated: Classifier) -> None:
    expected = [ungated.classify_samples(clip, SR) for clip in clips]
    fresh = Classifier.from_file(bundled_path(), gate="off", threshold=0.0)
    copied = pickle.loads(pickle.dumps(ungated))
    assert copied.threshold == ungated.threshold
    for other in (fresh, copied):
        assert [other.classify_samples(clip, SR) for clip in clips] == expected


def test_the_same_from_any_thread(clips: list[Samples], ungated: Classifier) -> None:
    expected = [ungated.classify_samples(clip, SR) for clip in clips]
    answers: dict[int, list[Result]] = {}

    def work(number: int) -> None:
        order = [(number + turn) % len(clips) for turn in range(len(clips))]
        results = {which: ungated.classify_samples(clips[which], SR) for which in order}
        answers[number] = [results[which] for which in range(len(clips))]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == dict.fromkeys(range(4), expected)


def test_windows_side_by_side(tmp_path: Path, ungated: Classifier) -> None:
    path = tmp_path / "speech.wav"
    soundfile.write(path, voice(10.0), SR)
    expected = list(ungated.windows(path))
    # Zipped, each of the two runs hears the other's windows in between.
    for left, right, result in zip(ungated.windows(path), ungated.windows(path), expected):
        assert left == right == result


# Why there is no answer.


@pytest.mark.parametrize("seconds", [1 / SR, 0.01, 1.0, 10.0, 61.0])
@pytest.mark.parametrize("level", [0.0, 0.5, -1.0])
def test_silence_with_any_offset(seconds: float, level: float, ungated: Classifier) -> None:
    samples = np.full(round(seconds * SR), level, np.float32)
    result = ungated.classify_samples(samples, SR)
    assert result == Result(None, None, None, 0.0, pytest.approx(seconds), "silence")
    assert str(result) == "no emotion (silence)"


def test_noise_below_the_models_silence(ungated: Classifier) -> None:
    level = 10 ** (ungated.model.metadata.decision.silence_dbfs / 20)
    noise = np.resize(np.float32([1, -1]), 2 * SR)
    assert ungated.classify_samples(0.9 * level * noise, SR).reason == "silence"
    assert ungated.classify_samples(1.1 * level * noise, SR).reason is None


def test_too_short(ungated: Classifier) -> None:
    needed = round(ungated.model.metadata.decision.min_speech_seconds * SR)
    tone = np.sin(np.arange(SR) * 0.1).astype(np.float32)
    # However long the recording: what counts is the speech in it.
    for before, after in ((0.0, 0.0), (1.0, 1.0), (40.0, 40.0)):
        samples = np.concatenate([silence(before), tone[: needed - 600], silence(after)])
        result = ungated.classify_samples(samples, SR)
        assert (result.label, result.confidence, result.scores) == (None, None, None)
        assert result.reason == "too_short"
    assert ungated.classify_samples(tone[:needed], SR).reason is None


@pytest.mark.parametrize("sample_rate", [1_000, 8_000, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("size", [1, 2, 10])
def test_a_few_samples_at_any_rate(size: int, sample_rate: int, ungated: Classifier) -> None:
    samples = np.resize(np.float32([0.5, -0.5]), size)
    result = ungated.classify_samples(samples, sample_rate)
    assert result.reason in ("silence", "too_short")


def test_uncertain_keeps_its_scores(ungated: Classifier) -> None:
    sure = ungated.classify_samples(voice(2.0), SR)
    assert sure.confidence is not None
    above = Classifier(ungated.model, threshold=sure.confidence + 1e-6, gate="off")
    unsure = above.classify_samples(voice(2.0), SR)
    assert (unsure.label, unsure.reason) == (None, "uncertain")
    assert (unsure.confidence, unsure.scores) == (sure.confidence, sure.scores)
    exactly = Classifier(ungated.model, threshold=sure.confidence, gate="off")
    assert exactly.classify_samples(voice(2.0), SR) == sure


def test_the_threshold_is_the_models_own_unless_given() -> None:
    decision = Classifier.bundled().model.metadata.decision
    assert Classifier.bundled().threshold == decision.threshold
    assert Classifier.bundled(threshold=0.9).threshold == 0.9
    assert Classifier.from_file(bundled_path(), threshold=0.0).threshold == 0.0


# Wrong use.


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_thresholds_are_probabilities(threshold: float) -> None:
    with pytest.raises(ValueError, match="but must be from 0 to 1"):
        Classifier.bundled(threshold=threshold)


@pytest.mark.parametrize("name", ["none", "", "default.tflite"])
def test_unknown_models_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"no bundled model .*, only .*default"):
        Classifier.bundled(name)


def test_bad_audio_is_an_audio_error(tmp_path: Path, ungated: Classifier) -> None:
    with pytest.raises(AudioError, match="No such file"):
        ungated.classify(tmp_path / "none.wav")
    with pytest.raises(AudioError, match="there are none"):
        ungated.classify_samples([], SR)
    with pytest.raises(AudioError, match="NaN"):
        ungated.classify_samples(np.full(SR, np.nan), SR)
    with pytest.raises(AudioError):
        ungated.classify_samples(voice(1.0), 0)


# What importing costs.

HEAVY = (
    "click", "soundfile", "soxr", "tensorflow", "scipy", "librosa", "tflite_runtime",
    "ai_edge_litert", "python_speech_features", "numba", "pandas", "torch",
)  # fmt: skip


def imported_by(code: str) -> set[str]:
    """Those of the heavy packages that a fresh Python has loaded after the code."""
    code += f"\nimport sys; print(*(name for name in {HEAVY} if name in sys.modules))"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(child.stdout.split())


def test_importing_loads_little() -> None:
    assert imported_by("import ser_edge") == set()
    assert imported_by("from ser_edge import Classifier, Result, Stream") == set()


def test_classifying_samples_loads_the_runtime_alone() -> None:
    code = (
        "from ser_edge import Classifier\n"
        "Classifier.bundled().classify_samples([0.5, -0.5] * 16000, 16000)"
    )
    assert imported_by(code) - {"tflite_runtime", "ai_edge_litert"} == set()

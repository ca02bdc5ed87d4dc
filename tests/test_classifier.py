from __future__ import annotations

import io
import pickle
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ser_edge
from ser_edge import AudioError, Classifier, DependencyError, Result
from ser_edge.model_file import bundled_path
from tests.helpers.audio import RATE, Samples, silence, voice

soundfile = pytest.importorskip("soundfile")


@pytest.fixture(scope="module", autouse=True)
def at_16_khz(ungated: Classifier) -> None:
    assert ungated.model.frontend.sample_rate == RATE
    assert ungated.model.frontend.window_samples == 4 * RATE
    assert ungated.model.frontend.spec.step("trim") is not None


def window_scores(classifier: Classifier, samples: Samples) -> dict[str, float]:
    """The scores of samples as one window, straight from front end and model."""
    model = classifier.model
    return dict(zip(classifier.labels, model.predict(model.frontend(samples)).tolist()))


def test_scores_are_probabilities_in_the_order_of_the_labels(ungated: Classifier) -> None:
    result = ungated.classify_samples(voice(2.0), RATE)
    assert result.scores is not None
    assert tuple(result.scores) == ungated.labels
    assert sum(result.scores.values()) == pytest.approx(1)
    assert result.confidence == max(result.scores.values())
    assert result.scores[str(result.label)] == result.confidence
    assert result.reason is None
    assert all(type(score) is float for score in result.scores.values())


# A clip: speech that fits one window is classified as one.


@pytest.mark.parametrize("seconds", [0.5, 1.0, 3.9, 4.0])
def test_speech_of_one_window_is_classified_as_one(seconds: float, ungated: Classifier) -> None:
    samples = voice(seconds)
    result = ungated.classify_samples(samples, RATE)
    assert result.scores == window_scores(ungated, samples)
    assert (result.start, result.end) == (0.0, seconds)


def test_silence_around_speech_does_not_count(ungated: Classifier) -> None:
    samples = np.concatenate([silence(7.0), voice(3.0), silence(10.0)])
    result = ungated.classify_samples(samples, RATE)
    assert result.scores == window_scores(ungated, samples)
    # Seven seconds are whole hops of the trimming, which so cuts at the same samples.
    assert result.scores == ungated.classify_samples(voice(3.0), RATE).scores
    assert (result.start, result.end) == (0.0, 20.0)


def test_speech_of_real_clips(recordings: dict[str, Samples], ungated: Classifier) -> None:
    classified_as_one = 0
    for name, samples in list(recordings.items())[::10]:
        result = ungated.classify_samples(samples, RATE)
        if ungated.model.frontend.trim(samples).size <= 4 * RATE:
            assert result.scores == window_scores(ungated, samples), name
            classified_as_one += 1
    assert classified_as_one > 30


# A recording: windows, pooled.


def test_longer_speech_is_classified_in_windows(ungated: Classifier) -> None:
    samples = voice(9.0)
    hop = round(ungated.model.metadata.decision.window_hop_seconds * RATE)
    # A window where the one before did not reach the end.
    starts = [0, *(start + hop for start in range(0, 9 * RATE - 4 * RATE, hop))]
    windows = [window_scores(ungated, samples[start : start + 4 * RATE]) for start in starts]
    result = ungated.classify_samples(samples, RATE)
    assert result.scores == pytest.approx(
        {label: np.mean([scores[label] for scores in windows]) for label in ungated.labels},
        abs=1e-12,
    )
    assert (result.start, result.end) == (0.0, 9.0)


def test_windows_are_each_trimmed_by_themselves(tmp_path: Path, ungated: Classifier) -> None:
    faint = np.float32(0.05)  # 26 dB below: silence beside the loud part, speech by itself
    samples = np.concatenate([voice(4.0), faint * voice(4.0)])
    path = tmp_path / "speech.wav"
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    results = list(ungated.windows(path, hop=4.0))
    assert [result.scores for result in results] == [
        window_scores(ungated, samples[: 4 * RATE]),
        window_scores(ungated, samples[4 * RATE :]),
    ]


def test_windows_state_their_times(tmp_path: Path, ungated: Classifier) -> None:
    path = tmp_path / "speech.wav"
    samples = voice(7.5)
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    results = list(ungated.windows(path, hop=1.5))
    times = [(result.start, result.end) for result in results]
    assert times == [(0.0, 4.0), (1.5, 5.5), (3.0, 7.0), (4.5, 7.5)]
    for result in results:
        part = samples[round(result.start * RATE) : round(result.end * RATE)]
        assert result.scores == window_scores(ungated, part)


def test_windows_come_one_by_one(tmp_path: Path, ungated: Classifier) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, voice(20.0), RATE)
    windows = ungated.windows(path)
    assert next(windows).end == 4.0
    windows.close()  # leaves the rest unread


@pytest.mark.parametrize("hop", [0, -1.0, 1e-9, float("nan"), float("inf")])
def test_a_window_hop_is_at_least_a_sample(hop: float, tmp_path: Path, ungated: Classifier) -> None:
    path = tmp_path / "speech.wav"
    soundfile.write(path, voice(1.0), RATE)
    with pytest.raises(ValueError, match="hop"):
        list(ungated.windows(path, hop=hop))


def test_windows_without_speech_are_not_pooled(ungated: Classifier) -> None:
    # Loud at both ends, so that trimming the whole leaves it long; silent in between.
    samples = np.concatenate([voice(4.0), silence(12.0), voice(4.0)])
    result = ungated.classify_samples(samples, RATE)
    assert result.scores is not None
    hop = round(ungated.model.metadata.decision.window_hop_seconds * RATE)
    windows = [
        samples[start : start + 4 * RATE] for start in range(0, samples.size - 3 * RATE, hop)
    ]
    spoken = [window_scores(ungated, window) for window in windows if np.abs(window).max() > 0.01]
    assert 2 <= len(spoken) < len(windows)
    expected = {label: np.mean([scores[label] for scores in spoken]) for label in ungated.labels}
    assert result.scores == pytest.approx(expected, abs=1e-12)


def test_beyond_a_minute_a_recording_is_classified_in_windows(ungated: Classifier) -> None:
    speech = voice(3.0)
    one = np.concatenate([silence(1.0), speech, silence(56.0)])
    assert ungated.classify_samples(one, RATE).scores == window_scores(ungated, one)
    more = np.concatenate([one, silence(0.001)])
    hop = round(ungated.model.metadata.decision.window_hop_seconds * RATE)
    windows = [more[start : start + 4 * RATE] for start in range(0, 4 * RATE, hop)]
    spoken = [window_scores(ungated, window) for window in windows if np.abs(window).max() > 0.01]
    expected = {label: np.mean([scores[label] for scores in spoken]) for label in ungated.labels}
    assert ungated.classify_samples(more, RATE).scores == pytest.approx(expected, abs=1e-12)


@pytest.mark.slow
def test_an_hour_fits_in_little_memory(tmp_path: Path, ungated: Classifier) -> None:
    path = tmp_path / "hour.wav"
    minute = np.concatenate([voice(4.0), silence(56.0)])
    with soundfile.SoundFile(path, "w", RATE, 1, subtype="PCM_U8") as file:
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


def test_a_file_is_classified_as_its_samples(tmp_path: Path, ungated: Classifier) -> None:
    samples = (voice(2.0) * 32767).astype(np.int16)
    expected = ungated.classify_samples(samples, RATE)
    for name in ("speech.wav", "speech.flac"):
        path = tmp_path / name
        soundfile.write(path, samples, RATE)
        assert ungated.classify(path) == expected
        assert ungated.classify(str(path)) == expected
        assert ungated.classify(path.read_bytes()) == expected
        with path.open("rb") as file:
            assert ungated.classify(file) == expected


def test_another_rate_is_resampled_as_in_training(ungated: Classifier) -> None:
    soxr = pytest.importorskip("soxr")
    samples = voice(2.0, 44_100)
    result = ungated.classify_samples(samples, 44_100)
    assert result.scores == window_scores(ungated, soxr.resample(samples, 44_100, RATE))
    assert result.end == pytest.approx(2.0, abs=1e-4)


def test_channels_are_averaged_or_picked(ungated: Classifier) -> None:
    one, other = voice(2.0), voice(3.0)[RATE:]
    stereo = np.stack([one, other], axis=1)
    mean = ungated.classify_samples((one + other) / 2, RATE)
    assert ungated.classify_samples(stereo, RATE) == mean
    assert ungated.classify_samples(stereo, RATE, channel=1) == ungated.classify_samples(one, RATE)
    assert ungated.classify_samples(stereo, RATE, channel=2) == ungated.classify_samples(
        other, RATE
    )
    with pytest.raises(AudioError, match="no channel 3"):
        ungated.classify_samples(stereo, RATE, channel=3)


def test_full_scale_is_that_of_the_type(ungated: Classifier) -> None:
    samples = (voice(2.0) * 32767).astype(np.int16)
    expected = ungated.classify_samples(samples, RATE)
    assert ungated.classify_samples(samples / 32768, RATE) == expected
    assert ungated.classify_samples(samples.astype(np.int32) * 65536, RATE) == expected


def test_samples_stay_as_they_were(ungated: Classifier) -> None:
    samples = voice(2.0)
    before = samples.copy()
    ungated.classify_samples(samples, RATE)
    assert np.array_equal(samples, before)


# No answer depends on another.


@pytest.fixture(scope="module")
def clips() -> list[Samples]:
    rng = np.random.default_rng(0)
    tones = [voice(6.0)[start * RATE // 2 :] for start in range(4)]
    return [*tones, (0.1 * rng.standard_normal(2 * RATE)).astype(np.float32), silence(1.0)]


def test_the_same_before_and_after_others(clips: list[Samples], ungated: Classifier) -> None:
    first = [ungated.classify_samples(clip, RATE) for clip in clips]
    again = [ungated.classify_samples(clip, RATE) for clip in reversed(clips)]
    assert again[::-1] == first
    assert len({str(result.scores) for result in first}) == len(clips)


def test_the_same_from_any_classifier(clips: list[Samples], ungated: Classifier) -> None:
    expected = [ungated.classify_samples(clip, RATE) for clip in clips]
    fresh = Classifier.from_file(bundled_path(), gate="off", threshold=0.0)
    copied = pickle.loads(pickle.dumps(ungated))
    assert copied.threshold == ungated.threshold
    for other in (fresh, copied):
        assert [other.classify_samples(clip, RATE) for clip in clips] == expected


def test_the_same_from_any_thread(clips: list[Samples], ungated: Classifier) -> None:
    expected = [ungated.classify_samples(clip, RATE) for clip in clips]
    answers: dict[int, list[Result]] = {}

    def work(number: int) -> None:
        order = [(number + turn) % len(clips) for turn in range(len(clips))]
        results = {which: ungated.classify_samples(clips[which], RATE) for which in order}
        answers[number] = [results[which] for which in range(len(clips))]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == dict.fromkeys(range(4), expected)


def test_windows_side_by_side(tmp_path: Path, ungated: Classifier) -> None:
    path = tmp_path / "speech.wav"
    soundfile.write(path, voice(10.0), RATE)
    expected = list(ungated.windows(path))
    # Zipped, each of the two runs classifies between the other's windows.
    for left, right, result in zip(ungated.windows(path), ungated.windows(path), expected):
        assert left == right == result


# Many recordings, and arrays in windows.


def test_a_bad_recording_stops_no_other(tmp_path: Path, ungated: Classifier) -> None:
    good, broken, empty = tmp_path / "good.wav", tmp_path / "broken.wav", tmp_path / "empty.wav"
    soundfile.write(good, voice(2.0), RATE)
    broken.write_bytes(b"RIFF" + bytes(100))
    empty.touch()
    cell = float("nan")  # of a table
    sources: list[Any] = [good, broken, "none.wav", cell, None, "a\0b", tmp_path, empty]
    sources += [good.read_bytes(), np.zeros(9), good]
    results = list(ungated.classify_many(sources))
    assert [source for source, _ in results] == sources
    expected = ungated.classify(good)
    kinds = [result if isinstance(result, Result) else type(result) for _, result in results]
    assert kinds == [expected, *[AudioError] * 7, expected, AudioError, expected]
    assert "classify_samples" in str(results[9][1])


def test_many_recordings_are_read_one_by_one(tmp_path: Path, ungated: Classifier) -> None:
    soundfile.write(tmp_path / "good.wav", voice(1.0), RATE)
    taken = []

    def endless() -> Iterator[Path]:
        while True:
            taken.append(1)
            yield tmp_path / "good.wav"

    results = ungated.classify_many(endless())
    assert not taken
    next(results)
    next(results)
    assert len(taken) == 2


def test_what_no_recording_can_do_without_stops_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "speech.flac"
    soundfile.write(path, voice(1.0), RATE)
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(DependencyError, match="soundfile"):
        list(Classifier.bundled().classify_many([path]))


@pytest.mark.parametrize("one", ["a.wav", b"RIFF", Path("a.wav"), io.BytesIO()])
def test_one_recording_is_not_many(one: Any, ungated: Classifier) -> None:
    with pytest.raises(TypeError, match="several recordings"):
        ungated.classify_many(one)


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_windows_of_an_array_are_those_of_its_file(
    rate: int, tmp_path: Path, ungated: Classifier
) -> None:
    path = tmp_path / "speech.wav"
    samples = np.stack([voice(7.5, rate), 0.5 * voice(7.5, rate)], axis=1)
    soundfile.write(path, samples, rate, subtype="FLOAT")
    for options in ({}, {"hop": 1.5}, {"channel": 2}):
        expected = list(ungated.windows(path, **options))
        assert list(ungated.windows_samples(samples, rate, **options)) == expected
    assert len(expected) == 3
    assert list(ungated.windows_samples((samples * 32767).astype(np.int16), rate))
    with pytest.raises(AudioError, match="no channel 3"):
        ungated.windows_samples(samples, rate, channel=3)
    with pytest.raises(ValueError, match="hop"):
        ungated.windows_samples(samples, rate, hop=0)


# Wrong use.


@pytest.mark.parametrize("method", ["classify", "windows"])
@pytest.mark.parametrize("samples", [np.zeros(RATE), [0.0] * RATE, None, 1.0])
def test_samples_are_told_from_files(method: str, samples: Any, ungated: Classifier) -> None:
    call = getattr(ungated, method)
    for arguments, named in (
        ((samples,), {}),
        ((samples, RATE), {}),
        ((samples,), {"sample_rate": RATE}),
    ):
        with pytest.raises(TypeError, match=rf"{method}_samples\(samples, sample_rate\)"):
            call(*arguments, **named)


@pytest.mark.parametrize("method", ["classify", "windows"])
@pytest.mark.parametrize("file", ["a.wav", Path("a.wav"), b"RIFF", io.BytesIO()])
def test_files_are_told_from_samples(method: str, file: Any, ungated: Classifier) -> None:
    with pytest.raises(TypeError, match=rf"goes to {method}\(source\)"):
        getattr(ungated, f"{method}_samples")(file, RATE)


@pytest.mark.parametrize("name", ["none", "", "default.tflite"])
def test_unknown_models_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"no bundled model .*, only .*default"):
        Classifier.bundled(name)


def test_bad_audio_is_an_audio_error(tmp_path: Path, ungated: Classifier) -> None:
    with pytest.raises(AudioError, match="No such file"):
        ungated.classify(tmp_path / "none.wav")
    with pytest.raises(AudioError, match="there are none"):
        ungated.classify_samples([], RATE)
    with pytest.raises(AudioError, match="NaN"):
        ungated.classify_samples(np.full(RATE, np.nan), RATE)
    with pytest.raises(AudioError):
        ungated.classify_samples(voice(1.0), 0)


def test_all_public_names_are_listed() -> None:
    code = "import ser_edge; print(sorted(set(ser_edge.__all__) - set(dir(ser_edge))))"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout == "[]\n"
    assert dir(ser_edge) == sorted(dir(ser_edge))


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


def test_a_recording_s_chunks_are_told_as_it_is_read(classifier, tmp_path):
    path = tmp_path / "voice.wav"
    soundfile.write(path, voice(90.0, 8000), 8000)
    for classify in (classifier.classify, lambda *a, **o: list(classifier.windows(*a, **o))):
        sizes, rates = [], set()

        def on_chunk(samples, rate, sizes=sizes, rates=rates):
            sizes.append(samples.size)
            rates.add(rate)

        assert classify(path, on_chunk=on_chunk) == classify(path)
        assert (sum(sizes), rates) == (90 * 8000, {8000})
        assert max(sizes) <= 8000


def test_thresholds_by_label(classifier):
    samples = voice(3.0)
    best = Classifier(classifier.model, threshold=0).classify_samples(samples, RATE)
    assert best.label is not None
    strict = Classifier(classifier.model, threshold=0, thresholds={best.label: 1})
    result = strict.classify_samples(samples, RATE)
    assert (result.label, result.reason, result.scores) == (None, "uncertain", best.scores)
    lax = Classifier(classifier.model, threshold=1, thresholds={best.label: 0})
    assert lax.classify_samples(samples, RATE) == best
    assert dict(lax.thresholds) == {best.label: 0}
    assert pickle.loads(pickle.dumps(lax)).classify_samples(samples, RATE) == best
    for thresholds in ({"rage": 0.5}, {best.label: 2.0}, {best.label: float("nan")}):
        with pytest.raises(ValueError, match="threshold"):
            Classifier(classifier.model, thresholds=thresholds)

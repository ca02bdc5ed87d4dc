"""A stream gives what `Classifier.windows` gives, however the audio is cut into chunks."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import soundfile

from ser_edge import AudioError, Classifier
from ser_edge.stream import Windower
from tests.helpers.audio import RATE, noise, voice

SOURCE_RATE = 22_050  # resampled, so that the chunks of the resampler are tested too


def mixed(rate: int, seconds: float = 11.3) -> np.ndarray:
    """A voice-like tone, then silence, then noise, then the tone again: int16."""
    n = round(seconds * rate)
    samples = voice(seconds, rate)[:n]
    samples[n // 3 : n // 2] = 0
    samples[n // 2 : n // 2 + n // 4] = noise(n // 4, seed=1, level=0.05)
    return np.rint(samples * 32767).astype(np.int16)


@pytest.fixture(scope="module")
def recording():
    return mixed(SOURCE_RATE)


@pytest.fixture(scope="module")
def expected(recording, classifier, tmp_path_factory):
    path = tmp_path_factory.mktemp("stream") / "mixed.wav"
    soundfile.write(path, recording, SOURCE_RATE)
    results = list(classifier.windows(path, hop=1.0))
    reasons = {result.reason for result in results}
    assert {"no_speech", None} <= reasons or {"no_speech", "uncertain"} <= reasons
    assert any(result.scores for result in results)
    return results


def pushed(stream, chunks):
    results = [result for chunk in chunks for result in stream.push(chunk)]
    return results + stream.flush()


@pytest.mark.parametrize("size", [1, 7, 160, 4_001, None])
def test_chunks_of_any_size_give_the_windows_of_the_file(recording, expected, classifier, size):
    stream = classifier.stream(SOURCE_RATE, hop=1.0)
    size = size or recording.size
    chunks = (recording[start : start + size] for start in range(0, recording.size, size))
    assert pushed(stream, chunks) == expected


@pytest.mark.parametrize("seed", range(3))
def test_random_chunks_of_bytes_give_the_same(recording, expected, classifier, seed):
    rng = np.random.default_rng(seed)
    data = recording.tobytes()
    cuts = np.sort(rng.integers(0, len(data), 60))  # odd ones among them
    chunks = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])]
    assert any(len(chunk) % 2 for chunk in chunks)
    assert pushed(classifier.stream(SOURCE_RATE, hop=1.0), chunks) == expected


def test_a_hop_longer_than_the_window(recording, classifier, tmp_path):
    path = tmp_path / "mixed.wav"
    soundfile.write(path, recording, SOURCE_RATE)
    stream = classifier.stream(SOURCE_RATE, hop=5.3)
    results = pushed(stream, np.array_split(recording, 999))
    assert [result.start for result in results] == [0, 5.3, 10.6]
    assert results == list(classifier.windows(path, hop=5.3))


def test_float32_is_as_good_as_int16(recording, expected, classifier):
    samples = recording.astype(np.float32) / 32768
    assert pushed(classifier.stream(SOURCE_RATE, hop=1.0), [samples]) == expected


@pytest.mark.parametrize("sample_format", ["uint8", "int16", "int32", "float32"])
def test_bytes_in_every_format(classifier, sample_format):
    samples = voice(4.0)
    scale = {"uint8": 127, "int16": 32767, "int32": 2**31 - 256, "float32": 1}[sample_format]
    coded = (samples * scale + (128 if sample_format == "uint8" else 0)).astype(sample_format)
    stream = classifier.stream(RATE, sample_format=sample_format)
    assert pushed(stream, [coded.tobytes()]) == pushed(classifier.stream(RATE), [coded])


def test_interleaved_channels(classifier):
    samples = np.rint(voice(4.0) * 32767).astype(np.int16)
    stereo = np.stack([np.zeros_like(samples), samples], axis=1)
    second = classifier.stream(RATE, channels=2, channel=2)
    data = stereo.tobytes()
    assert pushed(second, [data[:1001], data[1001:]]) == pushed(classifier.stream(RATE), [samples])
    first = classifier.stream(RATE, channel=1)
    assert [result.reason for result in pushed(first, [stereo])] == ["silence"]


def test_times_count_samples(classifier):
    stream = classifier.stream(RATE, hop=0.1)
    results = pushed(stream, [np.zeros(RATE * 60, np.int16)])
    assert [result.start for result in results] == [n * 1600 / RATE for n in range(561)]
    assert results[-1].end == 60


def test_a_new_recording_begins_after_flush_and_reset(classifier, recording):
    stream = classifier.stream(SOURCE_RATE)
    once = pushed(stream, [recording])
    assert pushed(stream, [recording]) == once
    stream.push(recording[: SOURCE_RATE * 5].tobytes() + b"\1")
    stream.reset(start=100.0)
    again = pushed(stream, [recording.tobytes()])
    assert [r.start for r in again] == [100 + r.start for r in once]
    assert [r.scores for r in again] == [r.scores for r in once]


def test_nothing_pushed_gives_nothing(classifier):
    stream = classifier.stream(SOURCE_RATE)
    assert stream.push(b"") == stream.push(b"\0") == stream.push(np.zeros(0, np.int16)) == []
    assert stream.flush() == []


def test_smoothing_mixes_windows_and_starts_anew_after_a_pause(classifier):
    tone = np.rint(voice(8.0) * 32767).astype(np.int16)
    tone[RATE * 4 :] = np.roll(tone[: RATE * 4], 3)  # not quite the same
    audio = np.concatenate([tone, np.zeros(RATE * 5, np.int16), tone])
    plain = pushed(classifier.stream(RATE, hop=1.0), [audio])
    smooth = pushed(classifier.stream(RATE, hop=1.0, smoothing=0.6), [audio])
    before = None
    pauses = 0
    for one, other in zip(plain, smooth):
        if one.scores is None:
            assert other == one
            before = None
            pauses += 1
            continue
        assert other.scores is not None
        probabilities = np.array(list(one.scores.values()))
        if before is not None:
            probabilities = 0.6 * before + 0.4 * probabilities
        np.testing.assert_array_equal(list(other.scores.values()), probabilities)
        before = probabilities
    assert pauses
    assert plain != smooth


def test_a_bad_chunk_is_left_out(classifier, recording, expected):
    stream = classifier.stream(SOURCE_RATE, hop=1.0)
    results = stream.push(recording[:50_000])
    with pytest.raises(AudioError, match="NaN"):
        stream.push(np.full(100, np.nan, np.float32))
    with pytest.raises(AudioError, match="complex"):
        stream.push(np.zeros(100, complex))
    assert results + pushed(stream, [recording[50_000:]]) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sample_rate": 16}, "16 Hz"),
        ({"hop": 0}, "hop"),
        ({"hop": float("nan")}, "hop"),
        ({"hop": float("inf")}, "hop"),
        ({"smoothing": 1}, "smoothing"),
        ({"smoothing": float("nan")}, "smoothing"),
        ({"sample_format": "int20"}, "int16"),
        ({"channels": 0}, "channels"),
    ],
)
def test_bad_arguments_are_named(classifier, arguments, message):
    with pytest.raises(ValueError, match=message):
        classifier.stream(**{"sample_rate": RATE, **arguments})


def test_memory_is_that_of_a_window_and_a_chunk(classifier):
    gated = Classifier(classifier.model)
    stream = gated.stream(RATE, hop=4.0)
    chunk = np.zeros(RATE, np.int16)
    tracemalloc.start()
    try:
        for _ in range(30):
            stream.push(chunk)
        tracemalloc.reset_peak()
        held, _ = tracemalloc.get_traced_memory()
        for _ in range(300):
            stream.push(chunk)
        left, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    window_bytes = 4 * classifier.model.frontend.window_samples
    assert left - held < 20_000
    assert peak - held < 8 * window_bytes


# The windows that a stream cuts.


def cut(
    size: int, *, length: int, hop_length: int, chunks: int = 1
) -> list[tuple[int, list[float]]]:
    """Starts and contents of the windows of the samples 0, 1, 2, ... pushed in equal chunks."""
    windower = Windower(length, hop_length)
    samples = np.arange(size, dtype=np.float32)
    windows = [
        window for chunk in np.array_split(samples, chunks) for window in windower.push(chunk)
    ]
    windows.extend(windower.flush())
    return [(window.start, window.samples.tolist()) for window in windows]


@pytest.mark.parametrize(
    ("size", "hop_length", "expected"),
    [
        (0, 2, []),
        (1, 2, [(0, 1)]),
        (3, 2, [(0, 3)]),
        (4, 2, [(0, 4)]),  # one window to the sample: no tail
        (5, 2, [(0, 4), (2, 3)]),
        (6, 2, [(0, 4), (2, 4)]),
        (7, 2, [(0, 4), (2, 4), (4, 3)]),
        (8, 4, [(0, 4), (4, 4)]),
        (9, 4, [(0, 4), (4, 4), (8, 1)]),
        (9, 6, [(0, 4), (6, 3)]),  # two samples in no window
        (6, 6, [(0, 4)]),
        (5, 6, [(0, 4)]),
        (7, 6, [(0, 4), (6, 1)]),
        (6, 1, [(0, 4), (1, 4), (2, 4)]),
    ],
)
def test_starts_and_sizes(size: int, hop_length: int, expected: list[tuple[int, int]]) -> None:
    windows = cut(size, length=4, hop_length=hop_length)
    assert windows == [
        (start, [float(n) for n in range(start, start + length)]) for start, length in expected
    ]


@pytest.mark.parametrize("hop_length", [1, 3, 10, 17, 100])
@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 117, 250])
def test_the_chunks_do_not_matter(size: int, hop_length: int) -> None:
    whole = cut(size, length=10, hop_length=hop_length)
    for chunks in (2, 7, 100, 300):  # also empty ones
        assert cut(size, length=10, hop_length=hop_length, chunks=chunks) == whole


@pytest.mark.parametrize("hop_length", [1, 3, 10])
def test_every_sample_is_in_a_window(hop_length: int) -> None:
    for size in range(1, 40):
        windows = cut(size, length=10, hop_length=hop_length)
        covered = {sample for _, samples in windows for sample in samples}
        assert covered == set(range(size))
        assert all(samples for _, samples in windows)


def test_windows_are_the_caller_s_own() -> None:
    windower = Windower(4, 2)
    first, second = windower.push(np.arange(6, dtype=np.float32))
    first.samples[:] = 99
    assert second.samples.tolist() == [2, 3, 4, 5]
    (third,) = windower.push(np.arange(6, 8, dtype=np.float32))
    assert third.samples.tolist() == [4, 5, 6, 7]


def test_windows_come_as_soon_as_they_are_whole() -> None:
    windower = Windower(4, 4)
    assert list(windower.push(np.zeros(3, np.float32))) == []
    assert len(list(windower.push(np.zeros(1, np.float32)))) == 1


def test_flushing_twice_gives_nothing_twice() -> None:
    windower = Windower(4, 2)
    list(windower.push(np.zeros(3, np.float32)))
    assert len(list(windower.flush())) == 1
    assert list(windower.flush()) == []

"""Channels become one: the mean, to the bit, but where they cancel the louder one."""

from __future__ import annotations

import tracemalloc
import warnings
from collections.abc import Iterable

import numpy as np
import pytest

from ser_edge import AudioError, Classifier
from ser_edge.audio import load, open_audio
from ser_edge.audio.mixing import Mixer, as_mono_float32, decode
from ser_edge.errors import AudioWarning
from tests.helpers.audio import RATE, Samples, noise, tone, voice

librosa = pytest.importorskip("librosa")


def mono(samples: object, *, rate: int = RATE, channel: int | None = None) -> Samples:
    return as_mono_float32(samples, rate, channel=channel)


def delayed(samples: Samples, frames: int) -> Samples:
    return np.concatenate([np.zeros(frames, np.float32), samples])[: len(samples)]


def stacked(*channels: Samples) -> Samples:
    return np.stack(channels, axis=1).astype(np.float32)


def cancelling(voice: Samples, rate: int = RATE) -> dict[str, Samples]:
    """Recordings whose mean loses the voice, by what they are; the first channel has it."""
    late = delayed(voice, round(0.0005 * rate))
    hiss = noise((len(voice), 2), level=1e-4)
    nothing = np.zeros_like(voice)
    return {
        "opposite": stacked(voice, -voice),
        "with noise at -80 dB": stacked(voice, -voice) + hiss,
        "half a millisecond apart": stacked(voice, -late),
        "and not as loud": stacked(voice, -0.9 * voice),
        "four channels": stacked(voice, -voice, voice, -voice),
        "four channels apart": stacked(voice, -late, voice, -late),
        "two of four": stacked(voice, -voice, nothing, nothing),
        "with opposite offsets": stacked(voice + 0.001, -voice - 0.001),
    }


CANCELLING = tuple(cancelling(np.ones(100, np.float32)))


# --- arrays ---


def test_integers_are_scaled_as_in_files() -> None:
    samples = np.array([0.0, 0.5, -1.0, 0.25])
    for dtype, scale in ((np.int16, 2**15), (np.int32, 2**31)):
        result = mono((samples * scale).astype(dtype))
        assert result.dtype == np.float32
        np.testing.assert_array_equal(result, samples)
    unsigned = (samples * 128 + 128).astype(np.uint8)
    np.testing.assert_array_equal(mono(unsigned), samples)
    big_endian = (samples * 2**15).astype(">i2")
    np.testing.assert_array_equal(mono(big_endian), samples)


def test_floats_are_taken_as_they_are() -> None:
    samples = noise(100)
    np.testing.assert_array_equal(mono(samples), samples.astype(np.float32))
    single = samples.astype(np.float32)
    assert np.shares_memory(mono(single), single)
    assert mono([0.5, 1.5]).tolist() == [0.5, 1.5]
    strided = mono(noise((100, 2)), channel=2)
    assert strided.flags.c_contiguous


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_array_channels_are_averaged(channels: int) -> None:
    samples = noise((1_000, channels)).astype(np.float32)
    np.testing.assert_array_equal(mono(samples), librosa.to_mono(samples.T))


def test_the_input_array_is_not_changed() -> None:
    samples = np.arange(256, dtype=np.uint8)
    mono(samples)
    assert samples.tolist() == list(range(256))


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        ([], "there are none"),
        (np.zeros((0, 2)), "there are none"),
        (np.zeros((5, 0)), "there are none"),
        (0.5, "shape"),
        (np.zeros((2, 2, 2)), "shape"),
        (np.zeros((2, 16_000)), "shape"),
        (np.zeros((1, 2)), "channels first"),
        (np.zeros((2, 80)), "channels first"),
        (np.zeros((80, 128)), "channels first"),
        ([1, 2, 3], "not int64"),
        (np.zeros(3, np.uint16), "not uint16"),
        (np.zeros(3, bool), "not bool"),
        (np.zeros(3, complex), "not complex128"),
        (["a"], "not str"),
        ([0.0, np.nan], "NaN or infinite"),
        ([0.0, -np.inf], "NaN or infinite"),
        ([[np.inf, -np.inf]] * 2, "NaN or infinite"),
        ([0.0, 1e300], "NaN or infinite"),
        ([0.0, -20_000.0], "up to 20000"),
    ],
)
def test_other_arrays_are_refused(samples: object, reason: str) -> None:
    with np.errstate(all="raise"), pytest.raises(AudioError, match=f"samples: .*{reason}"):
        mono(samples)


# --- channels that cancel ---


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 48_000])
@pytest.mark.parametrize("what", CANCELLING)
def test_where_channels_cancel_the_first_of_the_loudest_is_heard(what: str, rate: int) -> None:
    frames = cancelling(voice(3.0, rate), rate)[what]
    with pytest.warns(AudioWarning, match="channel 1, which is heard"):
        heard = mono(frames, rate=rate)
    np.testing.assert_array_equal(heard, frames[:, 0])


def test_the_louder_channel_is_heard() -> None:
    x = voice(2.0)
    with pytest.warns(AudioWarning, match="channel 2, which is heard"):
        np.testing.assert_array_equal(mono(stacked(-0.8 * x, x)), x)


@pytest.mark.parametrize(
    "what",
    ["opposite", "with noise at -80 dB", "half a millisecond apart", "four channels apart"],
)
def test_fifty_voices_have_the_labels_of_one_channel(
    what: str, speech: list, classifier: Classifier
) -> None:
    for clip in speech[::8][:50]:
        frames = cancelling(load(clip.path, RATE))[what]
        alone = classifier.classify_samples(frames[:, 0], RATE)
        stream = classifier.stream(RATE, hop=2.0)
        expected = [*stream.push(frames[:, 0]), *stream.flush()]
        chunks = (frames[at : at + 777] for at in range(0, len(frames), 777))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AudioWarning)
            result = classifier.classify_samples(frames, RATE)
            results = list(classifier.stream(RATE, hop=2.0).through(chunks))
        assert (result.label, result.reason) == (alone.label, alone.reason), clip.path
        found = [(r.label, r.reason, r.start, r.end) for r in results]
        assert found == [(r.label, r.reason, r.start, r.end) for r in expected], clip.path


def ordinary(x: Samples, y: Samples) -> Iterable[Samples]:
    """Stereo and more that does not cancel: as microphones, mixers and cables make it."""
    rng = np.random.default_rng(0)
    nothing = np.zeros_like(x)
    yield from (stacked(x, x), stacked(x, nothing), stacked(nothing, x), stacked(x, 0.1 * x))
    yield from (stacked(x, y), stacked(x, -0.3 * x), stacked(x + 0.01, x - 0.01))
    yield from (stacked(x, delayed(x, frames)) for frames in (1, 3, 8, 24, 40, 80))
    yield from (stacked(x, *[nothing] * more) for more in (2, 3, 5))
    yield noise((len(x), 2))
    yield noise((len(x), 9))
    rooms = [
        np.convolve(x, [1, *0.3 * rng.standard_normal(2400) * np.exp(-np.arange(2400) / 500)])
        for _ in range(2)
    ]
    yield stacked(*(room[: len(x)] for room in rooms))
    hum = 0.001 * tone(len(x) / RATE, 50)
    yield stacked(x + hum, x - hum)


def test_ordinary_stereo_is_its_mean_to_the_bit(speech: list) -> None:
    clips = [load(clip.path, RATE) for clip in speech[::60]]
    for x, y in zip(clips, [*clips[1:], clips[0]]):
        for number, frames in enumerate(ordinary(x, np.resize(y, len(x)))):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                np.testing.assert_array_equal(mono(frames), frames.mean(axis=1), str(number))


def test_doubles_are_averaged_as_doubles() -> None:
    frames = np.random.default_rng(0).standard_normal((5_000, 3)) / 10
    np.testing.assert_array_equal(mono(frames), frames.mean(axis=1).astype(np.float32))


def test_the_mean_comes_back_when_channels_no_longer_cancel() -> None:
    x = voice(4.0)
    frames = np.concatenate([stacked(x, -x), stacked(x, x / 2), stacked(x, -x)])
    with pytest.warns(AudioWarning) as caught:
        heard = mono(frames)
    assert len(caught) == 1  # once, though it happens twice
    np.testing.assert_array_equal(heard[: 4 * RATE], x)
    np.testing.assert_array_equal(heard[7 * RATE : 8 * RATE], 0.75 * x[3 * RATE :])
    np.testing.assert_array_equal(heard[11 * RATE :], x[3 * RATE :])


@pytest.mark.parametrize("size", [1, 99, 1_600, 4_001, 100_000])
def test_chunks_of_any_size_give_the_same(size: int) -> None:
    rate = 22_050
    x = voice(1.5, rate)
    frames = np.concatenate([stacked(x, x / 2), stacked(x, -delayed(x, 11))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AudioWarning)
        expected = mono(frames, rate=rate)
        mixer = Mixer(rate, 2)
        parts = [mixer.push(frames[at : at + size]) for at in range(0, len(frames), size)]
    np.testing.assert_array_equal(np.concatenate([*parts, mixer.flush()]), expected)
    assert (expected != frames.mean(axis=1)).any()


def test_a_file_and_a_stream_hear_the_same_and_warn_once(tmp_path, classifier) -> None:
    soundfile = pytest.importorskip("soundfile")
    x = voice(9.0)
    path = tmp_path / "cancelling.wav"
    soundfile.write(path, stacked(x, -x), RATE, subtype="FLOAT")
    with pytest.warns(AudioWarning) as caught:
        results = list(classifier.windows(path))
    assert [str(w.message).split(":")[0] for w in caught] == [str(path)]
    assert results == list(classifier.stream(RATE).through([x]))
    stream = classifier.stream(RATE, channels=2, sample_format="float32")
    data = stacked(x, -x).tobytes()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert list(stream.through([data])) == results
        assert list(stream.through([data])) == results  # the next recording
    assert [w.category for w in caught] == [AudioWarning]
    with open_audio(path, channel=2) as audio:
        np.testing.assert_array_equal(np.concatenate(list(audio)), -x)


def test_memory_is_that_of_a_block() -> None:
    mixer = Mixer(48_000, 2)
    chunk = noise((480, 2))
    for _ in range(50):
        mixer.push(chunk)
    tracemalloc.start()
    try:
        for _ in range(500):
            mixer.push(chunk)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 100_000
    assert peak < 1_000_000


def test_a_chunk_that_is_refused_was_never_there() -> None:
    frames = noise((4_000, 2))
    mixer = Mixer(RATE, 2)
    parts = [mixer.push(frames[:1_000])]
    bad = frames.copy()
    bad[3_000] = np.nan
    with pytest.raises(AudioError, match="NaN"):
        mixer.push(bad)
    parts += [mixer.push(frames[1_000:]), mixer.flush()]
    np.testing.assert_array_equal(np.concatenate(parts), frames.mean(axis=1))


@pytest.mark.parametrize(
    ("sample_format", "value", "expected"),
    [
        ("uint8", b"\xc0\x40", [0.5, -0.5]),
        ("int16", b"\0\x40\0\xc0", [0.5, -0.5]),
        ("int24", b"\0\0\x40\1\0\x80", [0.5, -1 + 2**-23]),
        ("int32", b"\0\0\0\x40\0\0\0\x80", [0.5, -1.0]),
        ("float32", np.array([0.5, -0.25], "<f4").tobytes(), [0.5, -0.25]),
        ("float64", np.array([0.5, -0.25], "<f8").tobytes(), [0.5, -0.25]),
    ],
)
def test_bytes_of_every_sample_format(
    sample_format: str, value: bytes, expected: list[float]
) -> None:
    assert decode(value, sample_format, 2).tolist() == [expected]
    assert decode(value, sample_format, 1).tolist() == [[x] for x in expected]

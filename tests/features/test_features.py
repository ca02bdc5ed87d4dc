"""Features against their reference implementations and against what their definition implies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ser_edge import features
from ser_edge.convert.export import reference_features
from tests.helpers.audio import RATE, Samples
from tests.helpers.hard_signals import HARD, noisy_voice

librosa = pytest.importorskip("librosa")
pytest.importorskip("python_speech_features")

WINDOW = 4 * RATE

# librosa warns of these where a clip is shorter than a frame and where a mel band lies between
# two bins; both happen here on purpose.
pytestmark = pytest.mark.filterwarnings(
    "ignore:n_fft=.* is too large:UserWarning", "ignore:Empty filters:UserWarning"
)


def librosa_mfcc(
    y: Samples, sr: float, *, amin: float = 1e-10, top_db: float | None = 80.0, **arguments: Any
) -> Samples:
    """`librosa.feature.mfcc`, with the two arguments of the `power_to_db` within."""
    of_mfcc = {key: arguments.pop(key) for key in ("n_mfcc", "norm", "lifter") if key in arguments}
    mel_norm = arguments.pop("mel_norm", "slaney")
    mel = librosa.feature.melspectrogram(y=y, sr=sr, norm=mel_norm, **arguments)
    decibels = librosa.power_to_db(mel, amin=amin, top_db=top_db)
    return librosa.feature.mfcc(S=decibels, sr=sr, **of_mfcc)


def assert_mfcc_equal(actual: Samples, expected: Samples, name: str = "") -> None:
    """Within 1e-3, the values reaching 1e3: 1e-6 of larger ones, which float32 barely resolves."""
    assert actual.shape == expected.shape, name
    assert actual.dtype == np.float32
    bound = max(1e-3, 1e-6 * np.abs(expected).max())
    assert np.abs(actual - expected).max() <= bound, name


# Real speech and hard cases, by the arguments of the trained model that started this project.


def test_zero_crossing_rate_of_speech(recordings: Mapping[str, Samples]) -> None:
    assert len(recordings) >= 300
    for name, y in recordings.items():
        actual = features.zero_crossing_rate(y, frame_length=400, hop_length=160)
        expected = librosa.feature.zero_crossing_rate(y, frame_length=400, hop_length=160)
        assert np.array_equal(actual, expected), name


@pytest.mark.parametrize("threshold", [0.0, 1e-10, 1e-6, 1e-5, 1e-2])
def test_zero_crossing_rate_with_a_threshold(threshold: float) -> None:
    levels = np.repeat([1.0, 1e-1, 1e-3, 1e-5, 1e-7, 0.0], 800)
    y = (levels * np.random.default_rng(0).normal(size=levels.size)).astype(np.float32)
    arguments = {"frame_length": 400, "hop_length": 160, "threshold": threshold}
    actual = features.zero_crossing_rate(y, **arguments)
    assert np.array_equal(actual, librosa.feature.zero_crossing_rate(y, **arguments))


def test_zero_crossing_rate_of_rounding_errors() -> None:
    errors = np.random.default_rng(0).uniform(-1e-7, 1e-7, 8000).astype(np.float32)
    assert features.zero_crossing_rate(errors).max() > 0.4
    assert features.zero_crossing_rate(errors, threshold=1e-5).max() == 0


def test_rms_of_speech(recordings: Mapping[str, Samples]) -> None:
    for name, y in recordings.items():
        actual = features.rms(y, frame_length=400, hop_length=160)
        expected = librosa.feature.rms(y=y, frame_length=400, hop_length=160)
        assert actual.shape == expected.shape, name
        assert np.abs(actual - expected).max() <= 1e-6, name


@pytest.mark.slow
def test_mfcc_of_speech(recordings: Mapping[str, Samples]) -> None:
    typical = []
    for name, y in recordings.items():
        actual = features.mfcc(y, RATE, n_mfcc=20, hop_length=160)
        expected = librosa.feature.mfcc(y=y, sr=RATE, n_mfcc=20, hop_length=160)
        assert_mfcc_equal(actual, expected, name)
        typical.append(np.abs(actual - expected).mean())
    assert np.median(typical) < 1e-4


def test_trim_of_speech(recordings: Mapping[str, Samples]) -> None:
    for name, y in recordings.items():
        for arguments in ({"top_db": 25, "frame_length": 256, "hop_length": 64}, {}):
            _, expected = librosa.effects.trim(y, **arguments)
            assert features.trim(y, **arguments) == tuple(expected), name


@pytest.mark.parametrize("name", HARD)
def test_hard_cases(name: str) -> None:
    y = HARD[name]
    frames = {"frame_length": 400, "hop_length": 160}
    crossings = librosa.feature.zero_crossing_rate(y, **frames)
    assert np.array_equal(features.zero_crossing_rate(y, **frames), crossings)
    levels = librosa.feature.rms(y=y, **frames)
    assert features.rms(y, **frames).shape == levels.shape
    assert np.abs(features.rms(y, **frames) - levels).max() <= 1e-6
    cepstrum = librosa.feature.mfcc(y=y, sr=RATE, hop_length=160)
    assert_mfcc_equal(features.mfcc(y, RATE, hop_length=160), cepstrum)
    for arguments in ({"top_db": 25, "frame_length": 256, "hop_length": 64}, {}):
        _, interval = librosa.effects.trim(y, **arguments)
        assert features.trim(y, **arguments) == tuple(interval)


# Every argument, one or two at a time.


@pytest.mark.parametrize("hop_length", [1, 37, 160, 400, 401, 1000])
@pytest.mark.parametrize("frame_length", [1, 2, 63, 400])
@pytest.mark.parametrize("center", [True, False])
def test_frames(frame_length: int, hop_length: int, center: bool) -> None:
    y = noisy_voice(0.2)
    arguments = {"frame_length": frame_length, "hop_length": hop_length, "center": center}
    crossings = librosa.feature.zero_crossing_rate(y, **arguments)
    assert np.array_equal(features.zero_crossing_rate(y, **arguments), crossings)
    levels = librosa.feature.rms(y=y, **arguments)
    assert features.rms(y, **arguments).shape == levels.shape
    assert np.abs(features.rms(y, **arguments) - levels).max() <= 1e-6


@pytest.mark.parametrize("pad_mode", features.PAD_MODES)
def test_rms_pad_modes(pad_mode: str) -> None:
    y = noisy_voice(0.2)
    expected = librosa.feature.rms(y=y, frame_length=400, hop_length=160, pad_mode=pad_mode)
    actual = features.rms(y, frame_length=400, hop_length=160, pad_mode=pad_mode)
    assert np.abs(actual - expected).max() <= 1e-6


def test_defaults_are_those_of_librosa() -> None:
    y = noisy_voice(1.0)
    assert np.array_equal(features.zero_crossing_rate(y), librosa.feature.zero_crossing_rate(y))
    assert np.abs(features.rms(y) - librosa.feature.rms(y=y)).max() <= 1e-6
    assert_mfcc_equal(features.mfcc(y, RATE), librosa.feature.mfcc(y=y, sr=RATE))


@pytest.mark.parametrize(
    "arguments",
    [
        {"n_mfcc": 1},
        {"n_mfcc": 128},
        {"n_fft": 512},
        {"n_fft": 500},
        {"n_fft": 401, "n_mels": 20},
        {"hop_length": 160},
        {"hop_length": 3000},
        {"win_length": 400},
        {"win_length": 401},
        {"win_length": 1, "window": "boxcar"},
        {"window": "hamming"},
        {"window": "blackman"},
        {"window": "boxcar"},
        {"window": "hamming", "win_length": 400},
        {"center": False},
        {"center": False, "n_fft": 512},
        {"pad_mode": "edge"},
        {"pad_mode": "reflect"},
        {"n_mels": 20},
        {"n_mels": 24, "n_fft": 512},
        {"n_mels": 25, "n_fft": 512},
        {"n_mels": 200, "n_fft": 256},
        {"fmin": 300.0},
        {"fmax": 4000.0},
        {"fmin": 50.0, "fmax": 7600.0},
        {"htk": True},
        {"htk": True, "fmin": 125.0},
        {"mel_norm": None},
        {"mel_norm": None, "htk": True},
        {"power": 1.0},
        {"power": 3.0},
        {"power": 1.0, "mel_norm": None},
        {"amin": 1e-3},
        {"amin": 1e-20, "top_db": None},
        {"top_db": 20.0},
        {"top_db": None},
        {"norm": None},
        {"lifter": 22.0},
        {"lifter": 0.5, "n_mfcc": 13},
        {"norm": None, "lifter": 40.0},
        {"n_mfcc": 40, "n_fft": 512, "hop_length": 160, "n_mels": 64},
    ],
    ids=str,
)
def test_mfcc_arguments(arguments: dict[str, Any]) -> None:
    y = noisy_voice(0.7)
    assert_mfcc_equal(features.mfcc(y, RATE, **arguments), librosa_mfcc(y, RATE, **arguments))


@pytest.mark.parametrize("sr", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_mfcc_sample_rates(sr: int) -> None:
    y = noisy_voice(0.7, sr)
    assert_mfcc_equal(features.mfcc(y, sr), librosa.feature.mfcc(y=y, sr=sr))


@pytest.mark.parametrize("htk", [True, False])
@pytest.mark.parametrize("norm", [None, "slaney"])
@pytest.mark.parametrize(
    ("sr", "n_fft", "n_mels", "fmin", "fmax"),
    [
        (16_000, 2048, 128, 0.0, None),
        (16_000, 512, 40, 20.0, 7600.0),
        (8_000, 256, 23, 300.0, 3400.0),
        (44_100, 1023, 80, 0.0, 15_000.0),
        (16_000, 256, 128, 0.0, 1000.0),  # bands narrower than a bin, and below Slaney's break
        (16_000, 512, 1, 0.0, None),
    ],
)
def test_mel_filterbank(
    sr: int, n_fft: int, n_mels: int, fmin: float, fmax: float | None, htk: bool, norm: str | None
) -> None:
    arguments: dict[str, Any] = {
        "n_mels": n_mels, "fmin": fmin, "fmax": fmax, "htk": htk, "norm": norm
    }  # fmt: skip
    expected = librosa.filters.mel(sr=sr, n_fft=n_fft, **arguments)
    actual = features.mel_filterbank(sr, n_fft, **arguments)
    assert actual.shape == expected.shape
    assert actual.dtype == np.float32
    assert np.abs(actual - expected).max() <= np.spacing(expected.max())  # the last digit


@pytest.mark.parametrize("mode", ["interp", "nearest"])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("width", [3, 5, 9, 31])
def test_delta(width: int, order: int, mode: str) -> None:
    data = features.mfcc(noisy_voice(0.5), RATE, hop_length=160)
    # librosa's fit at the ends, in float32 when the data are, would miss its own by 3e-4.
    exact = librosa.feature.delta(data.astype(np.float64), width=width, order=order, mode=mode)
    actual = features.delta(data, width=width, order=order, mode=mode)
    assert actual.shape == exact.shape
    assert actual.dtype == np.float32
    assert np.abs(actual - exact).max() <= 1e-5


@pytest.mark.parametrize("top_db", [5.0, 25.0, 60.0])
@pytest.mark.parametrize(("frame_length", "hop_length"), [(2048, 512), (256, 64), (255, 100)])
@pytest.mark.parametrize("name", ["speech between silences", "clicks", "0.05 s", "silence"])
def test_trim(name: str, frame_length: int, hop_length: int, top_db: float) -> None:
    arguments = {"top_db": top_db, "frame_length": frame_length, "hop_length": hop_length}
    _, expected = librosa.effects.trim(HARD[name], **arguments)
    assert features.trim(HARD[name], **arguments) == tuple(expected)


def reference_psf_mfcc(y: Samples, sr: int, **arguments: Any) -> npt.NDArray[np.float64]:
    """python_speech_features.mfcc with our names for its arguments."""
    given = {**features.psf_mfcc.__kwdefaults__, **arguments}
    return reference_features.psf_mfcc(y, sr, given)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"n_mfcc": 26},
        {"n_mfcc": 1},
        {"frame_length": 512},
        {"frame_length": 333, "hop_length": 111},
        {"hop_length": 1000},
        {"n_fft": 1024},
        {"window": "hann"},
        {"window": "hamming"},
        {"window": "blackman"},
        {"n_mels": 40, "n_mfcc": 20},
        {"n_mels": 100},  # more bands than whole bins: some are empty
        {"fmin": 300.0},
        {"fmax": 4000.0},
        {"preemphasis": 0.0},
        {"lifter": 0.0},
        {"lifter": 40.0},
        {"energy": False},
        {"energy": False, "window": "hamming"},
        {"scale": 32768.0},
    ],
    ids=str,
)
def test_psf_mfcc(arguments: dict[str, Any]) -> None:
    y = noisy_voice(0.7)
    expected = reference_psf_mfcc(y, RATE, **arguments)
    actual = features.psf_mfcc(y, RATE, **arguments)
    assert actual.shape == expected.shape
    assert actual.dtype == np.float32
    assert np.abs(actual - expected).max() <= 1e-4


@pytest.mark.parametrize("name", HARD)
def test_psf_mfcc_of_hard_cases(name: str) -> None:
    expected = reference_psf_mfcc(HARD[name], RATE)
    actual = features.psf_mfcc(HARD[name], RATE)
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= 1e-4


def test_psf_mfcc_of_speech(recordings: Mapping[str, Samples]) -> None:
    for name, y in list(recordings.items())[::8]:
        expected = reference_psf_mfcc(y, RATE)
        actual = features.psf_mfcc(y, RATE)
        assert actual.shape == expected.shape, name
        assert np.abs(actual - expected).max() <= 1e-4, name


# What the definition implies.

FRAMES = {"frame_length": 400, "hop_length": 160}
INNER = slice(3, -3)  # frames that no padding reaches


def sine(frequency: float, amplitude: float = 1.0) -> Samples:
    # It begins near a peak, so that no frame of whole periods begins or ends at a crossing.
    t = np.arange(RATE) / RATE
    return (amplitude * np.cos(2 * np.pi * frequency * t + 0.1)).astype(np.float32)


def test_constant_never_crosses_zero_and_has_its_own_level() -> None:
    y = np.full(RATE, -0.25, np.float32)
    assert not features.zero_crossing_rate(y, **FRAMES).any()
    assert (features.rms(y, **FRAMES)[0, INNER] == 0.25).all()


def test_sine_crosses_zero_twice_a_period() -> None:
    rate = features.zero_crossing_rate(sine(800.0), **FRAMES)[0, INNER]
    assert (rate == 2 * 800 / RATE).all()


def test_sine_has_its_amplitude_over_root_two() -> None:
    level = features.rms(sine(800.0, 0.5), **FRAMES)[0, INNER]  # 20 whole periods a frame
    assert level == pytest.approx(0.5 / np.sqrt(2), abs=1e-6)


def test_alternating_signs_cross_zero_at_every_sample_but_the_first() -> None:
    rate = features.zero_crossing_rate(HARD["alternating signs"], **FRAMES)[0, INNER]
    assert (rate == 399 / 400).all()
    assert (features.rms(HARD["alternating signs"], **FRAMES)[0, INNER] == 1.0).all()


def test_silence() -> None:
    y = np.zeros(RATE, np.float32)
    assert not features.zero_crossing_rate(y, **FRAMES).any()
    assert not features.rms(y, **FRAMES).any()
    assert features.trim(y) == (0, RATE)
    # Every band stands at the floor, -100 dB: only the coefficient of their mean is not zero.
    cepstrum = features.mfcc(y, RATE)
    assert cepstrum[0] == pytest.approx(-100 * np.sqrt(128), abs=1e-3)
    assert np.abs(cepstrum[1:]).max() < 1e-3


def test_impulse_lies_in_the_frames_around_it() -> None:
    y = np.zeros(4000, np.float32)
    y[1600] = 1.0
    level = features.rms(y, frame_length=400, hop_length=400)[0]
    assert np.flatnonzero(level).tolist() == [4]
    assert level[4] == pytest.approx(1 / 20, abs=1e-7)
    start, end = features.trim(y, frame_length=400, hop_length=400)
    assert (start, end) == (1600, 2000)


def test_impulse_has_a_flat_spectrum() -> None:
    y = np.zeros(2048, np.float32)
    y[1024] = 1.0
    # One bin's power is 1 everywhere; bands of the same height differ by their width alone.
    widths = features.mel_filterbank(RATE, 2048, norm=None).sum(axis=1)
    cepstrum = features.mfcc(y, RATE, center=False, mel_norm=None, n_mfcc=1)
    assert cepstrum[0, 0] == pytest.approx(10 * np.log10(widths).sum() / np.sqrt(128), abs=1e-3)


def test_louder_speech_moves_the_first_coefficient_alone() -> None:
    y = HARD["loud noise"]
    loud, faint = features.mfcc(y, RATE), features.mfcc(y / 10, RATE)
    assert loud[0] - faint[0] == pytest.approx(20 * np.sqrt(128), abs=1e-2)
    assert np.abs(loud[1:] - faint[1:]).max() < 1e-3


def test_frames_wholly_in_silence_equal_those_of_silence() -> None:
    y = np.concatenate([np.zeros(RATE), noisy_voice(0.5), np.zeros(RATE)]).astype(np.float32)
    cepstrum = features.mfcc(y, RATE, hop_length=160, top_db=None)
    silent = features.mfcc(np.zeros(2048, np.float32), RATE, top_db=None)[:, :1]
    # Not to the bit: the order of sums in a matrix product depends on the number of threads.
    assert np.abs(cepstrum[:, :90] - silent).max() < 1e-9
    assert np.abs(cepstrum[:, -90:] - silent).max() < 1e-9


def test_one_sample() -> None:
    y = [0.5]
    assert features.zero_crossing_rate(y, **FRAMES).tolist() == [[0.0]]
    assert features.rms(y, **FRAMES) == pytest.approx(np.array([[0.5 / 20]]))
    assert features.mfcc(y, RATE).shape == (20, 1)
    assert features.psf_mfcc(y, RATE).shape == (13, 1)
    assert features.trim(y) == (0, 1)


def test_delta_of_a_line_is_its_slope_and_of_a_parabola_its_curvature() -> None:
    t = np.arange(20.0)
    assert features.delta([3 * t + 1]) == pytest.approx(np.full((1, 20), 3.0), abs=1e-5)
    assert features.delta([t**2], order=2) == pytest.approx(np.full((1, 20), 2.0), abs=1e-5)


def test_delta_may_be_as_wide_as_its_data() -> None:
    assert features.delta(np.ones((2, 9))).shape == (2, 9)


def test_every_numeric_type_of_samples_will_do() -> None:
    y = noisy_voice(0.2)
    expected = features.mfcc(y, RATE)
    for same in (y.tolist(), y.astype(np.float64), np.repeat(y, 2)[::2]):
        assert np.array_equal(features.mfcc(same, RATE), expected)
    assert features.rms(np.ones(800, np.int16), **FRAMES)[0, 2] == 1.0


def test_arguments_stay_as_they_were() -> None:
    y = noisy_voice(0.2)
    before = y.copy()
    features.zero_crossing_rate(y)
    features.rms(y)
    features.mfcc(y, RATE)
    features.psf_mfcc(y, RATE)
    features.trim(y)
    assert np.array_equal(y, before)
    # A caller who changes a filterbank must not change the one that mfcc keeps.
    expected = features.mfcc(y, RATE)
    features.mel_filterbank(RATE, 2048)[:] = 0
    assert np.array_equal(features.mfcc(y, RATE), expected)


# Bad arguments.


@pytest.mark.parametrize(
    "feature",
    [
        features.zero_crossing_rate,
        features.rms,
        features.trim,
        lambda y: features.mfcc(y, RATE),
        lambda y: features.psf_mfcc(y, RATE),
    ],
)
@pytest.mark.parametrize("y", [[], [[0.5, 0.5]], 0.5])
def test_no_samples_or_several_channels_are_refused(feature: Any, y: Any) -> None:
    with pytest.raises(ValueError, match="samples of one channel"):
        feature(y)


@pytest.mark.parametrize(
    "feature",
    [features.zero_crossing_rate, features.rms, lambda y, **k: features.mfcc(y, RATE, **k)],
)
def test_fewer_samples_than_a_frame_are_refused(feature: Any) -> None:
    with pytest.raises(ValueError, match="2047 samples are fewer than a frame of 2048"):
        feature(np.zeros(2047), center=False)
    assert feature(np.zeros(2048), center=False).shape[1] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_mfcc": 0}, "n_mfcc is 0"),
        ({"n_mfcc": 129}, "n_mfcc is 129"),
        ({"win_length": 0}, "win_length is 0"),
        ({"win_length": 2049}, "win_length is 2049"),
        ({"window": "kaiser"}, "window is 'kaiser'"),
        ({"pad_mode": "wrap"}, "pad_mode is 'wrap'"),
        ({"fmin": -1.0}, "-1.0 to 8000"),
        ({"fmax": 8001.0}, "0.0 to 8001"),
        ({"fmin": 4000.0, "fmax": 4000.0}, "4000.0 to 4000"),
        ({"mel_norm": "area"}, "norm is 'area'"),
        ({"norm": "forward"}, "norm is 'forward'"),
        ({"lifter": -1.0}, "lifter is -1"),
    ],
)
def test_bad_arguments_of_mfcc_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        features.mfcc(noisy_voice(0.2), RATE, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_mfcc": 27}, "n_mfcc is 27"),
        ({"frame_length": 513}, "frame_length is 513"),
        ({"frame_length": 0}, "frame_length is 0"),
        ({"window": "kaiser"}, "window is 'kaiser'"),
        ({"fmax": 9000.0}, "0.0 to 9000"),
        ({"lifter": -1.0}, "lifter is -1"),
    ],
)
def test_bad_arguments_of_psf_mfcc_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        features.psf_mfcc(noisy_voice(0.2), RATE, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 2}, "width is 2"),
        ({"width": 1}, "width is 1"),
        ({"width": 3, "order": 3}, "order is 3"),
        ({"order": 0}, "order is 0"),
        ({"mode": "wrap"}, "mode is 'wrap'"),
        ({"width": 21}, "20 frames are fewer than the width, 21"),
    ],
)
def test_bad_arguments_of_delta_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        features.delta(np.ones((2, 20)), **arguments)


def test_delta_of_one_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="two dimensions, not 1"):
        features.delta(np.ones(20))


@pytest.mark.parametrize(("n_mfcc", "n_mels", "n_fft"), [(20, 128, 2048), (64, 64, 512)])
def test_mfcc_wakes_no_other_thread(n_mfcc: int, n_mels: int, n_fft: int) -> None:
    if not os.path.exists("/proc/self/task"):
        pytest.skip("no /proc here")
    script = f"""
import os, time
import numpy as np
from ser_edge import features

def ticks(thread):
    with open(f"/proc/self/task/{{thread}}/stat") as file:
        return sum(map(int, file.read().rsplit(")")[1].split()[11:13]))

def mfcc():
    features.mfcc(y, 16000, n_mfcc={n_mfcc}, n_mels={n_mels}, n_fft={n_fft}, hop_length=160)

y = np.random.default_rng(0).standard_normal(64000).astype(np.float32)
mfcc()
time.sleep(0.5)  # they wait for work in a loop at first
others = [name for name in os.listdir("/proc/self/task") if int(name) != os.getpid()]
before = sum(map(ticks, others))
end = time.process_time() + 0.5
while time.process_time() < end:
    mfcc()
print(len(others), sum(map(ticks, others)) - before)
"""
    output = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    others, ticks = map(int, output.stdout.split())
    if not others:
        pytest.skip("this numpy has no threads")
    assert ticks <= 2

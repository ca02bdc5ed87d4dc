"""The MFCC of speechpy and of tf.signal against these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from ser_edge import features
from tests.helpers.audio import RATE, Samples
from tests.helpers.hard_signals import HARD, noisy_voice

SPEECHPY: list[dict[str, Any]] = [
    {},
    {"n_mfcc": 39},
    {"frame_length": 400, "hop_length": 100},
    {"frame_length": 882, "hop_length": 441},  # 20 ms at 44.1 kHz: more than the transform takes
    {"n_fft": 1024},
    {"n_mels": 26},
    {"n_mels": 100},  # more bands than whole bins
    {"fmin": 50.0},
    {"fmax": 4000.0},
    {"energy": False},
    {"scale": 32768.0},
]


def reference_speechpy(y: Samples, sr: int, **arguments: Any) -> Any:
    """speechpy.feature.mfcc with our names for its arguments."""
    speechpy = pytest.importorskip("speechpy")
    given = {**features.speechpy_mfcc.__kwdefaults__, **arguments}
    cepstrum = speechpy.feature.mfcc(
        y.astype(np.float64) * given["scale"],
        sampling_frequency=sr,
        frame_length=given["frame_length"] / sr,
        frame_stride=given["hop_length"] / sr,
        num_cepstral=given["n_mfcc"],
        num_filters=given["n_mels"],
        fft_length=given["n_fft"],
        low_frequency=given["fmin"],
        high_frequency=given["fmax"],
        dc_elimination=given["energy"],
    )
    return cepstrum.T


def assert_speechpy_equal(y: Samples, sr: int, **arguments: Any) -> None:
    """Within 1e-4 of values around 10, in float32: the same sums in float64."""
    expected = reference_speechpy(y, sr, **arguments)
    actual = features.speechpy_mfcc(y, sr, **arguments)
    assert actual.shape == expected.shape
    assert actual.dtype == np.float32
    assert np.abs(actual - expected).max() <= 1e-4


def test_speechpy_mfcc_of_speech(recordings: Mapping[str, Samples]) -> None:
    for y in list(recordings.values())[::8]:
        assert_speechpy_equal(y, RATE, n_mfcc=39)


@pytest.mark.parametrize("arguments", SPEECHPY, ids=str)
def test_speechpy_mfcc_arguments(arguments: dict[str, Any]) -> None:
    assert_speechpy_equal(noisy_voice(0.7), RATE, **arguments)


@pytest.mark.parametrize("name", [name for name, y in HARD.items() if y.size >= 480])
def test_speechpy_mfcc_of_hard_cases(name: str) -> None:
    assert_speechpy_equal(HARD[name], RATE)


@pytest.mark.parametrize("sr", [8_000, 44_100, 96_000])
def test_speechpy_mfcc_sample_rates(sr: int) -> None:
    hop = sr // 100
    assert_speechpy_equal(noisy_voice(0.5, sr), sr, frame_length=2 * hop, hop_length=hop)


def test_speechpy_mfcc_leaves_out_the_last_whole_frame() -> None:
    assert features.speechpy_mfcc(np.ones(480), RATE).shape == (13, 1)
    for size in (1, 320, 479):
        with pytest.raises(ValueError, match=f"{size} samples are fewer than a frame of 320 and"):
            features.speechpy_mfcc(np.ones(size), RATE)


TF: list[dict[str, Any]] = [
    {},
    {"frame_length": 400, "hop_length": 160, "n_fft": 512, "n_mels": 64, "fmin": 125.0,
     "fmax": 7500.0},
    {"frame_length": 333, "hop_length": 500},
    {"window": "hamming"},
    {"n_mels": 20, "fmin": 0.0, "fmax": 8000.0},
    {"power": 2.0, "offset": 1e-3},
]  # fmt: skip


def reference_tf(y: Samples, sr: int, **arguments: Any) -> tuple[Any, Any]:
    """Log mel bands and all cepstral coefficients, by tf.signal, with our names."""
    tf = pytest.importorskip("tensorflow")
    given = {**features.tf_log_mel.__kwdefaults__, **arguments}
    window = getattr(tf.signal, f"{given['window']}_window")
    # In float64: where a band is silent, float32 would compare rounding errors.
    y = y.astype(np.float64)
    spectra = tf.signal.stft(
        y, given["frame_length"], given["hop_length"], given["n_fft"], window_fn=window
    )
    filters = tf.signal.linear_to_mel_weight_matrix(
        given["n_mels"], 1 + given["n_fft"] // 2, sr, given["fmin"], given["fmax"], tf.float64
    )
    levels = tf.math.log(tf.abs(spectra) ** given["power"] @ filters + given["offset"])
    cepstra = tf.signal.mfccs_from_log_mel_spectrograms(levels)
    return levels.numpy().T, cepstra.numpy().T


def assert_tf_equal(y: Samples, sr: int, *, n_mfcc: int = 13, **arguments: Any) -> None:
    """Within 1e-4 of values around 10, in float32: TensorFlow's filters have its rounding."""
    levels, cepstra = reference_tf(y, sr, **arguments)
    actual = features.tf_log_mel(y, sr, **arguments)
    assert actual.shape == levels.shape
    assert actual.dtype == np.float32
    assert np.abs(actual - levels).max() <= 1e-4
    actual = features.tf_mfcc(y, sr, n_mfcc=n_mfcc, **arguments)
    assert actual.shape == cepstra[:n_mfcc].shape
    assert actual.dtype == np.float32
    assert np.abs(actual - cepstra[:n_mfcc]).max() <= 1e-4


def test_tf_mfcc_of_speech(recordings: Mapping[str, Samples]) -> None:
    for y in list(recordings.values())[::16]:
        assert_tf_equal(y, RATE, n_mfcc=40, **TF[1])


@pytest.mark.parametrize("arguments", TF, ids=str)
def test_tf_mfcc_arguments(arguments: dict[str, Any]) -> None:
    assert_tf_equal(noisy_voice(0.7), RATE, **arguments)


@pytest.mark.parametrize("name", [name for name, y in HARD.items() if y.size >= 1024])
def test_tf_mfcc_of_hard_cases(name: str) -> None:
    assert_tf_equal(HARD[name], RATE)


@pytest.mark.parametrize("sr", [22_050, 96_000])
def test_tf_mfcc_sample_rates(sr: int) -> None:
    assert_tf_equal(noisy_voice(0.5, sr), sr)


def test_tf_mfcc_takes_whole_frames_alone() -> None:
    assert features.tf_mfcc(np.ones(1024), RATE).shape == (13, 1)
    assert features.tf_mfcc(np.ones(1279), RATE).shape == (13, 1)
    for size in (1, 1023):
        with pytest.raises(ValueError, match=f"{size} samples are fewer than a frame of 1024"):
            features.tf_mfcc(np.ones(size), RATE)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (features.speechpy_mfcc, {"n_mfcc": 41}, "n_mfcc is 41"),
        (features.speechpy_mfcc, {"fmin": 0.0}, "0.0 to 8000"),
        (features.speechpy_mfcc, {"fmax": 9000.0}, "300.0 to 9000"),
        (features.tf_mfcc, {"n_mfcc": 81}, "n_mfcc is 81"),
        (features.tf_mfcc, {"frame_length": 1025}, "frame_length is 1025"),
        (features.tf_mfcc, {"offset": 0.0}, "offset is 0"),
        (features.tf_log_mel, {"fmax": 9000.0}, "80.0 to 9000"),
    ],
)
def test_bad_arguments_are_named(function: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(noisy_voice(0.2), RATE, **arguments)

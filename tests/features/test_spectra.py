"""Mel bands, decibels, spectral shape and chroma against librosa."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from ser_edge import features
from ser_edge.features import chroma
from tests.helpers.audio import RATE, Samples, tone, voice
from tests.helpers.hard_signals import HARD, noisy_voice

librosa = pytest.importorskip("librosa")

pytestmark = pytest.mark.filterwarnings(
    "ignore:n_fft=.* is too large:UserWarning",
    "ignore:Empty filters:UserWarning",
    "ignore:Trying to estimate tuning from empty frequency set:UserWarning",
)


def assert_close(actual: Samples, expected: Any, tolerance: float, name: str = "") -> None:
    assert actual.shape == expected.shape, name
    assert actual.dtype == np.float32
    assert np.abs(actual - expected).max() <= tolerance, name


def assert_mel_equal(y: Samples, sr: int, name: str = "", **arguments: Any) -> None:
    """Within 1e-6 of the loudest band: librosa transforms in float32."""
    given = dict(arguments)
    if "mel_norm" in given:
        given["norm"] = given.pop("mel_norm")
    expected = librosa.feature.melspectrogram(y=y, sr=sr, **given)
    actual = features.melspectrogram(y, sr, **arguments)
    assert_close(actual, expected, 1e-6 * max(1e-30, expected.max()), name)


def assert_chroma_equal(y: Samples, sr: int, name: str = "", **arguments: Any) -> None:
    """Within 1e-5 of the strongest class: librosa transforms in float32."""
    norms = {"max": np.inf, "sum": 1, "euclidean": 2, None: None}
    given = dict(arguments)
    norm = norms[given.pop("chroma_norm", "max")]
    if given.pop("power", 2.0) == 1.0:  # of magnitudes, as in many a tutorial
        given["S"] = np.abs(librosa.stft(y))
    expected = librosa.feature.chroma_stft(y=y, sr=sr, norm=norm, **given)
    actual = features.chroma_stft(y, sr, **arguments)
    assert_close(actual, expected, 1e-5 * max(1.0, expected.max()), name)


def test_spectra_of_speech(recordings: Mapping[str, Samples]) -> None:
    for name, y in list(recordings.items())[::6]:
        assert_mel_equal(y, RATE, name)
        assert_chroma_equal(y, RATE, name)
        centroid = librosa.feature.spectral_centroid(y=y, sr=RATE)
        assert_close(features.spectral_centroid(y, RATE), centroid, 1e-2, name)
        contrast = librosa.feature.spectral_contrast(y=y, sr=RATE)
        assert_close(features.spectral_contrast(y, RATE), contrast, 1e-3, name)


def test_decibels_of_speech(recordings: Mapping[str, Samples]) -> None:
    for name, y in list(recordings.items())[::20]:
        power = librosa.feature.melspectrogram(y=y, sr=RATE)
        expected = librosa.power_to_db(power, ref=np.max)
        assert_close(features.power_to_db(power, ref="max"), expected, 1e-4, name)


# Where nothing sounds, or the tone is pure, valleys and centroids are of librosa's rounding alone:
# its reference is then taken in float64.
@pytest.mark.parametrize("name", HARD)
def test_spectra_of_hard_cases(name: str) -> None:
    y = HARD[name]
    if name == "denormal numbers":
        y = y * np.float32(1e20)  # their power is zero in float32, as in librosa
    assert_mel_equal(y, RATE)
    exact = y.astype(np.float64)
    centroid = librosa.feature.spectral_centroid(y=exact, sr=RATE)
    assert_close(features.spectral_centroid(y, RATE), centroid, 1e-2)
    contrast = librosa.feature.spectral_contrast(y=exact, sr=RATE)
    assert_close(features.spectral_contrast(y, RATE), contrast, 1e-2)
    power = librosa.feature.melspectrogram(y=y, sr=RATE)
    for ref, of_librosa in (("max", np.max), (1.0, 1.0), (0.5, 0.5)):
        expected = librosa.power_to_db(power, ref=of_librosa)
        assert_close(features.power_to_db(power, ref=ref), expected, 1e-4)
    assert_chroma_equal(y, RATE, tuning=0.0)


@pytest.mark.parametrize("sr", [8_000, 22_050, 44_100, 96_000])
def test_sample_rates(sr: int) -> None:
    y = noisy_voice(0.7, sr)
    assert_mel_equal(y, sr)
    assert_chroma_equal(y, sr)
    centroid = librosa.feature.spectral_centroid(y=y, sr=sr)
    assert_close(features.spectral_centroid(y, sr), centroid, 1e-2)
    arguments = {"fmin": 100.0} if sr == 8_000 else {}  # six octaves
    contrast = librosa.feature.spectral_contrast(y=y, sr=sr, **arguments)
    assert_close(features.spectral_contrast(y, sr, **arguments), contrast, 1e-3)


FRAMES: list[dict[str, Any]] = [
    {"n_fft": 512, "hop_length": 160},
    {"n_fft": 1000, "hop_length": 250, "win_length": 400},
    {"window": "hamming"},
    {"center": False},
    {"pad_mode": "reflect"},
]


@pytest.mark.parametrize("arguments", FRAMES, ids=str)
def test_frames_of_spectra(arguments: dict[str, Any]) -> None:
    y = noisy_voice(0.7)
    assert_mel_equal(y, RATE, **arguments)
    assert_chroma_equal(y, RATE, **arguments)
    centroid = librosa.feature.spectral_centroid(y=y, sr=RATE, **arguments)
    assert_close(features.spectral_centroid(y, RATE, **arguments), centroid, 1e-2)
    contrast = librosa.feature.spectral_contrast(y=y, sr=RATE, **arguments)
    assert_close(features.spectral_contrast(y, RATE, **arguments), contrast, 1e-3)


@pytest.mark.parametrize(
    "arguments",
    [
        {"n_mels": 40},
        {"fmin": 50.0, "fmax": 7600.0},
        {"htk": True},
        {"mel_norm": None},
        {"power": 1.0},
        {"power": 1.5, "n_mels": 64},
    ],
    ids=str,
)
def test_mel_arguments(arguments: dict[str, Any]) -> None:
    assert_mel_equal(noisy_voice(0.7), RATE, **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"tuning": 0.25},
        {"tuning": -0.5},
        {"n_chroma": 24},
        {"n_chroma": 1, "tuning": 0.0},
        {"power": 1.0},
        {"chroma_norm": "sum"},
        {"chroma_norm": "euclidean"},
        {"chroma_norm": None},
    ],
    ids=str,
)
def test_chroma_arguments(arguments: dict[str, Any]) -> None:
    assert_chroma_equal(noisy_voice(0.7), RATE, **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"n_bands": 1},
        {"n_bands": 4, "fmin": 300.0},
        {"quantile": 0.2},
        {"quantile": 0.001},
        {"linear": True},
    ],
    ids=str,
)
def test_contrast_arguments(arguments: dict[str, Any]) -> None:
    y = noisy_voice(0.7)
    expected = librosa.feature.spectral_contrast(y=y, sr=RATE, **arguments)
    assert_close(features.spectral_contrast(y, RATE, **arguments), expected, 1e-3)


@pytest.mark.parametrize(
    "arguments",
    [{"amin": 1e-3}, {"top_db": None}, {"top_db": 20.0}, {"ref": 1e-20}, {"ref": 7.0}],
    ids=str,
)
def test_decibel_arguments(arguments: dict[str, Any]) -> None:
    power = librosa.feature.melspectrogram(y=noisy_voice(0.7), sr=RATE)
    expected = librosa.power_to_db(power, **arguments)
    assert_close(features.power_to_db(power, **arguments), expected, 1e-4)


@pytest.mark.parametrize("sr", [8_000, RATE, 22_050, 96_000])
@pytest.mark.parametrize("bins_per_octave", [12, 24])
def test_tuning(sr: int, bins_per_octave: int) -> None:
    for seconds in (0.1, 1.0):
        power = np.abs(librosa.stft(noisy_voice(seconds, sr))) ** 2
        expected = librosa.estimate_tuning(S=power, sr=sr, bins_per_octave=bins_per_octave)
        actual = chroma.estimate_tuning(np.ascontiguousarray(power.T), sr, bins_per_octave)
        assert actual == pytest.approx(expected, abs=1e-9)


def test_a_tone_between_two_notes_is_a_tuning() -> None:
    y = tone(1.0, 440.0 * 2 ** (0.3 / 12))
    power = np.abs(librosa.stft(y)) ** 2
    assert chroma.estimate_tuning(np.ascontiguousarray(power.T), RATE) == pytest.approx(
        0.3, abs=0.05
    )
    assert features.chroma_stft(y, RATE)[:, 10].argmax() == 9  # A


def test_silence_has_no_spectrum() -> None:
    y = np.zeros(RATE, np.float32)
    assert not features.melspectrogram(y, RATE).any()
    assert not features.chroma_stft(y, RATE).any()
    assert not features.spectral_centroid(y, RATE).any()
    assert not features.spectral_contrast(y, RATE).any()


def test_exactly_one_window() -> None:
    y = noisy_voice(2048 / RATE)
    assert features.melspectrogram(y, RATE, center=False).shape == (128, 1)
    assert features.chroma_stft(y, RATE, center=False).shape == (12, 1)
    assert features.spectral_centroid(y, RATE, center=False).shape == (1, 1)
    assert features.spectral_contrast(y, RATE, center=False).shape == (7, 1)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (features.melspectrogram, {"fmax": 9000.0}, "0.0 to 9000"),
        (features.melspectrogram, {"window": "kaiser"}, "window is 'kaiser'"),
        (features.chroma_stft, {"n_chroma": 0}, "n_chroma is 0"),
        (features.chroma_stft, {"chroma_norm": "l1"}, "chroma_norm is 'l1'"),
        (features.spectral_contrast, {"quantile": 1.0}, "quantile is 1"),
        (features.spectral_contrast, {"n_bands": 0}, "n_bands is 0"),
        (features.spectral_contrast, {"n_bands": 7}, "7 octaves from 200"),
        (features.spectral_contrast, {"fmin": 0.0}, "octaves from 0"),
        (features.spectral_contrast, {"n_fft": 32}, "a frame of 32 samples has"),
        (features.spectral_centroid, {"win_length": 4096}, "win_length is 4096"),
    ],
)
def test_bad_arguments_are_named(function: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(voice(0.2), RATE, **arguments)


def test_bad_arguments_of_decibels_are_named() -> None:
    for arguments, message in (
        ({"ref": "mean"}, "ref is 'mean'"),
        ({"amin": 0.0}, "amin is 0"),
    ):
        with pytest.raises(ValueError, match=message):
            features.power_to_db([1.0], **arguments)
    with pytest.raises(ValueError, match="no power"):
        features.power_to_db([])

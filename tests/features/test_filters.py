"""Filters against scipy and against what their definition implies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_edge import features
from tests.helpers.audio import RATE, Samples, noise, tone, voice
from tests.helpers.hard_signals import HARD

signal = pytest.importorskip("scipy.signal")


def reference(x: Samples, sr: float, cutoff: float = 80.0, order: int = 2) -> Any:
    sos = signal.butter(order, cutoff, "highpass", fs=sr, output="sos")
    y, _ = signal.sosfilt(sos, x.astype(np.float64), zi=signal.sosfilt_zi(sos) * x[0])
    return y


def assert_equal(x: Samples, sr: float, **arguments: Any) -> None:
    """Within float32's rounding of the output, 6e-8 of its peak, and as much of what cancels."""
    actual = features.high_pass(x, sr=sr, **arguments)
    assert actual.dtype == np.float32
    assert actual.shape == x.shape
    bound = 1e-7 * max(1e-30, float(np.abs(x).max()))
    assert np.abs(actual - reference(x, sr, **arguments)).max() <= bound


def test_high_pass_of_speech(recordings: Mapping[str, Samples]) -> None:
    for x in list(recordings.values())[::8]:
        assert_equal(x, RATE)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("cutoff", [20.0, 80.0, 300.0, 3999.0, 7990.0])
def test_high_pass_orders_and_cutoffs(order: int, cutoff: float) -> None:
    # Poles near 1 amplify the coefficients' rounding, in scipy as here.
    x = voice(1.0) + noise(RATE, level=0.01) + np.float32(0.2)
    actual = features.high_pass(x, sr=RATE, cutoff=cutoff, order=order)
    assert np.abs(actual - reference(x, RATE, cutoff, order)).max() <= 2e-7


@pytest.mark.parametrize("sr", [8_000, 22_050, 44_100, 96_000])
def test_high_pass_sample_rates(sr: int) -> None:
    assert_equal(voice(0.5, sr), sr)


@pytest.mark.parametrize("size", [1, 2, 31, 32, 33, 4095, 4096, 4097, 64_000])
def test_high_pass_lengths(size: int) -> None:
    assert_equal(noise(size) + np.float32(0.5), RATE)


def test_high_pass_of_constants_is_zero() -> None:
    for level in (0.0, -0.25, 1.0):
        assert not features.high_pass(np.full(1000, level, np.float32), sr=RATE).any()


def test_high_pass_halves_the_power_at_its_cutoff() -> None:
    y = features.high_pass(tone(2.0, 80.0), sr=RATE)[RATE:]
    assert np.mean(np.square(y)) == pytest.approx(0.25, rel=1e-3)


def test_high_pass_leaves_its_argument() -> None:
    x = voice(0.2)
    before = x.copy()
    features.high_pass(x, sr=RATE)
    assert np.array_equal(x, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"order": 0}, "order is 0"),
        ({"order": 5}, "order is 5"),
        ({"cutoff": 0.0}, "cutoff is 0"),
        ({"cutoff": 8000.0}, "cutoff is 8000"),
    ],
)
def test_bad_arguments_of_high_pass(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        features.high_pass([0.5], sr=RATE, **arguments)


@pytest.mark.parametrize("x", [[], [[0.5, 0.5]], 0.5])
def test_high_pass_takes_one_channel(x: Any) -> None:
    with pytest.raises(ValueError, match="samples of one channel"):
        features.high_pass(x, sr=RATE)


# Pre-emphasis and peak normalization.


@pytest.mark.parametrize("name", [name for name, y in HARD.items() if y.size > 1])
def test_preemphasis_and_normalize_of_hard_cases(name: str) -> None:
    librosa = pytest.importorskip("librosa")
    x = HARD[name]
    assert np.array_equal(features.preemphasis(x), librosa.effects.preemphasis(x))
    written_out = np.append(x[0], x[1:] - np.float32(0.9) * x[:-1])
    assert np.array_equal(features.preemphasis(x, coef=0.9, zi=0.0), written_out)
    assert np.array_equal(features.normalize(x), librosa.util.normalize(x))


def test_preemphasis_of_speech(recordings: Mapping[str, Samples]) -> None:
    librosa = pytest.importorskip("librosa")
    for x in list(recordings.values())[::20]:
        assert np.array_equal(features.preemphasis(x), librosa.effects.preemphasis(x))


def test_preemphasis_and_normalize_of_one_sample() -> None:
    assert features.preemphasis([0.5]).tolist() == [1.0]
    assert features.preemphasis([0.5], zi=0.0).tolist() == [0.5]
    assert features.normalize([-0.25]).tolist() == [-1.0]
    assert features.normalize([0.0]).tolist() == [0.0]


def test_quantize_is_what_a_file_of_16_bits_holds(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    x = np.concatenate([voice(0.5), noise(1000, level=1e-5), np.float32([1.5, -1.5, 0.0])])
    soundfile.write(tmp_path / "x.wav", x, RATE, subtype="PCM_16")
    expected, _ = soundfile.read(tmp_path / "x.wav", dtype="float32")
    assert np.abs(features.quantize(x) - expected).max() <= 2**-15  # some writers truncate
    assert np.array_equal(features.quantize(expected), expected)


def test_bad_arguments_of_quantize() -> None:
    with pytest.raises(ValueError, match="bits is 1"):
        features.quantize([0.5], bits=1)

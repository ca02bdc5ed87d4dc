"""Resampling: equal to librosa's to the bit, in whatever chunks, by either way to libsoxr."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import numpy as np
import pytest

from ser_edge.audio import resample as module
from ser_edge.audio.resample import Resampler, resample
from ser_edge.errors import AudioError, DependencyError
from tests.helpers.audio import noise

librosa = pytest.importorskip("librosa")

RATES = (8_000, 11_025, 15_999, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000)


def has_system_library() -> bool:
    try:
        ctypes.CDLL("libsoxr.so.0")
    except OSError:
        return False
    return True


@pytest.fixture(params=["package", "system library"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Reach libsoxr through the soxr package, then through the library of `libsoxr0`."""
    if request.param == "system library":
        if not has_system_library():
            pytest.skip("libsoxr.so.0 is not installed: sudo apt install libsoxr0")
        monkeypatch.setitem(sys.modules, "soxr", None)  # `import soxr` raises ImportError
    else:
        pytest.importorskip("soxr")
    return request.param


def in_chunks(samples: np.ndarray, source: int, target: int, lengths: list[int]) -> np.ndarray:
    resampler = Resampler(source, target)
    out = []
    for length in lengths:
        out.append(resampler.push(samples[:length]))
        samples = samples[length:]
    assert not len(samples)
    return np.concatenate([*out, resampler.flush()])


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("rate", RATES)
def test_equals_librosa(rate: int) -> None:
    samples = noise(2 * rate + 17)
    expected = librosa.resample(samples, orig_sr=rate, target_sr=16_000)
    result = resample(samples, rate, 16_000)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, expected)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("target", [8_000, 22_050, 48_000])
def test_equals_librosa_at_other_target_rates(target: int) -> None:
    samples = noise(20_001)
    expected = librosa.resample(samples, orig_sr=16_000, target_sr=target)
    np.testing.assert_array_equal(resample(samples, 16_000, target), expected)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("length", [1, 7, 160, 4_096, 10**6])
def test_chunks_do_not_change_a_bit(rate: int, length: int) -> None:
    samples = noise(rate // 2 + 5)
    lengths = [length] * (len(samples) // length) + [len(samples) % length]
    whole = resample(samples, rate, 16_000)
    np.testing.assert_array_equal(in_chunks(samples, rate, 16_000, lengths), whole)


@pytest.mark.usefixtures("backend")
def test_random_and_empty_chunks_do_not_change_a_bit() -> None:
    rng = np.random.default_rng(1)
    samples = noise(100_000)
    whole = resample(samples, 44_100, 16_000)
    for _ in range(5):
        cuts = np.sort(rng.integers(0, len(samples), 40)).tolist()
        lengths = np.diff([0, 0, *cuts, cuts[-1], len(samples)]).tolist()
        assert 0 in lengths
        np.testing.assert_array_equal(in_chunks(samples, 44_100, 16_000, lengths), whole)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_short_recordings_have_librosas_length_and_samples(rate: int) -> None:
    samples = noise(500)
    assert len(resample(samples[:0], rate, 16_000)) == 0
    for n in range(1, 500):
        expected = librosa.resample(samples[:n], orig_sr=rate, target_sr=16_000)
        np.testing.assert_array_equal(resample(samples[:n], rate, 16_000), expected)


@pytest.mark.usefixtures("backend")
def test_a_tone_stays_a_tone_and_what_would_alias_goes() -> None:
    t = np.arange(48_000) / 48_000
    inner = slice(1_000, -1_000)  # away from the filter's ends
    kept = resample(np.sin(2 * np.pi * 1_000 * t).astype(np.float32), 48_000, 16_000)
    expected = np.sin(2 * np.pi * 1_000 * np.arange(16_000) / 16_000)
    assert np.abs(kept - expected)[inner].max() < 1e-5
    gone = resample(np.sin(2 * np.pi * 10_000 * t).astype(np.float32), 48_000, 16_000)
    assert np.abs(gone)[inner].max() < 1e-5  # HQ: 20 bits


@pytest.mark.usefixtures("backend")
def test_strided_samples_are_taken() -> None:
    stereo = noise(20_000).reshape(-1, 2)
    left = stereo[:, 0]
    assert not left.flags.c_contiguous
    np.testing.assert_array_equal(
        resample(left, 44_100, 16_000), resample(left.copy(), 44_100, 16_000)
    )


def test_equal_rates_pass_samples_through_without_soxr() -> None:
    code = """
import sys
import numpy as np
from ser_edge.audio.resample import Resampler
resampler = Resampler(16_000, 16_000)
samples = np.arange(5, dtype=np.float32)
assert resampler.push(samples) is samples
assert len(resampler.flush()) == 0
assert not {"soxr", "librosa", "scipy"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_any_libsoxr_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "soxr", None)
    monkeypatch.setattr(module, "_SYSTEM_LIBRARIES", ("libnothing.so.0",))
    Resampler(16_000, 16_000)
    with pytest.raises(DependencyError, match="sudo apt install libsoxr0"):
        Resampler(44_100, 16_000)


@pytest.mark.parametrize("rate", [-1, 0, 16, 999, 768_001, float("nan")])
def test_implausible_rates_are_refused(rate: float) -> None:
    with pytest.raises(AudioError, match="sample rate"):
        Resampler(rate, 16_000)
    with pytest.raises(AudioError, match="sample rate"):
        Resampler(16_000, rate)


@pytest.mark.parametrize(
    "samples", [np.zeros(4), np.zeros(4, np.int16), np.zeros((4, 1), np.float32)]
)
def test_other_samples_are_refused(samples: np.ndarray) -> None:
    with pytest.raises(AudioError, match="mono float32"):
        Resampler(44_100, 16_000).push(samples)


@pytest.mark.usefixtures("backend")
def test_the_widest_ratios_work() -> None:
    assert len(resample(noise(1_000), 1_000, 768_000)) == 768_000
    assert len(resample(noise(768_000), 768_000, 1_000)) == 1_000

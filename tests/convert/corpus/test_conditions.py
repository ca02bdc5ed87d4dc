from __future__ import annotations

import numpy as np
import pytest

from ser_edge.convert.corpus import conditions
from tests.helpers.audio import RATE, Samples, level_dbfs, voice


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="module")
def speech() -> Samples:
    return 0.5 * voice(2.0)


def power_of(samples: np.ndarray, low: float, high: float) -> float:
    power = np.abs(np.fft.rfft(samples)) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    return float(power[(hertz >= low) & (hertz < high)].sum())


@pytest.mark.parametrize("snr_db", [20, 10, 5])
def test_noise_has_the_stated_level_whatever_its_kind(speech: Samples, snr_db: int) -> None:
    dullness = set()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        noisy = conditions.degrade(f"noise-{snr_db}", speech, RATE, rng, voices=[speech[::-1]])
        noise = noisy.astype(np.float64) - speech
        assert level_dbfs(speech) - level_dbfs(noise) == pytest.approx(snr_db, abs=0.01)
        dullness.add(round(power_of(noise, 4000, 8000) / power_of(noise, 0, 8000), 2))
    assert len(dullness) == 3  # pink noise, a fan and babble, each of its own colour


def test_far_is_faint_and_of_sixteen_bits(speech: Samples, rng: np.random.Generator) -> None:
    far = conditions.degrade("far", speech, RATE, rng)
    assert level_dbfs(far) - level_dbfs(speech) == pytest.approx(conditions.FAR_DB, abs=0.1)
    assert np.array_equal(far * 32768, np.round(far * 32768))


@pytest.mark.parametrize("condition", ["mp3", "opus"])
def test_codecs_keep_length_and_level(
    condition: str, speech: Samples, rng: np.random.Generator
) -> None:
    coded = conditions.degrade(condition, speech, RATE, rng)
    assert 0 <= len(coded) - len(speech) < 0.15 * RATE
    assert not np.array_equal(coded[: len(speech)], speech)
    assert level_dbfs(coded[: len(speech)]) == pytest.approx(level_dbfs(speech), abs=2)


@pytest.mark.parametrize("condition", conditions.CONDITIONS)
def test_conditions_are_seeded_and_leave_their_input(condition: str, speech: Samples) -> None:
    before = speech.copy()
    first, again = (
        conditions.degrade(condition, speech, RATE, np.random.default_rng(3), voices=[before])
        for _ in range(2)
    )
    assert np.array_equal(first, again)
    assert first.dtype == np.float32
    assert np.array_equal(speech, before)
    assert (condition == "clean") == np.array_equal(first, speech)

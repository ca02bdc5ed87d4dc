from __future__ import annotations

from typing import Callable

import numpy as np
import pytest

from ser_edge.convert.corpus import augment
from tests.helpers.audio import RATE, Samples, level_dbfs, tone


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def voice(rng: np.random.Generator) -> Samples:
    """Two seconds of a buzz with syllables, silent in the second half of each half second."""
    seconds = np.arange(2 * RATE) / RATE
    buzz = sum(np.sin(2 * np.pi * 140 * k * seconds) / k for k in range(1, 20))
    return (0.2 * buzz * (seconds % 0.5 < 0.25)).astype(np.float32)


CHAINS: dict[str, Callable[[Samples, np.random.Generator], Samples]] = {
    "gain": augment.gain,
    "margin": lambda samples, rng: augment.margin(samples, RATE, rng),
    "white_noise": augment.white_noise,
    "pink_noise": augment.pink_noise,
    "babble": lambda samples, rng: augment.babble(samples, rng, voices=[samples[::-1]]),
    "reverb": lambda samples, rng: augment.reverb(samples, RATE, rng),
    "recorded_noise": lambda samples, rng: augment.recorded_noise(
        samples, rng, noises=[np.random.default_rng(3).standard_normal(999).astype(np.float32)]
    ),
    "offset": augment.offset,
    "mains_hum": lambda samples, rng: augment.mains_hum(samples, RATE, rng),
    "microphone": lambda samples, rng: augment.microphone(samples, RATE, rng),
    "speed": lambda samples, rng: augment.speed(samples, RATE, rng.uniform(0.8, 1.2)),
    "telephone": lambda samples, rng: augment.telephone(samples, RATE, rng),
    "clip": augment.clip,
    "random": lambda samples, rng: augment.random_augmentation(samples, RATE, rng).samples,
}


@pytest.mark.parametrize("name", CHAINS)
def test_is_a_pure_function_of_samples_and_seed(name: str, voice: Samples) -> None:
    before = voice.copy()
    first = CHAINS[name](voice, np.random.default_rng(1))
    again = CHAINS[name](voice, np.random.default_rng(1))
    other = CHAINS[name](voice, np.random.default_rng(2))
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(voice, before)


@pytest.mark.parametrize("name", CHAINS)
def test_silence_stays_finite(name: str) -> None:
    result = CHAINS[name](np.zeros(RATE, np.float32), np.random.default_rng(1))
    assert np.isfinite(result).all()


def test_gain_stays_in_its_range(voice: Samples, rng: np.random.Generator) -> None:
    changes = [level_dbfs(augment.gain(voice, rng)) - level_dbfs(voice) for _ in range(50)]
    assert augment.GAIN_DB[0] <= min(changes) < max(changes) <= augment.GAIN_DB[1]


@pytest.mark.parametrize("name", ["white_noise", "pink_noise", "babble"])
def test_noise_stays_in_its_range(name: str, voice: Samples, rng: np.random.Generator) -> None:
    for _ in range(20):
        ratio = level_dbfs(voice) - level_dbfs(CHAINS[name](voice, rng) - voice)
        assert augment.SNR_DB[0] - 0.1 <= ratio <= augment.SNR_DB[1] + 0.1


def test_pink_noise_falls_by_three_decibels_an_octave(rng: np.random.Generator) -> None:
    silence = np.zeros(2**16, np.float32)
    silence[0] = 1.0  # a level to relate the noise to
    power = np.abs(np.fft.rfft(augment.pink_noise(silence, rng) - silence)) ** 2
    octaves = [np.mean(power[2**k : 2 ** (k + 1)]) for k in range(8, 14)]
    slope = np.polyfit(range(6), 10 * np.log10(octaves), 1)[0]
    assert slope == pytest.approx(-3.0, abs=0.3)


def test_reverb_fills_the_pauses_and_keeps_the_level(
    voice: Samples, rng: np.random.Generator
) -> None:
    wet = augment.reverb(voice, RATE, rng)
    assert len(wet) == len(voice)
    assert level_dbfs(wet) == pytest.approx(level_dbfs(voice), abs=0.01)
    pause = slice(int(0.26 * RATE), int(0.3 * RATE))
    assert not voice[pause].any()
    assert level_dbfs(wet[pause]) > level_dbfs(wet) - 40


@pytest.mark.parametrize("ratio", [1.0, *augment.SPEED])
def test_speed_moves_length_and_pitch_alike(ratio: float) -> None:
    original = tone(1.0, 1000.0)
    changed = augment.speed(original, RATE, ratio)
    assert len(original) / len(changed) == pytest.approx(ratio, rel=1e-3)
    peak = np.argmax(np.abs(np.fft.rfft(changed))) * RATE / len(changed)
    assert peak == pytest.approx(1000 * ratio, abs=2)


def test_telephone_keeps_its_band_alone(rng: np.random.Generator) -> None:
    noise = rng.standard_normal(4 * RATE).astype(np.float32)
    power = np.abs(np.fft.rfft(augment.telephone(noise, RATE, rng))) ** 2
    hertz = np.fft.rfftfreq(len(noise), 1 / RATE)
    inside = power[(hertz > 500) & (hertz < 2400)].mean()
    assert power[hertz < 100].mean() < 1e-3 * inside
    assert power[hertz > 7000].mean() < 1e-2 * inside


def test_a_fan_blows_and_hums(rng: np.random.Generator) -> None:
    noise = augment.fan_noise(np.ones(4 * RATE, np.float32), RATE, rng) - 1
    power = np.abs(np.fft.rfft(noise)) ** 2
    hertz = np.fft.rfftfreq(len(noise), 1 / RATE)
    above = power[(hertz >= 2000) & (hertz < 4000)].sum()
    assert above < 0.05 * power[(hertz >= 50) & (hertz < 1000)].sum()
    # Half of the power is the hum: five lines, each narrower than 2 Hz.
    lines = np.sort(power)[::-1]
    assert lines[:40].sum() > 0.45 * lines.sum()


def test_clip_cuts_the_peaks_alone(voice: Samples, rng: np.random.Generator) -> None:
    cut = augment.clip(voice, rng)
    limit = np.abs(cut).max()
    assert limit < np.abs(voice).max()
    untouched = np.abs(voice) < limit
    assert np.array_equal(cut[untouched], voice[untouched])


def test_margin_adds_silence_alone(voice: Samples, rng: np.random.Generator) -> None:
    longer = augment.margin(voice, RATE, rng)
    assert len(voice) < len(longer) <= len(voice) + RATE
    assert np.count_nonzero(longer) == np.count_nonzero(voice)


def test_babble_takes_clips_of_any_length(rng: np.random.Generator) -> None:
    clean = np.ones(1000, np.float32)
    voices = [np.ones(10, np.float32), np.ones(5000, np.float32), np.zeros(0, np.float32)]
    assert augment.babble(clean, rng, voices=voices).shape == clean.shape


def test_augmented_clip_has_a_time_map() -> None:
    """A click at 1 s stays the loudest sample, where rate and offset say."""
    click = np.zeros(2 * RATE, np.float32)
    click[RATE] = 1.0
    delayed = 0
    for seed in range(40):
        found = augment.random_augmentation(click, RATE, np.random.default_rng(seed))
        place = float(np.argmax(np.abs(found.samples))) / RATE
        assert found.rate * (place - found.offset) == pytest.approx(1.0, abs=0.002)
        slowest, fastest = augment.SPEED
        assert 0.999 * slowest <= found.rate <= 1.001 * fastest
        delayed += found.offset > 0
    assert delayed > 0


def test_an_offset_is_a_constant(voice: Samples, rng: np.random.Generator) -> None:
    added = augment.offset(voice, rng, level_db=(-6.0, -6.0)) - voice
    assert np.ptp(added) < 1e-6
    assert 20 * np.log10(abs(added[0])) == pytest.approx(level_dbfs(voice) - 6.0, abs=0.1)


def test_hum_is_made_of_the_harmonics_of_the_mains(
    voice: Samples, rng: np.random.Generator
) -> None:
    added = augment.mains_hum(voice, RATE, rng, level_db=(-10.0, -10.0)) - voice
    assert level_dbfs(added) == pytest.approx(level_dbfs(voice) - 10.0, abs=0.1)
    power = np.abs(np.fft.rfft(added * np.hanning(added.size))) ** 2
    hertz = np.fft.rfftfreq(added.size, 1 / RATE)
    of_50, of_60 = (
        power[np.abs(hertz - mains * np.round(hertz / mains)) < 2].sum() for mains in (50, 60)
    )
    assert max(of_50, of_60) > 0.999 * power.sum()


def test_recorded_noise_is_added_at_its_ratio(voice: Samples, rng: np.random.Generator) -> None:
    noise = rng.standard_normal(1000).astype(np.float32)
    added = augment.recorded_noise(voice, rng, noises=[noise], snr_db=(12.0, 12.0)) - voice
    assert level_dbfs(voice) - level_dbfs(added) == pytest.approx(12.0, abs=0.1)
    assert np.corrcoef(added[:5000], added[1000:6000])[0, 1] > 0.999  # looped


def test_a_room_delays_and_keeps_the_level(voice: Samples) -> None:
    response = np.zeros(800, np.float32)
    response[[0, 400]] = 1.0, 0.5
    wet = augment.room(voice, response)
    assert level_dbfs(wet) == pytest.approx(level_dbfs(voice), abs=0.01)
    echo = voice + 0.5 * np.pad(voice, (400, 0))[: voice.size]
    assert np.corrcoef(wet, echo)[0, 1] > 0.9999


def test_a_microphone_has_an_upper_edge(rng: np.random.Generator) -> None:
    noise = rng.standard_normal(4 * RATE).astype(np.float32)
    power = np.abs(np.fft.rfft(augment.microphone(noise, RATE, rng))) ** 2
    hertz = np.fft.rfftfreq(len(noise), 1 / RATE)
    assert power[hertz > 7800].mean() < 0.1 * power[hertz < 2500].mean()


def test_material_changes_the_chain(voice: Samples) -> None:
    material = augment.Material([voice[::-1]], [voice[::-1]], [voice[:400]])
    changed = [
        augment.random_augmentation(
            voice, RATE, np.random.default_rng(seed), material=of_chain
        ).samples
        for seed in range(8)
        for of_chain in (material, augment.Material())
    ]
    assert any(
        not np.array_equal(first, second) for first, second in zip(changed[::2], changed[1::2])
    )

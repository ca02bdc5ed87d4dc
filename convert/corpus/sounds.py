"""Synthetic sounds that are no speech: noise, hum, engines, tones, chimes, bangs.

All are drawn from a random generator, float32, shape (size,), at 16 kHz and of level 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

RATE = 16_000  # Hz


def colored_noise(rng: np.random.Generator, size: int, exponent: float) -> Samples:
    """Noise of level 1 whose power falls with frequency to the exponent."""
    spectrum = np.fft.rfft(rng.standard_normal(size))
    hertz = np.maximum(np.fft.rfftfreq(size, 1 / RATE), 20.0)
    return leveled(np.fft.irfft(spectrum * hertz ** (-exponent / 2), size))


def band_noise(rng: np.random.Generator, size: int) -> Samples:
    """Noise with some broad peaks in its spectrum."""
    hertz = np.fft.rfftfreq(size, 1 / RATE)
    shape = np.full(hertz.size, 10 ** rng.uniform(-3, -1))
    for _ in range(rng.integers(1, 4)):
        middle, octaves = np.exp(rng.uniform(np.log(80), np.log(6000))), rng.uniform(0.05, 1.5)
        shape += np.exp(-0.5 * (np.log2(np.maximum(hertz, 1) / middle) / octaves) ** 2)
    return leveled(np.fft.irfft(np.fft.rfft(rng.standard_normal(size)) * shape, size))


def slow_curve(rng: np.random.Generator, size: int, hertz: float) -> NDArray[np.float64]:
    """A random curve about 0, of deviation 1, that changes some times a second."""
    n_points = int(size / RATE * hertz) + 3
    at = np.linspace(0, n_points - 1, size)
    return np.interp(at, np.arange(n_points), rng.standard_normal(n_points))


def hum(rng: np.random.Generator, size: int) -> Samples:
    seconds = np.arange(size) / RATE
    mains = rng.choice([50.0, 60.0]) if rng.random() < 0.6 else rng.uniform(25, 300)
    slope = rng.uniform(0.3, 2.0)
    total = sum(
        rng.uniform(0.2, 1) * k**-slope * np.sin(2 * np.pi * (k * mains * seconds + rng.random()))
        for k in range(1, 25)
        if k * mains < 0.45 * RATE
    )
    return leveled(total)


def engine(rng: np.random.Generator, size: int) -> Samples:
    """Pulses whose rate wanders, through fixed resonances."""
    rate = np.exp(rng.uniform(np.log(15), np.log(250)))
    hertz = rate * np.exp(rng.uniform(0, 0.2) * slow_curve(rng, size, rng.uniform(0.3, 3)))
    phase = np.cumsum(hertz) / RATE
    pulses = np.diff(np.floor(phase), prepend=0.0) * rng.uniform(0.5, 1.0, size)
    return leveled(_resonant(rng, pulses + 0.02 * rng.standard_normal(size)))


def tones(rng: np.random.Generator, size: int) -> Samples:
    """Beeps, sirens and melodies: tones with few or many harmonics, on and off."""
    seconds = np.arange(size) / RATE
    base = np.exp(rng.uniform(np.log(100), np.log(2500)))
    how = rng.integers(4)
    hertz = np.full(size, base)
    if how == 1:  # a siren
        wave = np.sin(2 * np.pi * rng.uniform(0.1, 5) * seconds + rng.uniform(0, 6))
        hertz = base * 2 ** (
            rng.uniform(0.05, 0.8) * (np.sign(wave) if rng.random() < 0.3 else wave)
        )
    elif how == 2:  # a melody
        notes = rng.integers(-12, 13, size // (RATE // 10) + 2)
        hertz = base * 2 ** (notes[(seconds * rng.uniform(1, 8)).astype(int)] / 12)
    elif how == 3:
        hertz = base * 2 ** (rng.uniform(0.02, 0.5) * slow_curve(rng, size, rng.uniform(0.3, 3)))
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    slope = rng.uniform(0.5, 4.0)
    top = rng.integers(1, 12)
    total = sum(k**-slope * np.sin(k * phase) for k in range(1, top + 1) if k * base < 0.4 * RATE)
    if rng.random() < 0.6:
        total = total * _on_off(rng, size)
    return leveled(total)


def chimes(rng: np.random.Generator, size: int) -> Samples:
    """Bells, glasses, dishes: partials that ring out, struck now and then."""
    total = np.zeros(size)
    partials = np.exp(
        rng.uniform(np.log(150), np.log(6000), (rng.integers(1, 5), rng.integers(1, 7)))
    )
    ring = np.exp(rng.uniform(np.log(0.02), np.log(2.0)))
    for _ in range(rng.integers(1, 16)):
        start = rng.integers(size)
        t = np.arange(size - start) / RATE
        for hertz in partials[rng.integers(partials.shape[0])]:
            decay = np.exp(-t / (ring * rng.uniform(0.5, 1.5)))
            total[start:] += rng.uniform(0.1, 1) * decay * np.sin(2 * np.pi * hertz * t)
    return leveled(total)


def bangs(rng: np.random.Generator, size: int) -> Samples:
    """Doors, knocks, claps, keys, drops, crackle: bursts of noise with resonances."""
    total = np.zeros(size)
    count = int(np.exp(rng.uniform(0, np.log(60))))
    decay = np.exp(rng.uniform(np.log(0.002), np.log(0.25)))
    resonances = np.exp(rng.uniform(np.log(60), np.log(2500), 3))
    tonal = rng.uniform(0, 1.0)
    burst_noise = colored_noise(rng, size, rng.uniform(0, 2))
    spread = rng.uniform(0, 1.5)
    for _ in range(count):
        start = rng.integers(size)
        t = np.arange(min(size - start, int(6 * decay * RATE) + 1)) / RATE
        burst = (1 - tonal) * burst_noise[: t.size]
        burst = burst + tonal * sum(np.sin(2 * np.pi * hertz * t) for hertz in resonances)
        attack = np.minimum(1.0, t / rng.uniform(0.0005, 0.02))
        total[start : start + t.size] += (
            np.exp(spread * rng.standard_normal()) * attack * burst * np.exp(-t / decay)
        )
    return leveled(total)


def synthetic(rng: np.random.Generator, size: int) -> Samples:
    """One synthetic sound of level 1, with a noise floor."""
    how = rng.integers(8)
    if how == 0:
        sound = colored_noise(rng, size, rng.uniform(-0.5, 2.5))
    elif how == 1:
        sound = band_noise(rng, size)
    elif how == 2:  # gusts, waves, rubbing
        noise = band_noise(rng, size) if rng.random() < 0.5 else colored_noise(rng, size, 1.0)
        if rng.random() < 0.5:
            envelope = np.exp(rng.uniform(0.2, 1.5) * slow_curve(rng, size, rng.uniform(0.5, 12)))
        else:
            envelope = _on_off(rng, size)
        sound = leveled(noise * envelope)
    elif how == 3:
        sound = hum(rng, size)
        if rng.random() < 0.3:
            sound = leveled(sound * _on_off(rng, size))
    elif how == 4:
        sound = engine(rng, size)
    elif how == 5:
        sound = tones(rng, size)
    elif how == 6:
        sound = chimes(rng, size)
    else:
        sound = bangs(rng, size)
    floor = colored_noise(rng, size, rng.uniform(0, 2))
    return sound + np.float32(10 ** (rng.uniform(-60, -10) / 20)) * floor


def _on_off(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Rectangles of random or equal length with soft edges, 0 to 1."""
    mean = np.exp(rng.uniform(np.log(0.04), np.log(1.5)))
    regular = rng.random() < 0.4
    curve = np.zeros(size)
    at = int(rng.uniform(0, 0.5) * RATE)
    while at < size:
        on, off = (mean, mean) if regular else mean * rng.uniform(0.3, 2.0, 2)
        curve[at : at + int(on * RATE)] = 1.0 if regular else rng.uniform(0.2, 1.0)
        at += int((on + off) * RATE) + 1
    width = int(rng.uniform(0.001, 0.04) * RATE) + 1
    return np.convolve(curve, np.full(width, 1 / width), mode="same")


def _resonant(rng: np.random.Generator, samples: NDArray[np.float64]) -> NDArray[np.float64]:
    hertz = np.fft.rfftfreq(samples.size, 1 / RATE)
    shape = 1 / np.maximum(hertz, 60.0) ** rng.uniform(0, 1)
    for _ in range(rng.integers(0, 4)):
        middle, width = rng.uniform(100, 3500), rng.uniform(0.05, 0.4)
        shape = shape * (1 + rng.uniform(1, 10) / (1 + ((hertz / middle - 1) / width) ** 2))
    return np.fft.irfft(np.fft.rfft(samples) * shape, samples.size)


def leveled(samples: Any) -> Samples:
    level = np.sqrt(np.mean(np.square(samples, dtype=np.float64)))
    return np.asarray(samples / (level + 1e-9), np.float32)


def voice(rng: np.random.Generator, size: int) -> Samples:
    """A synthetic voice: a gliding pitch in syllables, with moving formants or none.

    After the cascade of Klatt (1980), much simplified; without formants it is of the family of
    :func:`ser_edge.selftest.reference_signal`.
    """
    seconds = np.arange(size) / RATE
    pitch = np.exp(rng.uniform(np.log(90), np.log(300)))
    glide = np.sin(2 * np.pi * rng.uniform(0.3, 1.2) * seconds + rng.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(pitch * 2 ** (rng.uniform(0.1, 0.4) * glide)) / RATE
    flat = rng.random() < 0.5
    formants = [
        middle * 2 ** (0.3 * slow_curve(rng, size, rng.uniform(2, 6)))
        for middle in (500 * rng.uniform(0.8, 1.3), 1500 * rng.uniform(0.8, 1.3), 2600)
    ]
    total = np.zeros(size)
    for k in range(1, int(3800 / pitch)):
        gain = 1 / k
        if not flat:
            gain = gain * sum(0.05 + 1 / (1 + ((k * pitch - f) / 120) ** 2) for f in formants)
        total += gain * np.sin(k * phase)
    syllables = np.sin(np.pi * ((rng.uniform(2.5, 6) * seconds + rng.random()) % 1.0)) ** 2
    return leveled(total * syllables)

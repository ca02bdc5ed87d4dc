"""Augmentations of training audio: pure functions of samples and a random generator.

All take mono float32 samples, shape (n,), and return a new float32 array; none changes its input.
Each draws its parameters from the ranges below, so a training run is described by its seed. The
noises take another range of signal-to-noise ratios, so that a measurement can fix one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

GAIN_DB = (-12.0, 6.0)
MARGIN_SECONDS = (0.0, 0.5)
SNR_DB = (3.0, 30.0)
BABBLE_VOICES = 4
FAN_HZ = (60.0, 150.0)  # rate at which a fan's blades pass
REVERB_SECONDS = (0.15, 0.8)  # time in which the room's response falls by 60 dB
DIRECT_TO_REVERB_DB = (-3.0, 12.0)
# Three semitones apart: so far that the clip counts as another speaker's.
SPEED_FACTORS = (1.0, 0.84, 1.19)
SPEED_JITTER = (0.94, 1.06)  # times the speed factor
TELEPHONE_HZ = (300.0, 3400.0)
CLIP_LEVEL_DB = (-15.0, -3.0)  # relative to the peak


def gain(samples: Samples, rng: np.random.Generator) -> Samples:
    """Change the level by a number of decibels drawn from :data:`GAIN_DB`."""
    return np.asarray(samples * _amplitude(rng.uniform(*GAIN_DB)), dtype=np.float32)


def margin(samples: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
    """Add silence before and after, each of :data:`MARGIN_SECONDS`, for noise to fill."""
    return np.pad(samples, _margins(sample_rate, rng))


def white_noise(
    samples: Samples, rng: np.random.Generator, *, snr_db: tuple[float, float] = SNR_DB
) -> Samples:
    """Add white noise at a signal-to-noise ratio drawn from a range."""
    return _add(samples, rng.standard_normal(len(samples)), rng, snr_db)


def pink_noise(
    samples: Samples, rng: np.random.Generator, *, snr_db: tuple[float, float] = SNR_DB
) -> Samples:
    """Add noise whose power falls by 3 dB an octave, like that of rooms and machines."""
    spectrum = np.fft.rfft(rng.standard_normal(len(samples)))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1.0))
    return _add(samples, np.fft.irfft(spectrum, n=len(samples)), rng, snr_db)


def fan_noise(
    samples: Samples,
    sample_rate: int,
    rng: np.random.Generator,
    *,
    snr_db: tuple[float, float] = SNR_DB,
) -> Samples:
    """Add a fan: noise of air, falling above 200 Hz, and the hum of its blades, equally loud."""
    hertz = np.fft.rfftfreq(len(samples), 1.0 / sample_rate)
    spectrum = np.fft.rfft(rng.standard_normal(len(samples))) / (1.0 + hertz / 200.0)
    air = np.fft.irfft(spectrum, n=len(samples))
    blades = rng.uniform(*FAN_HZ)
    seconds = np.arange(len(samples)) / sample_rate
    hum = np.zeros(len(samples))
    for harmonic in range(1, 6):
        phase = rng.uniform(0.0, 2.0 * np.pi)
        hum += np.sin(2.0 * np.pi * harmonic * blades * seconds + phase) / harmonic
    noise = air / (_level(air) + 1e-9) + hum / (_level(hum) + 1e-9)
    return _add(samples, noise, rng, snr_db)


def babble(
    samples: Samples,
    rng: np.random.Generator,
    *,
    voices: Sequence[Samples],
    snr_db: tuple[float, float] = SNR_DB,
) -> Samples:
    """Add several of ``voices`` (other clips), each looped from a random start."""
    mixture = np.zeros(len(samples))
    for index in rng.integers(len(voices), size=BABBLE_VOICES):
        voice = voices[index]
        if len(voice) == 0:
            continue
        start = rng.integers(len(voice))
        looped = np.resize(np.roll(voice, -start), len(samples))
        mixture += looped / (_level(looped) + 1e-9)
    return _add(samples, mixture, rng, snr_db)


def reverb(samples: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
    """Place the speaker in a room: convolve with exponentially decaying noise.

    The statistical model of late reverberation by Polack (1988): after the direct sound comes
    Gaussian noise whose level falls by 60 dB within a time drawn from :data:`REVERB_SECONDS`.
    The tail beyond the clip's end is cut, and the level of the clip is kept.
    """
    from scipy.signal import fftconvolve

    decay_seconds = rng.uniform(*REVERB_SECONDS)
    seconds = np.arange(1, int(decay_seconds * sample_rate)) / sample_rate
    tail = rng.standard_normal(len(seconds)) * 10.0 ** (-3.0 * seconds / decay_seconds)
    tail *= _amplitude(-rng.uniform(*DIRECT_TO_REVERB_DB)) / np.sqrt(np.sum(tail**2) + 1e-12)
    wet = fftconvolve(samples, np.concatenate([[1.0], tail]))[: len(samples)]
    return np.asarray(wet * (_level(samples) / (_level(wet) + 1e-9)), dtype=np.float32)


def speed(samples: Samples, sample_rate: int, ratio: float) -> Samples:
    """Play faster or slower by a ratio; pitch and formants move too, as of another speaker."""
    import soxr

    return np.asarray(soxr.resample(samples, sample_rate * ratio, sample_rate), dtype=np.float32)


def telephone(samples: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
    """Keep the telephone band alone (:data:`TELEPHONE_HZ`, its upper edge varied by 20 %)."""
    from scipy.signal import butter, sosfilt

    low, high = TELEPHONE_HZ
    high = min(high * rng.uniform(0.8, 1.2), 0.49 * sample_rate)
    filter_ = butter(4, (low, high), btype="bandpass", fs=sample_rate, output="sos")
    return np.asarray(sosfilt(filter_, samples), dtype=np.float32)


def clip(samples: Samples, rng: np.random.Generator) -> Samples:
    """Overdrive: cut the peaks at a level drawn from :data:`CLIP_LEVEL_DB`."""
    limit = float(np.max(np.abs(samples), initial=0.0)) * _amplitude(rng.uniform(*CLIP_LEVEL_DB))
    return np.clip(samples, -limit, limit).astype(np.float32)


class Augmented(NamedTuple):
    """A changed clip and its time map: t seconds are ``rate * (t - offset)`` of the original."""

    samples: Samples  # mono float32, shape (m,)
    speed: int  # the nearest speed factor: a position in SPEED_FACTORS
    rate: float  # seconds of the original in a second of the result
    offset: float  # seconds of the result before the original begins


def random_augmentation(
    samples: Samples,
    sample_rate: int,
    rng: np.random.Generator,
    *,
    voices: Sequence[Samples] = (),
) -> Augmented:
    """One random chain, in the order of nature: formants, room, noise, channel.

    Args:
        samples: a mono clip, float32, shape (n,).
        sample_rate: in Hz.
        rng: draws all that is random.
        voices: other clips at the same rate, material for :func:`babble`; without any, no babble.

    Returns:
        The samples are float32, shape (m,); m differs from n where the speed was changed.

    Example:
        >>> import numpy as np
        >>> tone = np.sin(np.arange(16000) / 10).astype(np.float32)
        >>> first = random_augmentation(tone, 16000, np.random.default_rng(1))
        >>> again = random_augmentation(tone, 16000, np.random.default_rng(1))
        >>> bool(np.array_equal(first.samples, again.samples)), first.samples.dtype
        (True, dtype('float32'))
    """
    n_samples, before = len(samples), 0
    nearest = int(rng.integers(len(SPEED_FACTORS)))
    samples = speed(samples, sample_rate, SPEED_FACTORS[nearest] * rng.uniform(*SPEED_JITTER))
    rate = n_samples / max(1, len(samples))
    if rng.random() < 0.3:
        before, after = _margins(sample_rate, rng)
        samples = np.pad(samples, (before, after))
    if rng.random() < 0.5:
        samples = reverb(samples, sample_rate, rng)
    if rng.random() < 0.6:
        noises: list[Callable[[Samples, np.random.Generator], Samples]] = [
            white_noise,
            pink_noise,
            lambda clean, generator: fan_noise(clean, sample_rate, generator),
        ]
        if voices:
            noises.append(lambda clean, generator: babble(clean, generator, voices=voices))
        samples = noises[rng.integers(len(noises))](samples, rng)
    if rng.random() < 0.25:
        samples = telephone(samples, sample_rate, rng)
    if rng.random() < 0.1:
        samples = clip(samples, rng)
    return Augmented(gain(samples, rng), nearest, rate, before / sample_rate)


def _margins(sample_rate: int, rng: np.random.Generator) -> tuple[int, int]:
    before, after = (rng.uniform(*MARGIN_SECONDS, size=2) * sample_rate).astype(int)
    return int(before), int(after)


def _add(
    samples: Samples,
    noise: NDArray[np.float64],
    rng: np.random.Generator,
    snr_db: tuple[float, float],
) -> Samples:
    wanted = _level(samples) * _amplitude(-rng.uniform(*snr_db))
    return np.asarray(samples + noise * (wanted / (_level(noise) + 1e-9)), dtype=np.float32)


def _level(samples: NDArray[Any]) -> float:
    """Root mean square; 0 for no samples."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def _amplitude(decibels: float) -> float:
    return float(10.0 ** (decibels / 20.0))

"""Signals that many tests use, all mono float32 with full scale 1."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ser_edge.selftest import reference_signal

Samples = npt.NDArray[np.float32]

RATE = 16_000  # Hz; the rate of the bundled models


def voice(seconds: float, rate: int = RATE) -> Samples:
    """A voice-like tone with four syllables a second, shape (round(seconds * rate),)."""
    return reference_signal(rate, seconds)


def silence(seconds: float, rate: int = RATE) -> Samples:
    """Digital silence, shape (round(seconds * rate),)."""
    return np.zeros(round(seconds * rate), np.float32)


def tone(seconds: float, hertz: float, rate: int = RATE) -> Samples:
    """A sine of amplitude 1, shape (round(seconds * rate),)."""
    time = np.arange(round(seconds * rate)) / rate
    return np.sin(2 * np.pi * hertz * time).astype(np.float32)


def noise(
    size: int | tuple[int, int],
    *,
    seed: int | np.random.Generator = 0,
    level: float = 0.1,
    exponent: float = 0.0,
    rate: int = RATE,
) -> Samples:
    """Gaussian noise, shape `size`, whose power falls with frequency to the exponent.

    Args:
        size: n, or (n, channels).
        seed: of the random numbers, or what generates them.
        level: root mean square.
        exponent: 0 is white, 1 pink, 2 brown.
        rate: in Hz; matters to noise that is not white.
    """
    samples = np.random.default_rng(seed).standard_normal(size)
    if exponent:
        spectrum = np.fft.rfft(samples, axis=0)
        hertz = np.fft.rfftfreq(len(samples), 1 / rate)
        falling = np.maximum(hertz, 20.0) ** (-exponent / 2)
        samples = np.fft.irfft((spectrum.T * falling).T, len(samples), axis=0)
        samples /= np.sqrt(np.mean(samples**2))
    return (level * samples).astype(np.float32)


def level_dbfs(samples: npt.NDArray[np.floating]) -> float:
    """Root mean square in dB of full scale."""
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))

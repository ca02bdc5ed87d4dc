"""Signals that are hard to measure, and a voice in noise, all mono float32."""

from __future__ import annotations

import numpy as np

from tests.helpers.audio import RATE, Samples, noise, voice


def noisy_voice(seconds: float, rate: int = RATE) -> Samples:
    """A voice-like tone with noise 50 dB below it."""
    signal = voice(seconds, rate)
    return signal + noise(signal.size, seed=1, level=1e-3)


def clicks() -> Samples:
    signal = np.zeros(RATE, np.float32)
    signal[::1000] = 1.0
    return signal


HARD: dict[str, Samples] = {
    "silence": np.zeros(RATE, np.float32),
    "constant": np.full(RATE, 0.5, np.float32),
    "clicks": clicks(),
    "full-scale square wave": np.where(np.arange(RATE) // 37 % 2, -1, 1).astype(np.float32),
    "alternating signs": np.resize(np.float32([1, -1]), RATE),
    "denormal numbers": np.full(RATE, 1e-40, np.float32) * np.resize(np.float32([1, -1]), RATE),
    "below the zero-crossing threshold": np.resize(np.float32([9e-11, -9e-11]), RATE),
    "faint noise": (1e-5 * np.random.default_rng(2).standard_normal(RATE)).astype(np.float32),
    "loud noise": np.random.default_rng(3).uniform(-1, 1, RATE).astype(np.float32),
    "speech between silences": np.pad(noisy_voice(1.0), (RATE // 2, RATE)),
    "0.05 s": noisy_voice(0.05),
    "one window": noisy_voice(4.0),
    "one sample more than a window": noisy_voice(4.0 + 1 / RATE),
    "one frame": noisy_voice(400 / RATE),
    "one sample": np.float32([0.5]),
    "two samples": np.float32([0.5, -0.5]),
}

"""Short recordings at a microphone, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ser_edge.audio.mixing import as_mono_float32
from ser_edge.errors import AudioError
from ser_edge.features import FloatArray
from ser_edge.live.microphone import Microphone
from ser_edge.live.source import Stop

if TYPE_CHECKING:
    import numpy.typing as npt

CLIPPED = "clipped"

_FULL_SCALE = 0.999
_MOST_CLIPPED = 1e-3  # of the samples: a few clicks do no harm


class Take(NamedTuple):
    """What was recorded."""

    samples: FloatArray  # float32, mono, shape (n,), full scale 1
    sample_rate: int  # Hz


def record(
    seconds: float,
    *,
    device: str | None = None,
    channel: int | None = None,
    stop: Stop,
    report: Callable[[str], None],
    meter: Callable[[float], None] = lambda level: None,
) -> Take:
    """Record from a microphone.

    Args:
        seconds: how long.
        device: as for :class:`Microphone`.
        channel: the channel to use, the first being 1; None for the mean of all.
        stop: ends it early when requested.
        report: told when audio is lost.
        meter: called about ten times a second with the level, dB of full scale.

    Raises:
        DependencyError: sounddevice or PortAudio is missing.
        AudioError: there is no such microphone, or it delivered nothing.
    """
    microphone = Microphone(device, channel=channel, stop=stop, report=report)
    wanted = round(seconds * microphone.format.sample_rate)
    parts: list[npt.NDArray[np.int16]] = []
    size = 0
    chunks: Any = iter(microphone)
    try:
        for chunk in chunks:
            frames = np.frombuffer(chunk.data, "<i2").reshape(-1, chunk.format.channels)
            meter(level_dbfs(frames / np.float32(32768)))
            parts.append(frames)
            size += len(frames)
            if size >= wanted:
                break
    finally:
        chunks.close()  # and with it the microphone
    if not parts:
        raise AudioError(f"{microphone.name} delivered nothing")
    rate = microphone.format.sample_rate
    return Take(as_mono_float32(np.concatenate(parts)[:wanted], rate, channel=channel), rate)


def is_clipped(samples: FloatArray) -> bool:
    """Whether the microphone was too loud.

    Example:
        >>> is_clipped(np.clip(2 * np.sin(np.arange(1000) / 5), -1, 1).astype(np.float32))
        True
        >>> is_clipped((0.9 * np.sin(np.arange(1000) / 5)).astype(np.float32))
        False
    """
    return bool(np.mean(np.abs(samples) >= _FULL_SCALE) > _MOST_CLIPPED)


def level_dbfs(samples: FloatArray) -> float:
    """Root mean square, dB of full scale."""
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return 10 * float(np.log10(max(power, 1e-20)))

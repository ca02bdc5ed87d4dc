"""What a recording goes through on its way to a small device: the conditions of an evaluation.

Each is a pure function of samples and a random generator, so that an evaluation is described by its
seed. The functions are those of training, :mod:`ser_edge.convert.corpus.augment`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from . import augment
from .augment import Samples

FAR_DB = -30.0  # change of level by the distance to the microphone
MP3_COMPRESSION = 0.85  # of libsndfile, 0 to 1: 32 kbit/s at 16 kHz
OPUS_COMPRESSION = 0.96  # the same: 16 kbit/s
OFFSET = 0.03  # a constant, of full scale
HUM_DB = -10.0  # of the mains, relative to the voice

_Condition = Callable[[Samples, int, np.random.Generator, Sequence[Samples]], Samples]


def degrade(
    condition: str,
    samples: Samples,
    sample_rate: int,
    rng: np.random.Generator,
    *,
    voices: Sequence[Samples] = (),
) -> Samples:
    """A clip as it sounds under a condition.

    Args:
        condition: one of :data:`CONDITIONS`. ``noise-20``, ``-10`` and ``-5`` add, at that
            signal-to-noise ratio in dB, babble, pink noise or a fan, drawn at random.
        samples: the clean clip, mono float32, shape (n,).
        sample_rate: in Hz.
        rng: draws all that is random.
        voices: other clips at the same rate, of which babble is made; without any, no babble.

    Returns:
        float32, shape (m,); MP3 changes the length a little.

    Raises:
        KeyError: there is no such condition.
        DependencyError: soundfile cannot write the format.

    Example:
        >>> tone = np.sin(np.arange(16000) / 10).astype(np.float32)
        >>> far = degrade("far", tone, 16000, np.random.default_rng(1))
        >>> round(20 * np.log10(np.abs(far).max()))
        -30
    """
    return _CONDITIONS[condition](samples, sample_rate, rng, voices)


def _clean(
    samples: Samples, sample_rate: int, rng: np.random.Generator, voices: Sequence[Samples]
) -> Samples:
    return samples


def _noise(snr_db: float) -> _Condition:
    exactly = (snr_db, snr_db)

    def add(
        samples: Samples, sample_rate: int, rng: np.random.Generator, voices: Sequence[Samples]
    ) -> Samples:
        kind = rng.integers(3 if voices else 2)
        if kind == 0:
            return augment.pink_noise(samples, rng, snr_db=exactly)
        if kind == 1:
            return augment.fan_noise(samples, sample_rate, rng, snr_db=exactly)
        return augment.babble(samples, rng, voices=voices, snr_db=exactly)

    return add


def _telephone(
    samples: Samples, sample_rate: int, rng: np.random.Generator, voices: Sequence[Samples]
) -> Samples:
    return augment.telephone(samples, sample_rate, rng)


def _reverberation(
    samples: Samples, sample_rate: int, rng: np.random.Generator, voices: Sequence[Samples]
) -> Samples:
    return augment.reverb(samples, sample_rate, rng)


def _far(
    samples: Samples, sample_rate: int, rng: np.random.Generator, voices: Sequence[Samples]
) -> Samples:
    """Faint, and with the 16 bits of a sound card: the steps of 1 / 32768 stay."""
    faint = samples * 10.0 ** (FAR_DB / 20.0)
    return np.asarray(np.round(faint * 32_768) / 32_768, dtype=np.float32)


def _clipping(
    samples: Samples, sample_rate: int, rng: np.random.Generator, voices: Sequence[Samples]
) -> Samples:
    return augment.clip(samples, rng)


def _mp3(
    samples: Samples, sample_rate: int, rng: np.random.Generator, voices: Sequence[Samples]
) -> Samples:
    return augment.mp3(samples, sample_rate, MP3_COMPRESSION)


def _opus(
    samples: Samples, sample_rate: int, rng: np.random.Generator, voices: Sequence[Samples]
) -> Samples:
    return augment.opus(samples, sample_rate, OPUS_COMPRESSION)


def _offset(
    samples: Samples, sample_rate: int, rng: np.random.Generator, voices: Sequence[Samples]
) -> Samples:
    return np.asarray(samples + OFFSET, dtype=np.float32)


def _hum(
    samples: Samples, sample_rate: int, rng: np.random.Generator, voices: Sequence[Samples]
) -> Samples:
    return augment.mains_hum(samples, sample_rate, rng, level_db=(HUM_DB, HUM_DB))


_CONDITIONS: dict[str, _Condition] = {
    "clean": _clean,
    "noise-20": _noise(20.0),
    "noise-10": _noise(10.0),
    "noise-5": _noise(5.0),
    "telephone": _telephone,
    "reverberation": _reverberation,
    "far": _far,
    "clipping": _clipping,
    "mp3": _mp3,
    "opus": _opus,
    "offset": _offset,
    "hum": _hum,
}

CONDITIONS = tuple(_CONDITIONS)  # the names, clean first

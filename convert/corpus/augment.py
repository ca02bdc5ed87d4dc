"""Augmentations of training audio: pure functions of samples and a random generator.

All take mono float32 samples, shape (n,), and return a new float32 array; none changes its input.
Each draws its parameters from the ranges below, so a training run is described by its seed. What
is added (noise, hum, an offset) takes another range of levels, so that a measurement can fix one.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_edge.errors import DependencyError

Samples = NDArray[np.float32]

GAIN_DB = (-12.0, 6.0)
MARGIN_SECONDS = (0.0, 0.5)
SNR_DB = (3.0, 30.0)
BABBLE_VOICES = 4
FAN_HZ = (60.0, 150.0)  # rate at which a fan's blades pass
REVERB_SECONDS = (0.15, 0.8)  # time in which the room's response falls by 60 dB
DIRECT_TO_REVERB_DB = (-3.0, 12.0)
SPEED = (0.9, 1.11)  # so little that the teacher's judgement of the clip still holds
TELEPHONE_HZ = (300.0, 3400.0)
MICROPHONE_HZ = (2800.0, 7400.0)  # upper edge of a cheap microphone
CLIP_LEVEL_DB = (-15.0, -3.0)  # relative to the peak
OFFSET_DB = (-20.0, 15.0)  # a constant, relative to the voice
HUM_DB = (-25.0, -3.0)  # of the mains, relative to the voice
MAINS_HZ = (50.0, 60.0)
HUM_HARMONICS = 6
OPUS_COMPRESSION = (0.93, 0.985)  # of libsndfile, 0 to 1: 30 to 9 kbit/s at 16 kHz
MP3_COMPRESSION = (0.7, 0.95)  # the same: 64 to 16 kbit/s


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
        looped = _looped(voice, len(samples), rng)
        mixture += looped / (_level(looped) + 1e-9)
    return _add(samples, mixture, rng, snr_db)


def reverb(samples: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
    """Place the speaker in a room: convolve with exponentially decaying noise.

    The statistical model of late reverberation by Polack (1988): after the direct sound comes
    Gaussian noise whose level falls by 60 dB within a time drawn from :data:`REVERB_SECONDS`.
    The tail beyond the clip's end is cut, and the level of the clip is kept.
    """
    decay_seconds = rng.uniform(*REVERB_SECONDS)
    seconds = np.arange(1, int(decay_seconds * sample_rate)) / sample_rate
    tail = rng.standard_normal(len(seconds)) * 10.0 ** (-3.0 * seconds / decay_seconds)
    tail *= _amplitude(-rng.uniform(*DIRECT_TO_REVERB_DB)) / np.sqrt(np.sum(tail**2) + 1e-12)
    return room(samples, np.concatenate([[1.0], tail]))


def room(samples: Samples, response: NDArray[Any]) -> Samples:
    """Place the speaker in a room by its impulse response; the level of the clip is kept."""
    from scipy.signal import fftconvolve

    wet = fftconvolve(samples, response)[: len(samples)]
    return np.asarray(wet * (_level(samples) / (_level(wet) + 1e-9)), dtype=np.float32)


def recorded_noise(
    samples: Samples,
    rng: np.random.Generator,
    *,
    noises: Sequence[Samples],
    snr_db: tuple[float, float] = SNR_DB,
) -> Samples:
    """Add one of ``noises``, looped from a random start."""
    noise = noises[rng.integers(len(noises))]
    return _add(samples, _looped(noise, len(samples), rng), rng, snr_db)


def offset(
    samples: Samples, rng: np.random.Generator, *, level_db: tuple[float, float] = OFFSET_DB
) -> Samples:
    """Add a constant, as the converters of cheap microphones do."""
    constant = rng.choice([-1.0, 1.0]) * _level(samples) * _amplitude(rng.uniform(*level_db))
    return np.asarray(samples + constant, dtype=np.float32)


def mains_hum(
    samples: Samples,
    sample_rate: int,
    rng: np.random.Generator,
    *,
    level_db: tuple[float, float] = HUM_DB,
) -> Samples:
    """Add the hum of the mains: 50 or 60 Hz and harmonics of random strength."""
    mains = rng.choice(MAINS_HZ)
    phase = 2.0 * np.pi * mains * np.arange(len(samples)) / sample_rate
    hum = np.zeros(len(samples))
    for harmonic in range(1, HUM_HARMONICS + 1):
        strength = rng.uniform(0.0, 1.0) / harmonic if harmonic > 1 else rng.uniform(0.3, 1.3)
        hum += strength * np.sin(harmonic * phase + rng.uniform(0.0, 2.0 * np.pi))
    wanted = _level(samples) * _amplitude(rng.uniform(*level_db))
    return np.asarray(samples + hum * (wanted / (_level(hum) + 1e-9)), dtype=np.float32)


def microphone(samples: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
    """Keep what is below an edge drawn from :data:`MICROPHONE_HZ`."""
    from scipy.signal import butter, sosfilt

    edge = min(rng.uniform(*MICROPHONE_HZ), 0.49 * sample_rate)
    filter_ = butter(4, edge, btype="lowpass", fs=sample_rate, output="sos")
    return np.asarray(sosfilt(filter_, samples), dtype=np.float32)


def opus(samples: Samples, sample_rate: int, compression: float) -> Samples:
    """Through the codec Opus and back; ``compression`` is libsndfile's, 0 to 1.

    Raises:
        DependencyError: soundfile cannot write Opus.
    """
    return _coded(samples, sample_rate, format="OGG", subtype="OPUS", compression_level=compression)


def mp3(samples: Samples, sample_rate: int, compression: float) -> Samples:
    """Through the codec MP3 and back, which changes the length a little; as :func:`opus`."""
    return _coded(
        samples,
        sample_rate,
        format="MP3",
        subtype="MPEG_LAYER_III",
        compression_level=compression,
        bitrate_mode="CONSTANT",
    )


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


class Material(NamedTuple):
    """Recordings that augmentations add or apply, all at one rate; without any, they are left out.

    Each is a sequence of float32 arrays, shape (m,).
    """

    voices: Sequence[Samples] = ()  # other clips, of which babble is made
    noises: Sequence[Samples] = ()  # ambience
    responses: Sequence[Samples] = ()  # impulse responses of rooms


class Augmented(NamedTuple):
    """A changed clip and its time map: t seconds are ``rate * (t - offset)`` of the original."""

    samples: Samples  # mono float32, shape (m,)
    rate: float  # seconds of the original in a second of the result
    offset: float  # seconds of the result before the original begins


def random_augmentation(
    samples: Samples,
    sample_rate: int,
    rng: np.random.Generator,
    *,
    material: Material | None = None,
) -> Augmented:
    """One random chain, in the order of nature: formants, room, noise, microphone, codec.

    Args:
        samples: a mono clip, float32, shape (n,).
        sample_rate: in Hz.
        rng: draws all that is random.
        material: recordings of other voices, of noise and of rooms.

    Returns:
        The samples are float32, shape (m,); m differs from n where the speed was changed.

    Raises:
        DependencyError: soundfile cannot write a codec.

    Example:
        >>> import numpy as np
        >>> tone = np.sin(np.arange(16000) / 10).astype(np.float32)
        >>> first = random_augmentation(tone, 16000, np.random.default_rng(1))
        >>> again = random_augmentation(tone, 16000, np.random.default_rng(1))
        >>> bool(np.array_equal(first.samples, again.samples)), first.samples.dtype
        (True, dtype('float32'))
    """
    material = material or Material()
    n_samples, before = len(samples), 0
    samples = speed(samples, sample_rate, rng.uniform(*SPEED))
    rate = n_samples / max(1, len(samples))
    if rng.random() < 0.3:
        before, after = _margins(sample_rate, rng)
        samples = np.pad(samples, (before, after))
    where = rng.random()
    if where < 0.3:
        samples = reverb(samples, sample_rate, rng)
    elif where < 0.55 and material.responses:
        samples = room(samples, material.responses[rng.integers(len(material.responses))])
    samples = _random_noise(samples, sample_rate, rng, material)
    if rng.random() < 0.15:
        samples = mains_hum(samples, sample_rate, rng)
    if rng.random() < 0.15:
        samples = offset(samples, rng)
    channel = rng.random()
    if channel < 0.2:
        samples = telephone(samples, sample_rate, rng)
    elif channel < 0.35:
        samples = microphone(samples, sample_rate, rng)
    if rng.random() < 0.1:
        samples = clip(samples, rng)
    if rng.random() < 0.25:
        samples = _random_codec(samples, sample_rate, rng)
    return Augmented(gain(samples, rng), rate, before / sample_rate)


def _random_noise(
    samples: Samples, sample_rate: int, rng: np.random.Generator, material: Material
) -> Samples:
    """Noise of one kind in two of three clips."""
    noises: list[Callable[[], Samples]] = [
        lambda: white_noise(samples, rng),
        lambda: pink_noise(samples, rng),
        lambda: fan_noise(samples, sample_rate, rng),
    ]
    if material.voices:
        noises.append(lambda: babble(samples, rng, voices=material.voices))
    if material.noises:
        # As often as all that is made.
        recorded = [lambda: recorded_noise(samples, rng, noises=material.noises)]
        noises += recorded * len(noises)
    return noises[rng.integers(len(noises))]() if rng.random() < 0.65 else samples


def _random_codec(samples: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
    peak = float(np.max(np.abs(samples), initial=0.0)) + 1e-6
    quiet = np.asarray(samples * (0.3 / peak), dtype=np.float32)  # a codec clips above 1
    if rng.random() < 0.6:
        return opus(quiet, sample_rate, rng.uniform(*OPUS_COMPRESSION))[: len(samples)]
    return mp3(quiet, sample_rate, rng.uniform(*MP3_COMPRESSION))[: len(samples)]


def _coded(samples: Samples, sample_rate: int, **format_: str | float) -> Samples:
    """Encoded and decoded again, in memory."""
    import soundfile

    file = io.BytesIO()
    try:
        soundfile.write(file, samples, sample_rate, **format_)
    except (TypeError, ValueError, soundfile.LibsndfileError) as error:
        raise DependencyError(
            f"soundfile cannot write {format_['format']}: pip install 'soundfile >= 0.13' ({error})"
        ) from error
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    return np.asarray(decoded, dtype=np.float32)


def _margins(sample_rate: int, rng: np.random.Generator) -> tuple[int, int]:
    before, after = (rng.uniform(*MARGIN_SECONDS, size=2) * sample_rate).astype(int)
    return int(before), int(after)


def _looped(sound: Samples, size: int, rng: np.random.Generator) -> Samples:
    """So much of a sound, again and again from a random start."""
    return np.resize(np.roll(sound, -rng.integers(len(sound))), size)


def _add(
    samples: Samples,
    noise: NDArray[Any],
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

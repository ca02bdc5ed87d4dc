"""Audio pushed in chunks of any length is cut into overlapping windows, and these classified."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Union

import numpy as np

from ser_edge.audio.mixing import Mixer, as_frames, check_channel, decode
from ser_edge.audio.pcm import SAMPLE_BYTES, SAMPLE_FORMATS
from ser_edge.audio.resample import Resampler
from ser_edge.decision import WindowClassifier
from ser_edge.errors import AudioError
from ser_edge.features import FloatArray
from ser_edge.result import Result

if TYPE_CHECKING:
    import numpy.typing as npt

    Chunk = Union[bytes, bytearray, memoryview, npt.ArrayLike]

_NONE: FloatArray = np.zeros(0, np.float32)


class Window(NamedTuple):
    """A stretch of audio and its first sample's place in the recording."""

    start: int
    samples: FloatArray


if TYPE_CHECKING:
    from typing import Protocol

    class Cutter(Protocol):
        """Cuts samples into the stretches that are classified."""

        def push(self, samples: FloatArray) -> Iterator[Window]:
            """Take the next samples; yield the stretches that they complete."""

        def flush(self) -> Iterator[Window]:
            """End the recording: yield the stretches still due."""


class Windower:
    """Hands out a window every `hop_length` samples, keeping one window in memory.

    Args:
        length: samples in a window.
        hop_length: samples from one window's start to the next one's.

    Example:
        >>> windower = Windower(length=4, hop_length=2)
        >>> chunks = [np.arange(3), np.arange(3, 9)]
        >>> [w.samples.astype(int).tolist() for chunk in chunks for w in windower.push(chunk)]
        [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]
        >>> [w.samples.astype(int).tolist() for w in windower.flush()]
        [[6, 7, 8]]
    """

    def __init__(self, length: int, hop_length: int) -> None:
        self._hop_length = hop_length
        self._buffer: FloatArray = np.empty(length, dtype=np.float32)
        self._filled = 0
        self._start = 0  # of the window in the buffer
        self._skip = 0  # samples to pass over, where the hop is longer than the window
        self._fresh = False  # whether the buffer holds anything that was in no window yet

    def push(self, samples: FloatArray) -> Iterator[Window]:
        """Take the next samples; yield the windows that they complete."""
        while samples.size:
            skipped = min(self._skip, samples.size)
            self._skip -= skipped
            taken = samples[skipped : skipped + self._buffer.size - self._filled]
            self._buffer[self._filled : self._filled + taken.size] = taken
            self._filled += taken.size
            self._fresh = self._fresh or taken.size > 0
            samples = samples[skipped + taken.size :]
            if self._filled == self._buffer.size:
                yield Window(self._start, self._buffer.copy())
                self._advance()

    def flush(self) -> Iterator[Window]:
        """Yield what is left as a last, shorter window, if it holds anything new."""
        if self._fresh:
            yield Window(self._start, self._buffer[: self._filled].copy())
        self._filled = 0
        self._fresh = False

    def _advance(self) -> None:
        kept = self._buffer[self._hop_length :]
        self._filled = kept.size
        self._skip = max(0, self._hop_length - self._buffer.size)
        self._buffer[: kept.size] = kept.copy()
        self._start += self._hop_length
        self._fresh = False


class Stream:
    """Classifies audio that comes in chunks. Made by ``Classifier.stream``.

    Results do not depend, to the bit, on how the audio is cut into chunks, and equal those of
    ``Classifier.windows`` for the same audio. Their times count samples, so they never drift.
    Memory is that of one window and one chunk. A stream belongs to one thread at a time.

    Example:
        >>> from ser_edge import Classifier
        >>> stream = Classifier.bundled().stream(16000, hop=2.0)
        >>> [str(result) for result in stream.push(bytes(2 * 64000))]  # four seconds of int16
        ['no emotion (silence)']
        >>> stream.push(bytes(2 * 8000))
        []
        >>> [(result.start, result.end) for result in stream.flush()]
        [(2.0, 4.5)]
    """

    def __init__(
        self,
        classifier: WindowClassifier,
        sample_rate: int,
        *,
        hop: float | None = None,
        smoothing: float = 0.0,
        sample_format: str = "int16",
        channels: int | None = None,
        channel: int | None = None,
    ) -> None:
        decision = classifier.model.metadata.decision
        self._classifier = classifier
        self._source_rate = sample_rate
        self._sample_rate = classifier.model.frontend.sample_rate
        self._hop = decision.window_hop_seconds if hop is None else hop
        if not 1 / self._sample_rate <= self._hop < math.inf:
            raise ValueError(f"the hop is {self._hop} s, but must be at least one sample")
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing is {smoothing}, but must be from 0 up to 1")
        if sample_format not in SAMPLE_FORMATS:
            raise ValueError(
                f"the sample format is {sample_format!r}, but must be {', '.join(SAMPLE_FORMATS)}"
            )
        if channels is not None and channels < 1:
            raise ValueError(f"channels is {channels}, but must be at least 1")
        self._smoothing = smoothing
        self._sample_format = sample_format
        self._mixer: Mixer | None = None
        self._warned = False  # that channels cancel
        self._channels = channels
        self._channel = channel
        self.reset()

    def push(self, chunk: Chunk) -> list[Result]:
        """Take the next audio; return a result for each window that it fills.

        Args:
            chunk: bytes in the stream's sample format, cut anywhere; or samples of shape (n,) or
                (n, channels): floats with full scale 1, or int16, int32 or uint8 with the full
                scale of their type. Unless the stream was told its channels, the first chunk of
                several channels must have more frames than channels, for else the two may be
                swapped.

        Raises:
            AudioError: the chunk holds no usable samples, or another number of channels than the
                stream or the chunks before; it is left out as if it never came.

        Warns:
            AudioWarning: the channels cancel, and the louder one is heard (:class:`Mixer`).
        """
        samples = self._samples(chunk)
        windows = self._windower.push(self._resampler.push(samples))
        return [self._classify(window) for window in windows]

    def flush(self) -> list[Result]:
        """End the recording: return the results still due. The next push begins a new one."""
        rest = self._resampler.push(_NONE if self._mixer is None else self._mixer.flush())
        windows = [
            *self._windower.push(rest),
            *self._windower.push(self._resampler.flush()),
            *self._windower.flush(),
        ]
        results = [self._classify(window) for window in windows]
        self.reset()
        return results

    def through(self, chunks: Iterable[Chunk]) -> Iterator[Result]:
        """Push chunks one after another, then flush: yield all results as they come."""
        for chunk in chunks:
            yield from self.push(chunk)
        yield from self.flush()

    def reset(self, *, start: float = 0.0) -> None:
        """Forget all audio.

        Args:
            start: seconds at which the next sample lies, where audio was lost.
        """
        frontend = self._classifier.model.frontend
        self._resampler = Resampler(self._source_rate, self._sample_rate, frontend.spec.res_type)
        self._windower = self._cutter()
        self._offset = round(start * self._sample_rate)
        if self._mixer is not None:
            self._warned = self._mixer.warned
        self._mixer = None  # once the number of channels is known
        self._cut = b""  # the bytes of a frame whose others are still to come
        self._smoothed: npt.NDArray[np.float64] | None = None

    def _cutter(self) -> Cutter:
        """What cuts the audio at the model's rate, anew."""
        length = self._classifier.model.frontend.window_samples
        return Windower(length, round(self._hop * self._sample_rate))

    def _samples(self, chunk: Chunk) -> FloatArray:
        """The samples, mono float32, that are ready with this chunk."""
        if isinstance(chunk, (bytes, bytearray, memoryview)):
            channels = self._channels or 1
            frame_bytes = SAMPLE_BYTES[self._sample_format] * channels
            data = self._cut + bytes(chunk)
            size = len(data) - len(data) % frame_bytes
            self._cut = data[size:]
            if not size:
                return _NONE
            frames = decode(data[:size], self._sample_format, channels)
            self._check_channels(channels, np.inf)
        elif np.size(chunk):
            frames = as_frames(chunk, crowded=True)
            self._check_channels(frames.shape[1], len(frames))
        else:
            return _NONE
        mixer = self._mixer
        if mixer is None:
            check_channel(self._channel, frames.shape[1])
            mixer = Mixer(self._source_rate, frames.shape[1], channel=self._channel)
            mixer.warned = self._warned
        samples = mixer.push(frames)
        self._mixer = mixer
        return samples

    def _check_channels(self, channels: int, length: float) -> None:
        """Refuse channels first, and numbers of channels that change."""
        known = self._channels if self._mixer is None else self._mixer.channels
        if known is None:
            if 1 < channels >= length:
                raise AudioError(
                    f"samples: shape (n, channels) is needed, and {(length, channels)} looks like "
                    f"channels first: transpose it, or begin the stream with channels={channels}"
                )
        elif channels != known:
            raise AudioError(
                f"samples: shape (n, channels) is needed, with {known} channels, not {channels}"
            )

    def _classify(self, window: Window) -> Result:
        outcome = self._classifier.outcome(window.samples)
        if isinstance(outcome, str):
            self._smoothed = None
        elif self._smoothing:
            if self._smoothed is not None:
                outcome = self._smoothing * self._smoothed + (1 - self._smoothing) * outcome
            self._smoothed = outcome
        start = self._offset + window.start
        end = start + window.samples.size
        return self._classifier.result(outcome, start / self._sample_rate, end / self._sample_rate)

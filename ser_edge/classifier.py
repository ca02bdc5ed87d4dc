"""From a recording to an emotion."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from ser_edge import features
from ser_edge.audio import AudioSource, as_mono_float32, open_audio
from ser_edge.features import FloatArray
from ser_edge.model import Model
from ser_edge.resample import Resampler
from ser_edge.windows import Windower

if TYPE_CHECKING:
    import numpy.typing as npt

# Why a result tells no emotion.
SILENCE = "silence"
TOO_SHORT = "too_short"
UNCERTAIN = "uncertain"

# A recording up to this long is held in memory and trimmed as a whole; a longer one is cut into
# windows as it is read, however little of it is speech.
_WHOLE_SECONDS = 60.0
# Frames in which a recording's level is measured: long enough for a period of a low voice.
_LEVEL_FRAME_SECONDS = 0.025


@dataclass(frozen=True)
class Result:
    """What a recording, or a window of it, sounds like.

    Example:
        >>> print(Result("happy", 0.8, {"happy": 0.8, "sad": 0.2}, 0.0, 2.5))
        happy 80 %
        >>> print(Result(None, None, None, 0.0, 2.5, "silence"))
        no emotion (silence)
    """

    label: str | None  # the most probable emotion; None when there is a reason not to tell
    confidence: float | None  # its probability; None for silence and too_short
    scores: Mapping[str, float] | None  # probability of every label; None as above
    start: float  # seconds from the recording's start
    end: float  # seconds
    reason: str | None = None  # silence, too_short or uncertain

    def __str__(self) -> str:
        if self.label is None:
            return f"no emotion ({self.reason})"
        return f"{self.label} {self.confidence:.0%}".replace("%", " %")

    def to_dict(self) -> dict[str, Any]:
        """All fields, as JSON knows them."""
        return asdict(self)


def bundled_path(name: str = "default") -> str:
    """Where a model that comes with the package lies.

    Raises:
        ValueError: there is no such model; the message lists those that there are.
    """
    folder = os.path.join(os.path.dirname(__file__), "models")
    path = os.path.join(folder, f"{name}.tflite")
    if not os.path.isfile(path):
        names = sorted(f[: -len(".tflite")] for f in os.listdir(folder) if f.endswith(".tflite"))
        raise ValueError(f"there is no bundled model {name!r}, only {', '.join(names)}")
    return path


class Classifier:
    """Tells the emotion of recordings with one model.

    Made by :meth:`bundled` or :meth:`from_file`. It may be shared by threads (a lock in the model
    lets one window through at a time) and pickled (the copy loads the model file again).

    Attributes:
        model: the model, with its metadata.
        threshold: an answer less probable than this is uncertain.

    Example:
        >>> classifier = Classifier.bundled()
        >>> result = classifier.classify_samples(np.zeros(16000), 16000)
        >>> result.label, result.reason
        (None, 'silence')
    """

    def __init__(self, model: Model, *, threshold: float | None = None) -> None:
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(f"threshold is {threshold}, but must be from 0 to 1")
        self.model = model
        self.threshold: float = (
            model.metadata.decision.threshold if threshold is None else threshold
        )

    @classmethod
    def bundled(
        cls, name: str = "default", *, num_threads: int = 1, threshold: float | None = None
    ) -> Classifier:
        """Load a model that comes with the package.

        Args:
            name: which one.
            num_threads: threads of the interpreter.
            threshold: probability, 0 to 1, below which an answer is uncertain; by default the
                model's own.

        Raises:
            ValueError: there is no such model, or an argument is out of range.
            DependencyError: no TFLite runtime is installed, or one that does not fit numpy.
        """
        return cls.from_file(bundled_path(name), num_threads=num_threads, threshold=threshold)

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        *,
        num_threads: int = 1,
        threshold: float | None = None,
    ) -> Classifier:
        """Load a model file that `ser_edge.convert` wrote.

        Args:
            path: the `.tflite` file.
            num_threads: threads of the interpreter.
            threshold: probability, 0 to 1, below which an answer is uncertain; by default the
                model's own.

        Raises:
            ModelError: the file is missing, broken, without metadata, or cannot run here.
            ValueError: an argument is out of range.
            DependencyError: no TFLite runtime is installed, or one that does not fit numpy.
        """
        return cls(Model.load(path, num_threads=num_threads), threshold=threshold)

    def __repr__(self) -> str:
        return f"Classifier({self.model!r})"

    @property
    def labels(self) -> tuple[str, ...]:
        """The emotions, in the order of the scores."""
        return self.model.metadata.labels

    def classify(self, source: AudioSource, *, channel: int | None = None) -> Result:
        """Tell the emotion of a recording.

        A recording of up to a minute is trimmed as a whole; when its speech fits one window, the
        model hears just that. Anything longer is cut into windows, and the answer is the mean of
        the probabilities of those with speech in them.

        Args:
            source: a path, an open binary file, the bytes of one, or ``-`` for standard input, in
                any format that libsndfile reads.
            channel: the channel to hear, the first being 1; None for the mean of all.

        Returns:
            A result for the whole recording.

        Raises:
            AudioError: the recording cannot be read, or holds no usable samples.
        """
        with open_audio(source, channel=channel) as audio:
            return self._whole(self._resampled(audio, audio.sample_rate))

    def classify_samples(
        self, samples: npt.ArrayLike, sample_rate: int, *, channel: int | None = None
    ) -> Result:
        """Tell the emotion of samples in memory, as :meth:`classify` does of a file.

        Args:
            samples: shape (n,) or (n, channels): floats with full scale 1, or int16, int32 or
                uint8 with the full scale of their type.
            sample_rate: in Hz; any rate will do.
            channel: the channel to hear, the first being 1; None for the mean of all.

        Raises:
            AudioError: no usable samples, or an implausible rate.

        Example:
            >>> tone = np.sin(np.arange(48000) / 20)
            >>> Classifier.bundled().classify_samples(tone[:4000], 48000).reason
            'too_short'
        """
        mono = as_mono_float32(samples, channel=channel)
        return self._whole(self._resampled([mono], sample_rate))

    def windows(
        self, source: AudioSource, *, hop: float | None = None, channel: int | None = None
    ) -> Iterator[Result]:
        """Tell the emotion of one window after another, lazily and in bounded memory.

        Args:
            source: as for :meth:`classify`.
            hop: the window hop, seconds from one window's start to the next one's; by default
                the model's own.
            channel: the channel to hear, the first being 1; None for the mean of all.

        Yields:
            A result for each window; the last window may be shorter than the others.

        Raises:
            AudioError: once the recording turns out to be unreadable.
            ValueError: the hop is not positive.
        """
        windower = self._windower(hop)
        with open_audio(source, channel=channel) as audio:
            yield from self._each(self._resampled(audio, audio.sample_rate), windower)

    def _windower(self, hop: float | None = None) -> Windower:
        frontend = self.model.frontend
        seconds = self.model.metadata.decision.window_hop_seconds if hop is None else hop
        if not 1 / frontend.sample_rate <= seconds < math.inf:
            raise ValueError(f"the hop is {seconds} s, but must be at least one sample")
        return Windower(frontend.window_samples, round(seconds * frontend.sample_rate))

    def _resampled(self, blocks: Iterable[FloatArray], sample_rate: int) -> Iterator[FloatArray]:
        resampler = Resampler(sample_rate, self.model.frontend.sample_rate)
        for block in blocks:
            yield resampler.push(block)
        yield resampler.flush()

    def _whole(self, blocks: Iterator[FloatArray]) -> Result:
        limit = round(_WHOLE_SECONDS * self.model.frontend.sample_rate)
        held: list[FloatArray] = []
        size = 0
        for block in blocks:
            held.append(block)
            size += block.size
            if size > limit:
                return self._pooled(self._each(chain(held, blocks), self._windower()))
        samples = np.concatenate(held)
        if self.model.frontend.speech(samples).size <= self.model.frontend.window_samples:
            return self._one(samples, 0)
        return self._pooled(self._each(iter([samples]), self._windower()))

    def _each(self, blocks: Iterator[FloatArray], windower: Windower) -> Iterator[Result]:
        for block in blocks:
            for window in windower.push(block):
                yield self._one(window.samples, window.start)
        for window in windower.flush():
            yield self._one(window.samples, window.start)

    def _one(self, samples: FloatArray, start: int) -> Result:
        """The result for samples whose speech fits one window."""
        frontend = self.model.frontend
        decision = self.model.metadata.decision
        span = (start / frontend.sample_rate, (start + samples.size) / frontend.sample_rate)
        if _level_dbfs(samples, frontend.sample_rate) < decision.silence_dbfs:
            return Result(None, None, None, *span, SILENCE)
        speech = frontend.speech(samples)
        if speech.size < decision.min_speech_seconds * frontend.sample_rate:
            return Result(None, None, None, *span, TOO_SHORT)
        return self._answer(self.model.predict(frontend.features(speech)), *span)

    def _pooled(self, results: Iterator[Result]) -> Result:
        """The result for a recording from those of its windows."""
        total = np.zeros(len(self.labels))
        count = 0
        end = 0.0
        reasons = set()
        for result in results:
            end = result.end
            if result.scores is None:
                reasons.add(result.reason)
            else:
                total += list(result.scores.values())
                count += 1
        if not count:
            reason = SILENCE if reasons == {SILENCE} else TOO_SHORT
            return Result(None, None, None, 0.0, end, reason)
        return self._answer(total / count, 0.0, end)

    def _answer(self, probabilities: npt.NDArray[np.float64], start: float, end: float) -> Result:
        best = int(np.argmax(probabilities))
        confidence = float(probabilities[best])
        scores = {label: float(p) for label, p in zip(self.labels, probabilities)}
        if confidence < self.threshold:
            return Result(None, confidence, scores, start, end, UNCERTAIN)
        return Result(self.labels[best], confidence, scores, start, end)


def _level_dbfs(samples: FloatArray, sample_rate: int) -> float:
    """Level of the loudest frame, without any constant offset, in dB of full scale."""
    frame_length = max(1, round(_LEVEL_FRAME_SECONDS * sample_rate))
    level = features.rms(
        samples - samples.mean(dtype=np.float64), frame_length=frame_length, hop_length=frame_length
    ).max()
    return 20 * float(np.log10(max(level, 1e-30)))

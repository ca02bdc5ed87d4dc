"""From a recording to an emotion."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from ser_edge import features
from ser_edge.audio import AudioSource, as_mono_float32, open_audio
from ser_edge.features import FloatArray
from ser_edge.gate import SYLLABLES, open_gate
from ser_edge.model import Model
from ser_edge.resample import Resampler
from ser_edge.stream import Stream

if TYPE_CHECKING:
    import numpy.typing as npt

    # Probabilities of the labels, or the reason why there are none.
    Outcome = Union[npt.NDArray[np.float64], str]

# Why a result tells no emotion.
SILENCE = "silence"
TOO_SHORT = "too_short"
NO_SPEECH = "no_speech"
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
    confidence: float | None  # its probability; None for every reason but uncertain
    scores: Mapping[str, float] | None  # probability of every label; None as above
    start: float  # seconds from the recording's start
    end: float  # seconds
    reason: str | None = None  # silence, too_short, no_speech or uncertain

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
        gate: name of the gate that tells speech from noise; see :mod:`ser_edge.gate`.

    Example:
        >>> classifier = Classifier.bundled()
        >>> result = classifier.classify_samples(np.zeros(16000), 16000)
        >>> result.label, result.reason
        (None, 'silence')
    """

    def __init__(
        self, model: Model, *, threshold: float | None = None, gate: str = SYLLABLES
    ) -> None:
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(f"threshold is {threshold}, but must be from 0 to 1")
        self.model = model
        self.threshold: float = (
            model.metadata.decision.threshold if threshold is None else threshold
        )
        self.gate = gate
        self._is_speech = open_gate(gate)

    @classmethod
    def bundled(
        cls,
        name: str = "default",
        *,
        num_threads: int = 1,
        threshold: float | None = None,
        gate: str = SYLLABLES,
    ) -> Classifier:
        """Load a model that comes with the package.

        Args:
            name: which one.
            num_threads: threads of the interpreter.
            threshold: probability, 0 to 1, below which an answer is uncertain; by default the
                model's own.
            gate: ``syllables``, ``silero`` (needs the extra ``vad``) or ``off``: what tells speech
                from noise.

        Raises:
            ValueError: there is no such model, or an argument is out of range.
            DependencyError: no TFLite runtime is installed, or one that does not fit numpy; or
                the gate's package is missing.
        """
        return cls.from_file(
            bundled_path(name), num_threads=num_threads, threshold=threshold, gate=gate
        )

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        *,
        num_threads: int = 1,
        threshold: float | None = None,
        gate: str = SYLLABLES,
    ) -> Classifier:
        """Load a model file that `ser_edge.convert` wrote.

        Args:
            path: the `.tflite` file.
            num_threads: threads of the interpreter.
            threshold: probability, 0 to 1, below which an answer is uncertain; by default the
                model's own.
            gate: ``syllables``, ``silero`` (needs the extra ``vad``) or ``off``: what tells speech
                from noise.

        Raises:
            ModelError: the file is missing, broken, without metadata, or cannot run here.
            ValueError: an argument is out of range.
            DependencyError: no TFLite runtime is installed, or one that does not fit numpy; or
                the gate's package is missing.
        """
        model = Model.load(path, num_threads=num_threads)
        return cls(model, threshold=threshold, gate=gate)

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
            ValueError: the hop is shorter than a sample.
        """
        with open_audio(source, channel=channel) as audio:
            yield from self.stream(audio.sample_rate, hop=hop).through(audio)

    def stream(
        self,
        sample_rate: int,
        *,
        hop: float | None = None,
        smoothing: float = 0.0,
        sample_format: str = "int16",
        channels: int = 1,
        channel: int | None = None,
    ) -> Stream:
        """Take audio as it comes, in chunks of any length.

        Args:
            sample_rate: in Hz; any rate will do.
            hop: the window hop, seconds from one window's start to the next one's; by default
                the model's own.
            smoothing: weight, from 0 up to 1, that the windows before have in a result: each adds
                `1 - smoothing` of its own probabilities. A window without any starts anew.
            sample_format: how chunks of bytes are read: ``int16``, ``int32``, ``float32`` or
                ``uint8``, little-endian, channels interleaved.
            channels: channels in chunks of bytes.
            channel: the channel to hear, the first being 1; None for the mean of all.

        Raises:
            AudioError: an implausible sample rate.
            ValueError: another argument is out of range.

        Example:
            >>> stream = Classifier.bundled().stream(48000, hop=1.0)
            >>> for chunk in np.zeros((60, 4800), np.int16):  # six seconds
            ...     for result in stream.push(chunk):
            ...         print(result.start, result.end, result)
            0.0 4.0 no emotion (silence)
            1.0 5.0 no emotion (silence)
        """
        return Stream(
            self,
            sample_rate,
            hop=hop,
            smoothing=smoothing,
            sample_format=sample_format,
            channels=channels,
            channel=channel,
        )

    def _resampled(self, blocks: Iterable[FloatArray], sample_rate: int) -> Iterator[FloatArray]:
        resampler = Resampler(sample_rate, self.model.frontend.sample_rate)
        for block in blocks:
            yield resampler.push(block)
        yield resampler.flush()

    def _whole(self, blocks: Iterator[FloatArray]) -> Result:
        frontend = self.model.frontend
        limit = round(_WHOLE_SECONDS * frontend.sample_rate)
        held: list[FloatArray] = []
        size = 0
        for block in blocks:
            held.append(block)
            size += block.size
            if size > limit:
                return self._pooled(chain(held, blocks))
        samples = np.concatenate(held)
        if frontend.trim(samples).size <= frontend.window_samples:
            return self._result(self._outcome(samples), 0.0, size / frontend.sample_rate)
        return self._pooled(iter([samples]))

    def _outcome(self, samples: FloatArray) -> Outcome:
        """What to say of samples whose speech fits one window."""
        frontend = self.model.frontend
        decision = self.model.metadata.decision
        if _level_dbfs(samples, frontend.sample_rate) < decision.silence_dbfs:
            return SILENCE
        speech = frontend.trim(samples)
        if speech.size < decision.min_speech_seconds * frontend.sample_rate:
            return TOO_SHORT
        if self._is_speech is not None and not self._is_speech(samples, frontend.sample_rate):
            return NO_SPEECH
        return self.model.predict(frontend.features(speech))

    def _result(self, outcome: Outcome, start: float, end: float) -> Result:
        if isinstance(outcome, str):
            return Result(None, None, None, start, end, outcome)
        best = int(np.argmax(outcome))
        confidence = float(outcome[best])
        scores = {label: float(p) for label, p in zip(self.labels, outcome)}
        if confidence < self.threshold:
            return Result(None, confidence, scores, start, end, UNCERTAIN)
        return Result(self.labels[best], confidence, scores, start, end)

    def _pooled(self, blocks: Iterator[FloatArray]) -> Result:
        """The result for a recording, at the model's rate, from those of its windows."""
        total = np.zeros(len(self.labels))
        count = 0
        end = 0.0
        reasons = set()
        for result in self.stream(self.model.frontend.sample_rate).through(blocks):
            end = result.end
            if result.scores is None:
                reasons.add(result.reason)
            else:
                total += list(result.scores.values())
                count += 1
        if count:
            return self._result(total / count, 0.0, end)
        reason = next(r for r in (NO_SPEECH, TOO_SHORT, SILENCE) if r in reasons)
        return self._result(reason, 0.0, end)


def _level_dbfs(samples: FloatArray, sample_rate: int) -> float:
    """Level of the loudest frame, without any constant offset, in dB of full scale."""
    frame_length = max(1, round(_LEVEL_FRAME_SECONDS * sample_rate))
    level = features.rms(
        samples - samples.mean(dtype=np.float64), frame_length=frame_length, hop_length=frame_length
    ).max()
    return 20 * float(np.log10(max(level, 1e-30)))

"""From a recording to an emotion."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from ser_edge.audio import AudioReader, AudioSource, open_audio
from ser_edge.decision import NO_SPEECH, SILENCE, TOO_SHORT, WindowClassifier
from ser_edge.errors import AudioError, DependencyError, ModelError, SerEdgeError
from ser_edge.features import FloatArray
from ser_edge.gate import SPEECH
from ser_edge.mixing import as_mono_float32
from ser_edge.model import Model, Observation, mean_observation
from ser_edge.model_file import bundled_path
from ser_edge.resample import Resampler
from ser_edge.result import Result
from ser_edge.stream import Stream, Windower

if TYPE_CHECKING:
    import numpy.typing as npt

    from ser_edge.profile import Profile

_Source = TypeVar("_Source", bound=AudioSource)

__all__ = ["Classifier", "Result", "Stream", "bundled_path"]

# A recording up to this long is held in memory and trimmed as a whole; a longer one is cut into
# windows as it is read, however little of it is speech.
_WHOLE_SECONDS = 60.0


class Classifier:
    """Classifies the emotion of recordings with one model.

    Made by :meth:`bundled` or :meth:`from_file`. It may be shared by threads (a lock in the model
    lets one window through at a time) and pickled (the copy loads the model file again).

    Example:
        >>> classifier = Classifier.bundled()
        >>> result = classifier.classify_samples(np.zeros(16000), 16000)
        >>> result.label, result.reason
        (None, 'silence')
    """

    def __init__(
        self,
        model: Model,
        *,
        threshold: float | None = None,
        thresholds: Mapping[str, float] | None = None,
        gate: str = SPEECH,
        profile: Profile | str | os.PathLike[str] | None = None,
    ) -> None:
        if isinstance(profile, (str, os.PathLike)):
            from ser_edge.profile import Profile

            profile = Profile.read(profile)
        self._window = WindowClassifier(
            model, threshold=threshold, thresholds=thresholds, gate=gate, profile=profile
        )

    @classmethod
    def bundled(
        cls,
        name: str = "default",
        *,
        num_threads: int = 1,
        threshold: float | None = None,
        thresholds: Mapping[str, float] | None = None,
        gate: str = SPEECH,
        profile: Profile | str | os.PathLike[str] | None = None,
    ) -> Classifier:
        """Load a model that comes with the package.

        Args:
            name: which one.
            num_threads: threads of the interpreter.
            threshold: probability, 0 to 1, below which a result is uncertain; by default the
                model's own.
            thresholds: other thresholds, by label, such as ``{"angry": 0.7}``.
            gate: ``speech``, ``silero`` (needs the extra ``vad``) or ``off``: what separates
                speech from noise.
            profile: what adapts the model to a voice, or its file; made by ``ser-edge adapt``.

        Raises:
            ValueError: there is no such model, or an argument is out of range.
            DependencyError: no TFLite runtime is installed, or one that does not fit numpy; or
                the gate's package is missing.
            ProfileError: the profile is broken, or made for another model.
        """
        return cls.from_file(
            bundled_path(name),
            num_threads=num_threads,
            threshold=threshold,
            thresholds=thresholds,
            gate=gate,
            profile=profile,
        )

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        *,
        num_threads: int = 1,
        threshold: float | None = None,
        thresholds: Mapping[str, float] | None = None,
        gate: str = SPEECH,
        profile: Profile | str | os.PathLike[str] | None = None,
    ) -> Classifier:
        """Load a model file that `ser_edge.convert` wrote.

        Args:
            path: the `.tflite` file.
            num_threads: threads of the interpreter.
            threshold: probability, 0 to 1, below which a result is uncertain; by default the
                model's own.
            thresholds: other thresholds, by label, such as ``{"angry": 0.7}``.
            gate: ``speech``, ``silero`` (needs the extra ``vad``) or ``off``: what separates
                speech from noise.
            profile: what adapts the model to a voice, or its file; made by ``ser-edge adapt``.

        Raises:
            ModelError: the file is missing, broken, without metadata, or cannot run here.
            ValueError: an argument is out of range.
            DependencyError: no TFLite runtime is installed, or one that does not fit numpy; or
                the gate's package is missing.
            ProfileError: the profile is broken, or made for another model.
        """
        model = Model(path, num_threads=num_threads)
        return cls(model, threshold=threshold, thresholds=thresholds, gate=gate, profile=profile)

    def __repr__(self) -> str:
        return f"Classifier({self.model!r})"

    @property
    def model(self) -> Model:
        """The model, with its metadata."""
        return self._window.model

    @property
    def threshold(self) -> float:
        """The probability below which a result is uncertain."""
        return self._window.threshold

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Other thresholds, by label."""
        return self._window.thresholds

    @property
    def gate(self) -> str:
        """Name of the gate that separates speech from noise; see :mod:`ser_edge.gate`."""
        return self._window.gate

    @property
    def profile(self) -> Profile | None:
        """What adapts the model."""
        return self._window.profile

    @property
    def labels(self) -> tuple[str, ...]:
        """The emotions, in the order of the scores."""
        return self._window.labels

    def classify(
        self,
        source: AudioSource | AudioReader,
        sample_rate: None = None,
        *,
        channel: int | None = None,
        ffmpeg: bool = True,
        on_chunk: Callable[[FloatArray, int], None] | None = None,
    ) -> Result:
        """Classify a recording.

        A recording of up to a minute is trimmed as a whole; when its speech fits one window, that
        is the model's input. Anything longer is cut into windows, and the scores are the mean of
        the probabilities of those with speech in them.

        Args:
            source: a path, an open binary file, the bytes of one, or ``-`` for standard input, in
                any format that libsndfile reads, or ffmpeg where it is installed; or what
                :func:`ser_edge.audio.open_audio` gave.
            sample_rate: not taken: a file states its own. Samples in memory go to
                :meth:`classify_samples`.
            channel: the channel to read, the first being 1; None for the mean of all.
            ffmpeg: whether the program ffmpeg may decode what libsndfile does not read.
            on_chunk: called with each chunk of the recording as it is read: mono samples,
                float32, shape (n,), and their rate in Hz.

        Returns:
            A result for the whole recording.

        Raises:
            AudioError: the recording cannot be read, or holds no usable samples.
            TypeError: the source is none of these, such as an array.
        """
        _check_source(source, sample_rate, "classify")
        with open_audio(source, channel=channel, ffmpeg=ffmpeg) as audio:
            chunks = _tapped(audio, audio.sample_rate, on_chunk)
            return self._whole(self._resampled(chunks, audio.sample_rate))

    def classify_samples(
        self, samples: npt.ArrayLike, sample_rate: int, *, channel: int | None = None
    ) -> Result:
        """Classify samples in memory, as :meth:`classify` does a file.

        Args:
            samples: shape (n,) or (n, channels): floats with full scale 1, or int16, int32 or
                uint8 with the full scale of their type.
            sample_rate: in Hz; any rate will do.
            channel: the channel to read, the first being 1; None for the mean of all.

        Raises:
            AudioError: no usable samples, or an implausible rate.
            TypeError: a path or bytes: those go to :meth:`classify`.

        Example:
            >>> tone = np.sin(np.arange(48000) / 20)
            >>> Classifier.bundled().classify_samples(tone[:4000], 48000).reason
            'too_short'
        """
        _check_samples(samples, "classify")
        mono = as_mono_float32(samples, sample_rate, channel=channel)
        return self._whole(self._resampled([mono], sample_rate))

    def classify_many(
        self, sources: Iterable[_Source], *, channel: int | None = None
    ) -> Iterator[tuple[_Source, Result | SerEdgeError]]:
        """Classify recordings one after another, lazily; one that cannot be stops none of them.

        Args:
            sources: recordings, each as for :meth:`classify`;
                :func:`ser_edge.folders.find_audio_files` finds those in folders.
            channel: the channel to read, the first being 1; None for the mean of all.

        Yields:
            Each source with its result or, where it has none, with the error that :meth:`classify`
            raises: an AudioError or a ModelError.

        Raises:
            TypeError: a single source instead of several.
            DependencyError: a package is missing, without which no recording can be read.

        Example:
            >>> for path, result in Classifier.bundled().classify_many(["none.wav"]):
            ...     print(repr(result))
            AudioError('none.wav: No such file or directory')
        """
        if isinstance(sources, (str, bytes, bytearray, memoryview, os.PathLike)) or hasattr(
            sources, "read"
        ):
            raise TypeError("classify_many takes several recordings: classify_many([one, other])")
        return ((source, self._attempt(source, channel)) for source in sources)

    def _attempt(self, source: AudioSource, channel: int | None) -> Result | SerEdgeError:
        try:
            return self.classify(source, channel=channel)
        except DependencyError:
            raise
        except SerEdgeError as error:
            return error
        except TypeError as error:  # such as the NaN of an empty cell in a table
            return AudioError(str(error))

    def embed(
        self, source: AudioSource, *, channel: int | None = None, utterance: bool = False
    ) -> FloatArray:
        """Compute a recording's embedding, on which small models of your own can be built.

        Args:
            source: as for :meth:`classify`.
            channel: the channel to read, the first being 1; None for the mean of all.
            utterance: give the activations that the network pools over time, which tell more of
                the voice, instead of those of its last hidden layer, which tell of the emotion.

        Returns:
            float32, shape (size,): the mean of the windows that hold speech.

        Raises:
            AudioError: the recording cannot be read, or holds no speech.
            ModelError: the model gives no such embedding.

        Example:
            >>> import io
            >>> from ser_edge.selftest import reference_signal
            >>> import soundfile
            >>> file = io.BytesIO()
            >>> soundfile.write(file, reference_signal(16000, 2.0), 16000, format="WAV")
            >>> Classifier.bundled().embed(file.getvalue()).shape
            (64,)
        """
        observed = self.observe(source, channel=channel)
        if isinstance(observed, str):
            raise AudioError(f"the recording has no embedding: {observed}")
        if not utterance:
            return observed.embedding
        if observed.utterance_embedding is None:
            name = self.model.metadata.name
            raise ModelError(f"the model {name} gives no utterance embedding")
        return observed.utterance_embedding

    def observe(self, source: AudioSource, *, channel: int | None = None) -> Observation | str:
        """What the model gives for a recording, whatever the profile: for adapting it.

        Args:
            source: as for :meth:`classify`.
            channel: the channel to read, the first being 1; None for the mean of all.

        Returns:
            The mean of the windows that hold speech; or the reason why there are none.

        Raises:
            AudioError: the recording cannot be read.
            ModelError: the model gives no embedding.
        """
        _check_source(source, None, "observe")
        self.model.check_adaptable()
        with open_audio(source, channel=channel) as audio:
            return self._observed(self._resampled(audio, audio.sample_rate))

    def observe_samples(
        self, samples: npt.ArrayLike, sample_rate: int, *, channel: int | None = None
    ) -> Observation | str:
        """What the model gives for samples in memory, as :meth:`observe` for a file.

        Args:
            samples: as for :meth:`classify_samples`.
            sample_rate: in Hz; any rate will do.
            channel: the channel to read, the first being 1; None for the mean of all.

        Raises:
            AudioError: no usable samples, or an implausible rate.
            ModelError: the model gives no embedding.
        """
        _check_samples(samples, "observe")
        self.model.check_adaptable()
        mono = as_mono_float32(samples, sample_rate, channel=channel)
        return self._observed(self._resampled([mono], sample_rate))

    def adapted(self, clips: Iterable[tuple[AudioSource, str]]) -> Classifier:
        """Adapt the model to labelled clips of one voice; as ``ser-edge adapt`` does.

        Args:
            clips: pairs of a recording, as for :meth:`classify`, and its emotion: one of the
                model's labels or a new one. Clips without speech are left out.

        Returns:
            A classifier of the emotions of these clips, which shares this one's model; its
            :attr:`profile` can be written to a file.

        Raises:
            AudioError: a recording cannot be read.
            ModelError: the model cannot be adapted.
            ProfileError: the clips hold speech of fewer than two emotions, or of too many.
        """
        from ser_edge.adapt import Clips, make_profile

        observed = [(self.observe(source), label) for source, label in clips]
        heard = [(one, label) for one, label in observed if not isinstance(one, str)]
        profile = make_profile(self.model, Clips.of(heard))
        known = self.thresholds.items()
        thresholds = {label: value for label, value in known if label in profile.labels}
        return Classifier(
            self.model,
            threshold=self.threshold,
            thresholds=thresholds,
            gate=self.gate,
            profile=profile,
        )

    def windows(
        self,
        source: AudioSource | AudioReader,
        sample_rate: None = None,
        *,
        hop: float | None = None,
        channel: int | None = None,
        ffmpeg: bool = True,
        on_chunk: Callable[[FloatArray, int], None] | None = None,
    ) -> Iterator[Result]:
        """Classify one window after another, lazily and in bounded memory.

        Args:
            source: as for :meth:`classify`.
            sample_rate: not taken, as there. Samples in memory go to :meth:`windows_samples`.
            hop: the window hop, seconds from one window's start to the next one's; by default
                the model's own.
            channel: the channel to read, the first being 1; None for the mean of all.
            ffmpeg: whether the program ffmpeg may decode what libsndfile does not read.
            on_chunk: called with each chunk of the recording before it is classified: mono
                samples, float32, shape (n,), and their rate in Hz.

        Yields:
            A result for each window; the last window may be shorter than the others.

        Raises:
            AudioError: once the recording turns out to be unreadable.
            ValueError: the hop is shorter than a sample.
            TypeError: the source is none that :meth:`classify` takes, such as an array.
        """
        _check_source(source, sample_rate, "windows")
        return self._windows(source, hop, channel, ffmpeg, on_chunk)

    def _windows(
        self,
        source: AudioSource | AudioReader,
        hop: float | None,
        channel: int | None,
        ffmpeg: bool,
        on_chunk: Callable[[FloatArray, int], None] | None,
    ) -> Iterator[Result]:
        with open_audio(source, channel=channel, ffmpeg=ffmpeg) as audio:
            stream = self.stream(audio.sample_rate, hop=hop)
            yield from stream.through(_tapped(audio, audio.sample_rate, on_chunk))

    def windows_samples(
        self,
        samples: npt.ArrayLike,
        sample_rate: int,
        *,
        hop: float | None = None,
        channel: int | None = None,
    ) -> Iterator[Result]:
        """Classify one window of samples in memory after another, as :meth:`windows` does a file's.

        Args:
            samples: as for :meth:`classify_samples`.
            sample_rate: in Hz; any rate will do.
            hop: the window hop, seconds from one window's start to the next one's; by default
                the model's own.
            channel: the channel to read, the first being 1; None for the mean of all.

        Yields:
            A result for each window; the last window may be shorter than the others.

        Raises:
            AudioError: no usable samples, or an implausible rate.
            ValueError: the hop is shorter than a sample.
            TypeError: a path or bytes: those go to :meth:`windows`.

        Example:
            >>> windows = Classifier.bundled().windows_samples(np.zeros(80_000), 16_000, hop=1.0)
            >>> [(result.start, result.end, result.reason) for result in windows]
            [(0.0, 4.0, 'silence'), (1.0, 5.0, 'silence')]
        """
        _check_samples(samples, "windows")
        mono = as_mono_float32(samples, sample_rate, channel=channel)
        stream = self.stream(sample_rate, hop=hop)
        seconds = (mono[at : at + sample_rate] for at in range(0, mono.size, sample_rate))
        return stream.through(seconds)

    def stream(
        self,
        sample_rate: int,
        *,
        hop: float | None = None,
        smoothing: float = 0.0,
        sample_format: str = "int16",
        channels: int | None = None,
        channel: int | None = None,
    ) -> Stream:
        """Classify audio as it comes, in chunks of any length.

        Args:
            sample_rate: in Hz; any rate will do.
            hop: the window hop, seconds from one window's start to the next one's; by default
                the model's own.
            smoothing: weight, from 0 up to 1, that the windows before have in a result: each adds
                `1 - smoothing` of its own probabilities. A window without any starts anew.
            sample_format: how chunks of bytes are read: ``int16``, ``int24``, ``int32``,
                ``float32``, ``float64`` or ``uint8``, little-endian, channels interleaved.
            channels: of every chunk. By default one in chunks of bytes, and in arrays as many as
                the first has.
            channel: the channel to read, the first being 1; None for the mean of all.

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
            self._window,
            sample_rate,
            hop=hop,
            smoothing=smoothing,
            sample_format=sample_format,
            channels=channels,
            channel=channel,
        )

    def _resampled(self, chunks: Iterable[FloatArray], sample_rate: int) -> Iterator[FloatArray]:
        resampler = Resampler(sample_rate, self.model.frontend.sample_rate)
        for chunk in chunks:
            yield resampler.push(chunk)
        yield resampler.flush()

    def _whole(self, chunks: Iterator[FloatArray]) -> Result:
        """The result for a recording at the model's rate: the mean of its windows' scores."""
        total = np.zeros(len(self.labels))
        count = 0
        end = 0.0
        reasons = set()
        for window in self._cut(chunks):
            end = window.end
            outcome = self._window.outcome(window.samples, window.speech)
            if isinstance(outcome, str):
                reasons.add(outcome)
            else:
                total += outcome
                count += 1
        return self._window.result(total / count if count else _furthest(reasons), 0.0, end)

    def _observed(self, chunks: Iterator[FloatArray]) -> Observation | str:
        """The mean over the windows of a recording at the model's rate that hold speech."""
        observed: list[Observation] = []
        reasons = set()
        for window in self._cut(chunks):
            one = self._window.observe(window.samples, window.speech)
            if isinstance(one, str):
                reasons.add(one)
            else:
                observed.append(one)
        return mean_observation(observed) if observed else _furthest(reasons)

    def _cut(self, chunks: Iterator[FloatArray]) -> Iterator[_Window]:
        """The windows of a recording at the model's rate."""
        frontend = self.model.frontend
        limit = round(_WHOLE_SECONDS * frontend.sample_rate)
        held: list[FloatArray] = []
        size = 0
        for chunk in chunks:
            held.append(chunk)
            size += chunk.size
            if size > limit:
                break
        else:
            samples = np.concatenate(held)
            speech = frontend.trim(samples)
            if speech.size <= frontend.window_samples:
                yield _Window(samples, speech, size / frontend.sample_rate)
                return
        hop = self.model.metadata.decision.window_hop_seconds
        windower = Windower(frontend.window_samples, round(hop * frontend.sample_rate))
        for chunk in chain(held, chunks):
            for start, samples in windower.push(chunk):
                yield _Window(samples, None, (start + samples.size) / frontend.sample_rate)
        for start, samples in windower.flush():
            yield _Window(samples, None, (start + samples.size) / frontend.sample_rate)


class _Window(NamedTuple):
    """A window of a whole recording."""

    samples: FloatArray
    speech: FloatArray | None  # trimmed, where that is known already
    end: float  # seconds


def _furthest(reasons: Collection[str]) -> str:
    """The reason that came furthest in the decision of any window."""
    return next(reason for reason in (NO_SPEECH, TOO_SHORT, SILENCE) if reason in reasons)


def _check_source(source: object, sample_rate: object, method: str) -> None:
    known = isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview, AudioReader))
    if sample_rate is not None or not (known or hasattr(source, "read")):
        raise TypeError(
            f"{method} takes a path, bytes or a binary file, not {type(source).__name__}: "
            f"samples in memory go to {method}_samples(samples, sample_rate)"
        )


def _check_samples(samples: object, method: str) -> None:
    path = isinstance(samples, (str, os.PathLike, bytes, bytearray)) or hasattr(samples, "read")
    if path:
        raise TypeError(
            f"{method}_samples takes an array, not {type(samples).__name__}: a recording's path, "
            f"bytes or binary file goes to {method}(source)"
        )


def _tapped(
    chunks: Iterable[FloatArray],
    sample_rate: int,
    on_chunk: Callable[[FloatArray, int], None] | None,
) -> Iterator[FloatArray]:
    """The same chunks, each of which `on_chunk` sees before it is used."""
    for chunk in chunks:
        if on_chunk is not None:
            on_chunk(chunk, sample_rate)
        yield chunk

"""From a recording to an emotion."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ser_edge import recording
from ser_edge.audio import AudioReader, AudioSource, open_audio
from ser_edge.audio.mixing import as_mono_float32
from ser_edge.decision import WindowClassifier
from ser_edge.errors import SerEdgeError
from ser_edge.features import FloatArray
from ser_edge.gate import SPEECH
from ser_edge.model import Model
from ser_edge.model_file import bundled_path
from ser_edge.result import Result
from ser_edge.stream import Stream
from ser_edge.utterances import Listener

if TYPE_CHECKING:
    import numpy.typing as npt

    from ser_edge.adapt.profile import Profile

_Source = TypeVar("_Source", bound=AudioSource)

__all__ = ["Classifier", "Result", "Stream", "bundled_path"]


class Classifier(Listener):
    """Classifies the emotion of recordings with one model.

    Made by :meth:`bundled` or :meth:`from_file`. It may be shared by threads (a lock in the model
    lets one window through at a time) and pickled (the copy loads the model file again).

    Example:
        >>> result = Classifier.bundled().classify_samples([0.0] * 16000, 16000)
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
        accept_unfamiliar: bool = False,
    ) -> None:
        if isinstance(profile, (str, os.PathLike)):
            from ser_edge.adapt.profile import Profile

            profile = Profile.read(profile)
        super().__init__(
            WindowClassifier(
                model,
                threshold=threshold,
                thresholds=thresholds,
                gate=gate,
                profile=profile,
                accept_unfamiliar=accept_unfamiliar,
            )
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
        accept_unfamiliar: bool = False,
    ) -> Classifier:
        """Load a model that comes with the package.

        Args:
            name: which one; the other arguments and errors are those of :meth:`from_file`.

        Raises:
            ValueError: there is no such model, or an argument is out of range.
        """
        return cls.from_file(
            bundled_path(name),
            num_threads=num_threads,
            threshold=threshold,
            thresholds=thresholds,
            gate=gate,
            profile=profile,
            accept_unfamiliar=accept_unfamiliar,
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
        accept_unfamiliar: bool = False,
    ) -> Classifier:
        """Load a model file that `ser_edge.convert` wrote.

        Args:
            path: the `.tflite` file.
            num_threads: threads of the interpreter.
            threshold: probability, 0 to 1, below which a result is uncertain; by default the
                model's own.
            thresholds: other thresholds, by label, such as ``{"angry": 0.7}``.
            gate: what tells speech from noise: ``speech``, ``silero`` (extra ``vad``) or ``off``.
            profile: what adapts the model to a voice, or its file; made by ``ser-edge adapt``.
            accept_unfamiliar: be as sure of what is unlike the training data as of all else.

        Raises:
            ModelError: the file is missing, broken, without metadata, or cannot run here.
            ValueError: an argument is out of range.
            DependencyError: no TFLite runtime is installed, or one that does not fit numpy; or
                the gate's package is missing.
            ProfileError: the profile is broken, or made for another model.
        """
        return cls(
            Model(path, num_threads=num_threads),
            threshold=threshold,
            thresholds=thresholds,
            gate=gate,
            profile=profile,
            accept_unfamiliar=accept_unfamiliar,
        )

    def __repr__(self) -> str:
        return f"Classifier({self.model!r})"

    @property
    def threshold(self) -> float:
        """The probability below which a result is uncertain."""
        return self._window.threshold

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Other thresholds, by label."""
        return self._window.thresholds

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
        the probabilities of those with speech in them. A model that was made for the first seconds
        of a recording gets those alone.

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
        recording.check_source(source, sample_rate, "classify")
        with open_audio(source, channel=channel, ffmpeg=ffmpeg) as audio:
            chunks = recording.tapped(audio, audio.sample_rate, on_chunk)
            return recording.classify(
                self._window, self.model.frontend.resampled(chunks, audio.sample_rate)
            )

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
            >>> Classifier.bundled().classify_samples([0.1, -0.1] * 2000, 48000).reason
            'too_short'
        """
        recording.check_samples(samples, "classify")
        mono = as_mono_float32(samples, sample_rate, channel=channel)
        return recording.classify(self._window, self.model.frontend.resampled([mono], sample_rate))

    def classify_many(
        self, sources: Iterable[_Source], *, channel: int | None = None
    ) -> Iterator[tuple[_Source, Result | SerEdgeError]]:
        """Classify recordings one after another, lazily; one that cannot be stops none of them.

        Args:
            sources: recordings, each as for :meth:`classify`;
                :func:`ser_edge.audio.folders.find_audio_files` finds those in folders.
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
        return recording.classify_many(partial(self.classify, channel=channel), sources)

    def adapted(
        self, clips: Iterable[tuple[AudioSource, str]], *, neutral_only: bool = False
    ) -> Classifier:
        """Adapt the model to labelled clips of one voice; as ``ser-edge adapt`` does.

        Args:
            clips: pairs of a recording, as for :meth:`classify`, and its emotion: one of the
                model's labels or a new one. Clips without speech are left out.
            neutral_only: they are ordinary speech, whatever is said of them; no label is lost.

        Returns:
            A classifier of the emotions of these clips, which shares this one's model; its
            :attr:`profile` can be written to a file.

        Raises:
            AudioError: a recording cannot be read.
            ModelError: the model cannot be adapted.
            ProfileError: they hold speech of too few emotions or too many, or the model no neutral.
        """
        from ser_edge.adapt.fit import Clips, make_profile, neutral_profile

        observed = [(self.observe(source), label) for source, label in clips]
        heard = [(one, label) for one, label in observed if not isinstance(one, str)]
        make = neutral_profile if neutral_only else make_profile
        profile = make(self.model, Clips.of(heard))
        own = {k: v for k, v in self.thresholds.items() if k in profile.labels}
        return Classifier(
            self.model, threshold=self.threshold, thresholds=own, gate=self.gate, profile=profile
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
            channel, ffmpeg, on_chunk: as for :meth:`classify`.

        Yields:
            A result for each window; the last window may be shorter than the others.

        Raises:
            AudioError: once the recording turns out to be unreadable.
            ValueError: the hop is shorter than a sample.
            TypeError: the source is none that :meth:`classify` takes, such as an array.
        """
        recording.check_source(source, sample_rate, "windows")
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
            yield from stream.through(recording.tapped(audio, audio.sample_rate, on_chunk))

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
            samples: as for :meth:`classify_samples`, like `sample_rate`.
            hop: as for :meth:`windows`, like `channel`.

        Yields:
            A result for each window; the last window may be shorter than the others.

        Raises:
            AudioError: no usable samples, or an implausible rate.
            ValueError: the hop is shorter than a sample.
            TypeError: a path or bytes: those go to :meth:`windows`.

        Example:
            >>> windows = Classifier.bundled().windows_samples([0.0] * 80_000, 16_000, hop=1.0)
            >>> [(result.start, result.end, result.reason) for result in windows]
            [(0.0, 4.0, 'silence'), (1.0, 5.0, 'silence')]
        """
        recording.check_samples(samples, "windows")
        mono = as_mono_float32(samples, sample_rate, channel=channel)
        seconds = (mono[at : at + sample_rate] for at in range(0, mono.size, sample_rate))
        return self.stream(sample_rate, hop=hop).through(seconds)

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
            hop: seconds, as for :meth:`windows`.
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
            >>> stream = Classifier.bundled().stream(16000, hop=1.0)
            >>> [str(result) for result in stream.push(bytes(2 * 5 * 16000))]
            ['no emotion (silence)', 'no emotion (silence)']
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

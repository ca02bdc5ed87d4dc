"""The computation of a front end: from a recording to the model's input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ser_edge import audio, features
from ser_edge.audio.resample import Resampler
from ser_edge.errors import ModelError
from ser_edge.features import FloatArray
from ser_edge.frontend.arguments import MAX_FRAMES, MAX_SAMPLES, Step
from ser_edge.frontend.spec import FrontendSpec
from ser_edge.frontend.steps import Function, function

if TYPE_CHECKING:
    from ser_edge.audio import AudioSource

# These hold the spectra of all frames at once, and of several kinds.
_WHOLE_SPECTRA = ("chroma_stft", "spectral_centroid", "spectral_contrast")
_MAX_SPECTRA = 6_000_000  # values: a minute at 48 kHz in frames of 2048, a quarter apart


class Frontend:
    """Computes a model's input as its front end is described.

    Calling it with mono samples at :attr:`sample_rate`, as :meth:`load` gives them, returns
    float32 of shape :attr:`shape`.

    Args:
        spec: the description, from a model's metadata.

    Attributes:
        sample_rate: in Hz.
        window_samples: the most samples that make one input.
        min_samples: the fewest that do; 1 where they are padded.
        shape: of the input.

    Raises:
        ModelError: the window is too large, a step does not fit what those before it give, or the
            shape depends on the recording's length.

    Example:
        >>> spec = FrontendSpec.parse({"steps": [
        ...     {"name": "load", "sample_rate": 16000, "duration": 4.0},
        ...     {"name": "pad", "samples": 64000},
        ...     {"name": "features", "stack": [
        ...         {"name": "rms", "frame_length": 400, "hop_length": 160}]}]})
        >>> Frontend(spec)(np.zeros(8000, np.float32)).shape
        (1, 401)
    """

    def __init__(self, spec: FrontendSpec) -> None:
        self.spec = spec
        self.sample_rate: int = spec.sample_rate
        self.window_samples: int = round(spec.window_seconds * spec.sample_rate)
        fewest, most = self._check_sizes()
        places = [f"frontend.steps[{number}]" for number in range(len(spec.steps))]
        last_trim = max((n for n, step in enumerate(spec.steps) if step.name == "trim"), default=0)
        # Those up to trimming decide whether there is enough speech.
        self._before: list[tuple[str, Step, Function | None]] = []
        self._after: list[tuple[str, Function]] = []
        for number, (step, place) in enumerate(zip(spec.steps, places)):
            if step.name == "trim":
                self._before.append((place, step, None))
            elif step.name != "load":
                compute = function(step, place, spec.sample_rate)
                if number < last_trim:
                    self._before.append((place, step, compute))
                else:
                    self._after.append((f"{place} ({step.name})", compute))
        self.trim(np.zeros(1, dtype=np.float32))
        # An empty window gives the shape, and leaves every table ready for the first real one.
        longest = self.features(np.zeros(1 if fewest == most else most, dtype=np.float32))
        self.shape: tuple[int, ...] = longest.shape
        self.min_samples: int = 1 if fewest == most else self._fewest(most)

    def __repr__(self) -> str:
        names = ", ".join(feature.name for feature in self.spec.features)
        return (
            f"Frontend({names}: {' x '.join(map(str, self.shape))} from "
            f"{self.spec.window_seconds:g} s at {self.sample_rate} Hz)"
        )

    def __call__(self, samples: FloatArray) -> FloatArray:
        """Samples, shape (n,), n >= 1, to the model's input."""
        return self.features(self.trim(samples))

    def load(self, source: AudioSource, *, channel: int | None = None) -> FloatArray:
        """What of a recording the front end takes, at its own rate: float32, shape (n,).

        Args:
            source: as for :func:`ser_edge.audio.open_audio`.
            channel: the channel to read, the first being 1; None for the mean of all.

        Raises:
            AudioError, DependencyError: as :func:`ser_edge.audio.open_audio` and iterating do.
        """
        with audio.open_audio(source, channel=channel) as reader:
            return np.concatenate(list(self.resampled(reader, reader.sample_rate)))

    def resampled(self, chunks: Iterable[FloatArray], sample_rate: int) -> Iterator[FloatArray]:
        """What of a recording's samples the front end takes, at its own rate.

        Args:
            chunks: mono, float32; they are read no further than is needed.
            sample_rate: theirs, in Hz.
        """
        resampler = Resampler(sample_rate, self.sample_rate, self.spec.res_type)
        for chunk in self._segment(chunks, sample_rate) if self.spec.first_only else chunks:
            yield resampler.push(chunk)
        yield resampler.flush()

    def trim(self, samples: FloatArray) -> FloatArray:
        """The samples after the steps up to trimming: shape (m,), m <= n; a view where they can.

        Of these is decided whether there is enough speech.
        """
        return self._trimmed(samples)[1]

    def start(self, samples: FloatArray) -> int:
        """How many samples trimming takes off the beginning."""
        return self._trimmed(samples)[0]

    def features(self, speech: FloatArray) -> FloatArray:
        """What :meth:`trim` gives to the model's input; at most a window is used.

        Raises:
            ModelError: there are fewer samples than :attr:`min_samples`.
        """
        values = speech[: self.window_samples]
        place = ""
        try:
            for place, compute in self._after:  # noqa: B007 - of the step that fails
                values = compute(values)
        except ValueError as error:
            raise ModelError(f"{place} does not fit: {error}") from error
        return np.ascontiguousarray(values)

    def _trimmed(self, samples: FloatArray) -> tuple[int, FloatArray]:
        """How many samples trimming takes off the beginning, and what it leaves."""
        if self.spec.first_only:
            samples = samples[: self.window_samples]
        taken = 0
        for place, step, compute in self._before:
            try:
                if compute is None:
                    start, end = features.trim(samples, **step.arguments)
                    samples = samples[start:end]
                    taken += start
                else:
                    samples = compute(samples)
            except ValueError as error:
                raise ModelError(f"{place} ({step.name}) does not fit: {error}") from error
        return taken, samples

    def _segment(self, chunks: Iterable[FloatArray], sample_rate: int) -> Iterator[FloatArray]:
        """From the offset on, for the duration: as librosa.load counts samples."""
        skip = int(self.spec.offset * sample_rate)
        left = int(self.spec.window_seconds * sample_rate)
        for chunk in chunks:
            taken = chunk[skip : skip + left]
            skip = max(0, skip - chunk.size)
            left -= taken.size
            if taken.size:
                yield taken
            if not left:
                return

    def _check_sizes(self) -> tuple[int, int]:
        """The fewest and the most samples that features are computed of."""
        if self.window_samples > MAX_SAMPLES:
            raise ModelError(f"a window of {self.window_samples} samples is over {MAX_SAMPLES}")
        fewest, most = 1, self.window_samples
        for step in self.spec.steps:
            samples = step.arguments.get("samples", most)
            if step.name == "trim":
                fewest = 1
            elif step.name == "crop":
                fewest, most = min(fewest, samples), min(most, samples)
            elif step.name == "pad":
                fewest, most = max(fewest, samples), max(most, samples)
        for feature in self.spec.features:
            frames = most / feature.arguments.get("hop_length", np.inf)
            if frames > MAX_FRAMES:
                raise ModelError(f"{feature.name} has over {MAX_FRAMES} frames in a window")
            bins = feature.arguments.get("n_fft", 0) // 2
            if feature.name in _WHOLE_SPECTRA and frames * bins > _MAX_SPECTRA:
                raise ModelError(
                    f"{feature.name} has spectra of {frames * bins:.0f} values in a window, but "
                    f"{_MAX_SPECTRA} are the most"
                )
        return fewest, most

    def _fewest(self, most: int) -> int:
        """The fewest samples that give an input, of the same shape as the most."""
        impossible, possible = 0, most
        while possible - impossible > 1:
            middle = 1 if impossible == 0 and possible == most else (impossible + possible) // 2
            try:
                shape = self.features(np.zeros(middle, dtype=np.float32)).shape
            except ModelError:
                impossible = middle
                continue
            if shape != self.shape:
                raise ModelError(
                    f"the front end gives {_times(shape)} values for {middle} samples, but "
                    f"{_times(self.shape)} for {most}: pad the samples or the frames, or pool "
                    "over time"
                )
            possible = middle
        return possible


def fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether two shapes are the same but for axes of length 1.

    Example:
        >>> fits((40, 1), (1, 40)), fits((40, 2), (2, 40))
        (True, False)
    """
    return [n for n in shape if n != 1] == [n for n in wanted if n != 1]


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))

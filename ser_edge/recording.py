"""Whole recordings: from chunks at any rate to one result.

A recording of up to a minute is trimmed as a whole; when its speech fits one window, that is the
model's input. Anything longer is cut into windows, and what the model gives for those with speech
in them is averaged. A model whose recipe takes the first window alone gets that, and no other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from ser_edge.audio import AudioReader, AudioSource, open_audio
from ser_edge.audio.mixing import as_mono_float32
from ser_edge.decision import NO_SPEECH, SILENCE, TOO_SHORT, WindowClassifier
from ser_edge.errors import AudioError, DependencyError, ModelError, SerEdgeError
from ser_edge.features import FloatArray
from ser_edge.model import Model, Observation, mean_observation
from ser_edge.result import Result
from ser_edge.stream import Windower

if TYPE_CHECKING:
    import numpy.typing as npt

_Source = TypeVar("_Source", bound=AudioSource)

# A recording up to this long is held in memory and trimmed as a whole; a longer one is cut into
# windows as it is read, however little of it is speech.
WHOLE_SECONDS = 60.0


class Window(NamedTuple):
    """A window of a whole recording."""

    samples: FloatArray
    speech: FloatArray | None  # trimmed, where that is known already
    end: float  # seconds


def classify(classifier: WindowClassifier, chunks: Iterator[FloatArray]) -> Result:
    """The result for a recording at the model's rate: the mean of its windows' scores."""
    total = np.zeros((2, len(classifier.labels)))
    count = 0
    start = end = classifier.model.frontend.spec.offset
    reasons = set()
    for window in windows(classifier.model, chunks):
        end = window.end
        outcome = classifier.outcome(window.samples, window.speech)
        if isinstance(outcome, str):
            reasons.add(outcome)
        else:
            total += outcome
            count += 1
    return classifier.result(total / count if count else furthest(reasons), start, end)


def classify_many(
    classify: Callable[[_Source], Result], sources: Iterable[_Source]
) -> Iterator[tuple[_Source, Result | SerEdgeError]]:
    """Each source with its result or error, lazily.

    Raises:
        TypeError: a single source instead of several.
        DependencyError: a package is missing, without which no recording can be read.
    """
    if isinstance(sources, (str, bytes, bytearray, memoryview, os.PathLike)) or hasattr(
        sources, "read"
    ):
        raise TypeError("classify_many takes several recordings: classify_many([one, other])")
    return ((source, _attempt(classify, source)) for source in sources)


def _attempt(classify: Callable[[_Source], Result], source: _Source) -> Result | SerEdgeError:
    try:
        return classify(source)
    except DependencyError:
        raise
    except SerEdgeError as error:
        return error
    except TypeError as error:  # such as the NaN of an empty cell in a table
        return AudioError(str(error))


def observe(classifier: WindowClassifier, chunks: Iterator[FloatArray]) -> Observation | str:
    """The mean over the windows of a recording at the model's rate that hold speech."""
    observed: list[Observation] = []
    reasons = set()
    for window in windows(classifier.model, chunks):
        one = classifier.observe(window.samples, window.speech)
        if isinstance(one, str):
            reasons.add(one)
        else:
            observed.append(one)
    return mean_observation(observed) if observed else furthest(reasons)


def windows(model: Model, chunks: Iterator[FloatArray]) -> Iterator[Window]:
    """The windows of a recording at the model's rate."""
    frontend = model.frontend
    limit = round(WHOLE_SECONDS * frontend.sample_rate)
    held: list[FloatArray] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += chunk.size
        if size > limit:
            break
    else:
        samples = np.concatenate(held)
        speech = frontend.trim(samples) if size else samples  # none where the offset is beyond
        if frontend.spec.first_only or speech.size <= frontend.window_samples:
            yield Window(samples, speech, frontend.spec.offset + size / frontend.sample_rate)
            return
    hop = model.metadata.decision.window_hop_seconds
    windower = Windower(frontend.window_samples, round(hop * frontend.sample_rate))
    for chunk in chain(held, chunks):
        for start, samples in windower.push(chunk):
            yield Window(samples, None, (start + samples.size) / frontend.sample_rate)
    for start, samples in windower.flush():
        yield Window(samples, None, (start + samples.size) / frontend.sample_rate)


def furthest(reasons: Collection[str]) -> str:
    """The reason that came furthest in the decision of any window."""
    return next(reason for reason in (NO_SPEECH, TOO_SHORT, SILENCE) if reason in reasons)


def check_source(source: object, sample_rate: object, method: str) -> None:
    known = isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview, AudioReader))
    if sample_rate is not None or not (known or hasattr(source, "read")):
        raise TypeError(
            f"{method} takes a path, bytes or a binary file, not {type(source).__name__}: "
            f"samples in memory go to {method}_samples(samples, sample_rate)"
        )


def check_samples(samples: object, method: str) -> None:
    path = isinstance(samples, (str, os.PathLike, bytes, bytearray)) or hasattr(samples, "read")
    if path:
        raise TypeError(
            f"{method}_samples takes an array, not {type(samples).__name__}: a recording's path, "
            f"bytes or binary file goes to {method}(source)"
        )


def tapped(
    chunks: Iterable[FloatArray],
    sample_rate: int,
    on_chunk: Callable[[FloatArray, int], None] | None,
) -> Iterator[FloatArray]:
    """The same chunks, each of which `on_chunk` sees before it is used."""
    for chunk in chunks:
        if on_chunk is not None:
            on_chunk(chunk, sample_rate)
        yield chunk


class Embedder:
    """Computes embeddings of recordings; a :class:`ser_edge.classifier.Classifier` is one."""

    def __init__(self, window: WindowClassifier) -> None:
        self._window = window

    @property
    def model(self) -> Model:
        """The model, with its metadata."""
        return self._window.model

    @property
    def gate(self) -> str:
        """Name of the gate; see :mod:`ser_edge.gate`."""
        return self._window.gate

    @property
    def accept_unfamiliar(self) -> bool:
        """Whether what is unlike the training data is answered as surely as all else."""
        return self._window.accept_unfamiliar

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
            >>> from ser_edge import Classifier
            >>> Classifier.bundled().embed("tests/data/synthetic.wav").shape
            (128,)
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
        check_source(source, None, "observe")
        self.model.check_adaptable()
        with open_audio(source, channel=channel) as audio:
            return observe(self._window, self.model.frontend.resampled(audio, audio.sample_rate))

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
        check_samples(samples, "observe")
        self.model.check_adaptable()
        mono = as_mono_float32(samples, sample_rate, channel=channel)
        return observe(self._window, self.model.frontend.resampled([mono], sample_rate))

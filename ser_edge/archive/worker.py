"""One recording of many: what comes of it, in whichever process that happens."""

from __future__ import annotations

import functools
import hashlib
import json
import tempfile
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ser_edge.classifier import Classifier
from ser_edge.decision import NO_SPEECH
from ser_edge.errors import AudioError, AudioWarning, DependencyError, SerEdgeError
from ser_edge.features import FloatArray
from ser_edge.model import Model
from ser_edge.result import Result

if TYPE_CHECKING:
    from ser_edge.adapt.profile import Profile


class Outcome(NamedTuple):
    """What came of a recording."""

    file: str
    results: list[Result]  # rounded: one, or one for each part; none where there is an error
    error: str | None = None  # one clear sentence
    warnings: tuple[str, ...] = ()  # other sentences

    @property
    def seconds(self) -> float:
        """How much audio was classified."""
        return self.results[-1].end if self.results else 0.0


class Worker:
    """Classifies recordings by their names.

    It may be pickled, for another machine, too: its model goes with it. A process that unpickles
    it again and again loads the model once.

    Args:
        classifier: classifies them.
        windows: whether each window gets a result, or the recording as a whole.
        utterances: whether each utterance gets one; one without any gets a single result.
        hop: seconds between windows, as for :meth:`ser_edge.classifier.Classifier.windows`.
        channel, ffmpeg: as there.

    Example:
        >>> worker = Worker(Classifier.bundled())
        >>> worker.outcome("none.wav").error
        'none.wav: No such file or directory'
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        windows: bool = False,
        utterances: bool = False,
        hop: float | None = None,
        channel: int | None = None,
        ffmpeg: bool = True,
    ) -> None:
        self.classifier = classifier
        self._windows = windows
        self._utterances = utterances
        self._hop = hop
        self._channel = channel
        self._ffmpeg = ffmpeg

    def __reduce__(self) -> tuple[Any, ...]:
        classifier = self.classifier
        with open(classifier.model.path, "rb") as file:
            content = file.read()
        decision = {
            "threshold": classifier.threshold,
            "thresholds": dict(classifier.thresholds),
            "gate": classifier.gate,
            "accept_unfamiliar": classifier.accept_unfamiliar,
        }
        profile = classifier.profile
        options = {
            "windows": self._windows,
            "utterances": self._utterances,
            "hop": self._hop,
            "channel": self._channel,
            "ffmpeg": self._ffmpeg,
        }
        threads = classifier.model.num_threads
        text = json.dumps([decision, None if profile is None else profile.to_dict(), options])
        return _loaded, (content, threads, text)

    @property
    def origin(self) -> dict[str, str]:
        """What results come from, as the metadata of a table tell it."""
        return {"model": self.classifier.model.metadata.name}

    @property
    def settings(self) -> dict[str, Any]:
        """What results depend on, as JSON knows it."""
        classifier = self.classifier
        metadata = classifier.model.metadata
        profile = classifier.profile
        return {
            "model": metadata.name,
            "sha256": metadata.flatbuffer.sha256,
            "profile": None if profile is None else _digest(profile),
            "threshold": classifier.threshold,
            "thresholds": dict(classifier.thresholds),
            "gate": classifier.gate,
            "accept_unfamiliar": classifier.accept_unfamiliar,
            "windows": self._windows,
            "utterances": self._utterances,
            "hop": self._hop,
            "channel": self._channel,
            "ffmpeg": self._ffmpeg,
        }

    def outcome(
        self, file: str, on_chunk: Callable[[FloatArray, int], None] | None = None
    ) -> Outcome:
        """Classify a recording; whatever is wrong with it is part of the outcome.

        Args:
            file: its path.
            on_chunk: as for :meth:`ser_edge.classifier.Classifier.classify`.

        Raises:
            DependencyError: a package is missing, without which no recording can be read.
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", AudioWarning)
            try:
                results, error = self._results(file, on_chunk), None
            except DependencyError:
                raise
            except SerEdgeError as failure:
                results, error = [], str(failure)
            except Exception as failure:  # one file of a million must not end the others
                results, error = [], f"{file}: {type(failure).__name__}: {failure}"
        said = tuple(str(w.message) for w in caught if issubclass(w.category, AudioWarning))
        return Outcome(file, results, error, said)

    def _results(
        self, file: str, on_chunk: Callable[[FloatArray, int], None] | None
    ) -> list[Result]:
        if file == "-":
            raise AudioError("-: standard input is no file among many")
        classifier = self.classifier
        if self._windows:
            windows = classifier.windows(
                file, hop=self._hop, channel=self._channel, ffmpeg=self._ffmpeg, on_chunk=on_chunk
            )
            return [result.rounded() for result in windows]
        if self._utterances:
            return self._spoken(file, on_chunk)
        result = classifier.classify(
            file, channel=self._channel, ffmpeg=self._ffmpeg, on_chunk=on_chunk
        )
        return [result.rounded()]

    def _spoken(
        self, file: str, on_chunk: Callable[[FloatArray, int], None] | None
    ) -> list[Result]:
        duration = 0.0

        def measure(samples: FloatArray, sample_rate: int) -> None:
            nonlocal duration
            duration += samples.size / sample_rate
            if on_chunk is not None:
                on_chunk(samples, sample_rate)

        utterances = self.classifier.utterances(
            file, channel=self._channel, ffmpeg=self._ffmpeg, on_chunk=measure
        )
        results = [result.rounded() for result in utterances]
        # Without a row nobody could tell that it is done.
        return results or [Result(None, None, None, 0.0, duration, NO_SPEECH)]


@functools.lru_cache(maxsize=2)
def _loaded(content: bytes, num_threads: int, text: str) -> Worker:
    """What `Worker.__reduce__` tells, in another process."""
    decision, profile, options = json.loads(text)
    if profile is not None:
        from ser_edge.adapt.profile import Profile

        profile = Profile.parse(json.dumps(profile).encode())
    with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
        file.write(content)
        file.flush()
        model = Model(file.name, num_threads=num_threads)
    return Worker(Classifier(model, profile=profile, **decision), **options)


def _digest(profile: Profile) -> str:
    return hashlib.sha256(json.dumps(profile.to_dict()).encode()).hexdigest()

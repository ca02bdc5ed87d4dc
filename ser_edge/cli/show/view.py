"""What is shown of a recording: one result, its windows, or its utterances with a summary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ser_edge.cli.show.output import JsonLines, Table
from ser_edge.recording import WHOLE_SECONDS

if TYPE_CHECKING:
    from ser_edge.audio import AudioReader
    from ser_edge.classifier import Classifier
    from ser_edge.cli.show.output import Writer
    from ser_edge.features import FloatArray
    from ser_edge.result import Result
    from ser_edge.utterances.summary import Summarizer, Summary

    Tap = Callable[[FloatArray, int], None]


class View:
    """Classifies recordings and writes their results.

    Args:
        classifier: what classifies.
        writer: what writes.
        windows: whether each window is shown.
        utterances: whether each utterance is shown.
        hop: seconds from one window to the next.
        alone: whether there is but one recording: a long one is shown by its utterances in a
            table, and gets a summary in JSON.
        before: called before anything is written.
    """

    def __init__(
        self,
        classifier: Classifier,
        writer: Writer,
        *,
        windows: bool,
        utterances: bool,
        hop: float | None,
        alone: bool,
        before: Callable[[], None],
    ) -> None:
        self._classifier = classifier
        self._writer = writer
        self._windows = windows
        self._utterances = utterances
        self._hop = hop
        self._alone = alone
        self._before = before

    def results(self, file: str, audio: AudioReader, taps: Sequence[Tap]) -> Iterator[Result]:
        """Yield the results of a recording as they are written.

        Args:
            file: its name.
            audio: it, which is closed at the end.
            taps: what sees its samples.

        Raises:
            AudioError: it cannot be read.
        """
        with audio:
            if self._windows:
                results = self._classifier.windows(audio, hop=self._hop, on_chunk=_all(taps))
                for result in results:
                    yield self._written(file, result)
            elif self._utterances or (
                self._alone and isinstance(self._writer, Table) and audio.lasts(WHOLE_SECONDS)
            ):
                yield from self._spoken(file, audio, taps)
            elif self._alone and isinstance(self._writer, JsonLines) and audio.lasts(WHOLE_SECONDS):
                yield self._summarized(self._writer, file, audio, taps)
            else:
                result = self._classifier.classify(audio, on_chunk=_all(taps))
                yield self._written(file, result)

    def _written(self, file: str, result: Result) -> Result:
        self._before()
        self._writer.result(file, result)
        return result

    def _spoken(self, file: str, audio: AudioReader, taps: Sequence[Tap]) -> Iterator[Result]:
        """The utterances, and then their summary."""
        summarizer = self._summarizer()
        tap = _all([*taps, summarizer.add_samples])
        if isinstance(self._writer, Table):
            self._writer.begin_timeline(file)
        for result in self._classifier.utterances(audio, on_chunk=tap):
            summarizer.add(result)
            yield self._written(file, result)
        self._before()
        summary = summarizer.summary()
        if isinstance(self._writer, JsonLines):
            self._writer.summary(file, summary)
        elif isinstance(self._writer, Table):
            from ser_edge.cli.show.summary import show_summary

            show_summary(summary)

    def _summarized(
        self, writer: JsonLines, file: str, audio: AudioReader, taps: Sequence[Tap]
    ) -> Result:
        """One result, with the summary of the utterances that are found on the way."""
        summarizer = self._summarizer()
        stream = self._classifier.utterance_stream(audio.sample_rate)

        def listen(samples: FloatArray, _: int) -> None:
            for utterance in stream.push(samples):
                summarizer.add(utterance)

        tap = _all([*taps, summarizer.add_samples, listen])
        result = self._classifier.classify(audio, on_chunk=tap)
        for utterance in stream.flush():
            summarizer.add(utterance)
        summary: Summary = summarizer.summary()
        self._before()
        writer.result(file, result, summary)
        return result

    def _summarizer(self) -> Summarizer:
        from ser_edge.utterances.summary import Summarizer

        return Summarizer(self._classifier.labels)


def _all(taps: Sequence[Tap]) -> Tap | None:
    """One function that hands its arguments to all of these."""
    if len(taps) < 2:
        return taps[0] if taps else None

    def tap(samples: FloatArray, sample_rate: int) -> None:
        for each in taps:
            each(samples, sample_rate)

    return tap

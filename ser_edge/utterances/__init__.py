"""Long recordings: what was said how, and when. Loaded when it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ser_edge import recording
from ser_edge.audio import AudioReader, AudioSource, open_audio

if TYPE_CHECKING:
    from ser_edge.features import FloatArray
    from ser_edge.result import Result
    from ser_edge.utterances.stream import UtteranceStream
    from ser_edge.utterances.summary import Summary


class Listener(recording.Embedder):
    """Finds the utterances in recordings; a :class:`ser_edge.classifier.Classifier` is one."""

    def utterances(
        self,
        source: AudioSource | AudioReader,
        *,
        channel: int | None = None,
        ffmpeg: bool = True,
        on_chunk: Callable[[FloatArray, int], None] | None = None,
    ) -> Iterator[Result]:
        """Classify one utterance after another, lazily and in bounded memory.

        Speech is cut at its pauses; utterances that do not fit the model's window are cut where
        they are quietest, and short ones joined to a neighbour that is near.

        Args:
            source, channel, ffmpeg, on_chunk: as for ``classify``.

        Yields:
            A result for each utterance, with scores: sounds without speech are left out.

        Raises:
            AudioError: once the recording turns out to be unreadable.
            TypeError: the source is none that ``classify`` takes, such as an array.

        Example:
            >>> from ser_edge import Classifier
            >>> [u] = Classifier.bundled().utterances("tests/data/synthetic.wav")
            >>> round(u.end - u.start, 1)
            2.9
        """
        recording.check_source(source, None, "utterances")
        return self._utterances(source, channel, ffmpeg, on_chunk)

    def _utterances(
        self,
        source: AudioSource | AudioReader,
        channel: int | None,
        ffmpeg: bool,
        on_chunk: Callable[[FloatArray, int], None] | None,
    ) -> Iterator[Result]:
        with open_audio(source, channel=channel, ffmpeg=ffmpeg) as audio:
            stream = self.utterance_stream(audio.sample_rate)
            yield from stream.through(recording.tapped(audio, audio.sample_rate, on_chunk))

    def utterance_stream(
        self,
        sample_rate: int,
        *,
        sample_format: str = "int16",
        channels: int | None = None,
        channel: int | None = None,
    ) -> UtteranceStream:
        """Classify utterances of audio as it comes, in chunks of any length.

        An utterance is told some five seconds after its end, once the noise around it is known.

        Args:
            sample_rate, sample_format, channels, channel: as for ``stream``.

        Raises:
            AudioError: an implausible sample rate.
            ValueError: another argument is out of range.
        """
        from ser_edge.utterances.stream import UtteranceStream

        return UtteranceStream(
            self._window,
            sample_rate,
            sample_format=sample_format,
            channels=channels,
            channel=channel,
        )

    def summarize(
        self,
        source: AudioSource | AudioReader,
        *,
        channel: int | None = None,
        ffmpeg: bool = True,
    ) -> Summary:
        """Summarize a recording of any length: how much was spoken, and how.

        Args:
            source, channel, ffmpeg: as for ``classify``.

        Raises:
            AudioError: the recording cannot be read, or holds no usable samples.
            TypeError: the source is none that ``classify`` takes, such as an array.

        Example:
            >>> from ser_edge import Classifier
            >>> summary = Classifier.bundled().summarize("tests/data/synthetic.wav")
            >>> summary.utterances, round(sum(summary.shares.values()) + summary.uncertain, 6)
            (1, 1.0)
        """
        from ser_edge.utterances.summary import Summarizer

        summarizer = Summarizer(self._window.labels)
        utterances = self.utterances(
            source, channel=channel, ffmpeg=ffmpeg, on_chunk=summarizer.add_samples
        )
        for result in utterances:
            summarizer.add(result)
        return summarizer.summary()

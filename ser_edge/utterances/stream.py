"""Audio pushed in chunks of any length is cut into utterances, and these classified."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ser_edge.result import Result
from ser_edge.stream import Stream
from ser_edge.utterances.segments import Segmenter

if TYPE_CHECKING:
    from ser_edge.stream import Chunk, Cutter


class UtteranceStream(Stream):
    """Classifies the utterances in audio that comes in chunks.

    Made by ``Classifier.utterance_stream``. It is used as a :class:`ser_edge.stream.Stream` is, and
    like that does not depend, to the bit, on how the audio is cut into chunks. It keeps some
    twenty seconds of audio.

    Example:
        >>> from ser_edge import Classifier
        >>> stream = Classifier.bundled().utterance_stream(16000)
        >>> stream.push(bytes(2 * 160000)), stream.flush()  # ten seconds of silence
        ([], [])
    """

    def push(self, chunk: Chunk) -> list[Result]:
        """Take the next audio; return a result for each utterance that it completes.

        Args:
            chunk: as for :meth:`ser_edge.stream.Stream.push`.

        Raises:
            AudioError: as there.
        """
        return _spoken(super().push(chunk))

    def flush(self) -> list[Result]:
        """End the recording: return the results still due. The next push begins a new one."""
        return _spoken(super().flush())

    def _cutter(self) -> Cutter:
        frontend = self._classifier.model.frontend
        return Segmenter(frontend.window_samples, frontend.sample_rate)


def _spoken(results: list[Result]) -> list[Result]:
    return [result for result in results if result.scores is not None]

"""Live audio from a pipe: raw samples or a WAV stream, without any audio library."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

from ser_edge.audio.pcm import RawFormat, start_pcm
from ser_edge.audio.sources import STANDARD_INPUT
from ser_edge.errors import AudioError
from ser_edge.live.source import POLL_SECONDS, Chunk, Stop

_READ_BYTES = 65_536  # what a pipe holds on Linux


class Pipe:
    """The audio from a file descriptor until its end.

    Args:
        descriptor: open for reading.
        raw: how raw samples are to be read, with a rate of None where only a WAV stream will do.
        stop: ends the audio when requested.

    Attributes:
        seconds: of audio that came so far.
        ended: whether the descriptor came to its end, and was not left.
    """

    def __init__(self, descriptor: int, raw: RawFormat, stop: Stop) -> None:
        self._descriptor = descriptor
        self._raw = raw
        self._stop = stop
        self.seconds = 0.0
        self.ended = False

    def __iter__(self) -> Iterator[Chunk]:
        """Yield the audio, once.

        Raises:
            AudioError: there is no audio at all; a WAV header that is broken or of another sample
                format than ours; another container; no WAV header, and no rate.
            Contradiction: a WAV header that says otherwise than the arguments.
        """
        start = start_pcm(self._read, self._raw, STANDARD_INPUT)
        if start is not None:
            format_, data, left = start
            size = 0
            while data or (data := self._read_some(left)):
                yield Chunk(data, format_)
                size += len(data)
                self.seconds = size // format_.frame_bytes / format_.sample_rate
                if left is not None:
                    left -= len(data)
                data = b""
        self.ended = not self._stop.requested
        if self.ended and not self.seconds:
            raise AudioError(f"{STANDARD_INPUT}: ended without any audio")

    def _read_some(self, limit: int | None = None) -> bytes:
        """What there is, up to a limit; nothing at the end."""
        size = _READ_BYTES if limit is None else min(limit, _READ_BYTES)
        while size and not self._stop.requested:
            if select.select([self._descriptor], [], [], POLL_SECONDS)[0]:
                try:
                    return os.read(self._descriptor, size)
                except OSError as error:
                    raise AudioError(f"{STANDARD_INPUT}: {error.strerror}") from None
        return b""

    def _read(self, size: int) -> bytes:
        """Exactly so many bytes; fewer at the end."""
        data = b""
        while len(data) < size and (some := self._read_some(size - len(data))):
            data += some
        return data

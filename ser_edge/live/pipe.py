"""Live audio from a pipe: raw samples or a WAV stream, without any audio library."""

from __future__ import annotations

import os
import select
import struct
from collections.abc import Iterator

from ser_edge.errors import AudioError
from ser_edge.live.source import POLL_SECONDS, Chunk, Format, Stop

_READ_BYTES = 65_536  # what a pipe holds on Linux
_MAX_HEADER_BYTES = 1 << 20  # of one RIFF chunk before the audio
# A program that writes WAV into a pipe cannot know its length: it claims none, or about the most
# that 31 or 32 bits hold.
_UNKNOWN_BYTES = 0x7FFF_0000

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_SAMPLE_FORMATS = {
    (_PCM, 8): "uint8",
    (_PCM, 16): "int16",
    (_PCM, 32): "int32",
    (_FLOAT, 32): "float32",
}


def read_pipe(
    descriptor: int, *, rate: int | None, channels: int, sample_format: str, stop: Stop
) -> Iterator[Chunk]:
    """Yield the audio from a file descriptor until its end.

    Args:
        descriptor: open for reading.
        rate: of raw samples, in Hz; None where only a WAV stream will do.
        channels: of raw samples, interleaved.
        sample_format: of raw samples; one of ``ser_edge.stream.SAMPLE_FORMATS``.
        stop: ends the audio when requested.

    Raises:
        AudioError: a WAV header that is broken or of another sample format than ours; no WAV
            header, and no rate.
    """
    pipe = _Pipe(descriptor, stop)
    head = pipe.read(4)
    left = None
    if head == b"RIFF":
        format_, left = _wav_format(pipe)
        head = b""
    elif rate is None:
        if not head:
            return
        raise AudioError("standard input: raw audio needs its --rate; a WAV stream tells it")
    else:
        format_ = Format(rate, channels, sample_format)
    while data := head or pipe.read_some(left):
        yield Chunk(data, format_)
        head = b""
        if left is not None:
            left -= len(data)


class _Pipe:
    """Reads that a signal can end."""

    def __init__(self, descriptor: int, stop: Stop) -> None:
        self._descriptor = descriptor
        self._stop = stop

    def read_some(self, limit: int | None = None) -> bytes:
        """What there is, up to a limit; nothing at the end."""
        size = _READ_BYTES if limit is None else min(limit, _READ_BYTES)
        while size and not self._stop.requested:
            if select.select([self._descriptor], [], [], POLL_SECONDS)[0]:
                return os.read(self._descriptor, size)
        return b""

    def read(self, size: int) -> bytes:
        """Exactly so many bytes; fewer at the end."""
        data = b""
        while len(data) < size and (some := self.read_some(size - len(data))):
            data += some
        return data


def _wav_format(pipe: _Pipe) -> tuple[Format, int | None]:
    """The format of a WAV stream after its first four bytes, and how many bytes of audio follow."""
    if pipe.read(8)[4:] != b"WAVE":
        raise AudioError("standard input: RIFF, but not a WAV stream")
    format_ = None
    while True:
        head = pipe.read(8)
        if len(head) < 8:
            raise AudioError("standard input: the WAV stream ends within its header")
        name, size = struct.unpack("<4sI", head)
        if name == b"data":
            if format_ is None:
                raise AudioError("standard input: the WAV stream tells no format")
            return format_, size if 0 < size < _UNKNOWN_BYTES else None
        if size > _MAX_HEADER_BYTES:
            raise AudioError("standard input: the WAV stream's header is damaged")
        body = pipe.read(size + size % 2)
        if name == b"fmt ":
            format_ = _parse_format(body)


def _parse_format(body: bytes) -> Format:
    if len(body) < 16:
        raise AudioError("standard input: the WAV stream's header is damaged")
    tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body[:16])
    if tag == _EXTENSIBLE and len(body) >= 26:
        (tag,) = struct.unpack("<H", body[24:26])
    sample_format = _SAMPLE_FORMATS.get((tag, bits))
    if sample_format is None or not channels:
        raise AudioError(
            f"standard input: a WAV stream of {bits} bits and format {tag} is not read: "
            "make it 16-bit PCM (arecord -f S16_LE, ffmpeg -c:a pcm_s16le)"
        )
    return Format(rate, channels, sample_format)

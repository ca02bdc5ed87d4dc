"""PCM: raw samples of a pipe, or WAV, whose header is read here.

Without any library, which takes time to load; and of a pipe in bounded memory and however long it
lasts, where libsndfile would seek.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from ser_edge.errors import AudioError

# Bytes of a sample, little-endian, as every sound card of today delivers them.
SAMPLE_BYTES = {"uint8": 1, "int16": 2, "int24": 3, "int32": 4, "float32": 4, "float64": 8}
SAMPLE_FORMATS = tuple(SAMPLE_BYTES)

_MAX_HEADER_BYTES = 1 << 20  # of one RIFF chunk before the audio
# A program that writes WAV into a pipe cannot know its length: it claims none, or about the most
# that 31 or 32 bits hold.
_UNKNOWN_BYTES = 0x7FFF_0000

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_WAV_FORMATS = {
    (_PCM, 8): "uint8",
    (_PCM, 16): "int16",
    (_PCM, 24): "int24",
    (_PCM, 32): "int32",
    (_FLOAT, 32): "float32",
    (_FLOAT, 64): "float64",
}


class Format(NamedTuple):
    """How a source's bytes are read: arguments of ``Classifier.stream``."""

    sample_rate: int  # Hz
    channels: int  # interleaved
    sample_format: str  # one of SAMPLE_FORMATS

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of every channel."""
        return SAMPLE_BYTES[self.sample_format] * self.channels


class RawFormat(NamedTuple):
    """What the user says of a pipe; None for what was not said."""

    sample_rate: int | None = None  # Hz
    channels: int | None = None
    sample_format: str | None = None


class Contradiction(ValueError):
    """A WAV header that says otherwise than the user."""


class Encoding(AudioError):
    """A WAV stream whose samples are not PCM."""


class PcmStart(NamedTuple):
    """The beginning of a pipe with PCM in it."""

    format: Format
    head: bytes  # the first bytes of audio, already read
    left: int | None  # bytes of audio after those; None where only the pipe's end tells


def start_pcm(read: Callable[[int], bytes], raw: RawFormat, name: str) -> PcmStart | None:
    """Read a pipe up to its first audio.

    Args:
        read: returns exactly so many bytes; fewer at the end.
        raw: how raw samples are to be read, and what a WAV header has to agree with.
        name: with which error messages begin.

    Returns:
        Where the audio begins; None for a pipe without a single byte.

    Raises:
        AudioError: a WAV header that is broken or of an encoding that is not PCM; another
            container; no WAV header, and no rate.
        Contradiction: the header of a WAV stream says otherwise than `raw`.
    """
    from ser_edge.audio.containers import HEAD_BYTES, needs_more, recognise

    head = read(4)
    if not head:
        return None
    if head == b"RIFF":
        format_, left = wav_header(read, name)
        _check_agreement(raw, format_, name)
        return PcmStart(format_, b"", left)
    head += read(28)
    if needs_more(head):
        head += read(HEAD_BYTES - len(head))
    container = recognise(head)
    if container is not None:
        raise AudioError(
            f"{name}: this is {container}, not raw samples or a WAV stream: decode it first: "
            "ffmpeg -i INPUT -f wav - | ser-edge ..."
        )
    if raw.sample_rate is None:
        raise AudioError(f"{name}: raw audio needs its --rate; a WAV stream tells it")
    format_ = Format(raw.sample_rate, raw.channels or 1, raw.sample_format or "int16")
    return PcmStart(format_, head, None)


def plain_wav(file: BinaryIO, name: str) -> tuple[Format, int] | None:
    """The format of a WAV file of PCM that holds all the audio its header tells of, and how much.

    It is left at the first byte of that; any other file at its start, and the answer is None.
    """
    try:
        header = wav_header(file.read, name) if file.read(4) == b"RIFF" else None
    except (AudioError, OSError):
        header = None
    start = file.tell()
    size = file.seek(0, io.SEEK_END)  # with its descriptor, which whoever reads it next may have
    if header is not None:
        format_, left = header
        if left is not None and left <= size - start and format_.sample_rate:
            file.seek(start)
            return format_, left
    file.seek(0)
    return None


def wav_header(read: Callable[[int], bytes], name: str) -> tuple[Format, int | None]:
    """The format of a WAV stream after its first four bytes, and how many bytes of audio follow.

    Raises:
        Encoding: the samples are not PCM.
        AudioError: the header is broken.
    """
    if read(8)[4:] != b"WAVE":
        raise AudioError(f"{name}: RIFF, but not a WAV stream")
    format_ = None
    while True:
        head = read(8)
        if len(head) < 8:
            raise AudioError(f"{name}: the WAV stream ends within its header")
        chunk, size = struct.unpack("<4sI", head)
        if chunk == b"data":
            if format_ is None:
                raise AudioError(f"{name}: the WAV stream tells no format")
            return format_, size if 0 < size < _UNKNOWN_BYTES else None
        if size > _MAX_HEADER_BYTES:
            raise AudioError(f"{name}: the WAV stream's header is damaged")
        body = read(size + size % 2)
        if chunk == b"fmt ":
            format_ = _wav_format(body, name)


def _wav_format(body: bytes, name: str) -> Format:
    if len(body) < 16:
        raise AudioError(f"{name}: the WAV stream's header is damaged")
    tag, channels, rate, _, block_bytes, bits = struct.unpack("<HHIIHH", body[:16])
    if tag == _EXTENSIBLE and len(body) >= 26:
        (tag,) = struct.unpack("<H", body[24:26])
    sample_format = _WAV_FORMATS.get((tag, bits))
    padded = block_bytes not in (0, channels * bits // 8)  # 24 bits in 32, say
    if sample_format is None or padded or not channels:
        raise Encoding(
            f"{name}: a WAV stream of {bits} bits and format {tag} is not read: "
            "make it 16-bit PCM (arecord -f S16_LE, ffmpeg -c:a pcm_s16le)"
        )
    return Format(rate, channels, sample_format)


def _check_agreement(raw: RawFormat, found: Format, name: str) -> None:
    options = ("--rate", "--channels", "--format")
    for option, said, is_ in zip(options, raw, found):
        if said is not None and said != is_:
            raise Contradiction(f"{option} {said}, but {name} is a WAV stream that says {is_}")

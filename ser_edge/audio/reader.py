"""Audio in: files, pipes and bytes become mono float32 samples with their sample rate.

Read in chunks, so that memory stays bounded whatever a recording's length: plain WAV here, other
files with libsndfile through soundfile, and what that does not read with ffmpeg. Samples lie in
-1..1, as ``librosa.load`` gives them.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ser_edge.audio import libsndfile
from ser_edge.audio.mixing import Mixer, decode
from ser_edge.audio.pcm import Encoding, Format, RawFormat, plain_wav, start_pcm, wav_header
from ser_edge.audio.resample import Resampler, Samples
from ser_edge.audio.sources import AudioSource, name_of, open_source, spool
from ser_edge.errors import AudioError

__all__ = ["AudioReader", "AudioSource", "load", "open_audio"]

_MAX_CHUNK_VALUES = 1 << 20  # frames times channels: 4 MB however many channels a header claims


if TYPE_CHECKING:
    from typing import Protocol

    class Decoder(Protocol):
        """What gives the frames of a recording, once."""

        sample_rate: int  # Hz
        channels: int
        duration: float | None  # seconds, where the header tells

        def read(self, frames: int) -> Any:
            """The next so many frames, float32 of shape (n, channels); none at the end."""

        def close(self) -> None:
            """Free what it holds; closing twice is harmless."""


class AudioReader:
    """An open recording: iterate over its mono chunks once, then close it (or use ``with``).

    Made by :func:`open_audio`.

    Attributes:
        name: the path as given, or words such as ``standard input``; error messages begin with it.
        sample_rate: in Hz.
        channels: how many the recording has, whatever is read of them.
    """

    def __init__(self, decoder: Decoder, name: str, *, channel: int | None = None) -> None:
        self.name = name
        self._decoder = decoder
        self.sample_rate = decoder.sample_rate
        self.channels = decoder.channels
        self._ahead: list[Samples] = []  # read, but not yet iterated over
        self._chunks = self._read()
        try:
            self._mixer = Mixer(self.sample_rate, self.channels, channel=channel, name=name)
        except AudioError as error:
            raise AudioError(f"{name}: {error}") from None

    def __iter__(self) -> Iterator[Samples]:
        """Yield float32 chunks of shape (n,), each of one second or less, n > 0.

        Raises:
            AudioError: the recording is damaged, holds no samples at all, or holds values that are
                not finite or not on a scale where 1 is full.

        Warns:
            AudioWarning: its channels cancel, and the louder one is heard (:class:`Mixer`).
        """
        while self._ahead:
            yield self._ahead.pop(0)
        yield from self._chunks

    @property
    def duration(self) -> float | None:
        """Seconds, None where no header tells."""
        return self._decoder.duration

    def lasts(self, seconds: float) -> bool:
        """Whether the recording is longer than this, which must be asked before iterating over it.

        Where no header tells, so much of it is read, and kept for the iteration.

        Raises:
            AudioError: the recording is damaged.
        """
        duration = self._decoder.duration
        if duration is not None:
            return duration > seconds
        size = 0
        for chunk in self._chunks:
            self._ahead.append(chunk)
            size += chunk.size
            if size > seconds * self.sample_rate:
                return True
        return False

    def _read(self) -> Iterator[Samples]:
        frames = max(1, min(self.sample_rate, _MAX_CHUNK_VALUES // self.channels))
        if self.channels > 1:  # whole blocks of the mixer
            frames -= frames % min(frames, self._mixer.block_length)
        empty = True
        while len(chunk := self._decoder.read(frames)):
            empty = False
            mono = self._mixer.push(chunk)
            if len(chunk) < frames:  # the end
                mono = np.concatenate([mono, self._mixer.flush()])
            yield mono
        if empty:
            raise AudioError(f"{self.name}: holds no samples, or its header was never completed")
        rest = self._mixer.flush()
        if len(rest):
            yield rest

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._decoder.close()

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_audio(
    source: AudioSource | AudioReader,
    *,
    channel: int | None = None,
    ffmpeg: bool = True,
    raw: RawFormat | None = None,
) -> AudioReader:
    """Open a recording: WAV, FLAC, OGG, Opus, MP3, AIFF, CAF, W64, AU and others of libsndfile.

    Everything else (M4A, AAC, WMA, WebM, video) is decoded by the program ffmpeg where that is on
    the PATH. WAV from a pipe is read to its end, in bounded memory, for its header cannot state its
    length. Other pipes, file objects and bytes are first copied to a temporary file (in
    ``$TMPDIR``), for their decoders seek: of a pipe at most 1 GiB, or 16 MiB where its first bytes
    are of no known format. A truncated file is read as far as it goes.

    Args:
        source: a path, a binary file object (read from where it stands), the bytes of a file, or
            ``"-"`` for standard input; where fsspec is installed also an address that it knows,
            such as ``s3://archive/a.flac``. A reader is returned as it is.
        channel: the channel to read, the first being 1; by default all are averaged, or the louder
            heard where they cancel (:class:`ser_edge.audio.mixing.Mixer`).
        ffmpeg: whether ffmpeg may be used.
        raw: for a pipe: that it holds raw samples or WAV, and what the former are.

    Raises:
        AudioError: there is no such file, it cannot be opened, is empty, is not audio that
            can be read, has an implausible sample rate, or has no such channel.
        DependencyError: soundfile or libsndfile is missing, which plain WAV does not need.
        Contradiction: `raw` is contradicted by the header of a WAV pipe.

    Example:
        >>> wav = io.BytesIO()
        >>> import soundfile
        >>> soundfile.write(wav, np.zeros((24_000, 2)), 16_000, format="WAV")
        >>> with open_audio(wav.getvalue()) as audio:
        ...     print(audio.sample_rate, audio.channels, [len(chunk) for chunk in audio])
        16000 2 [16000, 8000]
    """
    if isinstance(source, AudioReader):
        return source
    name = name_of(source)
    if isinstance(source, str) and ":" in source:
        from ser_edge.audio.remote import is_address

        if is_address(source):
            return AudioReader(_open_remote(source, ffmpeg=ffmpeg), name, channel=channel)
    try:
        file, is_stream = open_source(source, name)
    except (OSError, ValueError) as error:
        if isinstance(error, AudioError):
            raise
        raise AudioError(f"{name}: {getattr(error, 'strerror', None) or error}") from None
    decoder: Decoder | None = None
    try:
        if raw is not None:
            decoder = _PcmDecoder.start(file, name, raw)
        elif is_stream:
            decoder = _open_stream(file, name, ffmpeg=ffmpeg)
        else:
            decoder = _open_file(file, name, ffmpeg=ffmpeg)
        return AudioReader(decoder, name, channel=channel)
    except BaseException:
        (file if decoder is None else decoder).close()
        raise


def load(
    source: AudioSource,
    sample_rate: int,
    *,
    channel: int | None = None,
    ffmpeg: bool = True,
    res_type: str = "soxr_hq",
) -> Samples:
    """Read a whole recording at the given rate (Hz): mono float32 of shape (n,).

    Equals ``librosa.load(source, sr=sample_rate, res_type=res_type)[0]`` for what librosa reads,
    but where channels cancel; `res_type` as in :class:`ser_edge.audio.resample.Resampler`.

    Raises:
        AudioError, DependencyError: as :func:`open_audio` and iterating over it do.
    """
    with open_audio(source, channel=channel, ffmpeg=ffmpeg) as audio:
        resampler = Resampler(audio.sample_rate, sample_rate, res_type)
        chunks = [resampler.push(chunk) for chunk in audio]
    chunks.append(resampler.flush())
    return np.concatenate(chunks)


class _PcmDecoder:
    """Raw samples: of WAV, a raw pipe, or ffmpeg."""

    def __init__(
        self,
        read: Callable[[int], bytes],
        format_: Format,
        close: Callable[[], None],
        *,
        name: str,
        head: bytes = b"",
        left: int | None = None,
        duration: float | None = None,
    ) -> None:
        self.sample_rate, self.channels, self._sample_format = format_
        self.duration = duration
        self._frame_bytes = format_.frame_bytes
        self._read = read
        self._head = head
        self._left = left
        self._name = name
        self.close = close

    @classmethod
    def start(cls, file: BinaryIO, name: str, raw: RawFormat) -> _PcmDecoder:
        """After a WAV header, or at the start of raw samples."""
        start = start_pcm(file.read, raw, name)
        if start is None:
            raise AudioError(f"{name}: ended without any audio")
        return cls(file.read, start.format, file.close, name=name, head=start.head, left=start.left)

    def read(self, frames: int) -> Any:
        size = frames * self._frame_bytes
        if self._left is not None:
            size = min(size, self._left)
            self._left -= size
        try:
            data = self._head[:size] + self._read(max(0, size - len(self._head)))
        except OSError as error:
            raise AudioError(f"{self._name}: {error.strerror or error}") from None
        except AudioError as error:  # of ffmpeg
            raise AudioError(f"{self._name}: is damaged ({error})") from None
        self._head = self._head[size:]
        whole = len(data) - len(data) % self._frame_bytes
        if not whole:
            return ()
        with np.errstate(over="ignore"):  # what becomes infinite is reported
            frames_ = decode(data[:whole], self._sample_format, self.channels)
            return frames_.astype(np.float32, copy=False)


def _open_remote(address: str, *, ffmpeg: bool) -> Decoder:
    """Open a file elsewhere: without a copy where libsndfile reads it and the store seeks."""
    from ser_edge.audio.remote import RemoteFile, open_address

    file = open_address(address)
    try:
        if not isinstance(file, RemoteFile):
            return _open_stream(file, address, ffmpeg=ffmpeg)
        soundfile = libsndfile.import_soundfile()
        try:
            return libsndfile.RemoteDecoder(libsndfile.sequential(soundfile)(file), file, address)
        except soundfile.LibsndfileError:
            file.check()
        file.seek(0)
        copy = spool(file.read, address)
        file.check()
        file.close()
        return _open_file(copy, address, ffmpeg=ffmpeg)
    except BaseException:
        file.close()
        raise


def _open_stream(file: BinaryIO, name: str, *, ffmpeg: bool) -> Decoder:
    """Read WAV as it comes, and copy what needs seeking."""
    from ser_edge.audio.containers import HEAD_BYTES

    head = file.read(HEAD_BYTES)
    if not head:
        raise AudioError(f"{name}: the file is empty")
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        recorded = io.BytesIO(head)
        recorded.seek(4)

        def read(size: int) -> bytes:
            data = recorded.read(size)
            if len(data) < size:
                more = file.read(size - len(data))
                recorded.write(more)  # for whoever begins again
                data += more
            return data

        try:
            format_, left = wav_header(read, name)
        except Encoding:
            head = recorded.getvalue()
        else:
            rest = recorded.read()
            return _PcmDecoder(file.read, format_, file.close, name=name, head=rest, left=left)
    copy = spool(file.read, name, head=head, endless=True)
    file.close()
    try:
        return _open_file(copy, name, ffmpeg=ffmpeg)
    except BaseException:
        copy.close()
        raise


def _open_file(file: BinaryIO, name: str, *, ffmpeg: bool) -> Decoder:
    """Open a file: plain WAV, or with libsndfile, or else with ffmpeg."""
    wav = plain_wav(file, name)  # loading libsndfile would take a twentieth of a cold start
    if wav is not None:
        format_, size = wav
        seconds = size // format_.frame_bytes / format_.sample_rate
        return _PcmDecoder(file.read, format_, file.close, name=name, left=size, duration=seconds)
    soundfile = libsndfile.import_soundfile()
    try:
        # A descriptor of its own: libsndfile before 1.2.1 closes it on failure, whatever closefd.
        sound = libsndfile.sequential(soundfile)(os.dup(file.fileno()), closefd=True)
    except soundfile.LibsndfileError as error:
        refusal = f"libsndfile: {error.error_string}"
    else:
        return libsndfile.Decoder(sound, file, name)
    program = None
    if ffmpeg:
        from ser_edge.audio.ffmpeg import FfmpegDecoder, find_ffmpeg

        program = find_ffmpeg()
    if program is None:
        from ser_edge.audio.containers import ffmpeg_line

        if _is_convertible(file, name):
            raise AudioError(f"{name}: convert this format first: {ffmpeg_line(name)}")
        raise AudioError(f"{name}: not audio that can be read ({refusal})")
    try:
        decoded = FfmpegDecoder(program, file)
    except AudioError as error:
        raise AudioError(
            f"{name}: not audio that can be read ({refusal}; ffmpeg: {error})"
        ) from None

    def close() -> None:
        decoded.close()
        file.close()

    return _PcmDecoder(decoded.read, decoded.format, close, name=name)


def _is_convertible(file: BinaryIO, name: str) -> bool:
    """Whether ffmpeg is likely to read what libsndfile did not."""
    from ser_edge.audio.containers import CONVERTIBLE_EXTENSIONS, HEAD_BYTES, recognise

    file.seek(0)
    known = recognise(file.read(HEAD_BYTES)) is not None
    return known or PurePath(name).suffix.lower() in CONVERTIBLE_EXTENSIONS

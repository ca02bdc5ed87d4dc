"""Audio in: files, pipes, bytes and arrays become mono float32 samples with their sample rate.

Files are read with libsndfile through soundfile, in chunks, so that memory stays bounded
whatever a recording's length. Samples lie in -1..1, as ``librosa.load`` gives them.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any, BinaryIO, Union

import numpy as np
from numpy.typing import ArrayLike

from ser_edge.errors import AudioError, DependencyError
from ser_edge.resample import Resampler, Samples, check_sample_rate

AudioSource = Union[str, "os.PathLike[str]", bytes, BinaryIO]

# What libsndfile reads, and what it does not: the latter gets a line that converts it.
READABLE_EXTENSIONS = (
    ".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".mp3", ".nist", ".oga", ".ogg", ".opus",
    ".rf64", ".snd", ".sph", ".w64", ".wav",
)  # fmt: skip
CONVERTIBLE_EXTENSIONS = (
    ".3gp", ".aac", ".amr", ".m4a", ".m4b", ".mka", ".mp4", ".webm", ".wma",
)  # fmt: skip
_CONVERTIBLE_MAGIC = (  # (offset, bytes)
    (4, b"ftyp"),  # MP4 family: M4A, 3GP
    (0, b"#!AMR"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),  # ASF: WMA
    (0, b"\x1a\x45\xdf\xa3"),  # EBML: WebM, Matroska
    (0, b"\xff\xf1"),  # AAC in ADTS, MPEG-4
    (0, b"\xff\xf9"),  # AAC in ADTS, MPEG-2
)

_MAX_CHUNK_VALUES = 1 << 20  # frames times channels: 4 MB however many channels a header claims
_MAX_CHANNELS = 128  # of an array; more means that frames and channels are swapped
_MAX_LEVEL = 1_000.0  # full scale is 1; far beyond, integers were stored as floats

# Full scale of each integer type, as libsndfile scales it.
_FULL_SCALE = {"uint8": 128.0, "int16": 32_768.0, "int32": 2_147_483_648.0}


class AudioReader:
    """An open recording: iterate over its mono chunks once, then close it (or use ``with``).

    Made by :func:`open_audio`.

    Attributes:
        name: the path as given, or words such as ``standard input``; error messages begin with it.
        sample_rate: in Hz.
        channels: how many the recording has, whatever is read of them.
    """

    def __init__(self, file: BinaryIO, name: str, *, channel: int | None = None) -> None:
        self.name = name
        self._file = file
        self._sound = _open_sound(file, name)
        self.sample_rate: int = self._sound.samplerate
        self.channels: int = self._sound.channels
        self._channel = channel
        try:
            check_sample_rate(self.sample_rate)
            _check_channel(channel, self.channels)
        except AudioError as error:
            self._sound.close()
            raise AudioError(f"{name}: {error}") from None

    def __iter__(self) -> Iterator[Samples]:
        """Yield float32 chunks of shape (n,), each of one second or less, n > 0.

        Raises:
            AudioError: the recording is damaged, holds no samples at all, or holds values that are
                not finite or not on a scale where 1 is full.
        """
        frames = min(self.sample_rate, _MAX_CHUNK_VALUES // self.channels)
        empty = True
        while len(chunk := self._read(frames)):
            yield _mix(chunk, self._channel, self.name)
            empty = False
        if empty:
            raise AudioError(f"{self.name}: holds no samples, or its header was never completed")

    def _read(self, frames: int) -> Samples:
        import soundfile

        try:
            chunk: Samples = self._sound.read(frames, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise AudioError(
                f"{self.name}: is damaged (libsndfile: {error.error_string})"
            ) from None
        return chunk

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._sound.close()
        self._file.close()

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_audio(source: AudioSource, *, channel: int | None = None) -> AudioReader:
    """Open a recording in any format of libsndfile: WAV, FLAC, OGG, Opus, MP3, AIFF, CAF, W64, AU.

    Pipes, file objects and bytes are first copied to a temporary file (in ``$TMPDIR``), for
    libsndfile seeks. WAV from a pipe, whose header cannot state its length, is read to its end;
    so is a truncated file.

    Args:
        source: a path, a binary file object (read from where it stands), the bytes of a file, or
            ``"-"`` for standard input.
        channel: the channel to read, the first being 1; by default all are averaged.

    Raises:
        AudioError: there is no such file, it cannot be opened, is empty, is not audio that
            libsndfile reads, has an implausible sample rate, or has no such channel.
        DependencyError: soundfile or libsndfile is missing.

    Example:
        >>> wav = io.BytesIO()
        >>> import soundfile
        >>> soundfile.write(wav, np.zeros((24_000, 2)), 16_000, format="WAV")
        >>> with open_audio(wav.getvalue()) as audio:
        ...     print(audio.sample_rate, audio.channels, [len(chunk) for chunk in audio])
        16000 2 [16000, 8000]
    """
    name = _name_of(source)
    try:
        file = _open_file(source, name)
    except (OSError, ValueError) as error:
        if isinstance(error, AudioError):
            raise
        raise AudioError(f"{name}: {getattr(error, 'strerror', None) or error}") from None
    try:
        return AudioReader(file, name, channel=channel)
    except BaseException:
        file.close()
        raise


def load(source: AudioSource, sample_rate: int, *, channel: int | None = None) -> Samples:
    """Read a whole recording at the given rate (Hz): mono float32 of shape (n,).

    Equals ``librosa.load(source, sr=sample_rate)[0]``.

    Raises:
        AudioError, DependencyError: as :func:`open_audio` and iterating over it do.
    """
    with open_audio(source, channel=channel) as audio:
        resampler = Resampler(audio.sample_rate, sample_rate)
        chunks = [resampler.push(chunk) for chunk in audio]
    chunks.append(resampler.flush())
    return np.concatenate(chunks)


def as_mono_float32(samples: ArrayLike, *, channel: int | None = None) -> Samples:
    """Turn an array of samples into mono float32 of shape (n,), full scale being 1.

    Args:
        samples: shape (n,) or (n, channels); float32 or float64 with full scale 1, or int16, int32
            or uint8 (128 is silence) with the full scale of their type.
        channel: the channel to take, the first being 1; by default all are averaged.

    Raises:
        AudioError: another shape or type, no samples, no such channel, values that are not finite
            or beyond 1 000.

    Example:
        >>> as_mono_float32(np.array([[0, 16_384], [-32_768, -32_768]], np.int16))
        array([ 0.25, -1.  ], dtype=float32)
    """
    array = np.asarray(samples)
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] > _MAX_CHANNELS):
        raise AudioError(f"samples: shape (n,) or (n, channels) is needed, not {array.shape}")
    if not array.size:
        raise AudioError("samples: there are none")
    kind = array.dtype.name
    if kind in _FULL_SCALE:
        array = array.astype(np.float32)
        if kind == "uint8":
            array -= 128
        array /= _FULL_SCALE[kind]
    elif kind not in ("float32", "float64"):
        raise AudioError(f"samples: float32, float64, int16, int32 or uint8 is needed, not {kind}")
    frames = array[:, np.newaxis] if array.ndim == 1 else array
    try:
        _check_channel(channel, frames.shape[1])
    except AudioError as error:
        raise AudioError(f"samples: {error}") from None
    return _mix(frames, channel, "samples")


def find_audio_files(paths: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    """Yield each path that is no folder as it is, and for each folder the audio files below it.

    Files are known by their extension (also those that ffmpeg must convert first: better a clear
    error later than a recording left out in silence) and come sorted, folder by folder; hidden
    files and folders are skipped, linked folders not entered.

    Raises:
        AudioError: a folder cannot be listed or holds no audio file.
    """
    for entry in paths:
        path = os.fspath(entry)
        if not os.path.isdir(path):
            yield path
            continue
        empty = True
        for folder, subfolders, names in os.walk(path, onerror=_cannot_list):
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            for name in sorted(names):
                extension = PurePath(name).suffix.lower()
                known = extension in READABLE_EXTENSIONS or extension in CONVERTIBLE_EXTENSIONS
                if known and not name.startswith("."):
                    empty = False
                    yield os.path.join(folder, name)
        if empty:
            raise AudioError(f"{path}: holds no audio files")


def _cannot_list(error: OSError) -> None:
    raise AudioError(f"{error.filename}: {error.strerror}")


def _name_of(source: AudioSource) -> str:
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "audio bytes"
    if isinstance(source, (str, os.PathLike)):
        return "standard input" if source == "-" else os.fspath(source)
    if not hasattr(source, "read"):
        raise TypeError(f"a path, bytes or a binary file is needed, not {type(source).__name__}")
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "audio file object"


def _open_file(source: AudioSource, name: str) -> BinaryIO:
    """Return a file on disk, at its start and not empty, that holds the source's bytes."""
    file: BinaryIO
    if isinstance(source, (bytes, bytearray, memoryview)):
        file = _spool(io.BytesIO(source))
    elif source == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise AudioError("standard input: nothing is piped into it")
        file = _spool(sys.stdin.buffer)
    elif isinstance(source, (str, os.PathLike)):
        file = open(source, "rb")  # noqa: SIM115  the caller closes it
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISFIFO(mode):
            with file as pipe:
                file = _spool(pipe)
        elif not stat.S_ISREG(mode):
            file.close()
            raise AudioError(f"{name}: neither a file nor a pipe")
    else:
        file = _spool(source)
    if not os.fstat(file.fileno()).st_size:
        file.close()
        raise AudioError(f"{name}: the file is empty")
    return file


def _spool(source: BinaryIO) -> BinaryIO:
    import shutil
    import tempfile

    file = tempfile.TemporaryFile(prefix="ser-edge-")  # noqa: SIM115  the caller closes it
    try:
        shutil.copyfileobj(source, file)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _open_sound(file: BinaryIO, name: str) -> Any:
    """Return a soundfile.SoundFile that only ever reads on."""
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise DependencyError(
            "reading audio files needs soundfile and libsndfile: run `pip install soundfile` and "
            f"`sudo apt install libsndfile1` ({error})"
        ) from None

    class SequentialSoundFile(soundfile.SoundFile):  # type: ignore[misc]
        def seekable(self) -> bool:
            # soundfile seeks to where it stands after every read of a seekable file; an MP3
            # decoder then starts anew, and its first frames (bit reservoir) come out wrong.
            return False

    try:
        # A descriptor of its own: libsndfile before 1.2.1 closes it on failure, whatever closefd.
        return SequentialSoundFile(os.dup(file.fileno()), closefd=True)
    except soundfile.LibsndfileError as error:
        hint = _conversion_hint(file, name)
        reason = hint or f"not audio that can be read (libsndfile: {error.error_string})"
        raise AudioError(f"{name}: {reason}") from None


def _conversion_hint(file: BinaryIO, name: str) -> str | None:
    """Say how to convert a format that libsndfile is known not to read; None for any other."""
    import shlex

    file.seek(0)
    head = file.read(16)
    path = PurePath(name)
    known_magic = any(head.startswith(magic, offset) for offset, magic in _CONVERTIBLE_MAGIC)
    if not known_magic and path.suffix.lower() not in CONVERTIBLE_EXTENSIONS:
        return None
    source, target = "INPUT", "OUTPUT.wav"
    if os.path.isfile(name):
        source, target = shlex.quote(name), shlex.quote(str(path.with_suffix(".16k.wav")))
    return f"convert this format first: ffmpeg -i {source} -ar 16000 -ac 1 {target}"


def _check_channel(channel: int | None, channels: int) -> None:
    if channel is not None and not 1 <= channel <= channels:
        raise AudioError(f"there is no channel {channel}: it has {channels}, the first being 1")


def _mix(frames: Any, channel: int | None, name: str) -> Samples:
    """Average the channels of (n, channels), or take one: float32 of shape (n,)."""
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is reported below
        if channel is not None:
            mono = frames[:, channel - 1]
        elif frames.shape[1] == 1:
            mono = frames[:, 0]
        else:
            mono = frames.mean(axis=1)
        mono = np.ascontiguousarray(mono, np.float32)
    peak = np.abs(mono).max()  # NaN if any sample is
    if not np.isfinite(peak):
        raise AudioError(f"{name}: holds NaN or infinite samples")
    if peak > _MAX_LEVEL:
        raise AudioError(
            f"{name}: holds samples up to {peak:g}, where 1 is full scale: integers as floats?"
        )
    samples: Samples = mono
    return samples

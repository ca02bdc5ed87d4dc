"""Where audio comes from: paths, pipes, bytes and file objects become an open file, or a stream."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple, Union

from ser_edge.errors import AudioError, AudioTypeError

AudioSource = Union[str, "os.PathLike[str]", bytes, BinaryIO]

STANDARD_INPUT = "standard input"

# What is copied of a pipe whose format needs seeking; and of one whose first bytes say nothing.
_MAX_SPOOLED_BYTES = 1 << 30
_MAX_UNKNOWN_BYTES = 1 << 24
_COPY_BYTES = 1 << 18
_HEAD_BYTES = 1 << 12  # by which a format is known


class _StandardInput:
    """Read here, and closed by whoever opened it."""

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read

    def close(self) -> None:
        pass


class Source(NamedTuple):
    """An opened source: read it on if it is a stream, else the file has it all."""

    file: Any  # a BinaryIO; of a stream only read and close
    is_stream: bool


def name_of(source: AudioSource) -> str:
    """The path as given, or words: what error messages begin with.

    Raises:
        TypeError: it is nothing that could hold audio.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return "audio bytes"
    if isinstance(source, (str, os.PathLike)):
        return STANDARD_INPUT if source == "-" else os.fspath(source)
    if not hasattr(source, "read"):
        raise TypeError(f"a path, bytes or a binary file is needed, not {type(source).__name__}")
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "audio file object"


def open_source(source: AudioSource, name: str) -> Source:
    """Open a source at its start: a file that is not empty, or a stream.

    Raises:
        AudioError: with the name in front: it cannot be opened, is empty, or gives no bytes.
        OSError, ValueError: it cannot be opened.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        file = spool(io.BytesIO(source).read, name)
    elif source == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise AudioError(f"{name}: nothing is piped into it")
        return _standard_input(sys.stdin.buffer, name)
    elif isinstance(source, (str, os.PathLike)):
        file = open(source, "rb")  # noqa: SIM115  the caller closes it
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISFIFO(mode):
            return Source(file, True)
        if not stat.S_ISREG(mode):
            file.close()
            raise AudioError(f"{name}: neither a file nor a pipe")
    else:
        return _file_object(source, name)
    if not os.fstat(file.fileno()).st_size:
        file.close()
        raise AudioError(f"{name}: the file is empty")
    return Source(file, False)


def spool(
    read: Callable[[int], bytes], name: str, *, head: bytes = b"", endless: bool = False
) -> BinaryIO:
    """Copy what is left of a stream to a temporary file, for libsndfile and ffmpeg seek.

    Args:
        read: returns up to so many bytes, none at the end.
        name: with which error messages begin.
        head: what was read of it already.
        endless: whether it may never end, so that the copy needs a limit.

    Raises:
        AudioError: it is longer than the limit, or there is no room for it.
        OSError: the stream cannot be read.
    """
    import tempfile

    from ser_edge.audio.containers import recognise

    known = recognise(head) is not None
    limit = _MAX_SPOOLED_BYTES if known else _MAX_UNKNOWN_BYTES
    folder = ""
    try:
        folder = tempfile.gettempdir()
        file = tempfile.TemporaryFile(prefix="ser-edge-")  # noqa: SIM115  the caller closes it
    except OSError as error:
        raise _no_room(name, folder, error) from None
    try:
        size = 0
        data = head or read(_COPY_BYTES)
        while data:
            size += len(data)
            if endless and size > limit:
                raise _too_long(name, folder, limit, known)
            try:
                file.write(data)
            except OSError as error:
                raise _no_room(name, folder, error) from None
            data = read(_COPY_BYTES)
        try:
            file.flush()
        except OSError as error:
            raise _no_room(name, folder, error) from None
        file.seek(0)
    except BaseException:
        with contextlib.suppress(OSError):  # what there was no room for is written once more
            file.close()
        raise
    return file


def _standard_input(file: BinaryIO, name: str) -> Source:
    try:
        descriptor = file.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError):  # replaced by an object of Python
        return Source(_StandardInput(file), True)
    if stat.S_ISREG(mode) and os.lseek(descriptor, 0, os.SEEK_CUR) == 0:
        if not os.fstat(descriptor).st_size:
            raise AudioError(f"{name}: the file is empty")
        return Source(os.fdopen(os.dup(descriptor), "rb"), False)
    if stat.S_ISCHR(mode) and not os.path.samestat(os.fstat(descriptor), os.stat(os.devnull)):
        raise AudioError(f"{name}: neither a file nor a pipe")
    return Source(_StandardInput(file), True)


def _file_object(file: Any, name: str) -> Source:
    if isinstance(file, io.TextIOBase):
        raise AudioTypeError(f"{name}: the file was opened as text: open it with 'rb'")

    def read(size: int) -> bytes:
        data = file.read(size)
        if hasattr(data, "__await__"):
            if hasattr(data, "close"):
                data.close()  # a coroutine that was never awaited would warn
            raise AudioTypeError(f"{name}: the file is asynchronous: await its read()")
        if isinstance(data, str):
            raise AudioTypeError(f"{name}: the file was opened as text: open it with 'rb'")
        if data is None:
            raise AudioError(f"{name}: the file has nothing to read yet: it does not block")
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise AudioTypeError(f"{name}: its read() gives {type(data).__name__}, not bytes")
        return bytes(data)

    seekable = getattr(file, "seekable", None)
    endless = not (callable(seekable) and seekable() is True)
    head = read(_HEAD_BYTES)
    if not head:
        try:
            position = file.tell()
        except (AttributeError, OSError, ValueError):
            position = 0
        if isinstance(position, int) and position:
            raise AudioError(f"{name}: nothing is left to read: seek(0) first")
        raise AudioError(f"{name}: the file is empty")
    return Source(spool(read, name, head=head, endless=endless), False)


def _too_long(name: str, folder: str, limit: int, known: bool) -> AudioError:
    mega = limit >> 20
    if not known:
        return AudioError(
            f"{name}: not audio that can be read: nothing known in its first bytes, and no end "
            f"after {mega} MiB"
        )
    return AudioError(
        f"{name}: no end after {mega} MiB, the most that is copied to {folder} (TMPDIR): "
        "give a file, or pipe WAV, which needs no copy (ffmpeg -i INPUT -f wav -)"
    )


def _no_room(name: str, folder: str, error: OSError) -> AudioError:
    return AudioError(
        f"{name}: cannot be copied to {folder or 'a temporary folder'} ({error.strerror}): set "
        "TMPDIR to a folder with room, give a file, or pipe WAV, which needs no copy"
    )

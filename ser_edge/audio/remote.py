"""Recordings elsewhere, by the addresses of fsspec: s3://, gs://, https://, members of zip and tar.

They are read as far as they are decoded, block by block, where the store and the format allow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Any

from ser_edge import forking
from ser_edge.audio.containers import CONVERTIBLE_EXTENSIONS, READABLE_EXTENSIONS
from ser_edge.errors import AudioError, DependencyError

# Fetched at once: two minutes of telephone speech. The blocks of some stores have 50 MB.
_BLOCK_BYTES = 1 << 21
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(://|::)")


def is_address(name: str) -> bool:
    """Whether a name is an address of fsspec, not a path.

    Example:
        >>> is_address("s3://archive/a.wav"), is_address("zip://a.wav::b.zip"), is_address("a.wav")
        (True, True, False)
    """
    return _ADDRESS.match(name) is not None


class RemoteFile:
    """A file elsewhere, which seeks.

    libsndfile takes what goes wrong for the end of the file, so it is kept until :meth:`check`.
    """

    def __init__(self, file: Any, name: str, filesystem: Any) -> None:
        self._file = file
        self._filesystem = filesystem  # that of a zip closes the file when it goes
        self._name = name
        self._error: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            return bytes(self._file.read(size))
        except Exception as error:  # every store has its own
            self._error = self._error or error
            return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return int(self._file.seek(offset, whence))
        except Exception as error:
            self._error = self._error or error
            return self.tell()

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self._file.close()

    def check(self) -> None:
        """Raise what went wrong.

        Raises:
            AudioError: with the name in front.
        """
        if self._error is not None:
            raise AudioError(f"{self._name}: {_reason(self._error)}") from self._error


def open_address(address: str) -> Any:
    """Open a file elsewhere: a :class:`RemoteFile`, or a file that can only be read on.

    Raises:
        AudioError: it cannot be opened, or is empty.
        DependencyError: fsspec is missing, or what it needs for this address.
    """
    try:
        filesystem, path = _locate(address)
        file = filesystem.open(path, "rb", block_size=_BLOCK_BYTES)
    except (AudioError, DependencyError):
        raise
    except Exception as error:  # every store has its own
        raise AudioError(f"{address}: {_reason(error)}") from error
    if not file.seekable():
        return file
    if getattr(file, "size", None) == 0:
        file.close()
        raise AudioError(f"{address}: the file is empty")
    return RemoteFile(file, address, filesystem)


def find_addresses(address: str, *, on_other: Callable[[str], None] | None = None) -> Iterator[str]:
    """Yield the addresses of all audio files below one, or that match its ``*``; sorted.

    Files are known by their extension alone. What ends with one is taken for a file.

    Args:
        address: such as ``s3://archive/2024/`` or ``zip://::recordings.zip``.
        on_other: called with the address of each file that is passed over.

    Raises:
        AudioError: it cannot be listed, or holds no audio file.
        DependencyError: fsspec is missing, or what it needs for this address.
    """
    first, chained, rest = address.partition("::")
    pattern = "*" in first
    if not pattern and _is_audio(first):
        yield address
        return
    try:
        filesystem, path = _locate(address)
        if not pattern and not filesystem.isdir(path):
            yield address
            return
        names = sorted(filesystem.glob(path) if pattern else filesystem.find(path))
    except (AudioError, DependencyError):
        raise
    except Exception as error:
        raise AudioError(f"{address}: {_reason(error)}") from error
    empty = True
    for name in names:
        protocol = first.partition("://")[0]
        found = f"{protocol}://{name}::{rest}" if chained else filesystem.unstrip_protocol(name)
        if PurePath(name).name.startswith("."):
            continue
        if _is_audio(name):
            empty = False
            yield found
        elif on_other is not None:
            on_other(found)
    if empty:
        raise AudioError(f"{address}: holds no audio files")


def _locate(address: str) -> tuple[Any, str]:
    try:
        with forking.LOADING:
            from fsspec.core import url_to_fs
    except ImportError:
        raise DependencyError(
            f"{address}: addresses need fsspec: pip install 'ser-edge[archive]'"
        ) from None
    try:
        found: tuple[Any, str] = url_to_fs(address)
    except ImportError as error:  # of what fsspec needs for this kind
        raise DependencyError(f"{address}: {error}") from None
    except ValueError as error:
        raise AudioError(f"{address}: {error}") from None
    return found


def _is_audio(name: str) -> bool:
    extension = PurePath(name.partition("?")[0]).suffix.lower()
    return extension in READABLE_EXTENSIONS or extension in CONVERTIBLE_EXTENSIONS


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "No such file or directory"
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    return text if isinstance(error, OSError) and text else f"{type(error).__name__}: {text}"

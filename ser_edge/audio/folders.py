"""Audio files in folders."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePath

from ser_edge.audio.containers import (
    CONVERTIBLE_EXTENSIONS,
    HEAD_BYTES,
    READABLE_EXTENSIONS,
    recognise,
)
from ser_edge.errors import AudioError


def find_audio_files(
    paths: Iterable[str | os.PathLike[str]], *, on_other: Callable[[str], None] | None = None
) -> Iterator[str]:
    """Yield each path that is no folder as it is, and for each folder the audio files below it.

    Files are known by their extension (also those that only ffmpeg can read: better a clear error
    later than a recording left out in silence), others by their first bytes. They come sorted,
    folder by folder; hidden files and folders are skipped, linked folders not entered.

    Args:
        paths: files and folders.
        on_other: called with the path of each file in a folder that is passed over, hidden ones
            excepted.

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
                file = os.path.join(folder, name)
                if name.startswith("."):
                    continue
                if _is_audio(file):
                    empty = False
                    yield file
                elif on_other is not None:
                    on_other(file)
        if empty:
            raise AudioError(f"{path}: holds no audio files")


def _is_audio(path: str) -> bool:
    extension = PurePath(path).suffix.lower()
    known = extension in READABLE_EXTENSIONS or extension in CONVERTIBLE_EXTENSIONS
    try:
        # A pipe or a device would be waited for.
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        if known:
            return True
        with open(path, "rb") as file:
            return recognise(file.read(HEAD_BYTES)) is not None
    except OSError:
        return known  # a link to nowhere, say: its error is told when it is opened


def _cannot_list(error: OSError) -> None:
    raise AudioError(f"{error.filename}: {error.strerror}")

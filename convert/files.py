"""Files that are written whole or not at all, and tables that are read."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ser_edge.errors import SerEdgeError


@contextmanager
def draft(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A name to write a file or a folder under, which becomes ``path`` when the block ends well.

    Where it does not, nothing is left and a file that was at ``path`` stays as it was.

    Args:
        path: what to write; a file that exists is replaced, its folder must exist.

    Yields:
        A path of the same name in a temporary folder beside ``path``.

    Raises:
        OSError: the folder cannot be written to.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with draft(Path(folder) / "a.txt") as unfinished:
        ...         _ = unfinished.write_text("all of it")
        ...     (Path(folder) / "a.txt").read_text()
        'all of it'
    """
    target = Path(path)
    # In the target's folder, for a rename is atomic only within one file system; a folder of its
    # own, for a temporary file's permissions are narrower than those of an ordinary one.
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        unfinished = Path(folder) / target.name
        yield unfinished
        os.replace(unfinished, target)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file, whole or not at all; see :func:`draft`.

    Raises:
        OSError: it cannot be written.
    """
    with draft(path) as unfinished:
        unfinished.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a file in UTF-8, its line ends as given, whole or not at all; see :func:`draft`.

    Raises:
        OSError: it cannot be written.
    """
    write_bytes(path, text.encode("utf-8"))


@contextmanager
def open_table(path: Path, name: str) -> Iterator[csv.DictReader[str]]:
    """A CSV file in UTF-8 whose first row names the columns.

    Args:
        path: of the file.
        name: what errors call it.

    Yields:
        A reader of its rows.

    Raises:
        SerEdgeError: it cannot be read, also while the block reads it.

    Example:
        >>> with open_table(Path("/no/such.csv"), "the index") as rows:
        ...     print(list(rows))
        Traceback (most recent call last):
        ...
        ser_edge.errors.SerEdgeError: cannot read the index: No such file or directory
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield csv.DictReader(file)
    except OSError as error:
        raise SerEdgeError(f"cannot read {name}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise SerEdgeError(f"cannot read {name}: {error}") from error

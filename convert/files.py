"""Files that are written whole or not at all, and tables that are read."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ser_edge.errors import SerEdgeError
from ser_edge.files import draft


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with draft(path) as unfinished:
        unfinished.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a file in UTF-8, its line ends as given, whole or not at all.

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

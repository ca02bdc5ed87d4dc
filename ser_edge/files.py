"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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

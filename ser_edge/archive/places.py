"""A folder of files, here or at an address of fsspec, each of them whole or not there."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ser_edge.errors import DependencyError


class Place:
    """A folder.

    Args:
        path: of it; it is made where it is missing.

    Raises:
        DependencyError: fsspec is missing.
        OSError: it cannot be made.
    """

    def __init__(self, path: str) -> None:
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise DependencyError("this needs fsspec: pip install 'ser-edge[cluster]'") from None
        self._filesystem, self._path = url_to_fs(path)
        protocol = self._filesystem.protocol
        self._local = "file" in ((protocol,) if isinstance(protocol, str) else protocol)
        self._filesystem.makedirs(self._path, exist_ok=True)

    def names(self) -> set[str]:
        """Of all files in it, but hidden ones."""
        self._filesystem.invalidate_cache()
        found = self._filesystem.ls(self._path, detail=False)
        return {name for path in found if not (name := path.rsplit("/", 1)[-1]).startswith(".")}

    def read(self, name: str) -> bytes | None:
        """What a file holds; None where it is missing."""
        try:
            return bytes(self._filesystem.cat_file(f"{self._path}/{name}"))
        except FileNotFoundError:
            return None

    def open(self, name: str) -> Any:
        """A file, to be read."""
        return self._filesystem.open(f"{self._path}/{name}", "rb")

    @contextmanager
    def replacing(self, name: str) -> Iterator[str]:
        """A path to write, whose file gets this name when the block ends well."""
        folder = self._path if self._local else tempfile.gettempdir()
        draft = f"{folder}/.{name}.{uuid.uuid4().hex}"
        try:
            yield draft
            if self._local:
                os.replace(draft, f"{self._path}/{name}")
            else:
                self._filesystem.put_file(draft, f"{self._path}/{name}")
        finally:
            if os.path.exists(draft):
                os.unlink(draft)

    def write(self, name: str, content: bytes) -> None:
        """Write a file."""
        with self.replacing(name) as draft, open(draft, "wb") as file:
            file.write(content)

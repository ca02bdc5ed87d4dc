"""What keeps a child usable that a program forks while another of its threads classifies.

In the child only the thread that forked goes on: a lock that another one held stays held for ever,
an import that it was in the middle of never ends, and an interpreter that it ran stays half run.
So before a fork everything that is imported late is imported, which waits for whoever is at it,
loading is finished and so are products of matrices; and in the child every holder of a lock gets
ready anew.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any

# Imported by functions, on the way from a recording to a result.
LATE_IMPORTS = (
    "ctypes",
    "html",
    "resource",
    "ser_edge.adapt.fit",
    "ser_edge.adapt.profile",
    "ser_edge.audio.containers",
    "ser_edge.audio.ffmpeg",
    "ser_edge.audio.kaiser",
    "ser_edge.audio.remote",
    "ser_edge.features.chroma",
    "ser_edge.features.deltas",
    "ser_edge.features.filters",
    "ser_edge.features.psf",
    "ser_edge.features.spectra",
    "ser_edge.features.speechpy",
    "ser_edge.features.tf_signal",
    "ser_edge.frontend.fixed",
    "ser_edge.utterances.stream",
    "ser_edge.utterances.summary",
    "shlex",
    "shutil",
    "soundfile",
    "soxr",
    "tempfile",
    "warnings",
)

LOADING = threading.RLock()  # held while a network is loaded, and what runs it imported


if TYPE_CHECKING:
    from typing import Protocol

    class Holder(Protocol):
        """What holds a lock that may be taken when the process forks."""

        def renew(self) -> None:
            """Get ready anew, in a child, whatever other threads were doing in its parent."""


class _Products(contextlib.ContextDecorator):
    """The threads that multiply matrices: a fork waits for them, and they for a fork.

    OpenBLAS ends its own threads when the process forks. A product that another thread has given
    to them is then never done, and that thread hangs, in the parent.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._depths: dict[int, int] = {}  # by thread: products in products
        self._forker: int | None = None  # the thread that forks

    def __enter__(self) -> None:
        thread = threading.get_ident()
        with self._changed:
            depth = self._depths.get(thread, 0)
            while not depth and self._forker not in (None, thread):
                self._changed.wait()
            self._depths[thread] = depth + 1

    def __exit__(self, *exception: object) -> None:
        thread = threading.get_ident()
        with self._changed:
            self._depths[thread] -= 1
            if not self._depths[thread]:
                del self._depths[thread]
                if self._forker is not None:
                    self._changed.notify_all()

    def stop(self) -> None:
        """Wait for the products of the other threads, and let them begin none."""
        with self._changed:
            self._forker = thread = threading.get_ident()
            while self._depths.keys() - {thread}:
                self._changed.wait()

    def go_on(self) -> None:
        """Let the other threads begin products again."""
        with self._changed:
            self._forker = None
            self._changed.notify_all()

    def renew(self) -> None:
        """The same in a child, which has no other threads; one may have held the lock."""
        self._changed = threading.Condition()
        self._forker = None


PRODUCTS = _Products()  # `with PRODUCTS:` or `@PRODUCTS`, wherever matrices are multiplied


_holders: weakref.WeakSet[Any] = weakref.WeakSet()
_missing: set[str] = set()  # of the late imports


def renew_in_child(holder: Holder) -> None:
    """Have `holder` renewed in every child that is forked while it exists."""
    _holders.add(holder)


def abandon(thing: object) -> None:
    """Never free an object: its destructor would wait for threads that only the parent has."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _before() -> None:
    for name in LATE_IMPORTS:
        if name not in _missing:
            try:
                importlib.import_module(name)
            except (ImportError, OSError):  # reported where it is needed
                _missing.add(name)
    LOADING.acquire()
    PRODUCTS.stop()


def _after_in_parent() -> None:
    PRODUCTS.go_on()
    LOADING.release()


def _after_in_child() -> None:
    PRODUCTS.renew()
    LOADING.release()
    for holder in list(_holders):
        holder.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )

"""What keeps a child usable that a program forks while another of its threads classifies.

In the child only the thread that forked goes on: a lock that another one held stays held for ever,
an import that it was in the middle of never ends, and an interpreter that it ran stays half run.
So before a fork everything that is imported late is imported, which waits for whoever is at it,
and loading is finished; and in the child every holder of a lock gets ready anew.
"""

from __future__ import annotations

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


def _after_in_child() -> None:
    LOADING.release()
    for holder in list(_holders):
        holder.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=LOADING.release, after_in_child=_after_in_child
    )

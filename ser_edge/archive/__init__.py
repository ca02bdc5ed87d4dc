"""Recordings by the thousand: all cores of a machine, results that survive any kill, a cluster.

Nothing here is loaded before it is used: a single recording never needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ser_edge.archive.arrow import classify_batches
    from ser_edge.archive.cluster import classify_files
    from ser_edge.archive.worker import Worker

__all__ = ["Worker", "classify_batches", "classify_files"]

_MODULES = {"Worker": "worker", "classify_batches": "arrow", "classify_files": "cluster"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)

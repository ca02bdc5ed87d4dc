"""The errors that ser-edge raises on purpose.

Each is a :class:`SerEdgeError` and also the standard exception that a caller would expect,
so ``except ValueError`` around bad input works without knowing this module.
"""

from __future__ import annotations


class SerEdgeError(Exception):
    """Base of every error that ser-edge raises on purpose; its text is one clear sentence."""


class AudioError(SerEdgeError, ValueError):
    """A recording that cannot be read or that holds no usable samples."""


class AudioTypeError(AudioError, TypeError):
    """A file object that gives no bytes: opened as text, or asynchronous."""


class AudioWarning(UserWarning):
    """A recording that is read, but not as it claims to be; its text is one clear sentence."""


class ModelError(SerEdgeError, ValueError):
    """A model file that is broken, lacks metadata or cannot run here."""


class DependencyError(SerEdgeError, ImportError):
    """A package or system library that is missing or does not fit."""


class ProfileError(SerEdgeError, ValueError):
    """A profile that is broken or made for another model, or clips of which none can be made."""

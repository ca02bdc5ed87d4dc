"""Speech emotion recognition that runs on a Raspberry Pi.

Example:
    >>> from ser_edge import Classifier
    >>> classifier = Classifier.bundled()
    >>> classifier.labels
    ('neutral', 'happy', 'sad', 'angry', 'fear', 'disgust')
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ser_edge.errors import AudioError, DependencyError, ModelError, ProfileError, SerEdgeError

if TYPE_CHECKING:
    from ser_edge.classifier import Classifier, Result
    from ser_edge.stream import Stream

__all__ = [
    "AudioError",
    "Classifier",
    "DependencyError",
    "ModelError",
    "ProfileError",
    "Result",
    "SerEdgeError",
    "Stream",
    "__version__",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Loaded on first use, for it needs numpy, and `ser-edge doctor` must be able to report that
    # numpy is broken.
    if name in ("Classifier", "Result", "Stream"):
        from ser_edge import classifier

        return getattr(classifier, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

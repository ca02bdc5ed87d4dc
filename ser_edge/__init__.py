"""Speech emotion recognition that runs on a Raspberry Pi.

Example:
    >>> from ser_edge import Classifier
    >>> classifier = Classifier.bundled()
    >>> classifier.labels
    ('neutral', 'happy', 'sad', 'angry', 'fear', 'disgust')
"""

from __future__ import annotations

from ser_edge.classifier import Classifier, Result
from ser_edge.errors import AudioError, DependencyError, ModelError, SerEdgeError

__all__ = [
    "AudioError",
    "Classifier",
    "DependencyError",
    "ModelError",
    "Result",
    "SerEdgeError",
    "__version__",
]

__version__ = "0.1.0"

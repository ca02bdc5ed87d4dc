"""Speech features in numpy, equal to those of librosa and python_speech_features.

Pure functions of mono samples. Everything that depends on parameters alone (window, mel bands,
DCT matrix) is computed once and kept. A feature matrix has one row a feature, one column a frame.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ser_edge.features.frames import PAD_MODES, FloatArray, rms, trim, zero_crossing_rate
from ser_edge.features.mel import WINDOWS, mel_filterbank, mfcc

if TYPE_CHECKING:
    from ser_edge.features.deltas import delta
    from ser_edge.features.filters import high_pass
    from ser_edge.features.psf import psf_mfcc

__all__ = [
    "PAD_MODES",
    "WINDOWS",
    "FloatArray",
    "delta",
    "high_pass",
    "mel_filterbank",
    "mfcc",
    "psf_mfcc",
    "rms",
    "trim",
    "zero_crossing_rate",
]

# What the bundled models do without is loaded when it is first asked for.
LATE = {
    "delta": "ser_edge.features.deltas",
    "high_pass": "ser_edge.features.filters",
    "psf_mfcc": "ser_edge.features.psf",
}


def __getattr__(name: str) -> Any:
    if name in LATE:
        return getattr(import_module(LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Speech features in numpy, equal to those of librosa and python_speech_features.

Pure functions of mono samples. Everything that depends on parameters alone (window, mel bands,
DCT matrix) is computed once and kept. A feature matrix has one row a feature, one column a frame.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ser_edge.features.frames import PAD_MODES, FloatArray, rms, trim, zero_crossing_rate
from ser_edge.features.mel import WINDOWS, mel_filterbank, melspectrogram, mfcc, power_to_db

if TYPE_CHECKING:
    from ser_edge.features.chroma import chroma_stft
    from ser_edge.features.deltas import delta
    from ser_edge.features.filters import high_pass, normalize, preemphasis, quantize
    from ser_edge.features.psf import psf_mfcc
    from ser_edge.features.spectra import spectral_centroid, spectral_contrast
    from ser_edge.features.speechpy import speechpy_mfcc
    from ser_edge.features.tf_signal import tf_log_mel, tf_mfcc

__all__ = [
    "PAD_MODES",
    "WINDOWS",
    "FloatArray",
    "chroma_stft",
    "delta",
    "high_pass",
    "mel_filterbank",
    "melspectrogram",
    "mfcc",
    "normalize",
    "power_to_db",
    "preemphasis",
    "psf_mfcc",
    "quantize",
    "rms",
    "spectral_centroid",
    "spectral_contrast",
    "speechpy_mfcc",
    "tf_log_mel",
    "tf_mfcc",
    "trim",
    "zero_crossing_rate",
]

# What the bundled models do without is loaded when it is first asked for.
LATE = {
    "chroma_stft": "ser_edge.features.chroma",
    "delta": "ser_edge.features.deltas",
    "high_pass": "ser_edge.features.filters",
    "normalize": "ser_edge.features.filters",
    "preemphasis": "ser_edge.features.filters",
    "psf_mfcc": "ser_edge.features.psf",
    "quantize": "ser_edge.features.filters",
    "spectral_centroid": "ser_edge.features.spectra",
    "spectral_contrast": "ser_edge.features.spectra",
    "speechpy_mfcc": "ser_edge.features.speechpy",
    "tf_log_mel": "ser_edge.features.tf_signal",
    "tf_mfcc": "ser_edge.features.tf_signal",
}


def __getattr__(name: str) -> Any:
    if name in LATE:
        return getattr(import_module(LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

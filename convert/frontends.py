"""Front ends by name, in the form of a model's metadata."""

from __future__ import annotations

import copy
from typing import Any

from ser_edge.errors import SerEdgeError


def frontend(name: str) -> dict[str, Any]:
    """The front end called ``name``, as a new dict.

    Args:
        name: ``seed`` or ``compact``.

    Raises:
        SerEdgeError: no such preset.

    Example:
        >>> frontend("seed")["features"][2]
        {'name': 'mfcc', 'n_mfcc': 20, 'n_fft': 2048, 'hop_length': 160}
    """
    try:
        return copy.deepcopy(_PRESETS[name])
    except KeyError:
        raise SerEdgeError(f"no preset {name!r} (known: {', '.join(NAMES)})") from None


_PRESETS: dict[str, dict[str, Any]] = {
    # github.com/ZionC27/Speech-Emotion-Recognition: the recipe of its notebook, to the letter.
    "seed": {
        "sample_rate": 16000,
        "window_seconds": 4.0,
        "trim": {"top_db": 25.0, "frame_length": 256, "hop_length": 64},
        "level_dbfs": None,
        "features": [
            {"name": "zero_crossing_rate", "frame_length": 400, "hop_length": 160},
            {"name": "rms", "frame_length": 400, "hop_length": 160},
            {"name": "mfcc", "n_mfcc": 20, "n_fft": 2048, "hop_length": 160},
        ],
        "layout": "features_frames",
        "normalization": None,
    },
    # Frames of 32 ms: a quarter of the seed's cost, and less of the speaker's pitch. Levelled
    # speech makes recordings of other places alike.
    "compact": {
        "sample_rate": 16000,
        "window_seconds": 4.0,
        "trim": {"top_db": 25.0, "frame_length": 256, "hop_length": 64},
        "level_dbfs": -26.0,
        "features": [
            {
                "name": "zero_crossing_rate",
                "frame_length": 400,
                "hop_length": 160,
                "threshold": 1e-5,
            },
            {"name": "rms", "frame_length": 400, "hop_length": 160},
            {
                "name": "mfcc",
                "n_mfcc": 64,
                "n_fft": 512,
                "hop_length": 160,
                "n_mels": 64,
                "fmin": 50.0,
                "fmax": 7600.0,
            },
        ],
        "layout": "frames_features",
        "normalization": None,
    },
}

NAMES = tuple(_PRESETS)
"""The presets that :func:`frontend` knows."""

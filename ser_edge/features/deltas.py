"""Changes of features over time."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

from ser_edge.features.frames import FloatArray
from ser_edge.forking import PRODUCTS


def delta(
    data: npt.ArrayLike, *, width: int = 9, order: int = 1, mode: str = "interp"
) -> FloatArray:
    """Slope of every feature over time: the least-squares fit to `width` frames.

    Equals ``librosa.feature.delta``, a Savitzky-Golay filter (1964) whose polynomial has the
    degree of its derivative.

    Args:
        data: feature matrix, shape (n_features, n_frames).
        width: frames in the fit, odd, at least 3.
        order: 1 for the slope, 2 for the curvature.
        mode: ``interp`` extends the first and the last fit to the ends, ``nearest`` repeats the
            first and the last frame.

    Returns:
        float32, of the shape of `data`.

    Raises:
        ValueError: an argument out of range, or fewer frames than ``interp`` needs.

    Example:
        >>> delta([[0.0, 1.0, 2.0, 3.0, 4.0]], width=3)
        array([[1., 1., 1., 1., 1.]], dtype=float32)
    """
    matrix = np.asarray(data, dtype=np.float64)
    if matrix.ndim != 2:
        raise ValueError(f"a feature matrix has two dimensions, not {matrix.ndim}")
    if width < 3 or width % 2 == 0:
        raise ValueError(f"width is {width}, but must be odd and at least 3")
    if not 1 <= order < width:
        raise ValueError(f"order is {order}, but must be from 1 to {width - 1}")
    if mode not in ("interp", "nearest"):
        raise ValueError(f"mode is {mode!r}, but must be 'interp' or 'nearest'")
    half = width // 2
    if mode == "nearest":
        matrix = np.pad(matrix, ((0, 0), (half, half)), mode="edge")
    elif matrix.shape[1] < width:
        raise ValueError(f"{matrix.shape[1]} frames are fewer than the width, {width}")
    windows = np.lib.stride_tricks.sliding_window_view(matrix, width, axis=1)
    with PRODUCTS:
        slope = windows @ _derivative_weights(width, order)
    if mode == "interp":
        # A polynomial's derivative of its own degree is constant: the fit's value at the ends.
        slope = np.pad(slope, ((0, 0), (half, half)), mode="edge")
    result: FloatArray = slope.astype(np.float32)
    return result


@functools.lru_cache(maxsize=16)
@PRODUCTS
def _derivative_weights(width: int, order: int) -> npt.NDArray[np.float64]:
    """Weights of the frames in the least-squares derivative at the middle of them."""
    offsets = np.arange(width) - width // 2
    powers = np.vander(offsets.astype(np.float64), order + 1, increasing=True)
    return math.factorial(order) * np.linalg.pinv(powers)[order]  # type: ignore[no-any-return]

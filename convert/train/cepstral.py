"""Augmentations of cepstra: cheap enough to be drawn anew for every batch.

With as many coefficients as mel bands the DCT can be undone, so what happens to the bands of a
spectrum is one matrix or one vector in cepstra.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_edge.frontend import FrontendSpec

WARPS = 21  # warp factors, evenly spaced, from which one is drawn
CHANNEL_COEFFICIENTS = 8  # after the first, that a room or a microphone moves

Features = NDArray[np.float32]


def dct_matrix(size: int) -> NDArray[np.float64]:
    """The orthonormal DCT-II, shape (size, size): equals ``scipy.fft.dct(x, norm="ortho")``."""
    bands = np.arange(size)
    matrix: NDArray[np.float64] = np.cos(np.pi / size * (bands + 0.5) * bands[:, None])
    matrix *= np.sqrt(2.0 / size)
    matrix[0] /= np.sqrt(2.0)
    return matrix


def warp_matrices(mfcc: Mapping[str, Any], sample_rate: int, vtlp_range: float) -> Features:
    """Matrices that lengthen or shorten the vocal tract.

    Row vectors of cepstra times a matrix are the cepstra of the spectrum whose frequencies are
    multiplied by a factor from ``1 - vtlp_range`` to ``1 + vtlp_range``: vocal tract length
    perturbation (Jaitly & Hinton 2013).

    Args:
        mfcc: the settings of the MFCC, as many as mel bands.
        sample_rate: in Hz.
        vtlp_range: largest relative change.

    Returns:
        float32, shape (WARPS, n_mels, n_mels).
    """
    import librosa

    n_mels = mfcc["n_mels"]
    lowest = librosa.hz_to_mel(mfcc.get("fmin", 0.0))
    highest = librosa.hz_to_mel(mfcc.get("fmax") or sample_rate / 2)
    dct = dct_matrix(n_mels)
    mels = np.linspace(lowest, highest, n_mels + 2)[1:-1]
    hertz = librosa.mel_to_hz(mels)
    matrices = []
    for factor in np.linspace(1.0 - vtlp_range, 1.0 + vtlp_range, WARPS):
        places = np.interp(librosa.hz_to_mel(hertz * factor), mels, np.arange(n_mels))
        lower = np.minimum(places.astype(int), n_mels - 2)
        share = places - lower
        resample = np.zeros((n_mels, n_mels))
        resample[np.arange(n_mels), lower] = 1.0 - share
        resample[np.arange(n_mels), lower + 1] += share
        matrices.append((dct @ resample @ dct.T).T)
    return np.array(matrices, dtype=np.float32)


class Augmentation:
    """Random vocal tracts and microphones for a batch of feature matrices.

    Args:
        spec: the features' front end, as in a model's metadata. Features without MFCC stay as
            they are, and nothing is warped unless there are as many MFCC as mel bands.
        vtlp_range: largest relative change of the vocal tract's length.
        channel_std: standard deviation of the first coefficient's offset; that of the k-th is
            a k-th.
    """

    def __init__(
        self, spec: dict[str, Any], *, vtlp_range: float = 0.0, channel_std: float = 0.0
    ) -> None:
        parsed = FrontendSpec.parse(spec)
        names = [feature.name for feature in parsed.features]
        self._first = names.index("mfcc") if "mfcc" in names else None  # all before have one row
        self._n_mfcc = 0
        self._warps = None
        self._channel_std = channel_std
        self._transposed = parsed.feature_axis == 0
        if self._first is not None:
            mfcc = parsed.features[self._first].arguments
            self._n_mfcc = mfcc["n_mfcc"]
            if vtlp_range and self._n_mfcc == mfcc["n_mels"]:
                self._warps = warp_matrices(mfcc, parsed.sample_rate, vtlp_range)

    def __call__(self, features: Features, rng: np.random.Generator) -> Features:
        """A changed copy of unnormalized features, shape (batch, *frontend.shape)."""
        frames = np.array(features.swapaxes(1, 2) if self._transposed else features)
        if self._first is not None:
            self._change(frames[:, :, self._first : self._first + self._n_mfcc], rng)
        return frames.swapaxes(1, 2) if self._transposed else frames

    def _change(self, cepstra: Features, rng: np.random.Generator) -> None:
        if self._warps is not None:
            drawn = rng.integers(WARPS, size=len(cepstra))
            cepstra[:] = cepstra @ self._warps[drawn]
        if self._channel_std:
            order = np.arange(1, min(CHANNEL_COEFFICIENTS, self._n_mfcc - 1) + 1)
            offsets = rng.normal(0.0, self._channel_std / order, size=(len(cepstra), 1, len(order)))
            cepstra[:, :, 1 : len(order) + 1] += offsets.astype(np.float32)


def mask_frames(features: Features, longest: int, rng: np.random.Generator) -> None:
    """Mask two stretches of frames of every matrix, in place (SpecAugment, Park et al. 2019).

    Args:
        features: normalized, shape (batch, n_frames, n_features); masked is their mean, 0.
        longest: frames in the longest stretch.
    """
    for matrix in features:
        for _ in range(2):
            length = rng.integers(longest + 1)
            start = rng.integers(len(matrix) - length + 1)
            matrix[start : start + length] = 0.0

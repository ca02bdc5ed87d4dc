from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.fft import dct

from ser_edge.convert import frontends
from ser_edge.convert.train import cepstral
from ser_edge.frontend import FrontendSpec

SPEC = frontends.preset("compact")
MFCC = FrontendSpec.parse(SPEC).features[2].arguments


@pytest.fixture
def features() -> cepstral.Features:
    rng = np.random.default_rng(1)
    return rng.standard_normal((4, 30, 2 + MFCC["n_mfcc"])).astype(np.float32)


def test_dct_is_scipys() -> None:
    spectrum = np.random.default_rng(1).standard_normal(64)
    assert cepstral.dct_matrix(64) @ spectrum == pytest.approx(dct(spectrum, norm="ortho"))


def test_warp_moves_a_formant_by_the_factor() -> None:
    import librosa

    warps = cepstral.warp_matrices(MFCC, 16000, 0.1)
    edges = librosa.hz_to_mel([MFCC["fmin"], MFCC["fmax"]])
    hertz = librosa.mel_to_hz(np.linspace(*edges, MFCC["n_mels"] + 2)[1:-1])
    formant = np.exp(-(((hertz - 2000.0) / 300.0) ** 2))

    def centre(matrix: cepstral.Features) -> float:
        spectrum = dct(formant, norm="ortho") @ matrix @ cepstral.dct_matrix(64)
        return float(np.sum(spectrum * hertz) / np.sum(spectrum))

    # Spectrum at f is what was at f times the factor: a larger factor lowers the formant.
    middle = centre(warps[cepstral.WARPS // 2])
    assert middle == pytest.approx(2000, rel=0.02)
    assert centre(warps[0]) / middle == pytest.approx(1 / 0.9, rel=0.02)
    assert centre(warps[-1]) / middle == pytest.approx(1 / 1.1, rel=0.02)


def test_augmentation_leaves_the_other_features_and_its_input(
    features: cepstral.Features,
) -> None:
    before = features.copy()
    augment = cepstral.Augmentation(SPEC, vtlp_range=0.1, channel_std=10.0)
    changed = augment(features, np.random.default_rng(1))
    assert np.array_equal(features, before)
    assert np.array_equal(changed[:, :, :2], before[:, :, :2])
    assert np.all(np.any(changed[:, :, 2:] != before[:, :, 2:], axis=(1, 2)))


def test_channel_is_the_same_in_every_frame(features: cepstral.Features) -> None:
    changed = cepstral.Augmentation(SPEC, channel_std=10.0)(features, np.random.default_rng(1))
    offsets = changed - features
    assert np.ptp(offsets, axis=1) == pytest.approx(0, abs=1e-5)
    assert np.all(offsets[:, 0, 3 : 3 + cepstral.CHANNEL_COEFFICIENTS] != 0)
    assert np.all(offsets[:, 0, 3 + cepstral.CHANNEL_COEFFICIENTS :] == 0)


def test_layouts_are_treated_alike(features: cepstral.Features) -> None:
    turned = {"steps": SPEC["steps"][:-1]}
    assert SPEC["steps"][-1] == {"name": "layout", "order": "frames_features"}
    straight = cepstral.Augmentation(SPEC, vtlp_range=0.1)(features, np.random.default_rng(1))
    other = cepstral.Augmentation(turned, vtlp_range=0.1)(
        features.swapaxes(1, 2), np.random.default_rng(1)
    )
    assert np.array_equal(other.swapaxes(1, 2), straight)


def test_what_cannot_be_changed_is_left_alone(features: cepstral.Features) -> None:
    def changed(spec: dict[str, Any], matrices: cepstral.Features) -> bool:
        augment = cepstral.Augmentation(spec, vtlp_range=0.1)
        return not np.array_equal(augment(matrices, np.random.default_rng(1)), matrices)

    assert changed(SPEC, features)
    assert not changed(frontends.preset("seed"), features[:, :22])
    bare = frontends.preset("compact")
    del bare["steps"][-2]["stack"][2:]
    assert not changed(bare, features[:, :, :2])


def test_masks_at_most_two_stretches(features: cepstral.Features) -> None:
    n_masked = 0
    for seed in range(20):
        masked = features.copy()
        cepstral.mask_frames(masked, 5, np.random.default_rng(seed))
        zeros = np.all(masked == 0, axis=2)
        assert np.array_equal(masked[~zeros], features[~zeros])
        assert zeros.sum(axis=1).max() <= 10
        assert np.abs(np.diff(np.pad(zeros, ((0, 0), (1, 1))).astype(int), axis=1)).sum() <= 4 * 4
        n_masked += int(zeros.sum())
    assert n_masked > 0

"""The resamplers of older librosa against resampy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from ser_edge import audio, features
from ser_edge.audio.resample import Resampler, resample
from ser_edge.convert.corpus.clips import Clip
from ser_edge.errors import AudioError
from tests.helpers.audio import noise, voice

librosa = pytest.importorskip("librosa")
resampy = pytest.importorskip("resampy")

Samples = npt.NDArray[np.float32]

RES_TYPES = ("kaiser_best", "kaiser_fast")


def assert_equal(x: Samples, source: int, target: int, res_type: str) -> None:
    """Within 1e-6 of full scale, the rounding of some hundred products to float32."""
    expected = librosa.resample(
        x.astype(np.float64), orig_sr=source, target_sr=target, res_type=res_type
    )
    actual = resample(x, source, target, res_type)
    assert actual.dtype == np.float32
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= 1e-6


@pytest.mark.parametrize("res_type", RES_TYPES)
@pytest.mark.parametrize(
    ("source", "target"),
    [
        (44_100, 22_050),
        (48_000, 22_050),
        (48_000, 16_000),
        (44_100, 16_000),
        (96_000, 22_050),
        (16_000, 22_050),
        (8_000, 22_050),
        (22_050, 44_100),
        (48_000, 44_100),
        (24_414, 22_050),  # a period of 3675 samples
        (15_999, 16_000),
    ],
)
def test_rates(source: int, target: int, res_type: str) -> None:
    assert_equal(noise(source // 2 + 17), source, target, res_type)


@pytest.mark.parametrize("res_type", RES_TYPES)
def test_mfcc_of_speech(speech: list[Clip], res_type: str) -> None:
    """Of recordings as they are on disk, to 22.05 kHz, with librosa and resampy."""
    for clip in speech[::20]:
        y, sr = librosa.load(clip.path, sr=22_050, res_type=res_type)
        expected = librosa.feature.mfcc(y=y, sr=sr, n_mfcc=40)
        actual = features.mfcc(audio.load(clip.path, 22_050, res_type=res_type), sr, n_mfcc=40)
        assert actual.shape == expected.shape
        assert np.abs(actual - expected).max() <= 1e-3


@pytest.mark.parametrize("res_type", RES_TYPES)
@pytest.mark.parametrize("size", [1, 2, 3, 100, 441, 4_409, 4_410, 100_000])
def test_lengths(size: int, res_type: str) -> None:
    x = noise(size)
    if size > 1:
        assert_equal(x, 44_100, 22_050, res_type)
    assert resample(x, 44_100, 22_050, res_type).shape == ((size + 1) // 2,)
    assert_equal(x, 22_050, 44_100, res_type)


@pytest.mark.parametrize("res_type", RES_TYPES)
@pytest.mark.parametrize("source", [44_100, 48_000, 8_000])
def test_output_does_not_depend_on_chunks(source: int, res_type: str) -> None:
    x = noise(3 * source + 5)
    expected = resample(x, source, 22_050, res_type)
    for length in (7, 4_096, source):
        resampler = Resampler(source, 22_050, res_type)
        chunks = [resampler.push(x[at : at + length]) for at in range(0, x.size, length)]
        chunks.append(resampler.flush())
        assert np.array_equal(np.concatenate(chunks), expected)


@pytest.mark.parametrize("res_type", RES_TYPES)
def test_silence_and_constants(res_type: str) -> None:
    assert not resample(np.zeros(4_410, np.float32), 44_100, 22_050, res_type).any()
    # The filters' gain at 0 Hz is a little beside 1, as resampy's is.
    assert_equal(np.full(4_410, 0.5, np.float32), 44_100, 22_050, res_type)


@pytest.mark.parametrize("res_type", RES_TYPES)
def test_a_stream_gives_samples_as_it_goes(res_type: str) -> None:
    resampler = Resampler(44_100, 22_050, res_type)
    assert len(resampler.push(voice(2.0, 44_100))) > 22_050


def test_far_rates() -> None:
    with pytest.raises(AudioError, match="kaiser_fast resamples to a 64th at most"):
        Resampler(767_999, 1_000, "kaiser_fast")
    # Coprime, and so far from each other that the coefficients of a period would need gigabytes.
    assert_equal(noise(76_799), 767_999, 12_007, "kaiser_best")
    assert resample(noise(1_000), 1_000, 191_999, "kaiser_best").shape == (191_999,)


def test_unknown_resampler() -> None:
    with pytest.raises(ValueError, match="res_type is 'sinc_best'"):
        Resampler(44_100, 22_050, "sinc_best")

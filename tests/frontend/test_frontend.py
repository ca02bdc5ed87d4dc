"""Whole feature matrices against the same front ends written with librosa and its kin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from ser_edge import audio, features
from ser_edge.convert import frontends
from ser_edge.convert.corpus.clips import Clip
from ser_edge.errors import ModelError
from ser_edge.frontend import Frontend, FrontendSpec
from tests.helpers.audio import RATE, Samples, voice

WINDOW = 4 * RATE


# The preset `seed` in the form before steps, which is easy to change.
SEED: dict[str, Any] = {
    "sample_rate": RATE,
    "window_seconds": 4.0,
    "trim": {"top_db": 25.0, "frame_length": 256, "hop_length": 64},
    "features": [
        {"name": "zero_crossing_rate", "frame_length": 400, "hop_length": 160},
        {"name": "rms", "frame_length": 400, "hop_length": 160},
        {"name": "mfcc", "n_mfcc": 20, "n_fft": 2048, "hop_length": 160},
    ],
    "layout": "features_frames",
}


def frontend(**changes: Any) -> Frontend:
    """The front end of SEED with other entries."""
    return Frontend(FrontendSpec.parse({**SEED, **changes}))


def mfcc_with_deltas(sample_rate: int) -> dict[str, Any]:
    return {
        "sample_rate": sample_rate,
        "window_seconds": 3.0,
        "trim": {"top_db": 30.0, "frame_length": 2048, "hop_length": 512},
        "features": [
            {"name": "mfcc", "n_mfcc": 40},
            {"name": "delta", "of": "mfcc"},
            {"name": "delta", "of": "mfcc", "order": 2, "mode": "nearest"},
        ],
        "layout": "frames_features",
    }


def to_window(speech: Samples, size: int) -> Samples:
    return np.pad(speech[:size], (0, max(0, size - speech.size)))


def seed_matrix(y: Samples) -> Samples:
    """Shape (22, 401), as the notebook of the project that this one started from makes it."""
    librosa = pytest.importorskip("librosa")
    speech, _ = librosa.effects.trim(y, top_db=25, frame_length=256, hop_length=64)
    y = to_window(speech, WINDOW)
    return np.vstack(
        [
            librosa.feature.zero_crossing_rate(y, frame_length=400, hop_length=160),
            librosa.feature.rms(y=y, frame_length=400, hop_length=160),
            librosa.feature.mfcc(y=y, sr=RATE, n_mfcc=20, hop_length=160),
        ]
    )


def assert_seed_matrix(y: Samples, name: str) -> float:
    """Compare row by row; the mean error of the MFCC."""
    actual, expected = frontend()(y), seed_matrix(y)
    assert actual.shape == expected.shape == (22, 401), name
    assert actual.dtype == np.float32
    assert np.array_equal(actual[0], expected[0].astype(np.float32)), name
    error = np.abs(actual - expected)
    assert error[1].max() <= 1e-6, name
    assert error[2:].max() <= 1e-3, name
    return float(error[2:].mean())


@pytest.mark.slow
def test_seed_of_speech(recordings: Mapping[str, Samples]) -> None:
    assert len(recordings) >= 300
    typical = [assert_seed_matrix(y, name) for name, y in recordings.items()]
    assert np.median(typical) < 1e-4


@pytest.mark.parametrize(
    ("name", "y"),
    [
        ("silence", np.zeros(RATE, np.float32)),
        ("constant", np.full(RATE, 0.5, np.float32)),
        ("clicks", (np.arange(RATE) % 1000 == 0).astype(np.float32)),
        (
            "full-scale square wave",
            np.where(np.arange(5 * RATE) // 37 % 2, -1, 1).astype(np.float32),
        ),
        ("denormal numbers", np.full(RATE, 1e-40, np.float32)),
        ("0.05 s", voice(0.05)),
        ("one sample", np.array([0.5], np.float32)),
        ("one window", voice(4.0)),
        ("one sample more than a window", voice(4.0 + 1 / RATE)),
        ("two windows", voice(8.0)),
        ("speech between silences", np.pad(voice(1.0), RATE)),
    ],
)
def test_seed_of_hard_cases(name: str, y: Samples) -> None:
    assert_seed_matrix(y, name)


def test_mfcc_with_deltas_at_another_rate(speech: list[Clip]) -> None:
    librosa = pytest.importorskip("librosa")
    ours = Frontend(FrontendSpec.parse(mfcc_with_deltas(22_050)))
    assert ours.shape == (130, 120)
    assert "mfcc, delta, delta: 130 x 120 from 3 s at 22050 Hz" in repr(ours)
    for clip in speech[::8]:
        y = audio.load(clip.path, 22_050)
        trimmed, _ = librosa.effects.trim(y, top_db=30)
        cepstrum = librosa.feature.mfcc(y=to_window(trimmed, 66_150), sr=22_050, n_mfcc=40)
        expected = np.vstack(
            [
                cepstrum,
                librosa.feature.delta(cepstrum),
                librosa.feature.delta(cepstrum, order=2, mode="nearest"),
            ]
        ).T
        actual = ours(y)
        assert actual.shape == expected.shape
        assert actual.flags.c_contiguous
        assert np.abs(actual - expected).max() <= 1e-3, clip.path


def test_psf_mfcc(recordings: Mapping[str, Samples]) -> None:
    psf = pytest.importorskip("python_speech_features")
    ours = frontend(
        trim=None,
        features=[{"name": "psf_mfcc", "scale": 32768.0, "window": "hamming"}],
        layout="frames_features",
    )
    assert ours.shape == (399, 13)
    for name, y in list(recordings.items())[::8]:
        expected = psf.mfcc(to_window(y, WINDOW) * 32768.0, RATE, winfunc=np.hamming)
        assert np.abs(ours(y) - expected).max() <= 1e-3, name


@pytest.mark.parametrize("layout", ["features_frames", "frames_features"])
def test_normalization_is_of_features_in_either_layout(layout: str) -> None:
    y = voice(2.0)
    plain = frontend(layout=layout)(y)
    mean, std = np.arange(22.0), np.arange(1.0, 23.0)
    actual = frontend(layout=layout, normalization={"mean": mean.tolist(), "std": std.tolist()})(y)
    if layout == "features_frames":
        mean, std = mean[:, np.newaxis], std[:, np.newaxis]
    assert actual.dtype == np.float32
    assert actual == pytest.approx((plain - mean) / std, abs=1e-4)


@pytest.mark.parametrize("seconds", [0.5, 4.0, 6.0])
def test_level_is_that_of_the_speech_without_its_padding(seconds: float) -> None:
    speech = 0.01 * voice(seconds)
    ours = frontend(level_dbfs=-26.0, trim=None)
    kept = speech[:WINDOW].astype(np.float64)
    gain = 10 ** (-26 / 20) / np.sqrt(np.mean(kept**2))
    expected = frontend(trim=None)((speech * gain).astype(np.float32))
    actual = ours(speech)
    assert np.array_equal(actual[0], expected[0])
    assert np.abs(actual - expected).max() <= 1e-3


def test_level_makes_loud_and_faint_speech_alike() -> None:
    ours = frontend(level_dbfs=-26.0)
    y = voice(2.0)
    # By a power of two, which loses no digit; a level that changes nothing would miss by 300.
    assert np.abs(ours(y) - ours(y / 64)).max() <= 1e-3


def test_high_pass_comes_before_everything_else() -> None:
    scipy_signal = pytest.importorskip("scipy.signal")
    # A voice in rumble: without the filter nothing would be trimmed.
    rumble = 0.1 * np.sin(2 * np.pi * 10 / RATE * np.arange(3 * RATE))
    y = (np.pad(voice(1.0), RATE) + rumble).astype(np.float32)
    assert frontend().trim(y).size > 2.5 * RATE
    sos = scipy_signal.butter(2, 80, "highpass", fs=RATE, output="sos")
    filtered, _ = scipy_signal.sosfilt(sos, y, zi=scipy_signal.sosfilt_zi(sos) * float(y[0]))
    filtered = filtered.astype(np.float32)
    ours = frontend(high_pass={"cutoff": 80.0})
    start, end = features.trim(filtered, top_db=25, frame_length=256, hop_length=64)
    assert end - start < 1.5 * RATE
    assert np.abs(ours.trim(y) - filtered[start:end]).max() <= 1e-6
    assert np.abs(ours(y) - frontend()(filtered)).max() <= 1e-2


def test_level_leaves_digital_silence_silent() -> None:
    matrix = frontend(level_dbfs=-26.0)(np.zeros(RATE, np.float32))
    assert np.array_equal(matrix, frontend()(np.zeros(RATE, np.float32)))


def test_speech_is_what_trimming_leaves() -> None:
    y = np.pad(voice(1.0), RATE)
    start, end = features.trim(y, top_db=25, frame_length=256, hop_length=64)
    speech = frontend().trim(y)
    assert np.array_equal(speech, y[start:end])
    assert speech.base is y
    assert frontend(trim=None).trim(y) is y


def test_samples_stay_as_they_were() -> None:
    y = voice(5.0)
    before = y.copy()
    frontend(level_dbfs=-26.0)(y)
    assert np.array_equal(y, before)


def test_same_samples_same_matrix() -> None:
    ours = frontend()
    y = voice(2.0)
    first = ours(y)
    ours(voice(4.0))
    assert np.array_equal(ours(y), first)


@pytest.mark.parametrize("preset", frontends.NAMES)
def test_shape_is_known_before_the_first_call(preset: str) -> None:
    ours = Frontend(FrontendSpec.parse(frontends.preset(preset)))
    load = ours.spec.steps[0].arguments
    assert ours(voice(1.0, ours.sample_rate)).shape == ours.shape
    assert ours.sample_rate == load["sample_rate"]
    assert ours.window_samples == load["duration"] * load["sample_rate"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"normalization": {"mean": [0.0], "std": [1.0]}},
            r"steps\[5\] \(normalize\) does not fit: 1 values for 22 features",
        ),
        (
            {"high_pass": {"cutoff": 8000.0}},
            r"steps\[1\] \(high_pass\) does not fit: cutoff is 8000.0 Hz",
        ),
        ({"features": [{"name": "rms", "hop_length": 12}]}, "rms has over 5000 frames"),
        (
            {"window_seconds": 0.1, "features": [{"name": "mfcc", "center": False}]},
            r"stack\[0\] \(mfcc\) does not fit the window: 1600 samples are fewer than a frame",
        ),
        (
            {"features": [{"name": "rms", "hop_length": 160}, {"name": "mfcc"}]},
            r"steps\[4\] \(features\) does not fit: all the input array dimensions",
        ),
        (
            {
                "window_seconds": 0.2,
                "features": [{"name": "mfcc"}, {"name": "delta", "of": "mfcc"}],
            },
            "7 frames are fewer than the width, 9",
        ),
        ({"features": [{"name": "mfcc", "n_mfcc": 129}]}, "n_mfcc is 129"),
        ({"features": [{"name": "mfcc", "fmax": 9000.0}]}, "9000.0 Hz do not fit"),
        ({"features": [{"name": "mfcc", "n_fft": 512, "win_length": 513}]}, "win_length is 513"),
    ],
)
def test_features_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        frontend(**changes)


def computed_before(y: Samples, spec: dict[str, Any]) -> Samples:
    """The model's input as format 1 defined it, with fixed entries in a fixed order."""
    start, end = features.trim(y, **spec["trim"])
    speech = y[start:end][:WINDOW]
    window = np.zeros(WINDOW, np.float32)
    window[: speech.size] = speech
    power = np.einsum("i,i->", speech, speech, dtype=np.float64) / max(1, speech.size)
    if power > 0:
        window *= np.float32(10 ** (spec["level_dbfs"] / 20) / np.sqrt(power))
    zcr, rms, mfcc = ({k: v for k, v in f.items() if k != "name"} for f in spec["features"])
    matrix = np.concatenate(
        [
            features.zero_crossing_rate(window, **zcr),
            features.rms(window, **rms),
            features.mfcc(window, RATE, **mfcc),
        ],
        dtype=np.float32,
    )
    mean, std = (np.asarray(spec["normalization"][k], dtype=np.float32) for k in ("mean", "std"))
    matrix -= mean[:, np.newaxis]
    matrix *= 1 / std[:, np.newaxis]
    return np.ascontiguousarray(matrix.T)


@pytest.mark.parametrize(
    "y",
    [
        voice(1.0), voice(4.0), voice(9.0), np.pad(voice(2.0), RATE), 1e-4 * voice(1.5),
        np.zeros(RATE, np.float32), np.array([0.5], np.float32),
    ],
    ids=["1 s", "a window", "9 s", "silence around", "faint", "silence", "one sample"],
)  # fmt: skip
def test_the_form_before_computes_to_the_bit_what_it_did(y: Samples) -> None:
    rng = np.random.default_rng(1)
    spec = {
        **SEED,
        "level_dbfs": -26.0,
        "layout": "frames_features",
        "normalization": {
            "mean": rng.normal(size=22).tolist(),
            "std": rng.uniform(0.5, 2.0, 22).tolist(),
        },
    }
    expected = computed_before(y, spec)
    assert np.array_equal(Frontend(FrontendSpec.parse(spec))(y), expected)
    steps = json.loads(json.dumps(FrontendSpec.parse(spec).to_dict()))
    assert np.array_equal(Frontend(FrontendSpec.parse(steps))(y), expected)

"""The reference libraries' front end and the runtime's own agree, for features of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ser_edge.convert import frontends
from ser_edge.convert.corpus.clips import Clip
from ser_edge.convert.export import librosa_frontend
from ser_edge.errors import AudioError
from ser_edge.frontend import Frontend, FrontendSpec
from tests.helpers.audio import RATE, Samples, voice

pytest.importorskip("librosa")

BASE = {"sample_rate": 22050, "window_seconds": 1.5, "layout": "features_frames"}
SPECS: dict[str, dict[str, Any]] = {
    **{name: frontends.preset(name) for name in frontends.NAMES},
    "40 MFCC at 22 050 Hz": {**BASE, "features": [{"name": "mfcc", "n_mfcc": 40}]},
    "high-pass and level": {
        **BASE,
        "high_pass": {"cutoff": 80.0},
        "level_dbfs": -26.0,
        "features": [{"name": "mfcc"}],
    },
    "deltas": {
        **BASE,
        "features": [
            {"name": "mfcc", "n_mfcc": 13, "htk": True, "mel_norm": None, "lifter": 22},
            {"name": "delta", "of": "mfcc"},
            {"name": "delta", "of": "mfcc", "order": 2},
        ],
        "normalization": {"mean": [1.0] * 39, "std": [2.0] * 39},
    },
    "python_speech_features": {
        **BASE,
        "sample_rate": RATE,
        "trim": {"top_db": 30.0, "frame_length": 512, "hop_length": 128},
        "features": [{"name": "psf_mfcc", "window": "hamming", "scale": 32768.0}],
        "layout": "frames_features",
    },
}


LOAD = {"name": "load", "sample_rate": 22050, "duration": 1.5}
FIRST = {**LOAD, "windows": "first", "offset": 0.25, "duration": 0.9}
MFCC = {"name": "features", "stack": [{"name": "mfcc", "n_mfcc": 40}]}
MEL = {"name": "melspectrogram", "n_mels": 64, "power_to_db": {"ref": "max"}}
MEANS = {"name": "pool", "axis": "time"}
PIPELINES: dict[str, list[dict[str, Any]]] = {
    "mean of 40 MFCC of the first seconds": [
        FIRST, MFCC, MEANS, {"name": "reshape", "shape": [40]},
    ],
    "kaiser_best": [{**FIRST, "res_type": "kaiser_best"}, MFCC, MEANS],
    "kaiser_fast": [{**FIRST, "res_type": "kaiser_fast"}, MFCC, MEANS],
    "mean over the coefficients": [
        FIRST,
        MFCC,
        {"name": "pool", "axis": "coefficients", "statistics": ["mean"]},
        {"name": "crop_frames", "frames": 50},
        {"name": "pad_frames", "frames": 50},
        {"name": "layout", "order": "frames_features"},
    ],
    "frames padded with a value": [
        LOAD,
        MFCC,
        {"name": "crop_frames", "frames": 174},
        {"name": "pad_frames", "frames": 174, "value": -1.0},
    ],
    "the last frames, padded in front": [
        LOAD,
        {"name": "trim", "top_db": 20},
        MFCC,
        {"name": "crop_frames", "frames": 20, "keep": "end"},
        {"name": "pad_frames", "frames": 20, "at": "start"},
    ],
    "mel picture of the centre": [
        LOAD,
        {"name": "trim", "top_db": 30},
        {"name": "crop", "samples": 17001, "keep": "centre"},
        {"name": "pad", "samples": 17001, "at": "both"},
        {"name": "features", "stack": [MEL]},
        {"name": "normalize", "by": "clip", "method": "minmax"},
    ],
    "centred in a longer window": [
        LOAD,
        {"name": "crop", "samples": 40000, "keep": "centre"},
        {"name": "pad", "samples": 40000, "at": "both"},
        {"name": "features", "stack": [{"name": "melspectrogram", "n_mels": 32}]},
    ],
    "180 means": [
        LOAD,
        {
            "name": "features",
            "stack": [
                {"name": "mfcc", "n_mfcc": 40, "statistics": ["mean"]},
                {"name": "chroma_stft", "statistics": ["mean"]},
                {"name": "melspectrogram", "statistics": ["mean"]},
            ],
        },
    ],
    "statistics of many features": [
        LOAD,
        {
            "name": "features",
            "stack": [
                {"name": "zero_crossing_rate"},
                {"name": "rms"},
                {"name": "spectral_contrast"},
                {"name": "chroma_stft", "power": 1.0, "chroma_norm": None},
            ],
        },
        {"name": "pool", "axis": "time", "statistics": ["mean", "std", "min", "max", "median"]},
    ],
    "pre-emphasis, peak, frames normalized": [
        LOAD,
        {"name": "normalize", "method": "peak"},
        {"name": "preemphasis"},
        {"name": "crop", "samples": 16000},
        {"name": "pad", "samples": 16000},
        MFCC,
        {"name": "normalize", "by": "frame", "method": "peak"},
    ],
    "pre-emphasis from the first sample on, coefficients normalized": [
        LOAD,
        {"name": "preemphasis", "coef": 0.9, "zi": 0.0},
        {"name": "normalize", "method": "zscore", "epsilon": 1e-8},
        {"name": "crop", "samples": 16000},
        MFCC,
        {"name": "normalize", "by": "coefficient", "method": "zscore", "epsilon": 1e-6},
        {"name": "pool", "axis": "time", "statistics": ["max"]},
    ],
    "a scaler of the vector": [
        LOAD,
        {"name": "high_pass"},
        MFCC,
        MEANS,
        {"name": "normalize", "by": "training", "mean": [3.0] * 40, "std": [2.0] * 40},
    ],
    "speechpy": [
        {**LOAD, "sample_rate": 16000},
        {"name": "crop", "samples": 16000},
        {"name": "pad", "samples": 16000},
        {"name": "features", "stack": [{"name": "speechpy_mfcc", "n_mfcc": 39, "scale": 32768.0}]},
    ],
    "tf.signal": [
        {**LOAD, "sample_rate": 16000},
        {
            "name": "features",
            "stack": [
                {"name": "tf_mfcc", "statistics": ["mean"]},
                {"name": "tf_log_mel", "n_mels": 64, "statistics": ["mean"]},
            ],
        },
    ],
}  # fmt: skip
NEEDS = {
    "kaiser_best": "resampy",
    "kaiser_fast": "resampy",
    "speechpy": "speechpy",
    "tf.signal": "tensorflow",
}


def assert_equals_the_runtime(path: Path, spec: FrontendSpec, name: str) -> None:
    frontend = Frontend(spec)
    ours = frontend(frontend.load(path))
    theirs = librosa_frontend.features_of(path, spec)
    assert theirs.shape == frontend.shape, name
    assert theirs.dtype == np.float32
    # MFCC reach 1e3 in float32; the tolerance is that of ser_edge.features.mfcc. Mel power reaches
    # the square of the frame's length.
    assert ours == pytest.approx(theirs, abs=1e-3, rel=1e-4), name


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stereo, at a rate of its own, with silence around: all that loading has to deal with."""
    samples = np.pad(voice(1.0, rate=44100), 8000)
    path = tmp_path_factory.mktemp("recorded") / "voice.wav"
    soundfile.write(path, np.stack([samples, 0.5 * samples], axis=1), 44100)
    return path


@pytest.mark.parametrize("name", SPECS)
def test_equals_the_runtime(recorded: Path, name: str) -> None:
    if name.startswith("tf-"):
        pytest.importorskip("tensorflow")
    assert_equals_the_runtime(recorded, FrontendSpec.parse(SPECS[name]), name)


@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines_equal_the_runtime(recorded: Path, name: str) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    spec = FrontendSpec.parse({"steps": PIPELINES[name]})
    assert_equals_the_runtime(recorded, spec, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines_equal_the_runtime_on_speech(speech: list[Clip], name: str) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    spec = FrontendSpec.parse({"steps": PIPELINES[name]})
    for clip in speech[::60]:
        assert_equals_the_runtime(clip.path, spec, f"{name}: {clip.path}")


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize(
    ("kind", "rate", "samples"),
    [
        ("silence", 22050, np.zeros(30_000)),
        ("one sample", 22050, np.full(1, 0.5)),
        ("exactly one window", 22050, voice(1.5, rate=22050)),
        ("96 kHz", 96000, voice(2.0, rate=96000)),
    ],
)
def test_pipelines_equal_the_runtime_in_hard_cases(
    tmp_path: Path, name: str, kind: str, rate: int, samples: Samples
) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    spec = FrontendSpec.parse({"steps": PIPELINES[name]})
    frontend = Frontend(spec)
    if kind == "one sample" and spec.step("preemphasis") is not None:
        pytest.skip("librosa's preemphasis wants two")
    path = tmp_path / "hard.wav"
    soundfile.write(path, samples, rate)
    loaded = frontend.load(path)
    if loaded.size < frontend.min_samples:
        with pytest.raises((AudioError, ValueError)):
            librosa_frontend.features_of(path, spec)
        return
    assert_equals_the_runtime(path, spec, f"{name}: {kind}")


def test_what_librosa_cannot_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.wav"
    path.write_text("no audio")
    with pytest.raises(AudioError, match=r"text\.wav: librosa cannot read it"):
        librosa_frontend.features_of(path, FrontendSpec.parse(SPECS["seed"]))

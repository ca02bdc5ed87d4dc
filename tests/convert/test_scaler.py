"""Scalers of training data become the last step of a front end; the oracle is scikit-learn."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_edge.convert import scaler
from ser_edge.errors import ModelError
from ser_edge.frontend import Frontend, FrontendSpec
from tests.helpers.audio import voice

STEPS: list[dict[str, Any]] = [
    {"name": "load", "sample_rate": 8000, "duration": 1.0},
    {"name": "crop", "samples": 8000},
    {"name": "pad", "samples": 8000},
    {"name": "features", "stack": [{"name": "mfcc", "n_mfcc": 5, "n_mels": 20, "n_fft": 512}]},
]
POOLED = FrontendSpec.parse({"steps": [*STEPS, {"name": "pool", "axis": "time"}]})
CLIPS = [voice(0.7, rate=rate)[:8000] for rate in (6000, 7000, 8000, 9000)]


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_a_standard_scaler(tmp_path: Path) -> None:
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    rows = np.stack([Frontend(POOLED)(clip)[:, 0] for clip in CLIPS])
    fitted = preprocessing.StandardScaler().fit(rows)
    path = save(tmp_path / "scaler.npz", mean=fitted.mean_, scale=fitted.scale_)
    scaled = Frontend(scaler.add(POOLED, path))
    got = np.stack([scaled(clip)[:, 0] for clip in CLIPS])
    assert got == pytest.approx(fitted.transform(rows), abs=1e-4)  # of float32 MFCC up to 500


def test_a_min_max_scaler(tmp_path: Path) -> None:
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    rows = np.stack([Frontend(POOLED)(clip)[:, 0] for clip in CLIPS])
    fitted = preprocessing.MinMaxScaler((-1, 1)).fit(rows)
    mean, scale = -fitted.min_ / fitted.scale_, 1 / fitted.scale_  # as docs/convert.md has it
    path = save(tmp_path / "scaler.npz", mean=mean, scale=scale)
    scaled = Frontend(scaler.add(POOLED, path))
    got = np.stack([scaled(clip)[:, 0] for clip in CLIPS])
    assert got == pytest.approx(fitted.transform(rows), abs=1e-4)


@pytest.mark.parametrize(
    ("given", "mean", "std"),
    [
        ({"mean": [1, 2, 3, 4, 5], "scale": 2}, [1, 2, 3, 4, 5], [2] * 5),
        ({"mean": 3.0}, [3] * 5, [1] * 5),
        ({"mean": [[1], [2], [3], [4], [5]], "std": [[1, 2, 3, 4, 5]]}, [1, 2, 3, 4, 5], None),
    ],
)
def test_it_is_the_last_step_before_the_layout(
    tmp_path: Path, given: dict[str, Any], mean: list[float], std: list[float] | None
) -> None:
    path = tmp_path / "scaler.json"
    path.write_text(json.dumps(given))
    layout = {"name": "layout", "order": "frames_features"}
    spec = scaler.add(FrontendSpec.parse({"steps": [*STEPS, layout]}), path)
    assert [step.name for step in spec.steps[-2:]] == ["normalize", "layout"]
    arguments = spec.steps[-2].arguments
    assert arguments["by"] == "training"
    assert list(arguments["mean"]) == mean
    assert list(arguments["std"]) == (std or mean)
    assert FrontendSpec.parse(spec.to_dict()) == spec
    with pytest.raises(ModelError, match="states mean and std already"):
        scaler.add(spec, path)


def test_one_row_has_a_value_for_each_frame(tmp_path: Path) -> None:
    pool = {"name": "pool", "axis": "coefficients", "statistics": ["mean"]}
    spec = FrontendSpec.parse({"steps": [*STEPS, pool]})
    _, frames = Frontend(spec).shape
    means = np.arange(frames) + 0.5
    scaled = Frontend(scaler.add(spec, save(tmp_path / "s.npz", mean=means)))
    expected = Frontend(spec)(CLIPS[0]) - means
    assert scaled(CLIPS[0]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (pickle.dumps({"mean": [1.0]}), r"is a pickle, .* never read: .*np\.savez"),
        (b"x\x9cabc", "is a pickle"),
        (b"\x93NUMPY", "neither .npz nor JSON"),
        (b"", "neither .npz nor JSON"),
        (b"PK\x03\x04 no archive", "is damaged"),
        (b"[1, 2]", "must be an object"),
        (b"{}", "must hold mean and scale, not nothing"),
        (b'{"mean": [1], "var": [2]}', "must hold mean and scale, not mean, var"),
        (b'{"mean": ["a"]}', "its mean is no list of finite numbers"),
        (b'{"mean": [[1, 2], [3]]}', "its mean is no list of finite numbers"),
        (b'{"mean": [1, NaN]}', "its mean is no list of finite numbers"),
        (b'{"mean": null}', "its mean is no list of finite numbers"),
        (b'{"mean": [[1, 2], [3, 4]]}', "its mean is 2 x 2, where one row is needed"),
        (b'{"mean": [1, 2], "scale": [1, 2, 3]}', "2 means and 3 scales"),
        (b'{"scale": [1, 0]}', "every scale must be above zero"),
        (b'{"mean": [1, 2, 3]}', "has 3 values, where the front end gives 5 features"),
        (json.dumps({"mean": [0.5] * 80}).encode(), "80 values, .* 5 features; that of whole"),
    ],
)
def test_what_is_no_scaler_of_it(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "scaler"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=sentence):
        scaler.add(FrontendSpec.parse({"steps": STEPS}), path)


def test_objects_and_bombs_in_an_archive(tmp_path: Path) -> None:
    path = save(tmp_path / "s.npz", mean=np.array([None, {}], dtype=object))
    with pytest.raises(ModelError, match="something else than numbers"):
        scaler.read(path)
    np.savez_compressed(path, mean=np.zeros(2**22))
    with pytest.raises(ModelError, match="larger than 16 MB"):
        scaler.read(path)
    with pytest.raises(ModelError, match=r"cannot read the scaler .*: No such file"):
        scaler.read(tmp_path / "none")

"""The public project's CLSTM, layer by layer: github.com/ZionC27/Speech-Emotion-Recognition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ser_edge.convert import frontends
from ser_edge.convert.corpus.clips import LABELS
from ser_edge.convert.export import inspection
from ser_edge.convert.export.pipeline import Options, convert_model
from ser_edge.convert.train import architectures
from ser_edge.errors import ModelError

tf = pytest.importorskip("tensorflow")

OPTIONS = Options(spec=frontends.preset("seed"), labels=LABELS, name="clstm")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model_CLSTM_20_89.h5", "clstm.keras", "saved_model"])
def test_converts(tmp_path: Path, name: str) -> None:
    model = architectures.build("clstm", (22, 401), 6)
    assert model.count_params() == 5_826_214
    model.save(tmp_path / name)
    output = tmp_path / "clstm.tflite"
    convert_model(str(tmp_path / name), output, OPTIONS)
    assert output.stat().st_size <= 6_200_000
    found = inspection.inspect(output)
    operators = {operator["name"]: operator["count"] for operator in found["operators"]}
    assert operators["UNIDIRECTIONAL_SEQUENCE_LSTM"] == 3
    assert "WHILE" not in operators
    assert [entry["shape"] for entry in found["inputs"]] == [[1, 22, 401]]
    assert any(runtime["runs"] for runtime in found["runtimes"].values())
    assert False not in [runtime["runs"] for runtime in found["runtimes"].values()]


def changed(**arguments: Any) -> dict[str, Any]:
    """The seed's front end with another MFCC or window."""
    spec = frontends.preset("seed")
    seconds = arguments.pop("seconds", 4.0)
    load, _, crop, pad, features = spec["steps"]
    load["duration"] = seconds
    crop["samples"] = pad["samples"] = round(16000 * seconds)
    features["stack"][2].update(arguments)
    return spec


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            changed(n_mfcc=13),
            r"^the model takes 22 x 401 values, but the front end \(zero_crossing_rate, rms, "
            r"13 mfcc over 4 s, features_frames\) gives 15 x 401$",
        ),
        (
            changed(seconds=3.0),
            r"^the model takes 22 x 401 values, but the front end \(.* over 3 s, .*\) gives "
            r"22 x 301$",
        ),
    ],
)
def test_a_wrong_front_end_is_refused(tmp_path: Path, spec: dict[str, Any], sentence: str) -> None:
    source = tmp_path / "lstm.h5"
    architectures.build("lstm", (22, 401), 6).save(source)
    options = Options(spec=spec, labels=LABELS, name="wrong")
    with pytest.raises(ModelError, match=sentence):
        convert_model(str(source), tmp_path / "out.tflite", options)
    assert [path.name for path in tmp_path.iterdir()] == ["lstm.h5"]

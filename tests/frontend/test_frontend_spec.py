"""The description of a front end: steps in their order, their bounds, the form before them."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest

from ser_edge import features
from ser_edge.convert import frontends
from ser_edge.errors import ModelError
from ser_edge.frontend import Frontend, FrontendSpec, Step
from ser_edge.frontend.arguments import _ARGUMENTS, FEATURES
from ser_edge.frontend.spec import _PHASES
from tests.helpers.models import METADATA

LOAD = {"name": "load", "sample_rate": 16000, "duration": 1.0}
MFCC = {"name": "features", "stack": [{"name": "mfcc", "n_mfcc": 13}]}
CHROMA = {"name": "chroma_stft", "n_fft": 8192, "hop_length": 256}
POOL = {"name": "pool", "axis": "time"}

EVERY_STEP: list[dict[str, Any]] = [
    {**LOAD, "windows": "first", "offset": 0.5, "res_type": "kaiser_fast"},
    {"name": "high_pass", "cutoff": 60.0, "order": 4},
    {"name": "trim", "top_db": 30.0, "frame_length": 512, "hop_length": 128},
    {"name": "preemphasis", "coef": 0.95, "zi": 0.0},
    {"name": "quantize", "bits": 16},
    {"name": "normalize", "by": "clip", "method": "peak", "epsilon": 0.0},
    {"name": "level", "dbfs": -20.0},
    {"name": "crop", "samples": 12000, "keep": "centre"},
    {"name": "pad", "samples": 12000, "at": "both", "value": 0.0},
    {"name": "features",
     "stack": [{"name": "mfcc", "n_mfcc": 13}, {"name": "delta", "of": "mfcc"}]},
    {"name": "normalize", "by": "frame", "method": "zscore", "epsilon": 1e-8},
    {"name": "crop_frames", "frames": 20, "keep": "end"},
    {"name": "pad_frames", "frames": 24, "at": "start", "value": -1.0},
    {"name": "normalize", "by": "training", "mean": [0.0] * 26, "std": [1.0] * 26},
    {"name": "pool", "axis": "coefficients", "statistics": ["mean", "std", "min"]},
    {"name": "layout", "order": "frames_features"},
    {"name": "reshape", "shape": [72]},
]  # fmt: skip


def parse(*steps: dict[str, Any]) -> FrontendSpec:
    return FrontendSpec.parse({"steps": list(steps)})


def test_every_step_is_read_and_written() -> None:
    assert {step["name"] for step in EVERY_STEP} == {*_PHASES, "normalize"}
    spec = parse(*EVERY_STEP)
    assert [step.name for step in spec.steps] == [step["name"] for step in EVERY_STEP]
    for given_, written in zip(EVERY_STEP, spec.to_dict()["steps"]):
        if given_["name"] != "features":
            assert json.loads(json.dumps(written)) == given_
    assert FrontendSpec.parse(json.loads(json.dumps(spec.to_dict()))) == spec
    assert (spec.first_only, spec.offset, spec.res_type) == (True, 0.5, "kaiser_fast")
    assert Frontend(spec).shape == (72,)


def test_defaults_are_those_of_librosa() -> None:
    librosa = pytest.importorskip("librosa")
    spec = parse(LOAD, {"name": "trim"}, {"name": "preemphasis"}, MFCC, POOL)
    for name, function in {
        "trim": librosa.effects.trim,
        "preemphasis": librosa.effects.preemphasis,
    }.items():
        step = spec.step(name)
        assert step is not None
        parameters = inspect.signature(function).parameters
        assert step.arguments == {key: parameters[key].default for key in step.arguments}
    assert spec.steps[0].arguments["res_type"] == "soxr_hq"


@pytest.mark.parametrize("name", FEATURES)
def test_every_argument_of_every_feature_is_checked(name: str) -> None:
    assert set(getattr(features, name).__kwdefaults__) <= set(_ARGUMENTS)
    stack = [{"name": "mfcc"}, {"name": name, **({"of": "mfcc"} if name == "delta" else {})}]
    (_, feature) = parse(LOAD, {"name": "features", "stack": stack}, POOL).features
    assert set(getattr(features, name).__kwdefaults__) <= set(feature.arguments)


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        ([], r"frontend\.steps must be a list of 2 to 20 steps"),
        ([LOAD], r"frontend\.steps must be a list of 2 to 20 steps"),
        ([LOAD, MFCC, *[POOL] * 19], r"frontend\.steps must be a list of 2 to 20 steps"),
        ("load", r"frontend\.steps must be a list"),
        ([LOAD, "mfcc"], r"frontend\.steps\[1\] is not an object"),
        ([MFCC, LOAD], r'steps\[0\] is "features", but the first step must be "load"'),
        ([LOAD, LOAD, MFCC], r'steps\[1\] is "load", which must not come after "load"'),
        ([LOAD, MFCC, MFCC], r'steps\[2\] is "features", which must not come after "features"'),
        ([LOAD, MFCC, {"name": "trim"}], r'steps\[2\] is "trim", which must not come after'),
        ([LOAD, POOL, MFCC], r'steps\[1\] is "pool", which must come after "features"'),
        ([LOAD, {"name": "trim"}], r'frontend\.steps has no step "features"'),
        (
            [LOAD, MFCC, {"name": "layout", "order": "frames_features"}, POOL],
            r'steps\[3\] is "pool", which must not come after "layout"',
        ),
        ([LOAD, {"name": "chroma"}, MFCC], r"steps\[1\]\.name is 'chroma', but must be"),
        ([LOAD, {"name": "trim", "db": 30}, MFCC], r"steps\[1\]\.db: unknown"),
        ([LOAD, {"name": "crop"}, MFCC], r"steps\[1\]\.samples is missing"),
        ([{**LOAD, "offset": 0.5}, MFCC], r'steps\[0\]\.offset needs "windows": "first"'),
        ([{**LOAD, "res_type": "sinc_best"}, MFCC], r"steps\[0\]\.res_type is 'sinc_best'"),
        ([{**LOAD, "duration": 61}, MFCC], r"steps\[0\]\.duration is 61, but must be from"),
        (
            [LOAD, {"name": "normalize", "by": "frame", "method": "peak"}, MFCC],
            r"steps\[1\]\.by is 'frame', but must be \"clip\"",
        ),
        (
            [LOAD, MFCC, {"name": "normalize", "by": "training", "mean": [1.0], "std": [0.0]}],
            r"steps\[2\] needs as many std as mean, all above zero",
        ),
        ([LOAD, MFCC, {**POOL, "statistics": ["mode"]}], r"steps\[2\]\.statistics is \['mode'\]"),
        ([LOAD, MFCC, {**POOL, "statistics": ["std"] * 2}], r"steps\[2\]\.statistics is"),
        ([LOAD, MFCC, {"name": "reshape", "shape": [0, 13]}], r"steps\[2\]\.shape is \[0, 13\]"),
        (
            [LOAD, {"name": "features", "stack": [{"name": "delta", "of": "mfcc"}]}],
            r"steps\[1\]\.stack\[0\]\.of names no feature before it",
        ),
        (
            [LOAD, {"name": "features", "stack": [{"name": "melspectrogram", "power_to_db": 1}]}],
            r"steps\[1\]\.stack\[0\]\.power_to_db is not an object",
        ),
        (
            [
                LOAD,
                {
                    "name": "features",
                    "stack": [{"name": "melspectrogram", "power_to_db": {"ref": "mean"}}],
                },
            ],
            r"steps\[1\]\.stack\[0\]\.power_to_db\.ref is 'mean'",
        ),
        (
            [
                LOAD,
                {
                    "name": "features",
                    "stack": [{"name": "mfcc", "statistics": ["mean"]}, {"name": "rms"}],
                },
            ],
            r"steps\[1\]\.stack: either all features have statistics or none has",
        ),
    ],
)
def test_what_is_no_description_is_refused(steps: Any, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence) as caught:
        FrontendSpec.parse({"steps": steps})
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        ([LOAD, MFCC], r"gives 13 x 1 values for 1 samples, but 13 x 32 for 16000: pad the"),
        ([LOAD, MFCC, {"name": "crop_frames", "frames": 20}], r"13 x 1 .* 13 x 20 for 16000"),
        ([LOAD, MFCC, {"name": "pad_frames", "frames": 20}], r"13 x 20 .* 13 x 32 for 16000"),
        ([LOAD, {"name": "pad", "samples": 12000}, MFCC], r"13 x 24 .* 13 x 32 for 16000"),
        (
            [{**LOAD, "sample_rate": 96000, "duration": 60.0}, MFCC, POOL],
            "a window of 5760000 samples is over 3000000",
        ),
        (
            [LOAD, {"name": "pad", "samples": 3_000_000}, MFCC],
            "mfcc has over 5000 frames in a window",
        ),
        (
            [
                {**LOAD, "duration": 60.0},
                {"name": "features", "stack": [CHROMA]},
                POOL,
            ],
            "chroma_stft has spectra of 15360000 values in a window, but 6000000 are the most",
        ),
        (
            [LOAD, MFCC, POOL, {"name": "reshape", "shape": [14]}],
            r"steps\[3\] \(reshape\) does not fit",
        ),
        (
            [LOAD, {"name": "high_pass", "cutoff": 9000.0}, {"name": "trim"}, MFCC, POOL],
            r"steps\[1\] \(high_pass\) does not fit: cutoff is 9000",
        ),
        (
            [
                {**LOAD, "duration": 0.1},
                {"name": "features", "stack": [{"name": "mfcc", "center": False}]},
                POOL,
            ],
            r"steps\[1\]\.stack\[0\] \(mfcc\) does not fit the window: 1600 samples are fewer",
        ),
    ],
)
def test_what_does_not_fit_is_refused(steps: Any, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        Frontend(FrontendSpec.parse({"steps": steps}))


def test_the_form_before_becomes_steps() -> None:
    spec = FrontendSpec.parse(METADATA["frontend"])
    steps = [step.to_dict() for step in spec.steps]
    stack = steps.pop(6)
    assert steps == [
        {"name": "load", "sample_rate": 16000, "duration": 1.0, "windows": "all", "offset": 0.0,
         "res_type": "soxr_hq"},
        {"name": "high_pass", "cutoff": 80.0, "order": 2},
        {"name": "trim", "top_db": 25.0, "frame_length": 256, "hop_length": 64},
        {"name": "crop", "samples": 16000, "keep": "start"},
        {"name": "level", "dbfs": -26.0},
        {"name": "pad", "samples": 16000, "at": "end", "value": 0.0},
        {"name": "normalize", "by": "training", "mean": (0.0,) * 7, "std": (1.0,) * 7},
        {"name": "layout", "order": "features_frames"},
    ]  # fmt: skip
    assert [feature["name"] for feature in stack["stack"]] == ["rms", "mfcc", "delta"]
    assert FrontendSpec.parse(spec.to_dict()) == spec


def test_normalization_is_the_last_thing_done_to_features() -> None:
    bare = FrontendSpec.parse(frontends.preset("compact"))
    assert bare.normalization is None
    once = bare.with_normalization([1.0] * 66, [2.0] * 66)
    assert [step.name for step in once.steps[-2:]] == ["normalize", "layout"]
    assert once.normalization == Step(
        "normalize", {"by": "training", "mean": (1.0,) * 66, "std": (2.0,) * 66}
    )
    again = once.with_normalization([3.0] * 66, [2.0] * 66)
    assert len(again.steps) == len(once.steps)
    assert again.with_normalization(None, None) == bare
    without_layout = FrontendSpec.parse(frontends.preset("seed")).with_normalization([0.0], [1.0])
    assert without_layout.steps[-1].name == "normalize"


def test_lines_tell_what_is_not_by_default() -> None:
    lines = list(parse(*EVERY_STEP).lines())
    assert lines[0] == "high_pass: cutoff 60, order 4"
    assert "mfcc: n_mfcc 13" in lines
    assert "delta: of mfcc" in lines
    assert "normalize: by training, mean 26 values, std 26 values" in lines
    assert next(parse(LOAD, {"name": "trim"}, MFCC, POOL).lines()) == "trim"

from __future__ import annotations

import json
from typing import Any

import pytest

from ser_edge.convert import frontends
from ser_edge.errors import ModelError
from ser_edge.frontend import FrontendSpec, Step
from ser_edge.metadata import Metadata
from tests.helpers.models import METADATA, MISSING, bundled, edited


def parse(metadata: Any) -> Metadata:
    return Metadata.parse(json.dumps(metadata).encode())


def test_every_entry_is_read() -> None:
    neutral = [-0.25, -1.5]
    metadata = parse(
        {**METADATA, "neutral_log_probabilities": neutral, "training": {"corpora": []}}
    )
    assert metadata.name == "test"
    assert metadata.labels == ("calm", "excited")
    names = [step.name for step in metadata.frontend.steps]
    assert names == "load high_pass trim crop level pad features normalize layout".split()
    assert metadata.frontend.step("high_pass") == Step("high_pass", {"cutoff": 80.0, "order": 2})
    assert metadata.frontend.step("trim") == Step(
        "trim", {"top_db": 25.0, "frame_length": 256, "hop_length": 64}
    )
    assert metadata.frontend.step("pad") == Step(
        "pad", {"samples": 16000, "at": "end", "value": 0.0}
    )
    assert metadata.frontend.features[0].name == "rms"
    assert metadata.frontend.normalization is not None
    assert metadata.frontend.normalization.arguments["std"] == (1.0,) * 7
    assert metadata.decision.silence_dbfs == -60.0
    assert metadata.reference is not None
    assert metadata.reference.scores == (0.25, 0.75)
    assert metadata.neutral_log_probabilities == (-0.25, -1.5)
    assert metadata.details == {"training": {"corpora": []}}


def test_arguments_left_out_are_the_features_own_defaults() -> None:
    (mfcc,) = FrontendSpec.parse(
        {
            "sample_rate": 16000,
            "window_seconds": 4,
            "features": [{"name": "mfcc"}],
            "layout": "features_frames",
        }
    ).features
    assert mfcc.arguments == {
        "n_mfcc": 20, "n_fft": 2048, "hop_length": 512, "win_length": None, "window": "hann",
        "center": True, "pad_mode": "constant", "n_mels": 128, "fmin": 0.0, "fmax": None,
        "htk": False, "mel_norm": "slaney", "power": 2.0, "amin": 1e-10, "top_db": 80.0,
        "norm": "ortho", "lifter": 0.0, "statistics": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("high_pass", "high_pass"),
        ("trim", "trim"),
        ("level_dbfs", "level"),
        ("normalization", "normalize"),
    ],
)
def test_parts_of_the_front_end_may_be_missing_or_null(name: str, step: str) -> None:
    assert parse(METADATA).frontend.step(step) is not None
    for value in (None, MISSING):
        metadata = parse(edited(METADATA, f"frontend.{name}", value))
        assert metadata.frontend.step(step) is None


def test_windows_leave_no_gap_between_them() -> None:
    window = METADATA["frontend"]["window_seconds"]
    parse(edited(METADATA, "decision.window_hop_seconds", window))
    with pytest.raises(ModelError, match=r"window_hop_seconds .* must not exceed the window"):
        parse(edited(METADATA, "decision.window_hop_seconds", window + 0.1))


@pytest.mark.parametrize("values", [[], [-1.0], [-1.0] * 3, [0.1, -1.0], [-1001.0, 0.0], "no", 1])
def test_neutral_log_probabilities_are_logarithms_for_every_label(values: Any) -> None:
    with pytest.raises(ModelError, match="neutral_log_probabilities"):
        parse({**METADATA, "neutral_log_probabilities": values})


def test_reference_may_be_missing() -> None:
    assert parse(edited(METADATA, "reference", MISSING)).reference is None


@pytest.mark.parametrize("changes", [{}, {"reference": None}, {"accuracy": {"uar": [0.5]}}])
def test_written_and_read_again_it_is_the_same(changes: dict[str, Any]) -> None:
    metadata = parse({**METADATA, **changes})
    assert parse(metadata.to_dict()) == metadata
    for key, value in changes.items():
        assert metadata.to_dict()[key] == value


def test_the_bundled_model_s_is_the_same_too() -> None:
    _, data = bundled()
    metadata = parse(data)
    assert parse(metadata.to_dict()) == metadata
    assert set(data) <= set(metadata.to_dict())


@pytest.mark.parametrize("name", frontends.NAMES)
def test_presets_are_the_same_too(name: str) -> None:
    spec = FrontendSpec.parse(frontends.preset(name))
    assert FrontendSpec.parse(json.loads(json.dumps(spec.to_dict()))) == spec


REQUIRED = [
    "format", "name", "labels", "frontend", "decision", "quantization", "flatbuffer",
    "frontend.sample_rate", "frontend.window_seconds", "frontend.features", "frontend.layout",
    "frontend.trim.top_db", "frontend.trim.frame_length", "frontend.trim.hop_length",
    "frontend.normalization.mean", "frontend.normalization.std",
    "decision.window_hop_seconds", "decision.min_speech_seconds", "decision.silence_dbfs",
    "decision.temperature", "decision.threshold",
    "flatbuffer.bytes", "flatbuffer.sha256",
    "reference.signal", "reference.seconds", "reference.scores",
]  # fmt: skip


@pytest.mark.parametrize("path", REQUIRED)
def test_what_is_missing_is_named(path: str) -> None:
    with pytest.raises(ModelError, match=rf"{path} is missing"):
        parse(edited(METADATA, path, MISSING))


def test_a_missing_name_or_source_of_a_feature_is_named() -> None:
    with pytest.raises(ModelError, match=r"frontend\.features\[0\]\.name is missing"):
        parse(edited(METADATA, "frontend.features.0.name", MISSING))
    with pytest.raises(ModelError, match=r"frontend\.features\[2\]\.of is missing"):
        parse(edited(METADATA, "frontend.features.2.of", MISSING))


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ("frontend", "frontend"),
        ("frontend.trim", "frontend.trim"),
        ("frontend.normalization", "frontend.normalization"),
        ("frontend.features.1", "frontend.features[1]"),
        ("decision", "decision"),
        ("flatbuffer", "flatbuffer"),
        ("reference", "reference"),
    ],
)
def test_what_is_unknown_is_named(place: str, named: str) -> None:
    with pytest.raises(ModelError) as caught:
        parse(edited(METADATA, f"{place}.speed", 2))
    assert str(caught.value).startswith(f"{named}.speed: unknown")


@pytest.mark.parametrize(
    "place",
    ["frontend", "frontend.trim", "frontend.normalization", "decision", "flatbuffer", "reference"],
)
@pytest.mark.parametrize("value", [[], "text", 1])
def test_what_should_be_an_object_is_named(place: str, value: Any) -> None:
    with pytest.raises(ModelError, match=f"{place} is not an object"):
        parse(edited(METADATA, place, value))


OUT_OF_RANGE = {
    "format": [0, -1, 1.0, True, "1", None, 2**40],
    "name": ["", None, 7, "x" * 10_001, "two\nlines", "\x1b[2J", "\ud800"],
    "quantization": ["int4", None, ["none"], {}],
    "frontend.sample_rate": [0, 999, 192_001, 16000.5, "16000", True, None],
    "frontend.window_seconds": [0, 0.05, 61, "4", 10**400],
    "frontend.trim.top_db": [-1, 201, None],
    "frontend.trim.frame_length": [0, 8193, 1.5],
    "frontend.trim.hop_length": [0, 8193],
    "frontend.level_dbfs": [1, -101, "loud", False],
    "frontend.layout": ["frames", None, 1],
    "decision.window_hop_seconds": [0, -1, 61],
    "decision.min_speech_seconds": [-1, 61],
    "decision.silence_dbfs": [1, -201],
    "decision.temperature": [0, 0.01, 21],
    "decision.threshold": [-0.1, 1.1, 10**400],
    "flatbuffer.bytes": [0, -1, 2**40, 10.0],
    "flatbuffer.sha256": ["", 0],
    "reference.signal": ["", None],
    "reference.seconds": [0, 61],
}


@pytest.mark.parametrize(
    ("path", "value"), [(path, value) for path, values in OUT_OF_RANGE.items() for value in values]
)
def test_what_is_out_of_range_is_named(path: str, value: Any) -> None:
    with pytest.raises(ModelError, match=rf"(metadata\.)?{path} is ") as caught:
        parse(edited(METADATA, path, value))
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("feature", "named"),
    [
        ({"name": "chroma"}, "name"),
        ({"name": None}, "name"),
        ({"name": "__init__"}, "name"),
        ({"name": "trim"}, "name"),
        ({"name": "rms", "frame_length": 0}, "frame_length"),
        ({"name": "rms", "hop_length": 10_000}, "hop_length"),
        ({"name": "rms", "center": 1}, "center"),
        ({"name": "rms", "pad_mode": "wrap"}, "pad_mode"),
        ({"name": "mfcc", "n_mfcc": 257}, "n_mfcc"),
        ({"name": "mfcc", "n_mels": 0}, "n_mels"),
        ({"name": "mfcc", "window": "kaiser"}, "window"),
        ({"name": "mfcc", "window": None}, "window"),
        ({"name": "mfcc", "fmin": -1}, "fmin"),
        ({"name": "mfcc", "fmax": 1e6}, "fmax"),
        ({"name": "mfcc", "amin": 0}, "amin"),
        ({"name": "mfcc", "power": 0}, "power"),
        ({"name": "mfcc", "top_db": -1}, "top_db"),
        ({"name": "mfcc", "norm": "forward"}, "norm"),
        ({"name": "mfcc", "mel_norm": 1}, "mel_norm"),
        ({"name": "mfcc", "lifter": -1}, "lifter"),
        ({"name": "mfcc", "sr": 8000}, "sr"),
        ({"name": "delta", "of": "rms"}, "of"),
        ({"name": "delta", "of": "delta"}, "of"),
        ({"name": "psf_mfcc", "preemphasis": 2}, "preemphasis"),
        ({"name": "psf_mfcc", "scale": 0}, "scale"),
        ({"name": "psf_mfcc", "energy": "yes"}, "energy"),
    ],
)
def test_a_feature_s_bad_argument_is_named(feature: dict[str, Any], named: str) -> None:
    with pytest.raises(ModelError, match=rf"^frontend\.features\[0\]\.{named}\b"):
        parse(edited(METADATA, "frontend.features", [feature]))


def test_null_is_accepted_only_where_it_is_the_default() -> None:
    mfcc = {"name": "mfcc", "win_length": None, "fmax": None, "mel_norm": None, "norm": None}
    spec = parse(edited(METADATA, "frontend.features", [mfcc])).frontend
    assert spec.features[0].arguments["norm"] is None
    for key in ("n_mfcc", "n_fft", "hop_length", "fmin", "htk"):
        with pytest.raises(ModelError, match=rf"\.{key} is None"):
            parse(edited(METADATA, "frontend.features", [{"name": "mfcc", key: None}]))


@pytest.mark.parametrize("value", [[], [{"name": "rms"}] * 17, {"name": "rms"}, None, "rms"])
def test_features_are_a_list_of_some(value: Any) -> None:
    with pytest.raises(ModelError, match=r"frontend\.features must be a list of 1 to 16"):
        parse(edited(METADATA, "frontend.features", value))


@pytest.mark.parametrize(
    "labels",
    [
        [], ["one"], ["same", "same"], ["", "a"], ["a", 1], ["a\nb", "c"], ["\x1b[2J", "b"],
        ["\ud800", "b"], "ab", {"a": 1, "b": 2}, None, [str(n) for n in range(101)],
        ["x" * 101, "b"], [["a"], ["b"]],
    ],
)  # fmt: skip
def test_labels_are_different_texts(labels: Any) -> None:
    with pytest.raises(ModelError, match="labels must be 2 to 100 different texts"):
        parse({**METADATA, "labels": labels})


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ([0.0], [1.0, 1.0], "as many std as mean"),
        ([0.0], [0.0], "above zero"),
        ([0.0], [-1.0], "above zero"),
        ([0.0], [1e-30], "above zero"),
        ([0.0], ["1"], r"normalization\.std holds '1'"),
        ([True], [1.0], r"normalization\.mean holds True"),
        ([None], [1.0], r"normalization\.mean holds None"),
        ([10**400], [1.0], r"normalization\.mean holds 10+, which is too large"),
        ([0.0], [10**400], r"normalization\.std holds 10+, which is too large"),
        ([-1e300], [1.0], "too large"),
        ([0.0] * 8193, [1.0] * 8193, r"normalization\.mean must be a list of at most 8192"),
        ("0", "1", r"normalization\.mean must be a list"),
    ],
)
def test_normalization_is_of_numbers(mean: Any, std: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        parse(edited(METADATA, "frontend.normalization", {"mean": mean, "std": std}))


@pytest.mark.parametrize("scores", [[], [0.5], [0.5, 0.25, 0.25], ["a", "b"]])
def test_reference_has_a_score_for_every_label(scores: Any) -> None:
    with pytest.raises(ModelError, match=r"reference\.scores"):
        parse(edited(METADATA, "reference.scores", scores))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff\xfe\xfd",
        b"nonsense",
        b'{"format": NaN}',
        b'{"format": -Infinity}',
        b'{"format": 1' + b"0" * 10_000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda text: str(text[:20]),
)
def test_what_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(ModelError) as caught:
        Metadata.parse(text)
    assert len(str(caught.value)) < 200


def test_a_number_too_large_for_a_float_is_refused() -> None:
    text = json.dumps(METADATA).replace('"threshold": 0.0', '"threshold": 1e999')
    with pytest.raises(ModelError, match="threshold is inf"):
        Metadata.parse(text.encode())


@pytest.mark.parametrize("text", [b"null", b"[]", b"1", b'"text"'])
def test_what_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(ModelError, match="metadata is not an object"):
        Metadata.parse(text)


def test_a_newer_format_asks_for_a_newer_ser_edge() -> None:
    with pytest.raises(ModelError, match="format 3, but this ser-edge reads format 2: upgrade"):
        parse({"format": 3, "shape": "unheard of"})


def test_what_informs_people_may_be_anything() -> None:
    assert parse({**METADATA, "notes": [[[{"a": None}]]]}).details["notes"] == [[[{"a": None}]]]


def test_an_unknown_key_cannot_steer_the_terminal() -> None:
    with pytest.raises(ModelError) as caught:
        parse(edited(METADATA, "decision.\x1b[2J\n\ud800", 1))
    assert str(caught.value).isprintable()

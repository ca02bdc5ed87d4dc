"""The arguments of a front end's steps and features: their bounds and their defaults.

Whether those of one feature fit each other and the window is its function's own business:
:class:`ser_edge.frontend.Frontend` finds it out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ser_edge import features
from ser_edge.audio.resample import RES_TYPES
from ser_edge.errors import ModelError
from ser_edge.schema import Object

FEATURES = (  # of `ser_edge.features`
    "zero_crossing_rate", "rms", "mfcc", "melspectrogram", "chroma_stft", "spectral_centroid",
    "spectral_contrast", "delta", "psf_mfcc", "speechpy_mfcc", "tf_mfcc", "tf_log_mel",
)  # fmt: skip
LAYOUTS = ("features_frames", "frames_features")
STATISTICS = ("mean", "std", "min", "max", "median")

# Bounds that no sensible model reaches, but that keep a hostile one from filling memory.
MAX_SAMPLE_RATE = 192_000
MAX_WINDOW_SECONDS = 60.0
MAX_SAMPLES = 3_000_000  # a minute at 48 kHz is less
MAX_FRAMES = 5000
_MAX_STACK = 16
_MAX_FRAME_LENGTH = 8192
_MAX_BANDS = 256
_MAX_VALUES = 8192  # of a normalization
_MIN_STD = 1e-12


# A named tuple, for dataclasses take several milliseconds of a cold start to define.
class Step(NamedTuple):
    """One step, or one feature in the stack of the step `features`, with every argument."""

    name: str
    arguments: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The JSON object that it is read from."""
        plain = {
            key: [feature.to_dict() for feature in value] if key == "stack" else value
            for key, value in self.arguments.items()
        }
        return {"name": self.name, **plain}


def parse_arguments(
    name: str, entry: Object, path: str, *, of_samples: bool = False
) -> dict[str, Any]:
    """The arguments of a step, all of them, from a JSON object.

    Args:
        name: of the step.
        entry: the object, of which they are taken.
        path: where that lies.
        of_samples: whether the step comes before the features.
    """
    if name == "features":
        return {"stack": parse_stack(entry.value("stack"), f"{path}.stack")}
    if name == "normalize":
        return _parse_normalize(entry, path, of_samples)
    arguments = {
        key: check(entry, key, *default) for key, (check, *default) in _STEPS[name].items()
    }
    if name == "load" and arguments["offset"] and arguments["windows"] != "first":
        raise ModelError(f'{path}.offset needs "windows": "first"')
    return arguments


def parse_stack(data: Any, path: str) -> tuple[Step, ...]:
    """The features, each with all arguments of its function."""
    if not isinstance(data, (list, tuple)) or not 1 <= len(data) <= _MAX_STACK:
        raise ModelError(f"{path} must be a list of 1 to {_MAX_STACK} features")
    parsed: list[Step] = []
    for number, item in enumerate(data):
        entry = Object(item, f"{path}[{number}]")
        name = entry.choice("name", FEATURES)
        arguments = {"of": _ARGUMENTS["of"](entry, "of")} if name == "delta" else {}
        for key, default in _feature_defaults(name).items():
            arguments[key] = _ARGUMENTS[key](entry, key, default)
        entry.finish()
        if name == "delta" and arguments["of"] not in {feature.name for feature in parsed}:
            raise ModelError(f"{path}[{number}].of names no feature before it")
        parsed.append(Step(name, arguments))
    if len({feature.arguments["statistics"] is None for feature in parsed}) > 1:
        raise ModelError(f"{path}: either all features have statistics or none has")
    return tuple(parsed)


def _parse_normalize(entry: Object, path: str, of_samples: bool) -> dict[str, Any]:
    ways = ("clip",) if of_samples else ("frame", "coefficient", "clip", "training")
    by = entry.choice("by", ways, *(ways if of_samples else ()))
    if by == "training":
        return {"by": by, **parse_mean_and_std(entry, path)}
    method = entry.choice("method", ("zscore", "peak", "minmax"))
    return {"by": by, "method": method, "epsilon": entry.number("epsilon", 0.0, 1.0, 0.0)}


def parse_mean_and_std(entry: Object, path: str) -> dict[str, Any]:
    """Two lists of the same length."""
    mean = entry.numbers("mean", _MAX_VALUES)
    std = entry.numbers("std", _MAX_VALUES)
    if len(mean) != len(std) or not all(value >= _MIN_STD for value in std):
        raise ModelError(f"{path} needs as many std as mean, all above zero")
    return {"mean": mean, "std": std}


def defaults_of(step: Step) -> Mapping[str, Any]:
    """The arguments of a step or feature that may be left out, and what they are then."""
    if step.name in FEATURES:
        return _feature_defaults(step.name)
    if step.name == "normalize":
        return {"epsilon": 0.0}
    return {key: default[0] for key, (_, *default) in _STEPS.get(step.name, {}).items() if default}


def _feature_defaults(name: str) -> Mapping[str, Any]:
    """Every argument of a feature's function that has a default."""
    defaults = dict(getattr(features, name).__kwdefaults__)
    if name == "melspectrogram":
        defaults["power_to_db"] = None
    return {**defaults, "statistics": None}


def _integer(low: int, high: int) -> Callable[..., Any]:
    return lambda entry, key, *default: entry.integer(key, low, high, *default)


def _number(low: float, high: float) -> Callable[..., Any]:
    return lambda entry, key, *default: entry.number(key, low, high, *default)


def _choice(*choices: str | None) -> Callable[..., Any]:
    return lambda entry, key, *default: entry.choice(key, choices, *default)


def _statistics(entry: Object, key: str, *default: Any) -> tuple[str, ...] | None:
    value = entry.value(key, *default)
    if value is None and None in default:
        return None
    valid = (
        isinstance(value, (list, tuple))
        and 1 <= len(value) <= len(STATISTICS)
        and all(isinstance(name, str) and name in STATISTICS for name in value)
        and len(set(value)) == len(value)
    )
    if not valid:
        raise entry.wrong(key, value, f"a list of different ones of {', '.join(STATISTICS)}")
    return tuple(value)


def _shape(entry: Object, key: str) -> tuple[int, ...]:
    value = entry.value(key)
    valid = (
        isinstance(value, (list, tuple))
        and 1 <= len(value) <= 4
        and all(isinstance(n, int) and not isinstance(n, bool) for n in value)
        and all(1 <= n <= MAX_SAMPLES for n in value)
    )
    if not valid:
        raise entry.wrong(key, value, "a list of 1 to 4 lengths")
    return tuple(value)


def _power_to_db(entry: Object, key: str, default: None) -> dict[str, Any] | None:
    data = entry.value(key, default)
    if data is None:
        return None
    levels = entry.nested(key, data)
    defaults = features.power_to_db.__kwdefaults__ or {}
    arguments = {
        "ref": _reference(levels, "ref", defaults["ref"]),
        "amin": _ARGUMENTS["amin"](levels, "amin", defaults["amin"]),
        "top_db": _ARGUMENTS["top_db"](levels, "top_db", defaults["top_db"]),
    }
    levels.finish()
    return arguments


def _reference(entry: Object, key: str, default: float) -> Any:
    value = entry.value(key, default)
    if value == "max":
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1e12:
        raise entry.wrong(key, value, 'a number above zero or "max"')
    return float(value)


_LENGTH = _integer(1, _MAX_FRAME_LENGTH)
_BANDS = _integer(1, _MAX_BANDS)
_FREQUENCY = _number(0.0, MAX_SAMPLE_RATE / 2)
_FRAMES = _integer(1, MAX_FRAMES)
_SAMPLES = _integer(1, MAX_SAMPLES)
_KEEP = _choice("start", "centre", "end")
_AT = _choice("end", "both", "start")
_VALUE = _number(-1e6, 1e6)

# How each argument of a step is checked, and its default where it has one.
_STEPS: dict[str, dict[str, tuple[Any, ...]]] = {
    "load": {
        "sample_rate": (_integer(1000, MAX_SAMPLE_RATE),),
        "duration": (_number(0.1, MAX_WINDOW_SECONDS),),
        "windows": (_choice("all", "first"), "all"),
        "offset": (_number(0.0, 3600.0), 0.0),
        "res_type": (_choice(*RES_TYPES), RES_TYPES[0]),
    },
    # Defaults of librosa, and of `ser_edge.features.high_pass`.
    "high_pass": {
        "cutoff": (_number(1.0, MAX_SAMPLE_RATE / 2), 80.0),
        "order": (_integer(1, 4), 2),
    },
    "trim": {
        "top_db": (_number(0.0, 200.0), 60.0),
        "frame_length": (_LENGTH, 2048),
        "hop_length": (_LENGTH, 512),
    },
    "preemphasis": {"coef": (_number(0.0, 1.0), 0.97), "zi": (_number(-10.0, 10.0), None)},
    "quantize": {"bits": (_integer(2, 24), 16)},
    "level": {"dbfs": (_number(-100.0, 0.0),)},
    "crop": {"samples": (_SAMPLES,), "keep": (_KEEP, "start")},
    "pad": {"samples": (_SAMPLES,), "at": (_AT, "end"), "value": (_number(-1.0, 1.0), 0.0)},
    "pool": {
        "axis": (_choice("time", "coefficients"),),
        "statistics": (_statistics, ("mean",)),
    },
    "crop_frames": {"frames": (_FRAMES,), "keep": (_KEEP, "start")},
    "pad_frames": {"frames": (_FRAMES,), "at": (_AT, "end"), "value": (_VALUE, 0.0)},
    "layout": {"order": (_choice(*LAYOUTS),)},
    "reshape": {"shape": (_shape,)},
}

# How each argument of the features' functions is checked: a name means the same in all of them.
_ARGUMENTS: dict[str, Callable[..., Any]] = {
    "amin": _number(1e-30, 1.0),
    "center": Object.flag,
    "chroma_norm": _choice(None, "max", "sum", "euclidean"),
    "energy": Object.flag,
    "fmax": _FREQUENCY,
    "fmin": _FREQUENCY,
    "frame_length": _LENGTH,
    "hop_length": _LENGTH,
    "htk": Object.flag,
    "lifter": _number(0.0, 1000.0),
    "linear": Object.flag,
    "mel_norm": _choice(None, "slaney"),
    "mode": _choice("interp", "nearest"),
    "n_bands": _integer(1, 16),
    "n_chroma": _integer(1, 120),
    "n_fft": _LENGTH,
    "n_mels": _BANDS,
    "n_mfcc": _BANDS,
    "norm": _choice(None, "ortho"),
    "of": _choice(*(name for name in FEATURES if name != "delta")),
    "offset": _number(1e-30, 1.0),
    "order": _integer(1, 2),
    "pad_mode": _choice(*features.PAD_MODES),
    "power": _number(0.1, 4.0),
    "power_to_db": _power_to_db,
    "preemphasis": _number(0.0, 1.0),
    "quantile": _number(1e-6, 0.5),
    "scale": _number(1e-6, 1e6),
    "statistics": _statistics,
    "threshold": _number(0.0, 1.0),
    "top_db": _number(0.0, 1000.0),
    "tuning": _number(-0.5, 0.5),
    "width": _integer(3, 99),
    "win_length": _LENGTH,
    "window": _choice(*features.WINDOWS),
}

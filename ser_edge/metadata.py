"""What a model file says of itself: parsed from its ``ser_edge.json`` as untrusted input.

What changes the computation (front end, decision rules) is checked key by key. What only informs
people (training data, accuracy, converter) is kept as it is in :attr:`Metadata.details`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ser_edge import features
from ser_edge.errors import ModelError

FORMAT = 1

LAYOUTS = ("features_frames", "frames_features")
QUANTIZATIONS = ("none", "dynamic", "float16", "int8")

# Bounds that no sensible model reaches, but that keep a hostile one from filling memory.
_MAX_LABELS = 100
_MAX_TEXT = 10_000
_MAX_NESTING = 20
_MAX_NUMBER = 1e12
_MIN_STD = 1e-12
_MAX_FEATURES = 8
_MAX_ROWS = 2048
_MAX_SAMPLE_RATE = 192_000
_MAX_WINDOW_SECONDS = 60.0
_MAX_FRAME_LENGTH = 8192
_MAX_MELS = 256


# Named tuples here, for dataclasses take several milliseconds of a cold start to define.
class Trim(NamedTuple):
    """How leading and trailing silence is found: the arguments of `features.trim`."""

    top_db: float  # dB below the loudest frame from which a frame is silent
    frame_length: int  # samples
    hop_length: int  # samples


class Feature(NamedTuple):
    """One feature: a function of `ser_edge.features` and every argument of it."""

    name: str
    arguments: Mapping[str, Any]


class Normalization(NamedTuple):
    """(x - mean) / std, a pair for every row of the feature matrix."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class FrontendSpec(NamedTuple):
    """The recipe from a recording's samples to the model's input."""

    sample_rate: int  # Hz
    window_seconds: float
    trim: Trim | None
    level_dbfs: float | None  # RMS level to which the speech is scaled, dB of full scale
    features: tuple[Feature, ...]
    layout: str  # one of LAYOUTS
    normalization: Normalization | None

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> FrontendSpec:
        """Check a recipe in the form of the JSON object `frontend`.

        Arguments of features that are left out take the defaults of the functions in
        `ser_edge.features`.

        Raises:
            ModelError: naming the entry that is missing, unknown or out of range.
        """
        entry = _Object(data, "frontend")
        spec = cls(
            sample_rate=entry.integer("sample_rate", 1000, _MAX_SAMPLE_RATE),
            window_seconds=entry.number("window_seconds", 0.1, _MAX_WINDOW_SECONDS),
            trim=_parse_trim(entry.value("trim", None), "frontend.trim"),
            level_dbfs=entry.number("level_dbfs", -100.0, 0.0, None),
            features=_parse_features(entry.value("features")),
            layout=entry.choice("layout", LAYOUTS),
            normalization=_parse_normalization(entry.value("normalization", None)),
        )
        entry.finish()
        return spec

    def to_dict(self) -> dict[str, Any]:
        """The JSON object that `parse` reads."""
        return {
            **_plain(self),
            "features": [{"name": f.name, **f.arguments} for f in self.features],
        }


class Decision(NamedTuple):
    """When an answer is given, and how sure it must be."""

    window_hop_seconds: float  # from one window of a long recording to the next
    min_speech_seconds: float  # less speech than this is too short to tell
    silence_dbfs: float  # a recording whose loudest frame stays below is silence
    temperature: float  # divides the logarithms of the model's probabilities
    threshold: float  # an answer less probable than this is uncertain

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Decision:
        """Check the JSON object `decision`.

        Raises:
            ModelError: naming the entry that is missing, unknown or out of range.
        """
        entry = _Object(data, "decision")
        decision = cls(
            window_hop_seconds=entry.number("window_hop_seconds", 0.01, _MAX_WINDOW_SECONDS),
            min_speech_seconds=entry.number("min_speech_seconds", 0.0, _MAX_WINDOW_SECONDS),
            silence_dbfs=entry.number("silence_dbfs", -200.0, 0.0),
            temperature=entry.number("temperature", 0.05, 20.0),
            threshold=entry.number("threshold", 0.0, 1.0),
        )
        entry.finish()
        return decision


class Flatbuffer(NamedTuple):
    """The model proper: the first bytes of the file."""

    bytes: int
    sha256: str


class Reference(NamedTuple):
    """A generated signal and the probabilities that it must get on every device."""

    signal: str
    seconds: float
    scores: tuple[float, ...]


class Metadata(NamedTuple):
    """All that a model file says of itself."""

    name: str
    labels: tuple[str, ...]  # in the order of the model's outputs
    frontend: FrontendSpec
    decision: Decision
    quantization: str  # one of QUANTIZATIONS
    flatbuffer: Flatbuffer
    reference: Reference | None
    details: Mapping[str, Any]  # what informs people: training, accuracy, converter, ...

    @classmethod
    def parse(cls, text: bytes) -> Metadata:
        """Read and check the contents of a model's ``ser_edge.json``.

        Raises:
            ModelError: naming what is missing, unknown or out of range.
        """
        try:
            data = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"the model's metadata is not valid JSON: {error}") from error
        _check_nesting(data)
        entry = _Object(data, "metadata")
        version = entry.integer("format", 1, 2**31)
        if version > FORMAT:
            raise ModelError(
                f"the model's metadata has format {version}, but this ser-edge reads format "
                f"{FORMAT}: upgrade ser-edge"
            )
        labels = _parse_labels(entry.value("labels"))
        frontend = FrontendSpec.parse(entry.value("frontend"))
        decision = Decision.parse(entry.value("decision"))
        if decision.window_hop_seconds > frontend.window_seconds:
            raise ModelError(
                f"decision.window_hop_seconds is {decision.window_hop_seconds:g}, but must not "
                f"exceed the window, {frontend.window_seconds:g}: audio would go unheard"
            )
        return cls(
            name=entry.text("name"),
            labels=labels,
            frontend=frontend,
            decision=decision,
            quantization=entry.choice("quantization", QUANTIZATIONS),
            flatbuffer=_parse_flatbuffer(entry.value("flatbuffer")),
            reference=_parse_reference(entry.value("reference", None), len(labels)),
            details=entry.rest(),
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON object that `parse` reads."""
        data = {"format": FORMAT, **_plain(self), "frontend": self.frontend.to_dict()}
        details = data.pop("details")
        return {**data, **details}


def _plain(record: Any) -> dict[str, Any]:
    """A named tuple as a dict, with the named tuples in it."""
    return {
        key: _plain(value) if hasattr(value, "_asdict") else value
        for key, value in record._asdict().items()
    }


class _Object:
    """A JSON object whose entries are taken one by one, each with its bounds."""

    def __init__(self, data: Any, path: str) -> None:
        if not isinstance(data, Mapping):
            raise ModelError(f"{path} is not an object, in the model's metadata")
        self._left = dict(data)
        self._path = path

    def value(self, key: str, *default: Any) -> Any:
        if key not in self._left:
            if default:
                return default[0]
            raise ModelError(f"{self._path}.{key} is missing in the model's metadata")
        return self._left.pop(key)

    def number(self, key: str, low: float, high: float, *default: Any) -> Any:
        value = self.value(key, *default)
        if value is None and None in default:
            return value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._wrong(key, value, "a number")
        if not low <= value <= high:
            raise self._wrong(key, value, f"from {low:g} to {high:g}")
        return float(value)

    def integer(self, key: str, low: int, high: int, *default: Any) -> Any:
        value = self.value(key, *default)
        if value is None and None in default:
            return value
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self._wrong(key, value, f"a whole number from {low} to {high}")
        return value

    def flag(self, key: str, *default: Any) -> bool:
        value = self.value(key, *default)
        if not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def choice(self, key: str, choices: Sequence[str | None], *default: Any) -> Any:
        value = self.value(key, *default)
        if not isinstance(value, (str, type(None))) or value not in choices:
            names = " or ".join("null" if name is None else f'"{name}"' for name in choices)
            raise self._wrong(key, value, names)
        return value

    def text(self, key: str, *default: Any) -> str:
        value = self.value(key, *default)
        if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT or not value.isprintable():
            raise self._wrong(key, value, "a text of one line")
        return value

    def rest(self) -> dict[str, Any]:
        return self._left

    def finish(self) -> None:
        if self._left:
            # Escaped, for they may hold what no terminal should show.
            names = ", ".join(f"{self._path}.{repr(key)[1:-1]}" for key in list(self._left)[:3])
            raise ModelError(f"{names[:200]}: unknown to this ser-edge, in the model's metadata")

    def _wrong(self, key: str, value: Any, wanted: str) -> ModelError:
        shown = repr(value)[:60]
        return ModelError(
            f"{self._path}.{key} is {shown}, but must be {wanted}, in the model's metadata"
        )


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _check_nesting(data: Any) -> None:
    """Refuse what parses but is too deep to be copied or written again."""
    level = [data]
    for _ in range(_MAX_NESTING):
        level = [
            item
            for outer in level
            if isinstance(outer, (dict, list))
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
    if level:
        raise ModelError(f"the model's metadata is nested more than {_MAX_NESTING} deep")


def _parse_labels(data: Any) -> tuple[str, ...]:
    valid = (
        isinstance(data, list)
        and 2 <= len(data) <= _MAX_LABELS
        and all(isinstance(label, str) and 0 < len(label) <= 100 for label in data)
        and all(label.isprintable() for label in data)
        and len(set(data)) == len(data)
    )
    if not valid:
        raise ModelError(
            f"the model's labels must be 2 to {_MAX_LABELS} different texts of one line"
        )
    return tuple(data)


def _parse_trim(data: Any, path: str) -> Trim | None:
    if data is None:
        return None
    entry = _Object(data, path)
    trim = Trim(
        top_db=entry.number("top_db", 0.0, 200.0),
        frame_length=entry.integer("frame_length", 1, _MAX_FRAME_LENGTH),
        hop_length=entry.integer("hop_length", 1, _MAX_FRAME_LENGTH),
    )
    entry.finish()
    return trim


def _parse_features(data: Any) -> tuple[Feature, ...]:
    if not isinstance(data, (list, tuple)) or not 1 <= len(data) <= _MAX_FEATURES:
        raise ModelError(f"frontend.features must be a list of 1 to {_MAX_FEATURES} features")
    parsed: list[Feature] = []
    for number, item in enumerate(data):
        entry = _Object(item, f"frontend.features[{number}]")
        name = entry.choice("name", tuple(_ARGUMENTS))
        defaults = getattr(features, name).__kwdefaults__
        arguments = {
            key: take(entry, key, *([defaults[key]] if key in defaults else []))
            for key, take in _ARGUMENTS[name].items()
        }
        entry.finish()
        if name == "delta" and arguments["of"] not in {feature.name for feature in parsed}:
            raise ModelError(f"frontend.features[{number}].of names no feature before it")
        parsed.append(Feature(name, arguments))
    return tuple(parsed)


def _integer(low: int, high: int) -> Callable[..., Any]:
    return lambda entry, key, *default: entry.integer(key, low, high, *default)


def _number(low: float, high: float) -> Callable[..., Any]:
    return lambda entry, key, *default: entry.number(key, low, high, *default)


def _choice(*choices: str | None) -> Callable[..., Any]:
    return lambda entry, key, *default: entry.choice(key, choices, *default)


_LENGTH = _integer(1, _MAX_FRAME_LENGTH)
_MEL_BANDS = _integer(1, _MAX_MELS)
_FREQUENCY = _number(0.0, _MAX_SAMPLE_RATE / 2)
_LIFTER = _number(0.0, 1000.0)
_PAD_MODE = _choice(*features.PAD_MODES)
_WINDOW = _choice(*features.WINDOWS)

# The arguments of each feature's function, and how each is checked. Whether they fit each other
# is the function's own business.
_ARGUMENTS: dict[str, dict[str, Callable[..., Any]]] = {
    "zero_crossing_rate": {
        "frame_length": _LENGTH,
        "hop_length": _LENGTH,
        "center": _Object.flag,
        "threshold": _number(0.0, 1.0),
    },
    "rms": {
        "frame_length": _LENGTH,
        "hop_length": _LENGTH,
        "center": _Object.flag,
        "pad_mode": _PAD_MODE,
    },
    "mfcc": {
        "n_mfcc": _MEL_BANDS,
        "n_fft": _LENGTH,
        "hop_length": _LENGTH,
        "win_length": _LENGTH,
        "window": _WINDOW,
        "center": _Object.flag,
        "pad_mode": _PAD_MODE,
        "n_mels": _MEL_BANDS,
        "fmin": _FREQUENCY,
        "fmax": _FREQUENCY,
        "htk": _Object.flag,
        "mel_norm": _choice(None, "slaney"),
        "power": _number(0.1, 4.0),
        "amin": _number(1e-30, 1.0),
        "top_db": _number(0.0, 1000.0),
        "norm": _choice(None, "ortho"),
        "lifter": _LIFTER,
    },
    "delta": {
        "of": _choice("zero_crossing_rate", "rms", "mfcc", "psf_mfcc"),
        "width": _integer(3, 99),
        "order": _integer(1, 2),
        "mode": _choice("interp", "nearest"),
    },
    "psf_mfcc": {
        "n_mfcc": _MEL_BANDS,
        "frame_length": _LENGTH,
        "hop_length": _LENGTH,
        "n_fft": _LENGTH,
        "window": _WINDOW,
        "n_mels": _MEL_BANDS,
        "fmin": _FREQUENCY,
        "fmax": _FREQUENCY,
        "preemphasis": _number(0.0, 1.0),
        "lifter": _LIFTER,
        "energy": _Object.flag,
        "scale": _number(1e-6, 1e6),
    },
}


def _parse_normalization(data: Any) -> Normalization | None:
    if data is None:
        return None
    entry = _Object(data, "frontend.normalization")
    mean = _numbers(entry.value("mean"), "frontend.normalization.mean", _MAX_ROWS)
    std = _numbers(entry.value("std"), "frontend.normalization.std", _MAX_ROWS)
    entry.finish()
    if len(mean) != len(std) or not all(value >= _MIN_STD for value in std):
        raise ModelError("frontend.normalization needs as many std as mean, all above zero")
    return Normalization(mean, std)


def _parse_flatbuffer(data: Any) -> Flatbuffer:
    entry = _Object(data, "flatbuffer")
    flatbuffer = Flatbuffer(entry.integer("bytes", 1, 2**31), entry.text("sha256"))
    entry.finish()
    return flatbuffer


def _parse_reference(data: Any, n_labels: int) -> Reference | None:
    if data is None:
        return None
    entry = _Object(data, "reference")
    reference = Reference(
        signal=entry.text("signal"),
        seconds=entry.number("seconds", 0.1, _MAX_WINDOW_SECONDS),
        scores=_numbers(entry.value("scores"), "reference.scores", n_labels),
    )
    entry.finish()
    if len(reference.scores) != n_labels:
        raise ModelError(f"reference.scores has {len(reference.scores)} of {n_labels} labels")
    return reference


def _numbers(data: Any, path: str, most: int) -> tuple[float, ...]:
    if not isinstance(data, (list, tuple)) or len(data) > most:
        raise ModelError(f"{path} must be a list of at most {most} numbers")
    for value in data:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ModelError(f"{path} holds {value!r:.60}, which is not a number")
        if not abs(value) <= _MAX_NUMBER:
            raise ModelError(f"{path} holds {value!r:.60}, which is too large")
    return tuple(float(value) for value in data)

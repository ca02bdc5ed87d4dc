"""The metadata of a model file: parsed from its ``ser_edge.json`` as untrusted input.

What changes the computation (front end, decision rules) is checked key by key. What only informs
people (training data, accuracy, converter) is kept as it is in :attr:`Metadata.details`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ser_edge import features
from ser_edge.errors import ModelError
from ser_edge.schema import Object, parse_json

FORMAT = 2  # 1 has no embeddings; it is read for ever

LAYOUTS = ("features_frames", "frames_features")
FEATURES = ("zero_crossing_rate", "rms", "mfcc", "delta", "psf_mfcc")  # of `ser_edge.features`
QUANTIZATIONS = ("none", "dynamic", "float16", "int8")

_FIRST_WITH_EMBEDDINGS = 2  # format

# Bounds that no sensible model reaches, but that keep a hostile one from filling memory.
_MAX_LABELS = 100
_MIN_STD = 1e-12
_MAX_FEATURES = 8
_MAX_OUTPUTS = 16
_MAX_EMBEDDING = 4096
_MAX_ROWS = 2048
_MAX_SAMPLE_RATE = 192_000
_MAX_WINDOW_SECONDS = 60.0
_MAX_FRAME_LENGTH = 8192
_MAX_MELS = 256


# Named tuples here, for dataclasses take several milliseconds of a cold start to define.
class HighPass(NamedTuple):
    """What is filtered before anything else: the arguments of `features.high_pass`."""

    cutoff: float  # Hz
    order: int


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
    """What makes the model's input of a recording's samples."""

    sample_rate: int  # Hz
    window_seconds: float
    high_pass: HighPass | None
    trim: Trim | None
    level_dbfs: float | None  # RMS level to which the speech is scaled, dB of full scale
    features: tuple[Feature, ...]
    layout: str  # one of LAYOUTS
    normalization: Normalization | None

    @property
    def feature_axis(self) -> int:
        """The axis of the model's input along which features lie: 0 or 1; frames are the other."""
        return LAYOUTS.index(self.layout)

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> FrontendSpec:
        """Check the JSON object `frontend`.

        Arguments of features that are left out take the defaults of the functions in
        `ser_edge.features`.

        Raises:
            ModelError: naming the entry that is missing, unknown or out of range.
        """
        entry = Object(data, "frontend")
        spec = cls(
            sample_rate=entry.integer("sample_rate", 1000, _MAX_SAMPLE_RATE),
            window_seconds=entry.number("window_seconds", 0.1, _MAX_WINDOW_SECONDS),
            high_pass=_parse_high_pass(entry.value("high_pass", None), "frontend.high_pass"),
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
    """When a window gets a label, and how sure it must be."""

    window_hop_seconds: float  # from one window of a long recording to the next
    min_speech_seconds: float  # less speech than this is too short
    silence_dbfs: float  # a recording whose loudest frame stays below is silence
    temperature: float  # divides the logarithms of the model's probabilities
    threshold: float  # a result less probable than this is uncertain

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Decision:
        """Check the JSON object `decision`.

        Raises:
            ModelError: naming the entry that is missing, unknown or out of range.
        """
        entry = Object(data, "decision")
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


class Embedding(NamedTuple):
    """An inner activation that the model gives beside the probabilities, shape (size,)."""

    output: int  # place among the outputs of the flatbuffer; 0 are the probabilities
    layer: str  # that computes it
    size: int  # units
    mean: tuple[float, ...]  # of each unit over the training clips
    std: tuple[float, ...]  # 0 for a unit that never fires, which is left out


class Metadata(NamedTuple):
    """The metadata of a model file."""

    name: str
    labels: tuple[str, ...]  # in the order of the model's outputs
    frontend: FrontendSpec
    decision: Decision
    quantization: str  # one of QUANTIZATIONS
    flatbuffer: Flatbuffer
    reference: Reference | None
    embedding: Embedding | None  # of the last hidden layer
    utterance_embedding: Embedding | None  # of the pooling over time
    details: Mapping[str, Any]  # what informs people: training, accuracy, converter, ...

    @classmethod
    def parse(cls, text: bytes) -> Metadata:
        """Read and check the contents of a model's ``ser_edge.json``.

        Raises:
            ModelError: naming what is missing, unknown or out of range.
        """
        entry = Object(parse_json(text), "metadata")
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
                f"exceed the window, {frontend.window_seconds:g}: audio would be left out"
            )
        embedding = _parse_embedding(entry, "embedding", version)
        utterance_embedding = _parse_embedding(entry, "utterance_embedding", version)
        if embedding is None and utterance_embedding is not None:
            raise ModelError("utterance_embedding needs embedding, in the model's metadata")
        return cls(
            name=entry.text("name"),
            labels=labels,
            frontend=frontend,
            decision=decision,
            quantization=entry.choice("quantization", QUANTIZATIONS),
            flatbuffer=_parse_flatbuffer(entry.value("flatbuffer")),
            reference=_parse_reference(entry.value("reference", None), len(labels)),
            embedding=embedding,
            utterance_embedding=utterance_embedding,
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


def _parse_high_pass(data: Any, path: str) -> HighPass | None:
    if data is None:
        return None
    entry = Object(data, path)
    high_pass = HighPass(
        cutoff=entry.number("cutoff", 1.0, _MAX_SAMPLE_RATE / 2),
        order=entry.integer("order", 1, 4, 2),
    )
    entry.finish()
    return high_pass


def _parse_trim(data: Any, path: str) -> Trim | None:
    if data is None:
        return None
    entry = Object(data, path)
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
        entry = Object(item, f"frontend.features[{number}]")
        name = entry.choice("name", FEATURES)
        arguments = {"of": _ARGUMENTS["of"](entry, "of")} if name == "delta" else {}
        for key, default in getattr(features, name).__kwdefaults__.items():
            arguments[key] = _ARGUMENTS[key](entry, key, default)
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

# How each argument of the features' functions is checked: a name means the same in all of them.
# Whether the arguments of a feature fit each other is its function's own business.
_ARGUMENTS: dict[str, Callable[..., Any]] = {
    "amin": _number(1e-30, 1.0),
    "center": Object.flag,
    "energy": Object.flag,
    "fmax": _FREQUENCY,
    "fmin": _FREQUENCY,
    "frame_length": _LENGTH,
    "hop_length": _LENGTH,
    "htk": Object.flag,
    "lifter": _number(0.0, 1000.0),
    "mel_norm": _choice(None, "slaney"),
    "mode": _choice("interp", "nearest"),
    "n_fft": _LENGTH,
    "n_mels": _MEL_BANDS,
    "n_mfcc": _MEL_BANDS,
    "norm": _choice(None, "ortho"),
    "of": _choice(*(name for name in FEATURES if name != "delta")),
    "order": _integer(1, 2),
    "pad_mode": _choice(*features.PAD_MODES),
    "power": _number(0.1, 4.0),
    "preemphasis": _number(0.0, 1.0),
    "scale": _number(1e-6, 1e6),
    "threshold": _number(0.0, 1.0),
    "top_db": _number(0.0, 1000.0),
    "width": _integer(3, 99),
    "win_length": _LENGTH,
    "window": _choice(*features.WINDOWS),
}


def _parse_normalization(data: Any) -> Normalization | None:
    if data is None:
        return None
    entry = Object(data, "frontend.normalization")
    mean = entry.numbers("mean", _MAX_ROWS)
    std = entry.numbers("std", _MAX_ROWS)
    entry.finish()
    if len(mean) != len(std) or not all(value >= _MIN_STD for value in std):
        raise ModelError("frontend.normalization needs as many std as mean, all above zero")
    return Normalization(mean, std)


def _parse_flatbuffer(data: Any) -> Flatbuffer:
    entry = Object(data, "flatbuffer")
    flatbuffer = Flatbuffer(entry.integer("bytes", 1, 2**31), entry.text("sha256"))
    entry.finish()
    return flatbuffer


def _parse_embedding(metadata: Object, key: str, version: int) -> Embedding | None:
    data = metadata.value(key, None) if version >= _FIRST_WITH_EMBEDDINGS else None
    if data is None:
        return None
    entry = Object(data, key)
    size = entry.integer("size", 1, _MAX_EMBEDDING)
    embedding = Embedding(
        output=entry.integer("output", 1, _MAX_OUTPUTS),
        layer=entry.text("layer"),
        size=size,
        mean=entry.numbers("mean", size),
        std=entry.numbers("std", size),
    )
    entry.finish()
    if len(embedding.mean) != size or len(embedding.std) != size or min(embedding.std) < 0:
        raise ModelError(f"{key} needs {size} mean and as many std, none of these below zero")
    return embedding


def _parse_reference(data: Any, n_labels: int) -> Reference | None:
    if data is None:
        return None
    entry = Object(data, "reference")
    reference = Reference(
        signal=entry.text("signal"),
        seconds=entry.number("seconds", 0.1, _MAX_WINDOW_SECONDS),
        scores=entry.numbers("scores", n_labels),
    )
    entry.finish()
    if len(reference.scores) != n_labels:
        raise ModelError(f"reference.scores has {len(reference.scores)} of {n_labels} labels")
    return reference

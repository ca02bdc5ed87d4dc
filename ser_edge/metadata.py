"""The metadata of a model file: parsed from its ``ser_edge.json`` as untrusted input.

What changes the computation (front end, decision rules) is checked key by key. What only informs
people (training data, accuracy, converter) is kept as it is in :attr:`Metadata.details`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ser_edge.errors import ModelError
from ser_edge.familiarity import Familiarity
from ser_edge.frontend import FrontendSpec
from ser_edge.frontend.arguments import MAX_WINDOW_SECONDS
from ser_edge.schema import Object, parse_json

FORMAT = 2  # 1 has no embeddings; it is read for ever

QUANTIZATIONS = ("none", "dynamic", "float16", "int8")

_FIRST_WITH_EMBEDDINGS = 2  # format

# Bounds that no sensible model reaches, but that keep a hostile one from filling memory.
_MAX_LABELS = 100
_MAX_OUTPUTS = 16
_MAX_EMBEDDING = 4096
_MIN_LOG_PROBABILITY = -1000.0


# Named tuples here, for dataclasses take several milliseconds of a cold start to define.
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
            window_hop_seconds=entry.number("window_hop_seconds", 0.01, MAX_WINDOW_SECONDS),
            min_speech_seconds=entry.number("min_speech_seconds", 0.0, MAX_WINDOW_SECONDS),
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
    familiarity: Familiarity | None  # None: all is familiar
    # Mean over neutral clips of speakers left out of training; None: not measured.
    neutral_log_probabilities: tuple[float, ...] | None
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
            familiarity=_parse_familiarity(entry, utterance_embedding, version),
            neutral_log_probabilities=_parse_log_probabilities(entry, len(labels)),
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


def _parse_familiarity(
    metadata: Object, embedding: Embedding | None, version: int
) -> Familiarity | None:
    data = metadata.value("familiarity", None) if version >= _FIRST_WITH_EMBEDDINGS else None
    if data is None:
        return None
    if embedding is None:
        raise ModelError("familiarity needs utterance_embedding, in the model's metadata")
    return Familiarity.parse(data, embedding.size)


def _parse_log_probabilities(metadata: Object, n_labels: int) -> tuple[float, ...] | None:
    key = "neutral_log_probabilities"
    data = metadata.value(key, None)
    if data is None:
        return None
    values = Object({key: data}, "metadata").numbers(key, n_labels)
    if len(values) != n_labels or not all(_MIN_LOG_PROBABILITY <= value <= 0 for value in values):
        raise ModelError(f"{key} must be {n_labels} numbers from {_MIN_LOG_PROBABILITY:g} to 0")
    return values


def _parse_reference(data: Any, n_labels: int) -> Reference | None:
    if data is None:
        return None
    entry = Object(data, "reference")
    reference = Reference(
        signal=entry.text("signal"),
        seconds=entry.number("seconds", 0.1, MAX_WINDOW_SECONDS),
        scores=entry.numbers("scores", n_labels),
    )
    entry.finish()
    if len(reference.scores) != n_labels:
        raise ModelError(f"reference.scores has {len(reference.scores)} of {n_labels} labels")
    return reference

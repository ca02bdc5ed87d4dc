"""A profile: what adapts a model to one voice, room and set of emotions, as a JSON file.

A profile changes the scores of one model: to the logarithms of its probabilities it adds, for each
emotion, a bias and a weighted sum of the model's embeddings. :mod:`ser_edge.adapt.fit` makes it
from labelled clips. It is read as untrusted input, and holds no audio, no path and no name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ser_edge.errors import ModelError, ProfileError
from ser_edge.files import draft
from ser_edge.model import softmax
from ser_edge.schema import Object, parse_json

if TYPE_CHECKING:
    import numpy.typing as npt

    from ser_edge.model import Model

FORMAT = 2  # of what is written; format 1, without a scale of the weights, is read too
MAX_LABELS = 16  # keeps the file of a bundled model's profile at some 48 kB, at most 57

_MAX_BYTES = 1_000_000
_MAX_INPUTS = 8192
_MAX_WEIGHT = 1e4
_MAX_CLIPS = 1_000_000
_DIGITS = 4  # of the largest weight; the others keep as many decimal places
_MAX_SCALE = 1e12
_DOCUMENT = "the profile"


class Score(NamedTuple):
    """How good the answers on some clips are."""

    uar: float  # unweighted average recall, 0 to 1
    accuracy: float  # share of right answers, 0 to 1
    log_loss: float  # mean of -log of the right label's probability, nats


class LeaveOneOut(NamedTuple):
    """Answers on the profile's own clips, each by a profile made without it.

    Left out with it is one clip of each other emotion: else its own would be the rarest one.
    """

    clips: int  # that could be left out
    before: Score  # of the model alone
    after: Score  # with the profile

    @property
    def gains(self) -> bool:
        """Whether more answers are right; or as many, but not all, and the right ones surer."""
        before, after = self.before, self.after
        if after.uar == before.uar < 1:
            return after.log_loss < before.log_loss
        return after.uar > before.uar


class Profile(NamedTuple):
    """What adapts one model."""

    model_name: str
    model_sha256: str  # of its flatbuffer
    labels: tuple[str, ...]  # in the order of the scores
    bias: npt.NDArray[np.float64]  # shape (n_labels,)
    weights: npt.NDArray[np.float64]  # shape (n_labels, n_inputs), of `Observation.inputs`
    temperature: float  # divides the scores
    clips: Mapping[str, int]  # how many of each emotion it was made from
    leave_one_out: LeaveOneOut | None  # None with too few clips to judge
    created: str  # the date, as ISO 8601 writes it

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Profile:
        """Read and check a profile.

        Raises:
            ProfileError: the file is missing, or is not a sound profile.
        """
        name = os.fspath(path)
        try:
            with open(name, "rb") as file:
                text = file.read(_MAX_BYTES + 1)
        except OSError as error:
            raise ProfileError(
                f"cannot read the profile {name}: {error.strerror or error}"
            ) from error
        if len(text) > _MAX_BYTES:
            raise ProfileError(f"{name} is not a profile: it is larger than {_MAX_BYTES} bytes")
        try:
            return cls.parse(text)
        except ModelError as error:
            raise ProfileError(f"{name}: {error}") from error

    @classmethod
    def parse(cls, text: bytes) -> Profile:
        """Check the contents of a profile's file.

        Raises:
            ModelError: naming what is missing, unknown or out of range.
        """
        entry = Object(parse_json(text, _DOCUMENT), "profile", _DOCUMENT)
        version = entry.integer("format", 1, 2**31)
        if version > FORMAT:
            raise ModelError(
                f"the profile has format {version}, but this ser-edge reads format {FORMAT}: "
                "upgrade ser-edge"
            )
        model = Object(entry.value("model"), "profile.model", _DOCUMENT)
        name, sha256 = model.text("name"), model.text("sha256")
        model.finish()
        labels = _parse_labels(entry.value("labels"))
        clips = Object(entry.value("clips"), "profile.clips", _DOCUMENT)
        counts = {label: clips.integer(label, 0, _MAX_CLIPS) for label in labels}
        clips.finish()
        scale = entry.number("scale", 0.1, _MAX_SCALE) if version > 1 else 1.0
        profile = cls(
            model_name=name,
            model_sha256=sha256,
            labels=labels,
            bias=np.array(entry.numbers("bias", MAX_LABELS)),
            weights=_parse_weights(entry.value("weights"), scale, len(labels)),
            temperature=entry.number("temperature", 0.05, 20.0),
            clips=counts,
            leave_one_out=_parse_leave_one_out(entry.value("leave_one_out", None)),
            created=entry.text("created"),
        )
        entry.finish()
        if len(profile.bias) != len(labels) or not (np.abs(profile.bias) <= _MAX_WEIGHT).all():
            raise ModelError(
                f"profile.bias must be {len(labels)} numbers of at most {_MAX_WEIGHT:g}"
            )
        return profile

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the profile, whole or not at all.

        Raises:
            OSError: the file cannot be written.
        """
        text = json.dumps(self.to_dict(), ensure_ascii=False, separators=(",", ":"))
        with draft(path) as unfinished:
            unfinished.write_text(f"{text}\n", encoding="utf-8")

    def to_dict(self) -> dict[str, Any]:
        """The JSON object that `parse` reads; its weights are whole numbers, over a scale."""
        left_out = self.leave_one_out
        scale = _scale(self.weights)
        return {
            "format": FORMAT,
            "model": {"name": self.model_name, "sha256": self.model_sha256},
            "labels": list(self.labels),
            "clips": dict(self.clips),
            "created": self.created,
            "leave_one_out": None
            if left_out is None
            else {
                "clips": left_out.clips,
                "before": left_out.before._asdict(),
                "after": left_out.after._asdict(),
            },
            "temperature": self.temperature,
            "bias": self.bias.tolist(),
            "scale": scale,
            "weights": np.rint(self.weights * scale).astype(int).tolist(),
        }

    def check_fits(self, model: Model) -> None:
        """Refuse any model but that for which the profile was made.

        Raises:
            ModelError: the model cannot be adapted.
            ProfileError: it is another one.
        """
        model.check_adaptable()
        if self.model_sha256 != model.metadata.flatbuffer.sha256:
            raise ProfileError(
                f"the profile was made for another model ({self.model_name}) than this "
                f"{model.metadata.name}: make one anew with ser-edge adapt"
            )
        if self.weights.shape[1] != model.n_inputs:
            raise ProfileError(
                f"the profile has {self.weights.shape[1]} weights for each emotion, but the "
                f"model wants {model.n_inputs}"
            )

    def predict(
        self,
        model_labels: Sequence[str],
        probabilities: npt.NDArray[np.float64],
        inputs: npt.NDArray[np.float64],
    ) -> npt.NDArray[np.float64]:
        """Probabilities of the profile's labels.

        Args:
            model_labels: the labels of the model.
            probabilities: of these, shape (..., n_model_labels).
            inputs: of the same windows, as ``Observation.inputs``: shape (..., n_inputs).

        Returns:
            float64, shape (..., n_labels); the last axis sums to 1.
        """
        return adapted(
            base_scores(self.labels, model_labels, probabilities),
            inputs,
            self.bias,
            self.weights,
            self.temperature,
        )


def adapted(
    base: npt.NDArray[np.float64],
    inputs: npt.NDArray[np.float64],
    bias: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    temperature: float,
) -> npt.NDArray[np.float64]:
    """``softmax((base + bias + weights @ inputs) / temperature)``.

    Args:
        base: as :func:`base_scores` gives them, shape (..., n_labels).
        inputs: shape (..., n_inputs).
        bias: shape (n_labels,).
        weights: shape (n_labels, n_inputs).
        temperature: above 0.

    Returns:
        float64, shape (..., n_labels).
    """
    # Not a product of matrices: so one window gives the same alone as in a batch, to the bit.
    changes = np.einsum("...i,ji->...j", inputs, weights)
    return softmax((base + bias + changes) / temperature)


def base_scores(
    labels: Sequence[str], model_labels: Sequence[str], probabilities: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Where adaptation starts: log probabilities against chance; 0 for what the model lacks.

    Args:
        labels: those wanted.
        model_labels: those of the model.
        probabilities: shape (..., n_model_labels), each above 0.

    Returns:
        float64, shape (..., n_labels).

    Example:
        >>> base_scores(["sad", "calm"], ["sad", "happy"], np.array([0.5, 0.5])).tolist()
        [0.0, 0.0]
    """
    scores = np.zeros((*probabilities.shape[:-1], len(labels)))
    for place, label in enumerate(labels):
        if label in model_labels:
            source = probabilities[..., model_labels.index(label)]
            scores[..., place] = np.log(source * len(model_labels))
    return scores


def rounded(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Values with as many digits as a profile's file keeps.

    Example:
        >>> rounded(np.array([-1.23456, 0.00061])).tolist()
        [-1.235, 0.001]
    """
    scale = _scale(values)
    return np.asarray(np.rint(values * scale) / scale, dtype=np.float64)


def _scale(values: npt.NDArray[np.float64]) -> float:
    """The power of ten that makes whole numbers of the values, the largest of four digits."""
    # The exponent of the rounded value: 0.99999 is kept as 1, which has a digit more.
    largest = f"{np.max(np.abs(values), initial=0.0):.{_DIGITS - 1}e}"
    exponent = int(largest.partition("e")[2])
    return min(10.0 ** (_DIGITS - 1 - exponent), _MAX_SCALE)


def _parse_labels(data: Any) -> tuple[str, ...]:
    valid = (
        isinstance(data, list)
        and 2 <= len(data) <= MAX_LABELS
        and all(isinstance(label, str) and 0 < len(label) <= 100 for label in data)
        and all(label.isprintable() for label in data)
        and len(set(data)) == len(data)
    )
    if not valid:
        raise ModelError(f"profile.labels must be 2 to {MAX_LABELS} different texts of one line")
    return tuple(data)


def _parse_weights(data: Any, scale: float, n_labels: int) -> npt.NDArray[np.float64]:
    if not isinstance(data, list) or len(data) != n_labels:
        raise ModelError(f"profile.weights must be a list for each of {n_labels} labels")
    rows = [
        Object({"weights": row}, "profile", _DOCUMENT).numbers("weights", _MAX_INPUTS)
        for row in data
    ]
    if len({len(row) for row in rows}) != 1:
        raise ModelError("profile.weights has lists of different lengths")
    weights = np.array(rows, dtype=np.float64) / scale
    if not (np.abs(weights) <= _MAX_WEIGHT).all():
        raise ModelError(f"profile.weights holds a number above {_MAX_WEIGHT:g}")
    return weights


def _parse_leave_one_out(data: Any) -> LeaveOneOut | None:
    if data is None:
        return None
    entry = Object(data, "profile.leave_one_out", _DOCUMENT)
    left_out = LeaveOneOut(
        clips=entry.integer("clips", 1, _MAX_CLIPS),
        before=_parse_score(entry.value("before"), "before"),
        after=_parse_score(entry.value("after"), "after"),
    )
    entry.finish()
    return left_out


def _parse_score(data: Any, name: str) -> Score:
    entry = Object(data, f"profile.leave_one_out.{name}", _DOCUMENT)
    score = Score(
        uar=entry.number("uar", 0.0, 1.0),
        accuracy=entry.number("accuracy", 0.0, 1.0),
        log_loss=entry.number("log_loss", 0.0, 1000.0),
    )
    entry.finish()
    return score

"""The description of a front end: named steps in the order in which they happen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ser_edge.errors import ModelError
from ser_edge.frontend.arguments import (
    LAYOUTS,
    STATISTICS,
    Step,
    defaults_of,
    parse_arguments,
)
from ser_edge.schema import Object

_MAX_STEPS = 20
_FIXED = ("sample_rate", "window_seconds", "features")  # entries that tell the earlier form


class FrontendSpec(NamedTuple):
    """What makes the model's input of a recording, in the order in which it happens.

    The steps are `load`, some on samples, `features`, some on the matrix, `layout`, `reshape`.

    Example:
        >>> spec = FrontendSpec.parse({"steps": [
        ...     {"name": "load", "sample_rate": 22050, "duration": 2.5},
        ...     {"name": "features", "stack": [{"name": "mfcc", "n_mfcc": 40}]},
        ...     {"name": "pool", "axis": "time"}]})
        >>> spec.sample_rate, spec.step("pool").arguments["statistics"]
        (22050, ('mean',))
    """

    steps: tuple[Step, ...]

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> FrontendSpec:
        """Check the JSON object `frontend`, of today's form or of the one before it.

        Arguments that are left out take their defaults: those of features from the functions in
        `ser_edge.features`.

        Raises:
            ModelError: naming the entry that is missing, unknown, out of range or out of order.
        """
        entry = Object(data, "frontend")
        if "steps" not in data and any(name in data for name in _FIXED):
            from ser_edge.frontend.fixed import parse_fixed

            steps = parse_fixed(entry)
        else:
            steps = _parse_steps(entry.value("steps"))
        entry.finish()
        return cls(steps)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object that `parse` reads."""
        return {"steps": [step.to_dict() for step in self.steps]}

    def step(self, name: str) -> Step | None:
        """The first step of this name."""
        return next((step for step in self.steps if step.name == name), None)

    @property
    def _load(self) -> Mapping[str, Any]:
        return self.steps[0].arguments

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        return int(self._load["sample_rate"])

    @property
    def window_seconds(self) -> float:
        """The most audio that makes one input."""
        return float(self._load["duration"])

    @property
    def offset(self) -> float:
        """Seconds at which a recording's only window begins."""
        return float(self._load["offset"])

    @property
    def first_only(self) -> bool:
        """Whether a recording's first window answers for all of it."""
        return bool(self._load["windows"] == "first")

    @property
    def res_type(self) -> str:
        """How audio of another rate is resampled."""
        return str(self._load["res_type"])

    @property
    def features(self) -> tuple[Step, ...]:
        """The features that are stacked, each by its function's name."""
        (step,) = (step for step in self.steps if step.name == "features")
        return tuple(step.arguments["stack"])

    @property
    def layout(self) -> str:
        """Which axis of the matrix comes first."""
        step = self.step("layout")
        return LAYOUTS[0] if step is None else str(step.arguments["order"])

    @property
    def feature_axis(self) -> int:
        """The axis of the matrix along which features lie: 0 or 1; frames are the other."""
        return LAYOUTS.index(self.layout)

    @property
    def normalization(self) -> Step | None:
        """The last step, if any, that normalizes by the training clips."""
        found = [step for step in self.steps if _is_of_training(step)]
        return found[-1] if found else None

    def with_normalization(
        self, mean: Sequence[float] | None, std: Sequence[float] | None
    ) -> FrontendSpec:
        """The same, but the last thing done to the features is (x - mean) / std.

        Args:
            mean: of every feature over the training clips; None takes an earlier one away.
            std: the same, all above zero.
        """
        steps = [step for step in self.steps if not _is_of_training(step)]
        if mean is not None and std is not None:
            place = next(
                (i for i, step in enumerate(steps) if _PHASES.get(step.name, 0) > _MATRIX),
                len(steps),
            )
            values = {"by": "training", "mean": tuple(mean), "std": tuple(std)}
            steps.insert(place, Step("normalize", values))
        return FrontendSpec(tuple(steps))

    def lines(self) -> Iterator[str]:
        """What it does, for people: a line for every step, without what goes by default."""
        for step in self.steps[1:]:
            if step.name == "features":
                for feature in step.arguments["stack"]:
                    yield _line(feature, defaults_of(feature))
            else:
                yield _line(step, defaults_of(step))


def _line(step: Step, defaults: Mapping[str, Any]) -> str:
    shown = []
    for key, value in step.arguments.items():
        if key in defaults and defaults[key] == value:
            continue
        if isinstance(value, (tuple, list)) and len(value) > len(STATISTICS):
            value = f"{len(value)} values"
        elif isinstance(value, (tuple, list)):
            value = " ".join(map(str, value))
        elif isinstance(value, Mapping):
            value = " ".join(
                f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in value.items()
            )
        elif isinstance(value, float):
            value = f"{value:g}"
        shown.append(f"{key} {value}")
    return f"{step.name}: {', '.join(shown)}" if shown else step.name


def _is_of_training(step: Step) -> bool:
    return step.arguments.get("by") == "training"


# When a step may come; `normalize` may both before the features and after them.
_LOAD, _SAMPLES, _FEATURES, _MATRIX, _LAYOUT, _RESHAPE = range(6)
_PHASES = {
    "load": _LOAD,
    "high_pass": _SAMPLES,
    "trim": _SAMPLES,
    "preemphasis": _SAMPLES,
    "quantize": _SAMPLES,
    "level": _SAMPLES,
    "crop": _SAMPLES,
    "pad": _SAMPLES,
    "features": _FEATURES,
    "pool": _MATRIX,
    "crop_frames": _MATRIX,
    "pad_frames": _MATRIX,
    "layout": _LAYOUT,
    "reshape": _RESHAPE,
}
_ONCE = (_LOAD, _FEATURES, _LAYOUT, _RESHAPE)


def _parse_steps(data: Any) -> tuple[Step, ...]:
    path = "frontend.steps"
    if not isinstance(data, (list, tuple)) or not 2 <= len(data) <= _MAX_STEPS:
        raise ModelError(f"{path} must be a list of 2 to {_MAX_STEPS} steps")
    steps: list[Step] = []
    phase = -1
    for number, item in enumerate(data):
        place = f"{path}[{number}]"
        entry = Object(item, place)
        name = entry.choice("name", (*_PHASES, "normalize"))
        before, phase = phase, _PHASES.get(name, _MATRIX if phase >= _FEATURES else _SAMPLES)
        if number == 0 and phase != _LOAD:
            raise ModelError(f'{place} is "{name}", but the first step must be "load"')
        if phase < before or (phase == before and phase in _ONCE):
            raise ModelError(
                f'{place} is "{name}", which must not come after "{steps[-1].name}": the order is '
                "load, samples, features, matrix, layout, reshape"
            )
        if phase > _FEATURES > before:
            raise ModelError(f'{place} is "{name}", which must come after "features"')
        steps.append(Step(name, parse_arguments(name, entry, place, of_samples=phase < _FEATURES)))
        entry.finish()
    if phase < _FEATURES:
        raise ModelError(f'{path} has no step "features"')
    return tuple(steps)

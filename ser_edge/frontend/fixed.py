"""The form of a front end before it was a list of steps: fixed entries, which become steps."""

from __future__ import annotations

from typing import Any

from ser_edge.frontend.arguments import (
    LAYOUTS,
    MAX_SAMPLE_RATE,
    MAX_WINDOW_SECONDS,
    Step,
    parse_arguments,
    parse_mean_and_std,
    parse_stack,
)
from ser_edge.schema import Object


def parse_fixed(entry: Object) -> tuple[Step, ...]:
    """The steps that do what the entries of a `frontend` of this form say.

    Args:
        entry: the object, of which they are taken.

    Raises:
        ModelError: naming the entry that is missing or out of range.
    """
    sample_rate = entry.integer("sample_rate", 1000, MAX_SAMPLE_RATE)
    seconds = entry.number("window_seconds", 0.1, MAX_WINDOW_SECONDS)
    samples = {"samples": round(seconds * sample_rate)}
    level_dbfs = entry.number("level_dbfs", -100.0, 0.0, None)
    return (
        _step("load", {"sample_rate": sample_rate, "duration": seconds}),
        *_optional("high_pass", entry, ("cutoff",)),
        *_optional("trim", entry, ("top_db", "frame_length", "hop_length")),
        _step("crop", samples),
        *([] if level_dbfs is None else [_step("level", {"dbfs": level_dbfs})]),
        _step("pad", samples),
        Step("features", {"stack": parse_stack(entry.value("features"), "frontend.features")}),
        *_normalization(entry),
        _step("layout", {"order": entry.choice("layout", LAYOUTS)}),
    )


def _step(name: str, arguments: dict[str, Any]) -> Step:
    return Step(name, parse_arguments(name, Object(arguments, "frontend"), "frontend"))


def _optional(name: str, entry: Object, required: tuple[str, ...]) -> list[Step]:
    data = entry.value(name, None)
    if data is None:
        return []
    nested = entry.nested(name, data)
    nested.require(*required)
    step = Step(name, parse_arguments(name, nested, f"frontend.{name}"))
    nested.finish()
    return [step]


def _normalization(entry: Object) -> list[Step]:
    data = entry.value("normalization", None)
    if data is None:
        return []
    nested = entry.nested("normalization", data)
    values = parse_mean_and_std(nested, "frontend.normalization")
    nested.finish()
    return [Step("normalize", {"by": "training", **values})]

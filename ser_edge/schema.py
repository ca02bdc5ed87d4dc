"""Checks of untrusted JSON: types, ranges and unknown keys, with errors that name the entry."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ser_edge.errors import ModelError

_MAX_TEXT = 10_000  # characters
_MAX_NESTING = 20
_MAX_NUMBER = 1e12
_DOCUMENT = "the model's metadata"


def parse_json(text: bytes, document: str = _DOCUMENT) -> Any:
    """Parse JSON that may be hostile.

    Args:
        text: UTF-8, UTF-16 or UTF-32, as ``json.loads`` detects.
        document: what it is, for error messages.

    Raises:
        ModelError: it is not JSON, holds NaN or an infinity by name, or nests too deep.

    Example:
        >>> parse_json(b'{"labels": ["sad", "happy"]}')
        {'labels': ['sad', 'happy']}
    """
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{document} is not valid JSON: {error}") from error
    _check_nesting(data, document)
    return data


class Object:
    """A JSON object whose entries are taken one by one, each with its bounds.

    Every method that takes an entry accepts a default after its bounds: what an entry that is
    missing counts as. An entry may be null only where the default is None. All raise ModelError
    for an entry that is missing, of another type or out of range.

    Args:
        data: what should be the object.
        path: where it lies in the document; error messages begin with it.
        document: what holds it; error messages end with it.

    Raises:
        ModelError: the data are no object.

    Example:
        >>> entry = Object({"threshold": 0.5}, "decision")
        >>> entry.number("threshold", 0.0, 1.0)
        0.5
        >>> entry.number("temperature", 0.05, 20.0)
        Traceback (most recent call last):
        ser_edge.errors.ModelError: decision.temperature is missing in the model's metadata
    """

    def __init__(self, data: Any, path: str, document: str = _DOCUMENT) -> None:
        if not isinstance(data, Mapping):
            raise ModelError(f"{path} is not an object, in {document}")
        self._left = dict(data)
        self._path = path
        self._document = document

    def value(self, key: str, *default: Any) -> Any:
        """An entry of any type."""
        if default and key not in self._left:
            return default[0]
        self.require(key)
        return self._left.pop(key)

    def number(self, key: str, low: float, high: float, *default: Any) -> Any:
        """A float from `low` to `high`."""
        value = self.value(key, *default)
        if value is None and None in default:
            return value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(key, value, "a number")
        if not low <= value <= high:
            raise self.wrong(key, value, f"from {low:g} to {high:g}")
        return float(value)

    def integer(self, key: str, low: int, high: int, *default: Any) -> Any:
        """An int from `low` to `high`."""
        value = self.value(key, *default)
        if value is None and None in default:
            return value
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.wrong(key, value, f"a whole number from {low} to {high}")
        return value

    def flag(self, key: str, *default: Any) -> bool:
        """True or False."""
        value = self.value(key, *default)
        if not isinstance(value, bool):
            raise self.wrong(key, value, "true or false")
        return value

    def choice(self, key: str, choices: Sequence[str | None], *default: Any) -> Any:
        """One of some texts, or None where that is among them."""
        value = self.value(key, *default)
        if not isinstance(value, (str, type(None))) or value not in choices:
            names = " or ".join("null" if name is None else f'"{name}"' for name in choices)
            raise self.wrong(key, value, names)
        return value

    def text(self, key: str, *default: Any) -> str:
        """A printable text of one line, not empty."""
        value = self.value(key, *default)
        if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT or not value.isprintable():
            raise self.wrong(key, value, "a text of one line")
        return value

    def numbers(self, key: str, most: int) -> tuple[float, ...]:
        """A list of at most so many numbers, as floats."""
        path = f"{self._path}.{key}"
        values = self.value(key)
        if not isinstance(values, (list, tuple)) or len(values) > most:
            raise ModelError(f"{path} must be a list of at most {most} numbers")
        for value in values:
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ModelError(f"{path} holds {value!r:.60}, which is not a number")
            if not abs(value) <= _MAX_NUMBER:
                raise ModelError(f"{path} holds {value!r:.60}, which is too large")
        return tuple(float(value) for value in values)

    def nested(self, key: str, data: Any) -> Object:
        """An entry that was taken, as an object of its own."""
        return Object(data, f"{self._path}.{key}", self._document)

    def require(self, *keys: str) -> None:
        """Refuse an object without one of these entries."""
        for key in keys:
            if key not in self._left:
                raise ModelError(f"{self._path}.{key} is missing in {self._document}")

    def rest(self) -> dict[str, Any]:
        """The entries that were not taken."""
        return self._left

    def finish(self) -> None:
        """Refuse entries that were not taken.

        Raises:
            ModelError: there are some.
        """
        if self._left:
            # Escaped, for they may hold what no terminal should show.
            names = ", ".join(f"{self._path}.{repr(key)[1:-1]}" for key in list(self._left)[:3])
            raise ModelError(f"{names[:200]}: unknown to this ser-edge, in {self._document}")

    def wrong(self, key: str, value: Any, wanted: str) -> ModelError:
        """The error for an entry that is not what is wanted."""
        shown = repr(value)[:60]
        return ModelError(
            f"{self._path}.{key} is {shown}, but must be {wanted}, in {self._document}"
        )


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _check_nesting(data: Any, document: str) -> None:
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
        raise ModelError(f"{document} is nested more than {_MAX_NESTING} deep")

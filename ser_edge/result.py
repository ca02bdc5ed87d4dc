"""What the classification of a window or a recording gives."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

JSON_SCHEMA = 1  # of a result; grows when a field changes its meaning
# Of a result in a table, before the scores of the labels.
COLUMNS = ("start", "end", "label", "confidence", "reason")
_DIGITS = 6  # of a probability, when it is printed: float32 has no more


# A named tuple, for a dataclass takes a hundredth of a cold start to define.
class Result(NamedTuple):
    """The emotion of a recording, or of a window of it.

    Example:
        >>> print(Result("happy", 0.8, {"happy": 0.8, "sad": 0.2}, 0.0, 2.5))
        happy 80 %
        >>> print(Result(None, None, None, 0.0, 2.5, "silence"))
        no emotion (silence)
    """

    label: str | None  # the most probable emotion; None when there is a reason for none
    confidence: float | None  # its probability; None where there are no scores
    scores: Mapping[str, float] | None  # probability of every label; None for some reasons
    start: float  # seconds from the recording's start
    end: float  # seconds
    reason: str | None = None  # silence, too_short, no_speech, uncertain or unfamiliar

    def __str__(self) -> str:
        if self.label is None:
            return f"no emotion ({self.reason})"
        return f"{self.label} {self.confidence:.0%}".replace("%", " %")

    @property
    def best(self) -> str | None:
        """The most probable label, however little so; None where there are no scores.

        Example:
            >>> Result(None, 0.4, {"happy": 0.4, "sad": 0.3}, 0.0, 2.5, "uncertain").best
            'happy'
        """
        return max(self.scores, key=self.scores.__getitem__) if self.scores else None

    def rounded(self) -> Result:
        """The same with probabilities of six significant digits, as all output has them.

        Example:
            >>> Result("happy", 2 / 3, {"happy": 2 / 3, "sad": 1e-8 / 3}, 0.0, 2.5).rounded().scores
            {'happy': 0.666667, 'sad': 3.33333e-09}
        """
        if self.scores is None or self.confidence is None:
            return self
        scores = {label: _significant(score) for label, score in self.scores.items()}
        return self._replace(confidence=_significant(self.confidence), scores=scores)

    def to_dict(self) -> dict[str, Any]:
        """All fields, as JSON knows them; a list of such is a table for ``pandas.DataFrame``."""
        return {
            "label": self.label,
            "confidence": self.confidence,
            "scores": None if self.scores is None else dict(self.scores),
            "start": self.start,
            "end": self.end,
            "reason": self.reason,
        }

    def _repr_html_(self) -> str:
        """A table for notebooks: the scores, highest first."""
        from html import escape

        rows = sorted((self.scores or {}).items(), key=lambda item: -item[1])
        body = "".join(
            f"<tr><td>{escape(label)}</td>"
            f'<td><meter value="{score:.3f}"></meter></td>'
            f'<td style="text-align: right">{100 * score:.1f} %</td></tr>'
            for label, score in rows
        )
        caption = f"{escape(str(self))}, {self.start:.1f} s to {self.end:.1f} s"
        return f"<table><caption>{caption}</caption>{body}</table>"


def result_json(result: Result, more: Mapping[str, Any] | None = None, /, **origin: str) -> str:
    """A result as one JSON object: its schema and its origin, the result, and what is more."""
    fields = {"schema": JSON_SCHEMA, **origin, **result.rounded().to_dict(), **(more or {})}
    return json.dumps(fields)


def table_row(result: Result, labels: Sequence[str]) -> list[object]:
    """A result as a row of a table: :data:`COLUMNS`, then the score of each label.

    Example:
        >>> table_row(Result("happy", 2 / 3, {"happy": 2 / 3}, 0.0, 2.5), ["happy"])
        [0.0, 2.5, 'happy', 0.666667, None, 0.666667]
    """
    result = result.rounded()
    scores = result.scores or {}
    row = [result.start, result.end, result.label, result.confidence, result.reason]
    return [*row, *(scores.get(label) for label in labels)]


def _significant(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")

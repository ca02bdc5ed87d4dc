"""What the classification of a window or a recording gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """The emotion of a recording, or of a window of it.

    Example:
        >>> print(Result("happy", 0.8, {"happy": 0.8, "sad": 0.2}, 0.0, 2.5))
        happy 80 %
        >>> print(Result(None, None, None, 0.0, 2.5, "silence"))
        no emotion (silence)
    """

    label: str | None  # the most probable emotion; None when there is a reason for none
    confidence: float | None  # its probability; None for every reason but uncertain
    scores: Mapping[str, float] | None  # probability of every label; None as above
    start: float  # seconds from the recording's start
    end: float  # seconds
    reason: str | None = None  # silence, too_short, no_speech or uncertain

    def __str__(self) -> str:
        if self.label is None:
            return f"no emotion ({self.reason})"
        return f"{self.label} {self.confidence:.0%}".replace("%", " %")

    def to_dict(self) -> dict[str, Any]:
        """All fields, as JSON knows them."""
        return asdict(self)

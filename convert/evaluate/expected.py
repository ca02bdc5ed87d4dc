"""What a model's author got for some recordings: the reader of ``predictions.csv``.

The table has a column ``path``, relative to its own folder, and ``label``, the model's answer, or a
column of scores for every label, or both. The scores are what the model gives: probabilities, or
logits. A model of two labels with one sigmoid has one column, of the second label.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ser_edge.errors import SerEdgeError
from ser_edge.model import softmax

_SUM_TOLERANCE = 1e-2  # of probabilities that were written with few digits


@dataclass(frozen=True)
class Expected:
    """The author's answer for one recording."""

    path: Path
    label: str
    probabilities: tuple[float, ...] | None  # in the order of the labels; None: only the label


def read(
    path: str | os.PathLike[str], labels: Sequence[str], *, folder: Path | None = None
) -> list[Expected]:
    """Read and check a table of predictions.

    Args:
        path: of the CSV file.
        labels: the model's, in the order of its outputs.
        folder: where recordings are looked for that are not found beside the table.

    Returns:
        One answer a row. Scores that do not sum to 1 are taken for logits.

    Raises:
        SerEdgeError: the table is missing, empty or malformed, names a recording twice or one that
            is not there, or uses other labels.

    Example:
        >>> read("/no/such.csv", ["calm", "angry"])
        Traceback (most recent call last):
        ...
        ser_edge.errors.SerEdgeError: cannot read /no/such.csv: No such file or directory
    """
    table = Path(path)
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            columns = _score_columns(table, rows.fieldnames or (), labels)
            expected = [
                _row(row, labels, columns, (table.parent, folder), f"{table}, line {rows.line_num}")
                for row in rows
            ]
    except OSError as error:
        raise SerEdgeError(f"cannot read {table}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise SerEdgeError(f"{table} is not a CSV file: {error}") from error
    if not expected:
        raise SerEdgeError(f"{table} has no row")
    seen: set[Path] = set()
    for item in expected:
        if item.path in seen:
            raise SerEdgeError(f"{table} has {item.path} twice")
        seen.add(item.path)
    return expected


def _score_columns(table: Path, names: Sequence[str], labels: Sequence[str]) -> tuple[str, ...]:
    """The columns of scores: of all labels, of the second of two, or none."""
    if "path" not in names:
        raise SerEdgeError(f"{table} lacks the column 'path'")
    found = [label for label in labels if label in names]
    if len(found) == len(labels):
        return tuple(labels)
    if len(labels) == 2 and found == [labels[1]]:
        return (labels[1],)
    if found:
        lacking = next(label for label in labels if label not in found)
        raise SerEdgeError(f"{table} has scores of {found[0]!r}, but none of {lacking!r}")
    if "label" not in names:
        raise SerEdgeError(f"{table} has neither a column 'label' nor scores of {labels[0]!r}")
    return ()


def _row(
    row: Mapping[str, str],
    labels: Sequence[str],
    columns: tuple[str, ...],
    folders: tuple[Path, Path | None],
    place: str,
) -> Expected:
    if not row["path"]:
        raise SerEdgeError(f"{place}: empty path")
    recording = folders[0] / row["path"]
    if not recording.is_file() and folders[1] is not None:
        recording = folders[1] / row["path"]
    if not recording.is_file():
        raise SerEdgeError(f"{place}: no such file {recording}")
    probabilities = _probabilities(row, columns, place) if columns else None
    label = row.get("label") or ""
    if not label and probabilities is None:
        raise SerEdgeError(f"{place}: empty label")
    if label and label not in labels:
        raise SerEdgeError(f"{place}: the label {label!r} is not one of {', '.join(labels)}")
    if probabilities is not None:
        best = labels[int(np.argmax(probabilities))]
        if label and label != best:
            raise SerEdgeError(f"{place}: the label is {label!r}, but {best!r} has the best score")
        label = best
    return Expected(recording, label, probabilities)


def _probabilities(
    row: Mapping[str, str], columns: tuple[str, ...], place: str
) -> tuple[float, ...]:
    try:
        scores = np.array([float(row[name]) for name in columns])
    except (TypeError, ValueError):
        raise SerEdgeError(f"{place}: a score is not a number") from None
    if not np.isfinite(scores).all():
        raise SerEdgeError(f"{place}: a score is not finite")
    if len(scores) == 1:  # a sigmoid
        high = float(scores[0])
        if not 0 <= high <= 1:
            high = 1 / (1 + math.exp(-high))
        return 1 - high, high
    are_probabilities = (scores >= 0).all() and abs(float(scores.sum()) - 1) <= _SUM_TOLERANCE
    return tuple((scores if are_probabilities else softmax(scores)).tolist())

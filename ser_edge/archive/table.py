"""Outcomes as the rows of a table, whatever holds it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from ser_edge.archive.worker import Outcome
from ser_edge.errors import SerEdgeError
from ser_edge.result import COLUMNS, Result, table_row


class OutputError(SerEdgeError, ValueError):
    """A file of results that cannot be written, or gone on with; its text is one clear sentence."""


def rows(outcome: Outcome, labels: Sequence[str]) -> Iterator[list[Any]]:
    """The rows of a table: file, the result's columns, the score of each label, error."""
    for result in outcome.results:
        yield [outcome.file, *table_row(result, labels), None]
    if outcome.error is not None:
        yield [outcome.file, *[None] * (len(COLUMNS) + len(labels)), outcome.error]


def from_rows(table: Iterable[Sequence[Any]], labels: Sequence[str]) -> Iterator[Outcome]:
    """The outcomes that gave these rows; None stands for an empty cell."""
    for name, group in groupby(table, lambda row: row[0]):
        results = []
        error = None
        for _, start, end, label, confidence, reason, *scores, error in group:
            if error is None:
                filled = dict(zip(labels, map(float, scores))) if scores[0] is not None else None
                probability = None if confidence is None else float(confidence)
                results.append(Result(label, probability, filled, float(start), float(end), reason))
        yield Outcome(name, results, error)

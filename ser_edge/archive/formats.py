"""Files of results: CSV, JSON lines, Parquet; written from outcomes, and read to go on with."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ser_edge.archive.table import OutputError, from_rows, rows
from ser_edge.archive.worker import Outcome
from ser_edge.result import COLUMNS, Result, result_json

if TYPE_CHECKING:
    from typing import Protocol

    class Format(Protocol):
        """A kind of file."""

        def name(self, file: str) -> str:
            """A recording's name as the file holds it."""

        def write(self, path: str, outcomes: Iterable[Outcome]) -> None:
            """Write all outcomes, each with its results or its error."""

        def read(self, path: str) -> Iterator[Outcome]:
            """The outcomes that a file holds.

            Raises:
                OutputError: it is no such file, or one of another model.
            """


def format_of(path: str, labels: Sequence[str], origin: dict[str, str]) -> Format:
    """The format that a path's ending names.

    Args:
        labels: of the model, in order.
        origin: what JSON names as the source of results: the model, a profile.

    Raises:
        OutputError: there is no such format.
        DependencyError: its package is missing.

    Example:
        >>> format_of("emotions.txt", ["happy"], {})
        Traceback (most recent call last):
        ...
        ser_edge.archive.table.OutputError: emotions.txt: its name must end with .csv, .jsonl or \
.parquet
    """
    ending = os.path.splitext(path)[1].lower()
    if ending == ".csv":
        return Csv(labels)
    if ending == ".jsonl":
        return JsonLines(origin)
    if ending == ".parquet":
        from ser_edge.archive.arrow import Parquet

        return Parquet(labels, origin)
    raise OutputError(f"{path}: its name must end with .csv, .jsonl or .parquet")


class Csv:
    """As ``ser-edge classify --csv`` writes it."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self._head = ["file", *COLUMNS, *labels, "error"]

    def name(self, file: str) -> str:
        return file

    def write(self, path: str, outcomes: Iterable[Outcome]) -> None:
        with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self._head)
            for outcome in outcomes:
                writer.writerows(rows(outcome, self._labels))

    def read(self, path: str) -> Iterator[Outcome]:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file)
            if next(reader, None) != self._head:
                raise OutputError(f"{path}: has other columns than {', '.join(self._head)}")
            try:
                yield from from_rows(([v or None for v in row] for row in reader), self._labels)
            except (ValueError, IndexError, TypeError) as error:
                raise OutputError(
                    f"{path}: line {reader.line_num} cannot be read ({error})"
                ) from None


class JsonLines:
    """As ``ser-edge classify --json`` writes it."""

    def __init__(self, origin: dict[str, str]) -> None:
        self._origin = origin

    def name(self, file: str) -> str:
        return file

    def write(self, path: str, outcomes: Iterable[Outcome]) -> None:
        with open(path, "w", encoding="ascii") as file:
            for outcome in outcomes:
                for result in outcome.results:
                    file.write(result_json(result, **self._origin, file=outcome.file) + "\n")
                if outcome.error is not None:
                    file.write(json.dumps({"file": outcome.file, "error": outcome.error}) + "\n")

    def read(self, path: str) -> Iterator[Outcome]:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            for name, group in groupby(self._objects(path, file), lambda each: each["file"]):
                objects = list(group)
                if "error" in objects[0]:
                    yield Outcome(name, [], objects[0]["error"])
                else:
                    yield Outcome(name, [_result(each) for each in objects])

    def _objects(self, path: str, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
        for number, line in enumerate(lines, 1):
            try:
                each = json.loads(line)
                valid = isinstance(each["file"], str) and ("error" in each or _result(each))
            except (ValueError, KeyError, TypeError):
                valid = False
            if not valid:
                raise OutputError(f"{path}: line {number} is no result")
            for key, value in self._origin.items():
                if "error" not in each and each.get(key) != value:
                    raise OutputError(f"{path}: line {number} is of another {key} than {value}")
            yield each


def _result(each: dict[str, Any]) -> Result:
    return Result(**{field: each[field] for field in ("scores", *COLUMNS)})

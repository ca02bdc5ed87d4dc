"""Results on standard output: a table for people, JSON lines and CSV for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import click

if TYPE_CHECKING:
    from ser_edge.result import Result

JSON_SCHEMA = 1  # of a result; grows when a field changes its meaning

_BAR_WIDTH = 20
_EIGHTHS = " ▏▎▍▌▋▊▉█"
# From Okabe and Ito's palette for colour-blind readers, as near as 256 colours come to it.
_COLORS = {
    "neutral": 250,
    "happy": 220,
    "sad": 32,
    "angry": 166,
    "fear": 175,
    "disgust": 36,
}


class Writer(Protocol):
    """Writes results as they come, each in one flushed piece."""

    def result(self, file: str, result: Result) -> None: ...

    def error(self, file: str, message: str) -> None: ...


def result_json(result: Result, **origin: str) -> str:
    """A result as one JSON object, which begins with its schema and its origin."""
    import json

    return json.dumps({"schema": JSON_SCHEMA, **origin, **result.rounded().to_dict()})


class JsonLines:
    """One JSON object a line."""

    def __init__(self, model: str) -> None:
        self._model = model

    def result(self, file: str, result: Result) -> None:
        print(result_json(result, model=self._model, file=file), flush=True)

    def error(self, file: str, message: str) -> None:
        import json

        print(json.dumps({"file": file, "error": message}), flush=True)


class Csv:
    """Comma-separated values with a header; a file that failed has only its error."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        head = ["file", "start", "end", "label", "confidence", "reason"]
        self._row([*head, *labels, "error"])

    def result(self, file: str, result: Result) -> None:
        result = result.rounded()
        scores = result.scores or {}
        self._row(
            [
                file,
                result.start,
                result.end,
                result.label,
                result.confidence,
                result.reason,
                *(scores.get(label) for label in self._labels),
                None,
            ]
        )

    def error(self, file: str, message: str) -> None:
        self._row([file, *[None] * (5 + len(self._labels)), message])

    def _row(self, values: Sequence[object]) -> None:
        import csv

        # A file name may hold bytes that are no text.
        fields = [click.format_filename(v) if isinstance(v, str) else v for v in values]
        csv.writer(sys.stdout, lineterminator="\n").writerow(fields)
        sys.stdout.flush()


class Table:
    """What a person likes to read: all bars for one file, a line each for many.

    Args:
        files: all files that will come, for the width of their column; none for live audio.
        windows: whether results are windows of a file.
        top: how many labels to show.
    """

    def __init__(self, files: Sequence[str], *, windows: bool, top: int | None) -> None:
        self._windows = windows
        self._top = top
        self._detailed = len(files) == 1 and not windows
        self._width = min(40, max((len(_printable(file)) for file in files), default=0))

    def result(self, file: str, result: Result) -> None:
        if self._detailed:
            self._details(file, result)
        else:
            self._summary(file, result)

    def error(self, file: str, message: str) -> None:
        pass  # standard error has it

    def _details(self, file: str, result: Result) -> None:
        lines = [f"{_printable(file)} ({_seconds(result.end - result.start)}): {_verdict(result)}"]
        ranking = _ranking(result)[: self._top]
        width = max((len(label) for label, _ in ranking), default=0)
        lines += [
            f"  {_colored(f'{label:{width}}  {_bar(score)}', label)} {_percent(score)}"
            for label, score in ranking
        ]
        click.echo("\n".join(lines))

    def _summary(self, file: str, result: Result) -> None:
        name = _printable(file)
        if len(name) > self._width:
            name = "…" + name[1 - self._width :]
        columns = [f"{name:{self._width}}"] if self._width else []
        if self._windows:
            columns.append(f"{_clock(result.start)} - {_clock(result.end)}")
        ranking = _ranking(result)[: 3 if self._top is None else self._top]
        if result.reason is None and ranking:
            label, score = ranking[0]
            columns.append(_colored(f"{label:8} {_bar(score)}", label) + f" {_percent(score)}")
            ranking = ranking[1:]
        else:
            columns.append(f"{_verdict(result):{8 + 1 + _BAR_WIDTH + 5}}")
        if ranking:
            columns.append(", ".join(f"{label} {_percent(p).strip()}" for label, p in ranking))
        click.echo("  ".join(columns).rstrip())


def _ranking(result: Result) -> list[tuple[str, float]]:
    scores = result.scores or {}
    return sorted(scores.items(), key=lambda item: -item[1])


def _verdict(result: Result) -> str:
    if result.label is None:
        return str(result)
    return _colored(click.style(str(result), bold=True), result.label)


def _colored(text: str, label: str) -> str:
    color = _COLORS.get(label)
    return text if color is None else click.style(text, fg=color)


def _bar(score: float) -> str:
    eighths = round(score * _BAR_WIDTH * 8)
    bar = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
    try:
        bar.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        bar = "#" * round(score * _BAR_WIDTH)
    return f"{bar:{_BAR_WIDTH}}"


def _percent(score: float) -> str:
    return f"{score:4.0%}".replace("%", " %")


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else _clock(seconds)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours:d}:{minutes:02d}:{rest:04.1f}"


def _printable(file: str) -> str:
    """A file name without anything that a terminal would obey."""
    name = str(click.format_filename(file))
    return "".join(c if c.isprintable() else "?" for c in name)

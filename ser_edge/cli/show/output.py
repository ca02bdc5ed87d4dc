"""Results on standard output: a table for people, JSON lines and CSV for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from ser_edge.cli.terminal import columns, encodable, fitted, printable, width
from ser_edge.result import COLUMNS, JSON_SCHEMA, result_json, table_row

if TYPE_CHECKING:
    from datetime import datetime

    from ser_edge.result import Result
    from ser_edge.utterances.summary import Summary

# In cells of a terminal.
_BAR_CELLS = 20
_PERCENT_CELLS = 6
_VERDICT_CELLS = len("no emotion (unfamiliar)")
_MIN_NAME_CELLS = 8
_TEXT_CELLS = 80
_UNLIMITED = 1 << 16
_GAP = "  "

_UNFAMILIAR = (
    "The model learned from no voice, room or microphone like this, where it is seldom right. "
    "What helps: ser-edge adapt. --accept-unfamiliar answers all the same."
)

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


if TYPE_CHECKING:
    from typing import Protocol

    class Writer(Protocol):
        """Writes results as they come, each in one flushed piece."""

        def result(self, file: str, result: Result) -> None: ...

        def error(self, file: str, message: str) -> None: ...


class JsonLines:
    """One JSON object a line."""

    def __init__(self, origin: Mapping[str, str]) -> None:
        self._origin = origin

    def result(self, file: str, result: Result, summary: Summary | None = None) -> None:
        more = None if summary is None else {"summary": summary.to_dict()}
        print(result_json(result, more, **self._origin, file=file), flush=True)

    def summary(self, file: str, summary: Summary) -> None:
        """The summary of the utterances before."""
        import json

        fields = {"schema": JSON_SCHEMA, **self._origin, "file": file}
        print(json.dumps({**fields, "summary": summary.to_dict()}), flush=True)

    def error(self, file: str, message: str) -> None:
        import json

        print(json.dumps({"file": file, "error": message}), flush=True)


class Csv:
    """Comma-separated values with a header, in UTF-8; a file that failed has only its error.

    Names whose bytes are no text are written byte by byte, so that they can be matched to their
    files: read the rows with ``errors="surrogateescape"``, as Python reads the names themselves.

    Args:
        labels: of the model, in order.
        origin: heading of the first column: what tells results apart.
    """

    def __init__(self, labels: Sequence[str], origin: str = "file") -> None:
        self._labels = labels
        # Names have the bytes of the file system, whatever the terminal shows.
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
        self._row([origin, *COLUMNS, *labels, "error"])

    def result(self, file: str, result: Result) -> None:
        self._row([file, *table_row(result, self._labels), None])

    def error(self, file: str, message: str) -> None:
        self._row([file, *[None] * (len(COLUMNS) + len(self._labels)), message])

    def _row(self, values: Sequence[object]) -> None:
        import csv

        csv.writer(sys.stdout, lineterminator="\n").writerow(values)
        sys.stdout.flush()


class Table:
    """What a person likes to read: all bars for one file, a line each for many.

    On a terminal no line is longer than it is wide; elsewhere names are whole.

    Args:
        files: all files that will come, for the width of their column; none for live audio.
        windows: whether results are windows of a file, whose name stands above them.
        labels: of the model.
        top: how many labels to show.
    """

    def __init__(
        self, files: Sequence[str], *, windows: bool, labels: Sequence[str], top: int | None
    ) -> None:
        self._windows = windows
        self._top = top
        self._detailed = len(files) == 1 and not windows
        self._heading: str | None = None  # file whose windows are being shown
        names = [] if windows else files
        self._name_cells = max((width(encodable(printable(file))) for file in names), default=0)
        self._label_cells = max([8, *(width(encodable(printable(label))) for label in labels)])

    def result(self, file: str, result: Result) -> None:
        if self._detailed:
            self._details(file, result)
            return
        if self._windows:
            self._head(file)
            self._line("  ", None, _span, result)
        else:
            self._line("", file, None, result)

    def begin_timeline(self, file: str) -> None:
        """Show the results to come as parts of this file, even if there are none."""
        self._windows, self._detailed = True, False
        self._head(file)

    def _head(self, file: str) -> None:
        if file != self._heading:
            self._heading = file
            click.echo(fitted(encodable(printable(file)), columns()))

    def live(self, moment: datetime, result: Result) -> None:
        """Show a result of live audio, and when it came."""

        def span(_: Result, short: bool) -> str:
            return moment.strftime("%H:%M:%S" if short else "%Y-%m-%d %H:%M:%S")

        self._line("", None, span, result)

    def error(self, file: str, message: str) -> None:
        pass  # standard error has it

    def _details(self, file: str, result: Result) -> None:
        duration = f" ({_seconds(result.end - result.start)}): "
        cells = columns()
        if cells is not None:
            cells = max(_MIN_NAME_CELLS, cells - len(duration) - len(str(result)))
        lines = [f"{fitted(encodable(printable(file)), cells)}{duration}{_verdict(result)}"]
        ranking = _ranking(result)[: self._top]
        cells = max((width(_label(label)) for label, _ in ranking), default=0)
        lines += [
            f"  {colored(f'{padded(_label(label), cells)}  {_bar(score, _BAR_CELLS)}', label)}"
            f"{percent(score)}"
            for label, score in ranking
        ]
        if result.reason == "unfamiliar":
            import textwrap

            lines += textwrap.wrap(_UNFAMILIAR, columns() or _TEXT_CELLS)
        click.echo("\n".join(lines))

    def _line(
        self,
        margin: str,
        file: str | None,
        span: Callable[[Result, bool], str] | None,
        result: Result,
    ) -> None:
        """One result in one line: as much of it as the terminal is wide."""
        room = columns() or _UNLIMITED
        parts = []
        if span is not None:
            when = span(result, False)
            if len(margin + when + _GAP) + self._verdict_cells(bar=0) > room:
                when = span(result, True)
            parts.append(when)
        name_cells = 0 if file is None else self._name_cells
        fixed = len(margin) + sum(len(part + _GAP) for part in parts)
        fixed += len(_GAP) if name_cells else 0
        # What gives way first: half of the bar, all of it, the beginning of the name.
        bar = next(
            (
                cells
                for cells in (_BAR_CELLS, _BAR_CELLS // 2)
                if fixed + name_cells + self._verdict_cells(cells) <= room
            ),
            0,
        )
        if file is not None:
            left = room - fixed - self._verdict_cells(bar)
            name_cells = min(name_cells, max(_MIN_NAME_CELLS, left))
            name = fitted(encodable(printable(file)), name_cells)
            parts.insert(0, padded(name, name_cells))
        parts.append(self._bar_or_verdict(result, bar))
        left = room - fixed - name_cells - self._verdict_cells(bar) - len(_GAP)
        others = self._others(result, left)
        click.echo((margin + _GAP.join([*parts, others])).rstrip())

    def _verdict_cells(self, bar: int) -> int:
        cells = self._label_cells + _PERCENT_CELLS + (1 + bar if bar else 0)
        return max(_VERDICT_CELLS, cells)

    def _bar_or_verdict(self, result: Result, bar: int) -> str:
        if result.label is None or result.scores is None:
            return padded(_verdict(result), self._verdict_cells(bar))
        score = result.scores[result.label]
        text = padded(_label(result.label), self._label_cells)
        text += f" {_bar(score, bar)}" if bar else ""
        text = colored(text, result.label) + percent(score)
        return padded(text, self._verdict_cells(bar))

    def _others(self, result: Result, room: int) -> str:
        """The next probable labels, as many as there is room for."""
        shown = _ranking(result)[: 3 if self._top is None else self._top]
        others: list[str] = []
        for label, score in shown[0 if result.label is None else 1 :]:
            others.append(f"{_label(label)} {percent(score).strip()}")
            if width(", ".join(others)) > room:
                return ", ".join(others[:-1])
        return ", ".join(others)


def _ranking(result: Result) -> list[tuple[str, float]]:
    scores = result.scores or {}
    return sorted(scores.items(), key=lambda item: -item[1])


def _verdict(result: Result) -> str:
    text = encodable(printable(str(result)))
    return text if result.label is None else colored(click.style(text, bold=True), result.label)


def colored(text: str, label: str) -> str:
    color = _COLORS.get(label)
    return text if color is None else click.style(text, fg=color)


def _bar(score: float, cells: int) -> str:
    eighths = round(score * cells * 8)
    bar = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
    if encodable(bar) != bar:
        bar = "#" * round(score * cells)
    return f"{bar:{cells}}"


def _label(label: str) -> str:
    return encodable(printable(label))


def padded(text: str, cells: int) -> str:
    return text + " " * (cells - width(click.unstyle(text)))


def percent(score: float) -> str:
    return f" {score:4.0%}".replace("%", " %")


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else tenths(seconds)


def _span(result: Result, short: bool) -> str:
    """From where to where in the recording; where there is no room, from where."""
    start = tenths(result.start)
    return start if short else f"{start} - {tenths(result.end)}"


def tenths(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours:d}:{minutes:02d}:{rest:04.1f}"

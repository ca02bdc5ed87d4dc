"""Summaries for people: of a long recording, and of many recordings."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from ser_edge.cli.show.output import colored, padded, percent, tenths
from ser_edge.cli.terminal import clock, columns, encodable, printable, width

if TYPE_CHECKING:
    from ser_edge.result import Result
    from ser_edge.utterances.summary import Summary

_BLOCKS = " ▁▂▃▄▅▆▇█"
_ASCII = " .-=#"  # where the terminal's encoding lacks them
_UNCERTAIN = "uncertain"


def show_summary(summary: Summary) -> None:
    """Print how much was spoken and, for each emotion, its share, its course and its peaks."""
    share = summary.speaking / summary.duration if summary.duration else 0.0
    said = f"speech {clock(summary.speaking)} of {clock(summary.duration)} ({share:.0%})"
    click.echo(f"\n{said.replace('%', ' %')}, utterances: {summary.utterances}")
    rows = sorted(summary.shares.items(), key=lambda row: -row[1])
    rows = [row for row in rows if row[1] > 0]
    cells = max((width(encodable(printable(k))) for k in [*summary.shares, _UNCERTAIN]), default=0)
    for label, part in rows:
        course = blocks([stretch.shares.get(label, 0.0) for stretch in summary.changes])
        times = [tenths(passage.start) for passage in summary.passages.get(label, [])]
        _row(label, cells, part, course, times)
    if summary.uncertain:
        course = blocks([stretch.uncertain for stretch in summary.changes])
        _row(_UNCERTAIN, cells, summary.uncertain, course, [])


def _row(label: str, cells: int, share: float, course: str, times: list[str]) -> None:
    """One emotion: as much of its line as the terminal is wide."""
    name = padded(encodable(printable(label)), cells)
    line = f"  {name} {percent(share)}  {course}"
    room = columns()
    if room is not None and len(line) > room:
        line = f"  {name} {percent(share)}"
    peaks = ""
    for number in range(len(times), 0, -1):
        peaks = f"  most at {', '.join(times[:number])}"
        if room is None or len(line + peaks) <= room:
            break
        peaks = ""
    click.echo(colored(line if peaks else line.rstrip(), label) + peaks)


def blocks(shares: list[float]) -> str:
    """Shares, from 0 to 1, as a line of blocks: the fuller, the more.

    Example:
        >>> blocks([0.0, 0.1, 0.5, 1.0]) in (" ▁▄█", " .-#")
        True
    """
    levels = _BLOCKS if encodable(_BLOCKS) == _BLOCKS else _ASCII
    top = len(levels) - 1
    return "".join(levels[min(top, -int(-share * top // 1))] for share in shares)


class Tally:
    """Counts what many recordings came to, for one line after them."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._seconds = 0.0
        self._failed = 0

    def add(self, result: Result) -> None:
        """Count a recording's result."""
        self._counts[result.label or result.reason or ""] += 1
        self._seconds += result.end - result.start

    def fail(self) -> None:
        """Count a recording that could not be read."""
        self._failed += 1

    def __str__(self) -> str:
        done = sum(self._counts.values())
        text = f"{done} recording{'s'[: done != 1]}, {clock(self._seconds)}"
        kinds = [f"{encodable(printable(k))} {n}" for k, n in self._counts.most_common()]
        if self._failed:
            kinds.append(f"failed {self._failed}")
        return f"{text}: {', '.join(kinds)}" if kinds else text

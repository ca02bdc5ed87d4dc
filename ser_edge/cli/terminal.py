"""What a terminal is given: names it cannot be steered by, lines that fit, progress."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator

import click

_REDRAW_SECONDS = 0.2  # a status line changes at most this often
_PATIENCE_SECONDS = 1.0  # work that is done sooner shows no progress


def prepare_streams() -> None:
    """Let no name stop the program that an output's encoding lacks, and reserve closed streams.

    A file opened later would get the number of a closed stream, and with it all that is printed.

    Raises:
        OSError: standard output is closed.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Never closed: it holds the number.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
            if name == "stdout":
                raise OSError("standard output is closed: there is nowhere to write results")
    if getattr(sys.stdout, "errors", None) in ("strict", "surrogateescape"):
        with contextlib.suppress(AttributeError):
            sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def printable(text: str) -> str:
    """A text without anything that a terminal would obey, in one line."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() else "?" for c in str(click.format_filename(text)))


def encodable(text: str) -> str:
    """The text as standard output shows it: characters that its encoding lacks as escapes."""
    if text.isascii():
        return text
    encoding = sys.stdout.encoding or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def width(text: str) -> int:
    """How many cells of a terminal a printable text takes.

    Example:
        >>> width("sad"), width("悲しい")
        (3, 6)
    """
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def fitted(text: str, cells: int | None) -> str:
    """The end of a text that is too wide for so many cells, with an ellipsis before it.

    Example:
        >>> fitted("recordings/voice.wav", 10)
        '…voice.wav'
    """
    if cells is None or width(text) <= cells:
        return text
    mark = "…"
    if encodable(mark) != mark:
        mark = "~"
    while text and width(text) >= cells:
        text = text[1:]
    return mark + text


def columns() -> int | None:
    """Width of the terminal that standard output is; None where it is none."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def clock(seconds: float) -> str:
    """Seconds as hours, minutes and seconds.

    Example:
        >>> clock(3725.4)
        '1:02:05'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


class StatusLine:
    """The last line of a terminal, on standard error: replaced again and again, then removed."""

    def __init__(self) -> None:
        self._shown = 0  # cells
        self._last = -_REDRAW_SECONDS

    def due(self) -> bool:
        """Whether the last change is long enough ago for another."""
        return time.monotonic() - self._last >= _REDRAW_SECONDS

    def show(self, text: str) -> None:
        """Replace the line."""
        import shutil

        room = shutil.get_terminal_size().columns - 1
        self._last = time.monotonic()
        text = text[:room]
        self._write("\r" + text + " " * (self._shown - len(text)))
        self._shown = len(text)

    def clear(self) -> None:
        """Remove the line, before anything else is written."""
        if self._shown:
            self._write("\r" + " " * self._shown + "\r")
            self._shown = 0
            self._last = -_REDRAW_SECONDS

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


class Progress:
    """How far a piece of work is, and how long it will still take, in a terminal's last line.

    Args:
        what: is done.
        seconds: whether amounts are seconds of audio; else they are counted.
        line: shared with others who write to the terminal.
    """

    def __init__(self, what: str, *, seconds: bool = False, line: StatusLine | None = None) -> None:
        self._what = what
        self._seconds = seconds
        self._line = StatusLine() if line is None else line
        self._began = time.monotonic()
        self._done = 0.0

    def update(self, done: float, total: float | None) -> None:
        """So much is done of so much in all, None where nobody knows."""
        if done < self._done:  # another piece of work
            self._began = time.monotonic()
        self._done = done
        elapsed = time.monotonic() - self._began
        if total is not None and done >= total and not self._seconds:
            self._line.clear()
        elif elapsed >= _PATIENCE_SECONDS and self._line.due():
            self._line.show(self._text(done, total, elapsed))

    def clear(self) -> None:
        """Remove the line."""
        self._line.clear()

    def _text(self, done: float, total: float | None, elapsed: float) -> str:
        text = f"{self._what}: {self._amount(done)}"
        if total:
            text += f" of {self._amount(total)}, {min(1.0, done / total):.0%}".replace("%", " %")
            if done > 0:
                text += f", {clock(max(0.0, elapsed * (total / done - 1)))} left"
        return text

    def _amount(self, amount: float) -> str:
        return clock(amount) if self._seconds else f"{amount:g}"


@contextlib.contextmanager
def progress(what: str, *, seconds: bool = False) -> Iterator[Progress | None]:
    """Progress where a person sees it: None where standard error is no terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    shown = Progress(what, seconds=seconds)
    try:
        yield shown
    finally:
        shown.clear()

"""What a terminal is given: names that cannot steer it, and lines that fit."""

from __future__ import annotations

import contextlib
import os
import sys

import click


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
    encoding = sys.stdout.encoding or "utf-8"
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

"""Results as files that other programs lay over a recording: labels of Audacity, WebVTT."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ser_edge.cli.terminal import printable

if TYPE_CHECKING:
    from ser_edge.result import Result


class AudacityLabels:
    """A line a result: start and end in seconds, and the emotion, separated by tabs.

    Example:
        >>> from ser_edge import Result
        >>> AudacityLabels().result("call.wav", Result("sad", 0.8, {"sad": 0.8}, 1.5, 3.0))
        ... # doctest: +NORMALIZE_WHITESPACE
        1.500000 3.000000 sad 80 %
    """

    def result(self, file: str, result: Result) -> None:
        click.echo(f"{result.start:.6f}\t{result.end:.6f}\t{_text(result)}")

    def error(self, file: str, message: str) -> None:
        pass  # standard error has it


class WebVtt:
    """Subtitles, as browsers and players show them (W3C, "WebVTT").

    Example:
        >>> from ser_edge import Result
        >>> WebVtt().result("call.wav", Result("sad", 0.8, {"sad": 0.8}, 1.5, 3.0))
        WEBVTT
        <BLANKLINE>
        00:00:01.500 --> 00:00:03.000
        sad 80 %
        <BLANKLINE>
    """

    def __init__(self) -> None:
        click.echo("WEBVTT\n")

    def result(self, file: str, result: Result) -> None:
        text = _text(result).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        click.echo(f"{_timestamp(result.start)} --> {_timestamp(result.end)}\n{text}\n")

    def error(self, file: str, message: str) -> None:
        pass  # standard error has it


def _text(result: Result) -> str:
    """The emotion, also where it is uncertain: of a subtitle one sees that by its brackets."""
    if result.label is None and result.best is not None:
        return f"({printable(result.best)}?)"
    return printable(str(result))


def _timestamp(seconds: float) -> str:
    millis = round(1000 * seconds)
    return (
        f"{millis // 3_600_000:02}:{millis // 60_000 % 60:02}:"
        f"{millis // 1000 % 60:02}.{millis % 1000:03}"
    )

"""How far long work is, in the last line of a terminal; nothing of it goes into logs."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ser_edge.cli.terminal import clock

if TYPE_CHECKING:
    from ser_edge.features import FloatArray

_REDRAW_SECONDS = 0.2  # the line changes at most this often
_PATIENCE_SECONDS = 1.0  # work that is done sooner shows no progress


def is_shown() -> bool:
    """Whether there is a terminal to show progress on."""
    return sys.stderr.isatty()


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

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


class Progress:
    """How far a piece of work is, and how long it will still take, in a terminal's last line.

    Args:
        what: is done.
        seconds: whether amounts are seconds of audio; else they are counted.
    """

    def __init__(self, what: str, *, seconds: bool = False) -> None:
        self._what = what
        self._seconds = seconds
        self._line = StatusLine()
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


class AudioProgress:
    """How many seconds of audio of some recordings are classified.

    The duration of those that are still to come is estimated from their size and from the
    recordings before.

    Args:
        files: paths, or - for standard input, whose duration nobody knows.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self._sizes = {file: _size(file) for file in files}
        self._bytes_ahead = sum(self._sizes[file] for file in files)
        self._bytes_seen = 0
        self._before = 0.0  # seconds of the recordings that are done
        self._current = 0.0  # seconds of this one that are done
        self._duration: float | None = None  # of this one
        self._progress = Progress("classified", seconds=True)

    def start(self, file: str) -> None:
        """Begin with a recording."""
        self._before += self._current
        self._current = 0.0
        self._duration = _duration(file)
        self._bytes_ahead -= self._sizes[file]
        self._bytes_seen += self._sizes[file]

    def add_samples(self, samples: FloatArray, sample_rate: int) -> None:
        """Take the next samples: the ``on_chunk`` of ``Classifier.windows``."""
        self._current += samples.size / sample_rate
        self._progress.update(self._before + self._current, self._total())

    def clear(self) -> None:
        """Remove the line, before anything else is written."""
        self._progress.clear()

    def _total(self) -> float | None:
        if self._duration is None:
            return None
        seen = self._before + max(self._current, self._duration)
        return seen + self._bytes_ahead * seen / max(1, self._bytes_seen)


class FilesProgress:
    """How many of many recordings are classified, and how fast.

    The time left is estimated from their sizes.

    Args:
        files: paths.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self._sizes = {file: max(1, _size(file)) for file in files}
        self._total = sum(self._sizes.values())
        self._line = StatusLine()
        self._began = time.monotonic()
        self._files = 0
        self._bytes = 0.0
        self._seconds = 0.0  # of audio

    def add(self, file: str, seconds: float) -> None:
        """A recording of so many seconds is done."""
        self._bytes += self._sizes[file] - self._total / len(self._sizes)
        self.add_some(1, seconds)

    def add_some(self, count: int, seconds: float) -> None:
        """So many recordings, of so many seconds in all, are done."""
        self._files += count
        self._bytes += count * self._total / len(self._sizes)
        self._seconds += seconds
        elapsed = time.monotonic() - self._began
        if elapsed >= _PATIENCE_SECONDS and self._line.due():
            left = elapsed * (self._total / self._bytes - 1)
            self._line.show(
                f"{self._files} of {len(self._sizes)} files, {clock(left)} left, "
                f"{self._files / elapsed:.3g} files/s, {self._seconds / elapsed:.3g} s of audio/s"
            )

    def clear(self) -> None:
        """Remove the line, before anything else is written."""
        self._line.clear()


def _size(file: str) -> int:
    try:
        return 0 if file == "-" else os.path.getsize(file)
    except OSError:
        return 0


def _duration(file: str) -> float | None:
    """Seconds that the header of a recording claims, None where that cannot be told."""
    if file == "-" or not os.path.isfile(file):
        return None
    import soundfile

    try:
        info = soundfile.info(file)
    except (OSError, RuntimeError, TypeError):  # also what libsndfile raises
        return None
    return float(info.duration)

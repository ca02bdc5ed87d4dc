"""What the device's microphone told, day by day, in an SQLite file: results, never audio."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from ser_edge.errors import SerEdgeError
from ser_edge.result import Result

_SCHEMA = 1  # of the file, its user_version
_COMMIT_SECONDS = 10.0  # cards wear out by writing
_CLEAN_SECONDS = 3600.0
_DAY_SECONDS = 86_400.0
MAX_BINS = 2000
MAX_RESULTS = 1000  # told at once


class HistoryError(SerEdgeError):
    """A file that is no history of ser-edge, or cannot be written."""


class History:
    """Keeps results for so many days. Threads may share it.

    Args:
        path: of the SQLite file, which is made where there is none, for its owner alone.
        days: how long results are kept.

    Raises:
        HistoryError: it cannot be opened, or is something else.
    """

    def __init__(self, path: str, days: float) -> None:
        self._path = path
        self._days = days
        self._lock = threading.Lock()
        self._cleaned = self._committed = time.monotonic()
        try:
            if not os.path.exists(path):
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            self._file = sqlite3.connect(path, check_same_thread=False, timeout=10.0)
            version = self._file.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _SCHEMA):
                raise HistoryError(f"{path}: of a newer ser-edge, or not its history")
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute("PRAGMA synchronous=NORMAL")
            self._file.execute(
                "CREATE TABLE IF NOT EXISTS results (time REAL NOT NULL, seconds REAL NOT NULL, "
                "label TEXT, confidence REAL, reason TEXT)"
            )
            self._file.execute("CREATE INDEX IF NOT EXISTS by_time ON results (time)")
            self._file.execute(f"PRAGMA user_version={_SCHEMA}")
            self._clean()
        except OSError as error:
            raise HistoryError(f"{path}: {error.strerror}") from None
        except sqlite3.Error as error:
            raise HistoryError(f"{path}: is no history that can be used ({error})") from None

    def add(self, result: Result, seconds: float, moment: float | None = None) -> None:
        """Keep a window's result.

        Args:
            result: of it.
            seconds: of audio that no window before it had.
            moment: when it came, Unix time; by default now.

        Raises:
            HistoryError: the disk is full, say.
        """
        moment = time.time() if moment is None else moment
        row = (moment, seconds, result.label, result.confidence, result.reason)
        with self._lock:
            try:
                self._file.execute("INSERT INTO results VALUES (?, ?, ?, ?, ?)", row)
                now = time.monotonic()
                if now - self._cleaned > _CLEAN_SECONDS:
                    self._clean()
                elif now - self._committed > _COMMIT_SECONDS:
                    self._commit()
            except sqlite3.Error as error:
                raise HistoryError(f"{self._path}: {error}") from None

    def results(self, start: float, end: float) -> list[dict[str, Any]]:
        """The newest results between two moments (Unix time), the oldest first."""
        rows = self._query(
            "SELECT time, seconds, label, confidence, reason FROM results "
            "WHERE time >= ? AND time < ? ORDER BY time DESC LIMIT ?",
            (start, end, MAX_RESULTS),
        )
        return [
            {
                "time": iso(moment),
                "seconds": round(seconds, 3),
                "label": label,
                "confidence": confidence,
                "reason": reason,
            }
            for moment, seconds, label, confidence, reason in reversed(rows)
        ]

    def bins(self, start: float, end: float, width: float) -> list[dict[str, Any]]:
        """Seconds of audio by label, or by the reason for none, in stretches of time.

        Args:
            start, end: Unix time.
            width: seconds of a stretch, at most :data:`MAX_BINS` of which fit.

        Returns:
            For each stretch with any audio its beginning and the seconds.
        """
        rows = self._query(
            "SELECT CAST((time - ?) / ? AS INTEGER), COALESCE(label, reason), SUM(seconds) "
            "FROM results WHERE time >= ? AND time < ? GROUP BY 1, 2 ORDER BY 1, 2",
            (start, width, start, end),
        )
        found: dict[int, dict[str, float]] = {}
        for number, kind, seconds in rows:
            found.setdefault(number, {})[kind] = round(seconds, 3)
        return [
            {"time": iso(start + number * width), "seconds": seconds}
            for number, seconds in found.items()
        ]

    def close(self) -> None:
        """Write what is not written yet."""
        with self._lock:
            self._file.commit()
            self._file.close()

    def _query(self, query: str, values: Sequence[Any]) -> list[Any]:
        with self._lock:
            try:
                return self._file.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise HistoryError(f"{self._path}: {error}") from None

    def _commit(self) -> None:
        self._file.commit()
        self._committed = time.monotonic()

    def _clean(self) -> None:
        oldest = time.time() - self._days * _DAY_SECONDS
        self._file.execute("DELETE FROM results WHERE time < ?", (oldest,))
        self._commit()
        self._cleaned = time.monotonic()


def iso(moment: float) -> str:
    """Unix time in UTC, as ISO 8601 writes it.

    Example:
        >>> iso(0)
        '1970-01-01T00:00:00.000+00:00'
    """
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")


def parse_time(text: str) -> float:
    """Unix time from a number of seconds, or from ISO 8601; without a zone it is local time.

    Raises:
        ValueError: it is neither.

    Example:
        >>> parse_time("60"), parse_time("1970-01-01T00:01:00Z")
        (60.0, 60.0)
    """
    try:
        moment = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
        except (ValueError, OverflowError, OSError):
            moment = float("nan")
    if not 0 <= moment < 1e11:
        raise ValueError(f"{text[:40]!r} is no time: give seconds since 1970, or ISO 8601")
    return moment

"""What a long run has done so far, in a file that any kill leaves usable.

The journal of ``emotions.csv`` is ``emotions.csv.part``: a line of JSON with the run's settings,
and one for each recording, with all its results. A line that was not finished is dropped by the
next run. When all is done the journal becomes the file, whichever its format, and is removed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ser_edge.archive.table import OutputError
from ser_edge.archive.worker import Outcome
from ser_edge.result import Result

if TYPE_CHECKING:
    from ser_edge.archive.formats import Format

_VERSION = 1
_SYNC_SECONDS = 5.0  # what a loss of power may cost, no kill does


class Journal:
    """The journal of a run; one run at a time has it.

    Args:
        path: the file of results that the run is to write.
        form: its format.
        settings: what results depend on, as JSON knows it: a journal of others is refused.
        resume: go on where an earlier run ended, and with the file where it was finished.

    Attributes:
        done: the names of recordings with an outcome, and whether that is an error.

    Raises:
        OutputError: another run writes the file, or a journal of an earlier one is there that is
            not to be gone on with, or one with other settings.
        OSError: it cannot be written.
    """

    def __init__(
        self, path: str, form: Format, settings: Mapping[str, Any], *, resume: bool
    ) -> None:
        self.path = path
        self.part = f"{path}.part"
        self._form = form
        self.file = open(self.part, "a+b", buffering=0)  # noqa: SIM115  closed by close
        try:
            self._lock()
            self.done: dict[str, bool] = {}
            self._at: dict[str, int] = {}  # where each one's last line begins
            self._synced = time.monotonic()
            head = self._read()
            if head is None or not (resume or self.done):  # nothing would be lost
                os.ftruncate(self.file.fileno(), 0)
                self._end = 0
                head = {"journal": _VERSION, "settings": dict(settings), "adds": resume}
                self._append(head)
            elif not resume:
                raise OutputError(
                    f"{self.part}: an earlier run was not finished: --resume goes on with it, or "
                    "remove that file"
                )
            elif head.get("settings") != json.loads(json.dumps(settings)):
                raise OutputError(
                    f"{self.part}: the earlier run had other settings ("
                    f"{_difference(head.get('settings'), settings)}): remove that file to begin "
                    "anew"
                )
            # A run that began without --resume replaces the file that was there.
            if head.get("adds") and os.path.exists(path):
                for outcome in form.read(path):
                    if form.name(outcome.file) not in self.done:
                        self.add(outcome)
        except BaseException:
            self.file.close()
            raise

    def add(self, outcome: Outcome) -> None:
        """Write an outcome down; a later one of the same recording replaces it.

        Raises:
            OSError: there is no room for it.
        """
        line: dict[str, Any] = {"file": outcome.file}
        if outcome.error is None:
            line["results"] = [result.to_dict() for result in outcome.results]
        else:
            line["error"] = outcome.error
        self._note(line, self._append(line))

    def finish(self, files: Iterable[str]) -> None:
        """Write the file of results, whole, and remove the journal.

        Args:
            files: the order of its recordings; those of earlier runs that are not named come first.
        """
        named = dict.fromkeys(map(self._form.name, files))
        order = [name for name in self._at if name not in named]
        order += [name for name in named if name in self._at]
        draft = f"{self.part}.new"
        self._form.write(draft, self._outcomes(order))
        with open(draft, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(draft, self.path)
        os.unlink(self.part)

    def close(self) -> None:
        """Let another run have it."""
        self.file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another run may have removed it between our opening and locking it.
            if os.path.samestat(os.fstat(self.file.fileno()), os.stat(self.part)):
                return
        except (BlockingIOError, FileNotFoundError):
            pass
        raise OutputError(f"{self.path}: another run is writing it")

    def _read(self) -> dict[str, Any] | None:
        """Read what is there, up to its last whole line; the first line, if there is one."""
        head: dict[str, Any] | None = None
        end = 0
        with open(self.part, "rb") as file:
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                try:
                    line = json.loads(raw)
                except ValueError:
                    line = None
                if head is None:
                    if not isinstance(line, dict) or line.get("journal") != _VERSION:
                        raise OutputError(f"{self.part}: is no journal of an earlier run")
                    head = line
                elif isinstance(line, dict):
                    self._note(line, end)
                else:  # a loss of power
                    break
                end += len(raw)
        os.ftruncate(self.file.fileno(), end)
        self._end = end
        return head

    def _note(self, line: Mapping[str, Any], at: int) -> None:
        name = self._form.name(line["file"])
        self.done[name] = "error" in line
        self._at[name] = at

    def _append(self, line: Mapping[str, Any]) -> int:
        data = memoryview(json.dumps(line).encode() + b"\n")
        at = self._end
        while data:
            written = self.file.write(data)
            self._end += written
            data = data[written:]
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            os.fsync(self.file.fileno())
            self._synced = time.monotonic()
        return at

    def _outcomes(self, names: Iterable[str]) -> Iterator[Outcome]:
        with open(self.part, "rb") as file:
            for name in names:
                if file.tell() != self._at[name]:
                    file.seek(self._at[name])
                line = json.loads(file.readline())
                results = [Result(**result) for result in line.get("results", ())]
                yield Outcome(line["file"], results, line.get("error"))


def _difference(old: Any, new: Mapping[str, Any]) -> str:
    if not isinstance(old, dict):
        return "unknown ones"
    return ", ".join(
        f"{key}: {old.get(key)}, now {new.get(key)}"
        for key in {**old, **new}
        if old.get(key) != json.loads(json.dumps(new.get(key)))
    )

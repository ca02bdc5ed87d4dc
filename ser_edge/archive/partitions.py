"""An archive cut into partitions, which a dataset of Parquet files keeps, one file for each.

A partition's file has a name of its own, given before anything is classified. So whoever writes it
twice, a worker that was thought lost and the one in its place, writes the same file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from ser_edge.archive.arrow import Parquet, import_pyarrow
from ser_edge.archive.places import Place
from ser_edge.archive.table import OutputError
from ser_edge.archive.worker import Outcome, Worker
from ser_edge.audio.remote import is_address
from ser_edge.errors import DependencyError, SerEdgeError

_PLAN = "_plan.jsonl"  # readers of Parquet datasets pass over names that begin so
_MAX_FILES = 2000  # of a partition
_READERS = 16  # at a time: what a store answers slowly, it answers to many
_MEASURED = 8  # files of each ending, for seconds of audio in a byte
_BYTES_PER_SECOND = 32_000  # where that cannot be told: 16 kHz, 16 bits


class Partition(NamedTuple):
    """Files that are classified together."""

    name: str  # of its Parquet file
    files: tuple[str, ...]


def cut(files: Sequence[str], seconds: float) -> Iterator[Partition]:
    """Partitions of about so many seconds of audio, in the order of the files.

    Durations are estimated: from sizes, and from a few recordings of each ending.
    """
    sizes = {file: _size(file) for file in files}
    rates = _seconds_per_byte(sizes)
    some: list[str] = []
    total = 0.0
    for file in files:
        some.append(file)
        total += sizes[file] * rates[_ending(file)]
        if total >= seconds or len(some) == _MAX_FILES:
            yield _partition(some)
            some, total = [], 0.0
    if some:
        yield _partition(some)


class Dataset:
    """A folder of Parquet files, here or at an address of fsspec, and the plan that they follow.

    Args:
        path: of the folder; all machines of a cluster must know it by this name.
        worker: what classifies.
        resume: go on with what an earlier run left.

    Raises:
        OutputError: the folder holds results, and `resume` is not set or they have other settings.
        DependencyError: pyarrow is missing, or fsspec for an address.
    """

    def __init__(self, path: str, worker: Worker, *, resume: bool) -> None:
        self.path = path
        self._place = Place(path)
        self._pyarrow = import_pyarrow()
        self._settings = json.loads(json.dumps(worker.settings))
        self._partitions: list[Partition] = []
        text = self._place.read(_PLAN)
        if text is None:
            if any(name.endswith(".parquet") for name in self._place.names()):
                raise OutputError(f"{path}: holds Parquet files of another program")
            return
        if not resume:
            raise OutputError(f"{path}: holds results: --resume goes on with them, or remove it")
        head, *lines = map(json.loads, text.splitlines())
        if head["settings"] != self._settings:
            raise OutputError(f"{path}: the earlier run had other settings: take another folder")
        self._partitions = [Partition(line["name"], tuple(line["files"])) for line in lines]

    def plan(self, files: Iterable[str], seconds: float) -> list[Partition]:
        """Add the files that no partition has; all partitions that are to be done."""
        known = {file for partition in self._partitions for file in partition.files}
        new = [file for file in dict.fromkeys(files) if file not in known]
        added = list(cut(new, seconds))
        self._partitions += added
        lines = [{"settings": self._settings}, *(p._asdict() for p in self._partitions)]
        if added or not known:
            self._place.write(_PLAN, "".join(json.dumps(line) + "\n" for line in lines).encode())
        present = self._place.names()
        return [each for each in self._partitions if each.name not in present]

    def failed(self) -> list[Partition]:
        """The partitions that are done and hold errors."""
        done = self._done()
        return [each for each, errors in zip(done, self._errors(done)) if errors]

    def count(self, known: Mapping[str, int]) -> tuple[int, int]:
        """Files that are done, and how many of them have an error.

        Args:
            known: errors in some of the partitions, by their names: those need not be read.
        """
        done = self._done()
        errors = sum(self._errors([each for each in done if each.name not in known]))
        return sum(len(each.files) for each in done), errors + sum(known.values())

    def _done(self) -> list[Partition]:
        present = self._place.names()
        return [each for each in self._partitions if each.name in present]

    def _errors(self, partitions: Iterable[Partition]) -> list[int]:
        """How many files of each partition have an error."""
        with ThreadPoolExecutor(_READERS) as pool:
            return list(pool.map(self._read_errors, partitions))

    def _read_errors(self, partition: Partition) -> int:
        with self._place.open(partition.name) as file:
            column = self._pyarrow.parquet.read_table(file, columns=["error"]).column("error")
        return len(column) - int(column.null_count)


def work(
    path: str,
    partition: Partition,
    worker: Worker,
    known: Sequence[Outcome] = (),
    retry: bool = False,
) -> tuple[int, int, float]:
    """Classify a partition and write its file; on whichever machine.

    Args:
        path: of the dataset.
        known: outcomes of some of its files.
        retry: take all outcomes but errors from the file that is there.

    Returns:
        Files, errors among them, and seconds of audio.
    """
    files = Place(path)
    form = Parquet(worker.classifier.labels, worker.origin)
    have = {form.name(outcome.file): outcome for outcome in known}
    if retry:
        with files.open(partition.name) as file:
            have = {o.file: o for o in form.read(file) if o.error is None}
    count = errors = 0
    seconds = 0.0

    def outcomes() -> Iterator[Outcome]:
        nonlocal count, errors, seconds
        for name in partition.files:
            outcome = have.get(form.name(name)) or worker.outcome(name)
            count += 1
            errors += outcome.error is not None
            seconds += outcome.seconds
            yield outcome

    with files.replacing(partition.name) as target:
        form.write(target, outcomes())
    return count, errors, seconds


def _partition(files: Sequence[str]) -> Partition:
    digest = hashlib.sha256("\0".join(files).encode("utf-8", "surrogateescape")).hexdigest()
    return Partition(f"part-{digest[:20]}.parquet", tuple(files))


def _ending(file: str) -> str:
    return os.path.splitext(file.partition("::")[0])[1].lower()


def _size(file: str) -> int:
    try:
        if not is_address(file):
            return os.path.getsize(file)
        from fsspec.core import url_to_fs

        filesystem, path = url_to_fs(file)
        return int(filesystem.info(path)["size"] or 0)  # known from listing, where it was listed
    except Exception:  # its error is told when it is classified
        return 0


def _seconds_per_byte(sizes: Mapping[str, int]) -> dict[str, float]:
    """For each ending, from a few headers."""
    from ser_edge.audio import open_audio

    some: dict[str, list[str]] = defaultdict(list)
    for file, size in sizes.items():
        found = some[_ending(file)]
        if len(found) < _MEASURED and size:
            found.append(file)
    rates = dict.fromkeys(some, 1 / _BYTES_PER_SECOND)
    for ending, files in some.items():
        seconds = 0.0
        measured = 0
        for file in files:
            try:
                with open_audio(file, ffmpeg=False) as audio:
                    duration = audio.duration
            except DependencyError:
                raise
            except SerEdgeError:
                continue
            if duration:
                seconds += duration
                measured += sizes[file]
        if seconds:
            rates[ending] = seconds / measured
    return rates

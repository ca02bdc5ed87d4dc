"""Recordings to calibrate and to verify with: a folder of audio, or an index with labels."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ser_edge.audio import find_audio_files
from ser_edge.errors import ModelError


@dataclass(frozen=True)
class Recording:
    """An audio file, and what is known of it; empty texts where nothing is."""

    path: Path
    label: str = ""
    corpus: str = ""
    speaker: str = ""
    split: str = ""


def find(place: Path, *, labels: Sequence[str], split: str | None = None) -> list[Recording]:
    """The recordings of a folder or of an index.

    Args:
        place: an index (``.csv`` with the column ``path``, relative to the index, and where known
            ``label``, ``corpus``, ``speaker`` and ``split``), a folder with an ``index.csv``, or
            any folder of audio.
        labels: the labels that the index may use.
        split: keep the recordings of this split, where the index tells splits.

    Raises:
        ModelError: the index cannot be read, or uses another label.
        ser_edge.errors.AudioError: the folder holds no audio.
    """
    index = place / "index.csv" if place.is_dir() else place
    if not index.is_file():
        return [Recording(Path(path)) for path in find_audio_files([place])]
    recordings = _read(index)
    unknown = {recording.label for recording in recordings} - {"", *labels}
    if unknown:
        raise ModelError(
            f"{index} has the label {min(unknown)!r}, which is none of the model's: "
            f"{', '.join(labels)}"
        )
    if split is not None and any(recording.split == split for recording in recordings):
        recordings = [recording for recording in recordings if recording.split == split]
    return recordings


def spread(recordings: Sequence[Recording], count: int) -> list[Recording]:
    """At most `count` of them, taken evenly from first to last.

    Example:
        >>> spread([Recording(Path(name)) for name in "abcd"], 2)[1].path.name
        'c'
    """
    step = max(1.0, len(recordings) / count)
    return [recordings[int(number * step)] for number in range(min(count, len(recordings)))]


def _read(index: Path) -> list[Recording]:
    try:
        with index.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ModelError(f"cannot read the index {index}: {error}") from error
    if not rows or not all(row.get("path") for row in rows):
        raise ModelError(f"{index} lists no recordings: a column named path is needed")
    return [
        Recording(
            path=Path(os.path.join(index.parent, row["path"])),
            **{name: row.get(name) or "" for name in ("label", "corpus", "speaker", "split")},
        )
        for row in rows
    ]

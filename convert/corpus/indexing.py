"""An index of labelled clips from the original folder of a corpus.

A recording with a fault is left out of the index and reported.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import numpy as np

from ser_edge.audio import open_audio
from ser_edge.audio.folders import find_audio_files
from ser_edge.decision import level_dbfs
from ser_edge.errors import AudioError, SerEdgeError

from .. import files
from .clips import LABELS
from .naming import SCHEMES, Name
from .splitting import dev_speakers

COLUMNS = ("path", "corpus", "speaker", "gender", "label", "raw_label", "split", "seconds")

# A recording whose loudest frame of 25 ms is fainter holds no speech.
MIN_LEVEL_DBFS = -60.0


@dataclass(frozen=True)
class Entry:
    """One row of an index."""

    path: Path
    name: Name
    split: str  # train or dev
    seconds: float


@dataclass
class Faults:
    """Recordings that were left out, or taken once of several times."""

    no_scheme: list[Path] = field(default_factory=list)  # the name does not fit the corpus's scheme
    unreadable: list[str] = field(default_factory=list)  # sentences that say which and why
    silent: list[Path] = field(default_factory=list)
    # Another file of this name, speaker and emotion was taken.
    same_name: list[Path] = field(default_factory=list)
    # Another file with these very samples, speaker and emotion was taken.
    same_sound: list[Path] = field(default_factory=list)
    # Files with the same samples but several emotions or speakers: none was taken.
    contradictory: list[list[Path]] = field(default_factory=list)
    # Recordings of emotions beyond the six, where these were not wanted, counted by emotion.
    other_label: dict[str, int] = field(default_factory=dict)


def build(
    corpus: str,
    folder: Path,
    *,
    dev_share: float = 0.2,
    seed: int = 1,
    other_labels: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[Entry], Faults]:
    """Read the names and the audio of a corpus.

    Args:
        corpus: one of :data:`ser_edge.convert.corpus.naming.SCHEMES`.
        folder: the corpus as published, unpacked; everything below it counts.
        dev_share: share of the speakers that become the split ``dev``, 0 to 1; one at least of
            several, unless it is 0.
        seed: of the choice of these speakers.
        other_labels: keep emotions beyond :data:`ser_edge.convert.corpus.clips.LABELS`.
        progress: called with the number of recordings read and their total.

    Returns:
        The entries, sorted by path, and what was left out.

    Raises:
        SerEdgeError: the folder holds no audio, or no recording that can be used.
    """
    faults = Faults()
    named = _named(corpus, folder, faults)
    seconds: dict[Path, float] = {}
    by_sound: dict[str, list[Path]] = defaultdict(list)
    for done, path in enumerate(named, start=1):
        try:
            seconds[path], digest, silent = _sound(path)
        except AudioError as error:
            faults.unreadable.append(str(error))
        else:
            if silent:
                faults.silent.append(path)
            else:
                by_sound[digest].append(path)
        progress(done, len(named))
    kept = {}
    for paths in by_sound.values():
        if len({(named[path].speaker, named[path].label) for path in paths}) > 1:
            faults.contradictory.append(paths)
            continue
        first, *copies = paths
        faults.same_sound += copies
        label = named[first].label
        if label in LABELS or other_labels:
            kept[first] = named[first]
        else:
            faults.other_label[label] = faults.other_label.get(label, 0) + 1
    if not kept:
        raise SerEdgeError(
            f"{folder} holds no recording of {corpus} that can be used: its names look like "
            f"{SCHEMES[corpus].example}"
        )
    dev = dev_speakers(sorted({name.speaker for name in kept.values()}), dev_share, seed)
    return [
        Entry(path, kept[path], "dev" if kept[path].speaker in dev else "train", seconds[path])
        for path in sorted(kept)
    ], faults


def write(entries: Sequence[Entry], corpus: str, index: Path) -> None:
    """Write an index, whole or not at all; its paths are relative to its folder.

    Raises:
        OSError: it cannot be written.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for entry in entries:
        name = entry.name
        path = PurePath(os.path.relpath(entry.path, index.parent)).as_posix()
        who = (path, corpus, name.speaker, name.gender)
        what = (name.label, name.raw_label, entry.split, round(entry.seconds, 3))
        rows.writerow(who + what)
    files.write_text(index, text.getvalue())


def _named(corpus: str, folder: Path, faults: Faults) -> dict[Path, Name]:
    """The recordings whose names fit, each once."""
    # Of a recording in several formats the uncompressed one is taken.
    found = sorted(map(Path, find_audio_files([folder])), key=lambda p: (p.suffix != ".wav", p))
    named: dict[Path, Name] = {}
    seen = set()
    for path in found:
        # The scheme may need the names of folders above.
        name = SCHEMES[corpus].parse(path.absolute())
        if name is None:
            faults.no_scheme.append(path)
        elif (key := (path.stem, name.speaker, name.raw_label)) in seen:
            faults.same_name.append(path)
        else:
            seen.add(key)
            named[path] = name
    return named


def _sound(path: Path) -> tuple[float, str, bool]:
    """Seconds, a digest of the samples, and whether they are silence."""
    with open_audio(path) as recording:
        sample_rate = recording.sample_rate
        samples = np.concatenate(list(recording))
    silent = level_dbfs(samples, sample_rate) < MIN_LEVEL_DBFS
    return len(samples) / sample_rate, hashlib.sha256(samples.tobytes()).hexdigest(), silent

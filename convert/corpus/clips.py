"""Labelled clips: the reader of ``index.csv``.

The index has one row a clip with the columns ``path`` (relative to the index), ``corpus``,
``speaker``, ``label`` and ``split`` (``train`` or ``dev``); ``gender`` may be empty or missing and
other columns are ignored.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_edge.errors import SerEdgeError

LABELS = ("neutral", "happy", "sad", "angry", "fear", "disgust")
"""The emotions in the order of the model's outputs."""

SPLITS = ("train", "dev")

LICENCES = {
    "crema_d": "ODbL 1.0 / DbCL 1.0",
    "ravdess": "CC BY-NC-SA 4.0",
    "emo_db": "free",
    "nemo": "CC BY-NC-SA 4.0",
}
"""The terms of the corpora that the bundled model is trained on."""

_COLUMNS = ("path", "corpus", "speaker", "label", "split")


@dataclass(frozen=True)
class Clip:
    """One labelled recording."""

    path: Path
    """The audio file."""
    corpus: str
    speaker: str
    """The speaker's name, unique within the corpus."""
    gender: str
    """As the corpus states it; empty where unknown."""
    label: str
    """One of :data:`LABELS`."""
    split: str
    """``train`` or ``dev``; no speaker of a corpus is in both."""


def default_folder() -> Path:
    """The folder of the corpora: ``SER_CORPORA``, or ``../shared/corpora`` from the project."""
    configured = os.environ.get("SER_CORPORA")
    if configured:
        return Path(configured)
    return Path(__file__).resolve().parents[3] / "shared" / "corpora"


def read_index(path: str | os.PathLike[str] | None = None) -> list[Clip]:
    """Read and check an index of labelled clips.

    Args:
        path: an index file, or the folder that holds an ``index.csv``; None for
            :func:`default_folder`.

    Returns:
        The clips in the order of the index.

    Raises:
        SerEdgeError: the index is missing, empty or malformed, names an unknown label or split,
            repeats a clip, misses a file, or has a speaker in both splits.

    Example:
        >>> read_index("/no/such.csv")
        Traceback (most recent call last):
        ...
        ser_edge.errors.SerEdgeError: cannot read the index /no/such.csv: No such file or directory
    """
    index = Path(path) if path is not None else default_folder()
    if index.is_dir():
        index = index / "index.csv"
    try:
        with index.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            missing = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise SerEdgeError(f"{index} lacks the column {missing[0]!r}")
            clips = [_clip(row, index, rows.line_num) for row in rows]
    except OSError as error:
        raise SerEdgeError(f"cannot read the index {index}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise SerEdgeError(f"cannot read the index {index}: {error}") from error
    if not clips:
        raise SerEdgeError(f"{index} lists no clips")
    _check_unique(clips, index)
    _check_speakers(clips, index)
    return clips


def choose(clips: Sequence[Clip], corpora: Sequence[str]) -> list[Clip]:
    """All dev clips, and the training clips of the named corpora; of all, where none is named.

    Raises:
        SerEdgeError: a corpus has no training clip.
    """
    present = {clip.corpus for clip in clips if clip.split == "train"}
    for name in corpora:
        if name not in present:
            known = ", ".join(sorted(present)) or "none"
            raise SerEdgeError(f"no training clips of a corpus {name!r} (there are: {known})")
    chosen = corpora or present
    return [clip for clip in clips if clip.split == "dev" or clip.corpus in chosen]


def sampling_odds(clips: Sequence[Clip], corpus_exponent: float) -> NDArray[np.float64]:
    """The probability with which each clip is drawn, shape (n,).

    A corpus of n clips is drawn in proportion to ``n ** corpus_exponent``, its labels equally
    often, and the clips of one label of a corpus equally often.
    """
    cells: dict[tuple[str, str], int] = {}
    corpora: dict[str, int] = {}
    for clip in clips:
        cells[clip.corpus, clip.label] = cells.get((clip.corpus, clip.label), 0) + 1
        corpora[clip.corpus] = corpora.get(clip.corpus, 0) + 1
    labels = {corpus: sum(1 for cell in cells if cell[0] == corpus) for corpus in corpora}
    odds = np.array(
        [
            corpora[clip.corpus] ** corpus_exponent
            / labels[clip.corpus]
            / cells[clip.corpus, clip.label]
            for clip in clips
        ]
    )
    return np.asarray(odds / odds.sum(), dtype=np.float64)


def _clip(row: dict[str, str | None], index: Path, line: int) -> Clip:
    for name in _COLUMNS:
        if not row[name]:
            raise SerEdgeError(f"{index}, line {line}: empty {name}")
    values = {name: value or "" for name, value in row.items()}
    if values["label"] not in LABELS:
        raise SerEdgeError(
            f"{index}, line {line}: unknown label {values['label']!r} (known: {', '.join(LABELS)})"
        )
    if values["split"] not in SPLITS:
        raise SerEdgeError(
            f"{index}, line {line}: unknown split {values['split']!r} (known: train, dev)"
        )
    path = index.parent / values["path"]
    if not path.is_file():
        raise SerEdgeError(f"{index}, line {line}: no such file {path}")
    return Clip(
        path=path,
        corpus=values["corpus"],
        speaker=values["speaker"],
        gender=values.get("gender", ""),
        label=values["label"],
        split=values["split"],
    )


def _check_unique(clips: list[Clip], index: Path) -> None:
    seen: set[Path] = set()
    for clip in clips:
        if clip.path in seen:
            raise SerEdgeError(f"{index} lists {clip.path} twice")
        seen.add(clip.path)


def _check_speakers(clips: list[Clip], index: Path) -> None:
    """A speaker on both sides of the split would make every dev figure too good."""
    splits: dict[tuple[str, str], str] = {}
    for clip in clips:
        if splits.setdefault((clip.corpus, clip.speaker), clip.split) != clip.split:
            raise SerEdgeError(
                f"{index}: speaker {clip.speaker} of {clip.corpus} is in both train and dev"
            )

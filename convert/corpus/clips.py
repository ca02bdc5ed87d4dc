"""Labelled clips: the one reader of ``index.csv``, and what is done with its rows.

The index has one row a clip with the columns ``path`` (relative to the index) and ``label``, and
perhaps ``corpus``, ``speaker``, ``split`` (``train`` or ``dev``) and ``gender``; other columns are
ignored.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_edge.adapt.labelled import INDEX, find_clips
from ser_edge.audio.folders import find_audio_files
from ser_edge.errors import SerEdgeError

from ..files import open_table
from .splitting import Row, dev_rows

# The bundled models' emotions in the order of their outputs.
LABELS = ("neutral", "happy", "sad", "angry", "fear", "disgust")

SPLITS = ("train", "dev")

# The terms of the corpora that the bundled models are trained on.
LICENCES = {
    "crema_d": "ODbL 1.0 / DbCL 1.0",
    "ravdess": "CC BY-NC-SA 4.0",
    "emo_db": "free",
    "nemo": "CC BY-NC-SA 4.0",
    "ased": "none stated",
    "aesdd": "free for research",
    "eyase": "none stated",
    "turev": "CC BY-NC-ND 4.0",
    "emotale": "none stated",
    "banglaser": "none stated",
    "iesc": "CC BY-NC-SA 4.0",
    "speechocean": "CC BY 4.0",
    "picovoice": "Apache-2.0",
    "pansori": "CC BY-NC-ND 4.0",
    "kor": "CC BY-NC-SA 4.0",
}

_NEEDED = ("path", "label")
_FILLED = (*_NEEDED, "corpus", "speaker", "split")  # in every row, where the column is there

HELD_OUT_ORDINARY = 0.15  # share of the speakers of ordinary speech


@dataclass(frozen=True)
class Clip:
    """One recording and what is known of it; empty texts where nothing is."""

    path: Path  # the audio file
    corpus: str = ""
    speaker: str = ""  # the name, unique within the corpus
    gender: str = ""  # as the corpus states it
    label: str = ""  # the emotion; ordinary speech has none
    split: str = ""  # train or dev; no speaker of a corpus is in both


def default_folder() -> Path:
    """The folder of the corpora: ``SER_CORPORA``, or ``../shared/corpora`` from the project."""
    configured = os.environ.get("SER_CORPORA")
    if configured:
        return Path(configured)
    return Path(__file__).resolve().parents[3] / "shared" / "corpora"


def read_index(path: str | os.PathLike[str] | None = None) -> list[Clip]:
    """Read and check an index of labelled clips.

    Args:
        path: an index file, or the folder that holds an ``index.csv``, or a folder of audio in
            folders named after their labels; None for :func:`default_folder`.

    Returns:
        The clips in the order of the index. Where it names no corpus it is that of its folder's
        name, and where it has no splits they are :func:`.splitting.dev_rows`'.

    Raises:
        SerEdgeError: the index is missing, empty or malformed, names an unknown split, repeats a
            clip, misses a file, or has a speaker in both splits.

    Example:
        >>> read_index("/no/such.csv")
        Traceback (most recent call last):
        ...
        ser_edge.errors.SerEdgeError: cannot read the index /no/such.csv: No such file or directory
    """
    index = Path(path) if path is not None else default_folder()
    if index.is_dir() and not (index / INDEX).is_file() and _has_folders(index):
        clips = [Clip(Path(found.path), label=found.label) for found in find_clips([index])]
    else:
        index = index / INDEX if index.is_dir() else index
        clips = _checked(index)
        _check_unique(clips, index)
        _check_speakers(clips, index)
    own = (index if index.is_dir() else index.parent).absolute().name or "recordings"
    clips = [clip if clip.corpus else replace(clip, corpus=own) for clip in clips]
    return _with_splits(clips)


def read_ordinary(path: str | os.PathLike[str]) -> list[Clip]:
    """Read an index of ordinary speech, which has no labels: presumably neutral.

    Some of the speakers are held out, by a hash of their names. Where a clip's speaker is
    unknown, the clip is for training.

    Args:
        path: an index file with the columns ``path``, ``corpus`` and ``speaker`` (which may be
            empty), or the folder that holds such an ``index.csv``.

    Returns:
        The clips in the order of the index, without label, their split ``train`` or ``dev``.

    Raises:
        SerEdgeError: the index is missing, empty or malformed, repeats a clip or misses a file.
    """
    index = Path(path)
    if index.is_dir():
        index = index / INDEX
    clips = []
    for line, clip in _read(index, ("path", "corpus"), ("path", "corpus")):
        if not clip.path.is_file():
            raise SerEdgeError(f"{index}, line {line}: no such file {clip.path}")
        digest = hashlib.sha256(f"{clip.corpus}/{clip.speaker}".encode()).digest()
        held_out = clip.speaker and digest[0] < HELD_OUT_ORDINARY * 256
        split = "dev" if held_out else "train"
        speaker = clip.speaker or clip.path.name
        clips.append(replace(clip, speaker=speaker, label="", split=split))
    _check_unique(clips, index)
    return clips


def find(place: Path, *, labels: Sequence[str], split: str | None = None) -> list[Clip]:
    """The recordings to calibrate or verify somebody's model with.

    Args:
        place: an index of which only the column ``path`` is needed, a folder with such an
            ``index.csv``, or any folder of audio.
        labels: the labels that the index may use.
        split: keep the recordings of this split, where the index has any of it.

    Raises:
        SerEdgeError: the index cannot be read, or uses another label.
        ser_edge.errors.AudioError: the folder holds no audio.
    """
    index = place / INDEX if place.is_dir() else place
    if not index.is_file():
        return [Clip(Path(path)) for path in find_audio_files([place])]
    clips = [clip for _, clip in _read(index, ("path",), ("path",))]
    _check_labels([clip for clip in clips if clip.label], labels, f"{index} has")
    return [clip for clip in clips if clip.split == split] or clips


def spread(clips: Sequence[Clip], count: int) -> list[Clip]:
    """At most ``count`` of them, taken evenly from first to last.

    Example:
        >>> spread([Clip(Path(name)) for name in "abcd"], 2)[1].path.name
        'c'
    """
    step = max(1.0, len(clips) / count)
    return [clips[int(number * step)] for number in range(min(count, len(clips)))]


def choose(clips: Sequence[Clip], corpora: Sequence[str]) -> list[Clip]:
    """The training clips of the named corpora, of all where none is named, and all dev clips.

    Of other corpora's dev clips, those stay whose labels the chosen ones have; clips without a
    label are of use to all.

    Raises:
        SerEdgeError: a corpus has no training clip.
    """
    present = {clip.corpus for clip in clips if clip.split == "train"}
    for name in corpora:
        if name not in present:
            known = ", ".join(sorted(present)) or "none"
            raise SerEdgeError(f"no training clips of a corpus {name!r} (there are: {known})")
    chosen = corpora or present
    learned = {clip.label for clip in clips if clip.split == "train" and clip.corpus in chosen}
    measurable = {*learned, ""}
    return [
        clip
        for clip in clips
        if clip.corpus in chosen or (clip.split == "dev" and clip.label in measurable)
    ]


def corpora_with_labels(clips: Sequence[Clip]) -> list[str]:
    """The corpora with labelled training clips: all but ordinary speech.

    Example:
        >>> corpora_with_labels([Clip(Path("a.wav"), "toy", label="happy", split="train")])
        ['toy']
    """
    train = (clip for clip in clips if clip.split == "train" and clip.label)
    return list(dict.fromkeys(clip.corpus for clip in train))


def labels_of(clips: Sequence[Clip]) -> tuple[str, ...]:
    """The labels that occur: those of the bundled models in their order, then others by alphabet.

    Example:
        >>> labels_of([Clip(Path("a.wav"), label=label) for label in ("shy", "sad", "bored")])
        ('sad', 'bored', 'shy')
    """
    present = {clip.label for clip in clips if clip.label}
    return (*(label for label in LABELS if label in present), *sorted(present - set(LABELS)))


def label_indices(clips: Sequence[Clip], labels: Sequence[str] = LABELS) -> NDArray[np.int64]:
    """The clips' labels as positions among a model's, shape (n,).

    Raises:
        SerEdgeError: a clip has another label.

    Example:
        >>> label_indices([Clip(Path("a.wav"), label="sad")]).tolist()
        [2]
    """
    _check_labels(clips, labels, "the clips have")
    return np.array([labels.index(clip.label) for clip in clips], dtype=np.int64)


def shares_speakers(clips: Sequence[Clip]) -> bool:
    """Whether a speaker may be on both sides of the split, as where the speakers are unknown."""
    train = {(clip.corpus, clip.speaker) for clip in clips if clip.split == "train"}
    return any(
        not clip.speaker or (clip.corpus, clip.speaker) in train
        for clip in clips
        if clip.split == "dev"
    )


def sampling_probabilities(clips: Sequence[Clip], corpus_exponent: float) -> NDArray[np.float64]:
    """The probability with which training draws each clip, shape (n,).

    A corpus of n clips is drawn in proportion to ``n ** corpus_exponent``, its labels equally
    often, and the clips of one label of a corpus equally often.
    """
    cells: dict[tuple[str, str], int] = {}
    corpora: dict[str, int] = {}
    for clip in clips:
        cells[clip.corpus, clip.label] = cells.get((clip.corpus, clip.label), 0) + 1
        corpora[clip.corpus] = corpora.get(clip.corpus, 0) + 1
    labels = {corpus: sum(1 for cell in cells if cell[0] == corpus) for corpus in corpora}
    weights = np.array(
        [
            corpora[clip.corpus] ** corpus_exponent
            / labels[clip.corpus]
            / cells[clip.corpus, clip.label]
            for clip in clips
        ]
    )
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _has_folders(folder: Path) -> bool:
    return any(place.is_dir() for place in folder.iterdir())


def _checked(index: Path) -> list[Clip]:
    clips = []
    for line, clip in _read(index, _NEEDED, _FILLED):
        if clip.split not in ("", *SPLITS):
            raise SerEdgeError(
                f"{index}, line {line}: unknown split {clip.split!r} (known: {', '.join(SPLITS)})"
            )
        if not clip.path.is_file():
            raise SerEdgeError(f"{index}, line {line}: no such file {clip.path}")
        clips.append(clip)
    return clips


def _read(index: Path, needed: Sequence[str], filled: Sequence[str]) -> list[tuple[int, Clip]]:
    """The rows with the numbers of their lines.

    The columns ``needed`` must be there, and those of ``filled`` that are there filled.
    """
    with open_table(index, f"the index {index}") as rows:
        missing = [name for name in needed if name not in (rows.fieldnames or ())]
        if missing:
            raise SerEdgeError(f"{index} lacks the column {missing[0]!r}")
        columns = [name for name in filled if name in (rows.fieldnames or ())]
        clips = []
        for row in rows:
            empty = [name for name in columns if not row[name]]
            if empty:
                raise SerEdgeError(f"{index}, line {rows.line_num}: empty {empty[0]}")
            texts = {
                name: row.get(name) or ""
                for name in ("corpus", "speaker", "gender", "label", "split")
            }
            clips.append((rows.line_num, Clip(index.parent / row["path"], **texts)))
    if not clips:
        raise SerEdgeError(f"{index} lists no clips")
    return clips


def _with_splits(clips: list[Clip]) -> list[Clip]:
    if any(clip.split for clip in clips):
        return clips
    dev = dev_rows([Row(clip.corpus, clip.speaker, clip.label) for clip in clips])
    return [
        replace(clip, split="dev" if place in dev else "train") for place, clip in enumerate(clips)
    ]


def _check_labels(clips: Sequence[Clip], labels: Sequence[str], who_has: str) -> None:
    unknown = {clip.label for clip in clips} - set(labels)
    if unknown:
        raise SerEdgeError(
            f"{who_has} the label {min(unknown)!r}, which is none of the model's: "
            f"{', '.join(labels)}"
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
        if (
            clip.speaker
            and splits.setdefault((clip.corpus, clip.speaker), clip.split) != clip.split
        ):
            raise SerEdgeError(
                f"{index}: speaker {clip.speaker} of {clip.corpus} is in both train and dev"
            )

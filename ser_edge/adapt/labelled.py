"""Labelled clips of a user: folders named after emotions, or a list of them."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from typing import NamedTuple

from ser_edge.audio.folders import find_audio_files
from ser_edge.errors import AudioError, ProfileError

INDEX = "index.csv"

_MAX_LABEL = 100  # characters


class LabelledClip(NamedTuple):
    """A recording and its emotion."""

    path: str
    label: str


def find_clips(paths: Iterable[str | os.PathLike[str]]) -> list[LabelledClip]:
    """Find labelled clips.

    Args:
        paths: a CSV file, or a folder with an ``index.csv``, has the columns ``path`` (relative
            to it) and ``label``, and perhaps others. Of any other folder all audio files count,
            with all its folders: the label is the name of the folder in which a file lies.

    Returns:
        The clips in this order; labels are in lower case.

    Raises:
        AudioError: a folder holds no audio, or there is no such file.
        ProfileError: a list cannot be read, or a label is no word of one line.
    """
    clips = []
    for path in [os.fspath(path) for path in paths]:
        index = os.path.join(path, INDEX)
        if path.endswith(".csv"):
            clips += _read(path)
        elif os.path.isfile(index):
            clips += _read(index)
        elif not os.path.exists(path):
            raise AudioError(f"{path}: No such file or directory")
        else:
            clips += [
                _clip(file, os.path.basename(os.path.dirname(os.path.abspath(file))), path)
                for file in find_audio_files([path])
            ]
    return clips


def _read(index: str) -> list[LabelledClip]:
    folder = os.path.dirname(index)
    try:
        with open(index, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = {"path", "label"} - set(reader.fieldnames or ())
            if missing:
                raise ProfileError(f"{index} has no column {' or '.join(sorted(missing))}")
            clips = []
            for row in reader:
                where = f"{index}, line {reader.line_num}"
                if not row["path"]:
                    raise ProfileError(f"{where}: no path")
                clips.append(_clip(os.path.join(folder, row["path"]), row["label"], where))
    except OSError as error:
        raise ProfileError(f"cannot read {index}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ProfileError(f"{index} is not a CSV file in UTF-8: {error}") from error
    if not clips:
        raise ProfileError(f"{index} lists no clips")
    return clips


def _clip(path: str, label: str | None, where: str) -> LabelledClip:
    label = (label or "").strip().lower()
    if not 0 < len(label) <= _MAX_LABEL or not label.isprintable():
        raise ProfileError(f"{where}: {label[:40]!r} is no name of an emotion")
    return LabelledClip(path, label)

"""Recorded noise and rooms: material for the augmentations."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ser_edge import audio
from ser_edge.errors import SerEdgeError

from ..files import open_table
from .augment import Material, Samples

MAX_ROOM_SECONDS = 3.0  # longer impulse responses are effects, not rooms
MIN_ROOM_SECONDS = 0.025
_ROOM_TAIL_SECONDS = 1.0  # what comes later is faint
_BEFORE_DIRECT_SECONDS = 0.001


class MaterialPaths(NamedTuple):
    """The files of a :class:`.augment.Material`, for processes to read."""

    voices: tuple[Path, ...] = ()
    noises: tuple[Path, ...] = ()
    responses: tuple[Path, ...] = ()

    def load(self, sample_rate: int) -> Material:
        """Read them.

        Args:
            sample_rate: to resample to, Hz.

        Raises:
            ser_edge.errors.AudioError: a file cannot be read.
        """
        responses = [audio.load(path, sample_rate) for path in self.responses]
        return Material(
            voices=[audio.load(path, sample_rate) for path in self.voices],
            noises=[audio.load(path, sample_rate) for path in self.noises],
            responses=[
                _from_direct_sound(response, sample_rate)
                for response in responses
                if MIN_ROOM_SECONDS < len(response) / sample_rate < MAX_ROOM_SECONDS
            ],
        )


def read_sounds(folder: Path) -> MaterialPaths:
    """The noises and rooms that a folder's ``index.csv`` lists.

    Args:
        folder: its index has the columns ``path`` and ``kind``: ``ambience`` for noise, ``room``
            for an impulse response; other kinds are left alone.

    Raises:
        SerEdgeError: the index is missing or malformed, or lists neither.

    Example:
        >>> read_sounds(Path("/no/such"))
        Traceback (most recent call last):
        ...
        ser_edge.errors.SerEdgeError: cannot read /no/such/index.csv: No such file or directory
    """
    index = folder / "index.csv"
    try:
        with open_table(index, str(index)) as table:
            rows = [(row["path"], row["kind"]) for row in table]
    except KeyError as error:
        raise SerEdgeError(f"{index} lacks the column {error}") from error
    noises = tuple(folder / path for path, kind in rows if kind == "ambience")
    responses = tuple(folder / path for path, kind in rows if kind == "room")
    if not noises and not responses:
        raise SerEdgeError(f"{index} lists no sound of the kind 'ambience' or 'room'")
    return MaterialPaths(noises=noises, responses=responses)


def _from_direct_sound(response: Samples, sample_rate: int) -> Samples:
    """The response without the time that the sound travels."""
    start = int(np.argmax(np.abs(response))) - int(_BEFORE_DIRECT_SECONDS * sample_rate)
    return response[max(0, start) :][: int(_ROOM_TAIL_SECONDS * sample_rate)]

"""Which recordings of a corpus a model does not learn from, so that it can be measured on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

SHARE = 0.2  # of the speakers, or else of the clips
SEED = 1

_DRAWS = 50  # of speakers, among which the one with the most labels on both sides is taken


class Row(NamedTuple):
    """What counts of a clip; empty where it is not known."""

    corpus: str
    speaker: str
    label: str


def dev_speakers(speakers: Sequence[str], share: float, seed: int) -> set[str]:
    """So many of the speakers, drawn at random: one at least of several, unless the share is 0."""
    count = round(share * len(speakers))
    if share > 0 and len(speakers) > 1:
        count = max(1, count)
    order = np.random.default_rng(seed).permutation(len(speakers))
    return {speakers[position] for position in order[:count]}


def dev_rows(rows: Sequence[Row]) -> set[int]:
    """A fifth of every corpus, by speakers; where there are not two that are known, by clips.

    Of the speakers that are drawn, each label is left to others where possible.

    Args:
        rows: of one or more corpora.

    Returns:
        Places among the rows; the same whenever the rows are the same.

    Example:
        >>> rows = [Row("a", speaker, label) for speaker in "xyz" for label in ("sad", "happy")]
        >>> sorted(dev_rows(rows))
        [0, 1]
    """
    chosen: set[int] = set()
    for corpus in dict.fromkeys(row.corpus for row in rows):
        places = [place for place, row in enumerate(rows) if row.corpus == corpus]
        speakers = sorted({rows[place].speaker for place in places})
        if "" in speakers or len(speakers) < 2:
            chosen |= _by_clip(rows, places)
        else:
            chosen |= _by_speaker(rows, places, speakers)
    return chosen


def _by_speaker(rows: Sequence[Row], places: list[int], speakers: list[str]) -> set[int]:
    best: set[int] = set()
    most = (-1, -1)
    for draw in range(_DRAWS):
        drawn = dev_speakers(speakers, SHARE, SEED + draw)
        dev = {place for place in places if rows[place].speaker in drawn}
        learned = {rows[place].label for place in places if place not in dev}
        score = (len(learned), len({rows[place].label for place in dev}))
        if score > most:
            best, most = dev, score
    return best


def _by_clip(rows: Sequence[Row], places: list[int]) -> set[int]:
    """A fifth of the clips of every label, one at least of several."""
    chosen: set[int] = set()
    rng = np.random.default_rng(SEED)
    for label in sorted({rows[place].label for place in places}):
        of_label = [place for place in places if rows[place].label == label]
        count = max(round(SHARE * len(of_label)), int(len(of_label) > 1))
        chosen |= {of_label[position] for position in rng.permutation(len(of_label))[:count]}
    return chosen

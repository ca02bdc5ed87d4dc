"""The colours of emotions, in pictures and on the page.

Okabe and Ito's palette for colour-blind readers ("Color Universal Design", 2008), without its
yellow, which is too faint for a line; they resemble those on the terminal.
"""

from __future__ import annotations

from collections.abc import Sequence

_COLORS = {
    "neutral": "#000000",
    "happy": "#E69F00",
    "sad": "#0072B2",
    "angry": "#D55E00",
    "fear": "#CC79A7",
    "disgust": "#009E73",
}
_OTHER_COLORS = ("#56B4E9", *_COLORS.values())

# Of windows without a label: those whose answer is uncertain are hatched.
UNCERTAIN_FACE, UNCERTAIN_HATCH = "#F7F7F7", "#BBBBBB"
NO_EMOTION = "#D5D5D5"


def colors(labels: Sequence[str]) -> list[str]:
    """A colour for each label.

    Example:
        >>> colors(["sad", "bored"])
        ['#0072B2', '#000000']
    """
    return [
        _COLORS.get(label, _OTHER_COLORS[number % len(_OTHER_COLORS)])
        for number, label in enumerate(labels)
    ]

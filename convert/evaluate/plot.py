"""A picture of an evaluation: what is taken for what, and whether confidence can be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ser_edge.cli.plot import open_figure, save_figure

from .report import ALL, Scorecard

# A colour map for colour-blind readers (Nunez, Anderton and Renslow, PLoS ONE 13, 2018), and two
# of Okabe and Ito's colours.
_MAP = "cividis"
_BLUE, _ORANGE = "#0072B2", "#D55E00"

_PANEL_INCHES = 4.0


class Picture:
    """A picture to be made once the work is done; what can be wrong shows at once.

    Args:
        path: the file to write; its extension, such as .png or .svg, tells the format.

    Raises:
        DependencyError: matplotlib is missing.
        ValueError: the format is unknown.
    """

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._figure = open_figure(self._path)

    def write(self, title: str, labels: Sequence[str], cards: Mapping[str, Scorecard]) -> None:
        """One confusion matrix a corpus, and the reliability diagram of all clips.

        Raises:
            OSError: the file cannot be written.
        """
        corpora = [name for name in cards if name != ALL] or [ALL]
        self._figure.set_size_inches(_PANEL_INCHES * (len(corpora) + 1), _PANEL_INCHES + 1.2)
        self._figure.suptitle(title)
        panels = self._figure.subplots(1, len(corpora) + 1)
        for name, panel in zip(corpora, panels):
            _draw_confusion(panel, name, labels, cards[name])
        _draw_reliability(panels[-1], cards.get(ALL, cards[corpora[0]]))
        save_figure(self._figure, self._path)


def _draw_confusion(panel: Any, name: str, labels: Sequence[str], card: Scorecard) -> None:
    counts = np.array(card.accuracy.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    panel.imshow(shares, cmap=_MAP, vmin=0.0, vmax=1.0)
    for row, column in np.ndindex(*shares.shape):
        share = shares[row, column]
        color = "black" if share > 0.5 else "white"
        panel.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=color)
    ticks = range(len(labels))
    panel.set_xticks(ticks, labels, rotation=45, ha="right")
    panel.set_yticks(ticks, labels)
    panel.set(
        title=f"{name}: UAR {100 * card.accuracy.uar:.1f} %\n"
        f"{card.accuracy.speakers} speakers, {card.accuracy.clips} clips",
        xlabel="answer (% of the true label's clips)",
        ylabel="true label",
    )


def _draw_reliability(panel: Any, card: Scorecard) -> None:
    confidence = [bin_.confidence for bin_ in card.reliability]
    panel.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1, label="ideal")
    panel.plot(
        confidence,
        [bin_.accuracy for bin_ in card.reliability],
        color=_BLUE,
        marker="o",
        label="accuracy",
    )
    panel.bar(
        confidence,
        [bin_.share for bin_ in card.reliability],
        width=0.03,
        color=_ORANGE,
        label="share of clips",
    )
    panel.set(
        title=f"reliability\nexpected calibration error {card.calibration_error:.3f}",
        xlabel="mean confidence",
        xlim=(0, 1),
        ylim=(0, 1),
        aspect="equal",
    )
    panel.legend(loc="upper left", frameon=False)

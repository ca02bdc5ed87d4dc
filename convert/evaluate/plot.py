"""A plot of an evaluation: confusion matrices and a reliability diagram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .report import ALL, GroupReport

# A colour map for colour-blind readers (Nunez, Anderton and Renslow, PLoS ONE 13, 2018), and two
# of Okabe and Ito's colours.
_MAP = "cividis"
_BLUE, _ORANGE = "#0072B2", "#D55E00"

_PANEL_INCHES = 4.0


def draw(
    figure: Any, title: str, labels: Sequence[str], reports: Mapping[str, GroupReport]
) -> None:
    """Draw one confusion matrix a corpus, and the reliability diagram of all clips.

    Args:
        figure: an empty matplotlib figure.
        title: of the whole figure.
        labels: in the order of the model's outputs.
        reports: by corpus, of :func:`.report.group_reports`.
    """
    corpora = [name for name in reports if name != ALL] or [ALL]
    figure.set_size_inches(_PANEL_INCHES * (len(corpora) + 1), _PANEL_INCHES + 1.2)
    figure.suptitle(title)
    panels = figure.subplots(1, len(corpora) + 1)
    for name, panel in zip(corpora, panels):
        _draw_confusion(panel, name, labels, reports[name])
    _draw_reliability(panels[-1], reports.get(ALL, reports[corpora[0]]))


def _draw_confusion(panel: Any, name: str, labels: Sequence[str], report: GroupReport) -> None:
    counts = np.array(report.accuracy.confusion)
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
        title=f"{name}: UAR {100 * report.accuracy.uar:.1f} %\n"
        f"{report.accuracy.speakers} speakers, {report.accuracy.clips} clips",
        xlabel="prediction (% of the true label's clips)",
        ylabel="true label",
    )


def _draw_reliability(panel: Any, report: GroupReport) -> None:
    confidence = [bin_.confidence for bin_ in report.reliability]
    panel.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1, label="ideal")
    panel.plot(
        confidence,
        [bin_.accuracy for bin_ in report.reliability],
        color=_BLUE,
        marker="o",
        label="accuracy",
    )
    panel.bar(
        confidence,
        [bin_.share for bin_ in report.reliability],
        width=0.03,
        color=_ORANGE,
        label="share of clips",
    )
    panel.set(
        title=f"reliability\nexpected calibration error {report.calibration_error:.3f}",
        xlabel="mean confidence",
        xlim=(0, 1),
        ylim=(0, 1),
        aspect="equal",
    )
    panel.legend(loc="upper left", frameon=False)

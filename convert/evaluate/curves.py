"""A plot of a training run: loss and accuracy over its epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Okabe and Ito's colours, for colour-blind readers.
_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_LINES = ("-", "--", ":")  # of each, before the colours come again
_INCHES = (9.0, 4.0)
_CORPUS = "uar_"  # begins the names of the corpora's figures


def draw(figure: Any, title: str, epochs: Sequence[Mapping[str, float]], n_labels: int) -> None:
    """Draw the loss on the training clips, and the dev speakers' recall, epoch by epoch.

    Args:
        figure: an empty matplotlib figure.
        title: of the whole figure.
        epochs: the lines of a run's log: ``epoch``, ``loss``, ``uar`` and, for every corpus,
            ``uar_CORPUS``.
        n_labels: whose guesses are drawn as chance.
    """
    figure.set_size_inches(*_INCHES)
    figure.suptitle(title)
    left, right = figure.subplots(1, 2)
    numbers = [line["epoch"] for line in epochs]
    marker = "o" if len(numbers) == 1 else None
    left.plot(numbers, [line["loss"] for line in epochs], color="black", marker=marker)
    left.set(title="loss on the training clips", xlabel="epoch")
    names = [name for name in epochs[-1] if name.startswith(_CORPUS)]
    for place, name in enumerate(names):
        right.plot(
            numbers,
            [100 * line[name] for line in epochs],
            color=_COLORS[place % len(_COLORS)],
            linestyle=_LINES[place // len(_COLORS) % len(_LINES)],
            marker=marker,
            label=name[len(_CORPUS) :],
        )
    if len(names) > 1:
        mean = [100 * line["uar"] for line in epochs]
        right.plot(numbers, mean, color="black", linewidth=2, marker=marker, label="mean")
    right.axhline(100 / n_labels, color="#999999", linestyle="--", linewidth=1, label="chance")
    right.set(title="UAR on the dev clips (%)", xlabel="epoch", ylim=(0, 100))
    for panel in (left, right):
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(color="#EEEEEE")
    right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)

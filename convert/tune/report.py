"""What a search found: a table and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .search import Trial

_LOGARITHMIC = ("learning_rate", "weight_decay")
# Okabe and Ito's colours, for colour-blind readers.
_BLUE, _ORANGE = "#0072B2", "#D55E00"
_COLUMNS = 4
_PANEL_INCHES = (3.2, 2.8)


def table(trials: Sequence[Trial]) -> str:
    """The runs, best first; a star marks the defaults, a minus a run that was given up.

    Example:
        >>> runs = [(1, 0.5, True, {"mixup": 0.12}), (0, 0.4, True, {"mixup": 0.2})]
        >>> print(table([Trial(*run) for run in runs]))
        run  UAR %  mixup
        1    50.0    0.12
        0*   40.0     0.2
    """
    names = list(dict.fromkeys(name for trial in trials for name in trial.settings))
    rows = [("run", "UAR %", *names)]
    for trial in trials:
        mark = "*" if trial.number == 0 else "" if trial.finished else "-"
        values = (_short(trial.settings.get(name)) for name in names)
        rows.append((f"{trial.number}{mark}", f"{100 * trial.uar:.1f}", *values))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join(
            text.ljust(width) if place < 2 else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths))
        )
        for row in rows
    )


def draw(figure: Any, title: str, trials: Sequence[Trial]) -> None:
    """Draw the recall run by run, and against each hyper-parameter.

    Args:
        figure: an empty matplotlib figure.
        title: of the whole figure.
        trials: at least one.
    """
    names = list(dict.fromkeys(name for trial in trials for name in trial.settings))
    columns = min(_COLUMNS, len(names) + 1)
    lines = -(-(len(names) + 1) // columns)
    figure.set_size_inches(columns * _PANEL_INCHES[0], lines * _PANEL_INCHES[1] + 0.5)
    figure.suptitle(title)
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    _draw_history(panels[0], sorted(trials, key=lambda trial: trial.number))
    for panel, name in zip(panels[1:], names):
        known = [trial for trial in trials if name in trial.settings]
        _scatter(panel, [trial.settings[name] for trial in known], known)
        panel.set(xlabel=name, xscale="log" if name in _LOGARITHMIC else "linear")
        panel.tick_params(axis="x", which="minor", labelbottom=False)
    for panel in panels[len(names) + 1 :]:
        panel.set_axis_off()


def _draw_history(panel: Any, trials: Sequence[Trial]) -> None:
    best: list[float] = []
    for trial in trials:
        best.append(max([*best[-1:], 100 * trial.uar if trial.finished else 0.0]))
    numbers = [trial.number for trial in trials]
    panel.step(numbers, best, where="post", color="black", linewidth=1, label="best so far")
    _scatter(panel, numbers, trials)
    panel.set(xlabel="run", ylabel="UAR on the left-out speakers (%)")
    panel.xaxis.get_major_locator().set_params(integer=True)
    panel.legend(loc="lower right", frameon=False, fontsize="small")


def _scatter(panel: Any, values: Sequence[float], trials: Sequence[Trial]) -> None:
    for finished, color, marker, label in (
        (True, _BLUE, "o", "finished"),
        (False, _ORANGE, "x", "given up"),
    ):
        chosen = [(x, 100 * t.uar) for x, t in zip(values, trials) if t.finished == finished]
        if chosen:
            panel.scatter(*zip(*chosen), color=color, marker=marker, s=18, label=label)
    panel.set_axisbelow(True)
    panel.grid(color="#EEEEEE")


def _short(value: Any) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)

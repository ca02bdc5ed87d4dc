from __future__ import annotations

import pytest

from ser_edge.convert.evaluate import curves

EPOCHS = [
    {"epoch": 1, "loss": 1.5, "uar": 0.4, "uar_here": 0.3, "uar_there": 0.5},
    {"epoch": 2, "loss": 1.0, "uar": 0.6, "uar_here": 0.5, "uar_there": 0.7},
]


@pytest.mark.parametrize("count", [1, 2])
def test_draws_the_loss_and_every_corpus(count: int) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    curves.draw(figure, "run", EPOCHS[:count], 4)
    loss, recall = figure.axes
    assert list(loss.lines[0].get_ydata()) == [1.5, 1.0][:count]
    drawn = {line.get_label(): list(line.get_ydata()) for line in recall.lines}
    assert drawn["there"] == [50.0, 70.0][:count]
    assert drawn["mean"] == [40.0, 60.0][:count]
    assert drawn["chance"] == [25.0, 25.0]

"""The search goes on where it stopped, and never looks at the dev speakers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ser_edge.convert.corpus.clips import Clip
from ser_edge.convert.train import fit
from ser_edge.convert.tune import report, search
from ser_edge.errors import SerEdgeError
from tests.helpers.training import TINY

pytest.importorskip("optuna")

START = replace(TINY, mixup=0.25, batch_size=32)


class Runs:
    """Stands in for training: the closer mixup is to 0.1, the better."""

    def __init__(self) -> None:
        self.configs: list[Any] = []
        self.seen: set[str] = set()

    def train(self, data: Any, spec: Any, config: Any, *, report: Any, **_: Any) -> None:
        self.configs.append(config)
        self.seen |= {clip.speaker for clip in (*data.train_clips, *data.dev_clips)}
        for epoch in range(1, config.epochs + 1):
            report({"epoch": epoch, "uar": 0.5 - abs(config.mixup - 0.1)})


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    pytest.importorskip("tensorflow")
    stand_in = Runs()
    monkeypatch.setattr(fit, "train", stand_in.train)
    # The number of threads cannot be set once TensorFlow has computed something.
    monkeypatch.setattr(search, "compute_in_one_order", lambda: None)
    return stand_in


def go(clips: list[Clip], spec: dict[str, Any], folder: Path, **changes: Any) -> Any:
    options: dict[str, Any] = {"trials": 3, "copies": 0, "cache": folder / "cache", "jobs": 1}
    config = changes.pop("config", START)
    return search.search(clips, spec, config, folder / "tune.journal", **{**options, **changes})


def test_the_defaults_come_first_and_the_best_is_first_in_the_table(
    runs: Runs, toy_clips: list[Clip], toy_frontend: dict[str, Any], tmp_path: Path
) -> None:
    told: list[search.Trial] = []
    found = go(toy_clips, toy_frontend, tmp_path, trials=6, report=told.append)
    assert runs.configs[0] == START
    assert [trial.number for trial in told] == list(range(6))
    finished = [trial.uar for trial in found if trial.finished]
    assert finished == sorted(finished, reverse=True)
    assert found[0].uar >= told[0].uar
    assert set(found[0].settings) == set(search.SPACE) - {"clean_fraction"}


def test_dev_speakers_are_not_looked_at(
    runs: Runs, toy_clips: list[Clip], toy_frontend: dict[str, Any], tmp_path: Path
) -> None:
    go(toy_clips, toy_frontend, tmp_path, trials=1)
    dev = {clip.speaker for clip in toy_clips if clip.split == "dev"}
    assert runs.seen
    assert not runs.seen & dev


def test_a_search_goes_on_with_new_settings(
    runs: Runs, toy_clips: list[Clip], toy_frontend: dict[str, Any], tmp_path: Path
) -> None:
    go(toy_clips, toy_frontend, tmp_path, trials=2)
    found = go(toy_clips, toy_frontend, tmp_path, trials=4)
    assert len(found) == len(runs.configs) == 4
    assert len({config.learning_rate for config in runs.configs}) == 4
    assert len(go(toy_clips, toy_frontend, tmp_path, trials=4)) == 4
    assert len(runs.configs) == 4


def test_what_was_interrupted_does_not_count(
    runs: Runs,
    toy_clips: list[Clip],
    toy_frontend: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fit, "train", interrupt)
        with pytest.raises(KeyboardInterrupt):
            go(toy_clips, toy_frontend, tmp_path)
    assert len(go(toy_clips, toy_frontend, tmp_path, trials=2)) == 2


def test_another_search_needs_another_file(
    runs: Runs, toy_clips: list[Clip], toy_frontend: dict[str, Any], tmp_path: Path
) -> None:
    go(toy_clips, toy_frontend, tmp_path, trials=1)
    with pytest.raises(SerEdgeError, match="had other settings or recordings"):
        go(toy_clips, toy_frontend, tmp_path, config=replace(START, epochs=3))
    with pytest.raises(SerEdgeError, match="had other settings or recordings"):
        go(toy_clips, {**toy_frontend, "window_seconds": 0.4}, tmp_path)


@pytest.mark.parametrize("content", [b"not a journal\n", b"\x89PNG\r\n", b"[1, 2]\n"])
def test_a_file_of_another_kind_is_one_sentence(
    content: bytes, toy_clips: list[Clip], toy_frontend: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "tune.journal").write_bytes(content)
    with pytest.raises(SerEdgeError, match="holds no search of ser-edge-convert tune"):
        go(toy_clips, toy_frontend, tmp_path)


def test_each_label_stays_among_the_training_clips(toy_clips: list[Clip]) -> None:
    clips = search.leave_out(toy_clips)
    assert len(clips) == 24
    assert len({clip.speaker for clip in clips if clip.split == "dev"}) == 1


TRIALS = [
    search.Trial(2, 0.61, True, {"learning_rate": 0.002, "batch_size": 16}),
    search.Trial(0, 0.52, True, {"learning_rate": 0.004, "batch_size": 32}),
    search.Trial(1, 0.31, False, {"learning_rate": 0.0001, "batch_size": 64}),
]


def test_the_table_marks_defaults_and_what_was_given_up() -> None:
    lines = report.table(TRIALS).splitlines()
    assert lines[0].split() == ["run", "UAR", "%", "learning_rate", "batch_size"]
    assert [line.split()[:2] for line in lines[1:]] == [
        ["2", "61.0"],
        ["0*", "52.0"],
        ["1-", "31.0"],
    ]


def test_the_plot_shows_every_run_and_parameter() -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    report.draw(figure, "search", TRIALS)
    drawn = [panel for panel in figure.axes if panel.axison]
    assert [panel.get_xlabel() for panel in drawn] == ["run", "learning_rate", "batch_size"]
    assert list(drawn[0].lines[0].get_ydata()) == [52.0, 52.0, 61.0]
    assert all(sum(len(dots.get_offsets()) for dots in panel.collections) == 3 for panel in drawn)

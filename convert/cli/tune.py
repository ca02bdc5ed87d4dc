"""``ser-edge-convert tune``: a search for the hyper-parameters of ``train``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from ser_edge.cli.show.plot import save_figure

from .. import files, frontends
from .options import figure_for, progress
from .train import train

# Those of `train`, which mean the same here.
_SHARED = ("index", "architecture", "preset", "frontend_file", "copies", "corpora",
           "with_teacher", "seed", "cache", "jobs")  # fmt: skip


@click.command(params=[option for option in train.params if option.name in _SHARED])
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Write the best settings here, as JSON for train --settings.",
)
@click.option(
    "--storage",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("tune.journal"),
    show_default=True,
    help="File that keeps the search; the same command goes on with it.",
)
@click.option(
    "--trials",
    type=click.IntRange(1),
    default=30,
    show_default=True,
    help="Runs in all, those in the file included.",
)
@click.option(
    "--epochs", type=click.IntRange(1), default=10, show_default=True, help="Of every run."
)
@click.option(
    "--plot",
    "picture",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw the runs into this file, such as .png.",
)
def tune(
    index: Path | None,
    output: Path,
    storage: Path,
    trials: int,
    epochs: int,
    picture: Path | None,
    architecture: str,
    preset: str,
    frontend_file: Path | None,
    copies: int,
    corpora: tuple[str, ...],
    with_teacher: bool,
    seed: int,
    cache: Path | None,
    jobs: int,
) -> None:
    """Search the hyper-parameters with which a network learns labelled clips best.

    INDEX is as for train. Runs are judged on a fifth of the training speakers, which is left out;
    the split dev is not looked at. The first run has the defaults, the next ones are Optuna's
    choice; those that fall behind are given up.
    """
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    from ..corpus.clips import choose, read_index
    from ..train import dataset, pipeline
    from ..tune import report, search

    figure = None if picture is None else figure_for(picture)
    found = search.search(
        choose(read_index(index), corpora),
        frontends.read(frontend_file) if frontend_file else frontends.preset(preset),
        pipeline.configure(architecture, with_teacher=with_teacher, epochs=epochs, seed=seed),
        storage,
        trials=trials,
        copies=copies,
        cache=cache or dataset.default_cache(),
        jobs=jobs,
        progress=progress,
        report=lambda trial: click.echo(json.dumps(_line(trial)), err=True),
        tell=lambda note: click.echo(f"note: {note}", err=True),
    )
    files.write_text(output, json.dumps(found[0].settings, indent=1) + "\n")
    if figure is not None:
        report.draw(figure, f"{architecture}: {len(found)} runs of {epochs} epochs", found)
        save_figure(figure, str(picture))
    click.echo(report.table(found))


def _line(trial: Any) -> dict[str, Any]:
    state = "finished" if trial.finished else "given up"
    return {"run": trial.number, "uar": round(trial.uar, 4), "state": state, **trial.settings}

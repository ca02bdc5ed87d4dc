"""``ser-edge-convert train``: a model, from labelled recordings to a packed file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from ser_edge.cli.show.plot import save_figure

from .. import frontends
from ..train import architectures
from .options import figure_for, progress, seed_option

LABELLED = "labelled"  # for all corpora that have labels


@click.command()
@click.argument("index", required=False, type=click.Path(path_type=Path))
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The model file to write.",
)
@click.option(
    "--architecture",
    type=click.Choice(architectures.NAMES),
    default="deep",
    show_default=True,
    help="The network.",
)
@click.option(
    "--preset",
    type=click.Choice(frontends.NAMES),
    default="compact",
    show_default=True,
    help="The front end.",
)
@click.option(
    "--frontend",
    "frontend_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file with a front end, as in a model's metadata; instead of a preset.",
)
@click.option(
    "--epochs", type=click.IntRange(1), default=50, show_default=True, help="Passes over the clips."
)
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file with other hyper-parameters, such as tune writes.",
)
@click.option(
    "--copies",
    type=click.IntRange(0),
    default=6,
    show_default=True,
    help="Augmented copies of every training clip.",
)
@click.option(
    "--corpus",
    "corpora",
    multiple=True,
    metavar="NAME",
    help="Learn from this corpus alone, of labelled or ordinary speech; again for more of them. "
    "[default: from all]",
)
@click.option(
    "--second",
    multiple=True,
    metavar="NAME",
    help="Train a second network on this corpus alone, again for more of them, or on 'labelled', "
    "which is all but ordinary speech: the model is the mean of both, more often right and twice "
    "as large. [default: one network]",
)
@click.option(
    "--second-weight",
    type=click.FloatRange(0, 1),
    default=architectures.SECOND_WEIGHT,
    show_default=True,
    help="Of the second network in the mean: more of it is less neutral.",
)
@click.option(
    "--neutral-shift",
    type=float,
    help="With --ordinary: added to neutral's logit; less of it is less neutral. [default: -0.5, "
    "with --second 0]",
)
@click.option(
    "--ordinary",
    type=click.Path(exists=True, path_type=Path),
    metavar="INDEX",
    help="Index of ordinary speech without labels: columns path, corpus, speaker. Taken for "
    "neutral, softly; some speakers are held out to measure on.",
)
@click.option(
    "--sounds",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Recorded noise and rooms for the copies: its index.csv has the columns path and kind "
    "(ambience or room).",
)
@click.option(
    "--teacher/--no-teacher",
    "with_teacher",
    default=True,
    show_default=True,
    help="Learn from Whisper's encoder too, not from the labels alone.",
)
@seed_option()
@click.option("--name", default="default", show_default=True, help="The model's name.")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for features and checkpoints. [default: ~/.cache/ser-edge]",
)
@click.option(
    "--plot",
    "picture",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw the loss and the accuracy of every epoch into this file, such as .png.",
)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of this name.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Processes that compute features.",
)
def train(
    index: Path | None,
    output: Path,
    architecture: str,
    preset: str,
    frontend_file: Path | None,
    epochs: int,
    settings_file: Path | None,
    copies: int,
    corpora: tuple[str, ...],
    second: tuple[str, ...],
    second_weight: float,
    neutral_shift: float | None,
    ordinary: Path | None,
    sounds: Path | None,
    with_teacher: bool,
    seed: int,
    name: str,
    cache: Path | None,
    picture: Path | None,
    resume: bool,
    jobs: int,
) -> None:
    """Train a model on labelled clips, quantize, measure and pack it.

    INDEX lists them: a CSV with the columns path and label, and where known speaker, corpus and
    split (train or dev), or a folder with an index.csv, or one of audio in folders named after
    their labels. [default: SER_CORPORA, ../shared/corpora] Labels and language are yours. Where
    there is no split, a fifth of the speakers becomes dev.

    Ordinary speech (--ordinary) and recorded noise and rooms (--sounds) make the model less sure
    of emotions in people and places that it does not know.

    The network learns from the clips of the split "train"; those of "dev", of all corpora, give
    the stated accuracy, the temperature and the threshold. The same command with the same seed
    gives the same model on the same machine.
    """
    # Read by libraries when they are loaded; the processes that compute features inherit it.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    from ..corpus.clips import choose, corpora_with_labels, read_index, read_ordinary
    from ..evaluate import curves
    from ..train import config, dataset, fit, pipeline

    settings = {} if settings_file is None else config.read(settings_file)
    figure = None if picture is None else figure_for(picture)
    cache = cache or dataset.default_cache()
    clips = [*read_index(index), *(read_ordinary(ordinary) if ordinary else [])]
    clips = choose(clips, corpora)
    metadata = pipeline.train(
        clips,
        frontends.read(frontend_file) if frontend_file else frontends.preset(preset),
        pipeline.configure(
            architecture,
            with_teacher=with_teacher,
            **{**settings, "epochs": epochs, "seed": seed},
        ),
        output,
        name=name,
        copies=copies,
        cache=cache,
        sounds=sounds,
        second=corpora_with_labels(clips) if second == (LABELLED,) else second,
        second_weight=second_weight,
        neutral_shift=neutral_shift,
        resume=resume,
        jobs=jobs,
        progress=progress,
        report=_report,
        tell=lambda note: click.echo(f"note: {note}", err=True),
    )
    if figure is not None:
        log = (pipeline.run_folder(cache, name) / fit.LOG).read_text().splitlines()
        curves.draw(figure, name, [json.loads(line) for line in log], len(metadata.labels))
        save_figure(figure, str(picture))
    click.echo(json.dumps(metadata.details["accuracy"], indent=1), err=True)


def _report(line: dict[str, Any]) -> None:
    click.echo(json.dumps(line), err=True)

"""``ser-edge-convert train``: the bundled model, from labelled recordings to a packed file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from .. import frontends
from ..train import architectures
from .options import index_option, progress, seed_option


@click.command()
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The model file to write.",
)
@index_option
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
    help="Learn from this corpus alone; again for more of them. [default: from all]",
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
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of this name.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Processes that compute features.",
)
def train(
    output: Path,
    index: Path | None,
    architecture: str,
    preset: str,
    frontend_file: Path | None,
    epochs: int,
    copies: int,
    corpora: tuple[str, ...],
    with_teacher: bool,
    seed: int,
    name: str,
    cache: Path | None,
    resume: bool,
    jobs: int,
) -> None:
    """Train a model on labelled clips, quantize, measure and pack it.

    The network learns from the clips of the split "train"; those of "dev", of all corpora, give
    the stated accuracy, the temperature and the threshold. The same command with the same seed
    gives the same model on the same machine.
    """
    # Read by libraries when they are loaded; the processes that compute features inherit it.
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    from ..corpus.clips import choose, read_index
    from ..train import dataset, pipeline

    metadata = pipeline.train(
        choose(read_index(index), corpora),
        frontends.read(frontend_file) if frontend_file else frontends.preset(preset),
        pipeline.configure(architecture, with_teacher=with_teacher, epochs=epochs, seed=seed),
        output,
        name=name,
        copies=copies,
        cache=cache or dataset.default_cache(),
        resume=resume,
        jobs=jobs,
        progress=progress,
        report=lambda line: click.echo(json.dumps(line), err=True),
    )
    click.echo(json.dumps(metadata.details["accuracy"], indent=1), err=True)

"""``ser-edge-convert calibrate``: how sure a packed model is, chosen anew on labelled clips."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .options import model_argument, progress, rewritten_option


@click.command()
@model_argument
@click.argument("index", required=False, type=click.Path(exists=True, path_type=Path))
@rewritten_option
@click.option(
    "--ordinary",
    type=click.Path(exists=True, path_type=Path),
    metavar="INDEX",
    help="Index of ordinary speech, as for train: it is stated how much is taken for an emotion.",
)
def calibrate(model: str, index: Path | None, output: Path, ordinary: Path | None) -> None:
    """Choose temperature, threshold and what is familiar, and state the accuracy; no training.

    INDEX lists labelled clips of the corpora that the model learned from: the split "train" tells
    what it heard, "dev" are other speakers, on whom all is chosen. [default: SER_CORPORA,
    ../shared/corpora] Corpora that the model's metadata do not name are measured alone.
    """
    from ser_edge import model_file

    from ..corpus.clips import choose, read_index, read_ordinary
    from ..train import release

    clips = [*read_index(index), *(read_ordinary(ordinary) if ordinary else [])]
    named = release.training_corpora(model_file.read_metadata(model).details)
    present = {clip.corpus for clip in clips if clip.split == "train"}
    metadata = release.calibrate(
        model,
        choose(clips, [name for name in named if name in present]),
        output,
        progress=progress("clips"),
    )
    click.echo(json.dumps(metadata.details["accuracy"], indent=1), err=True)

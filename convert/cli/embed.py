"""``ser-edge-convert embed``: a model file gives its embeddings, so that it can be adapted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ser_edge import model_file
from ser_edge.errors import SerEdgeError

from ..corpus.clips import Clip, read_index
from .options import model_argument, progress, rewritten_option


@click.command()
@model_argument
@click.argument("index", required=False, type=click.Path(exists=True, path_type=Path))
@rewritten_option
@click.option(
    "--layer",
    help="Whose activation is the embedding.  [default: the last hidden layer]",
)
@click.option(
    "--utterance-layer",
    help="Whose activation is the utterance embedding.  [default: the layer before it]",
)
def embed(
    model: str,
    index: Path | None,
    output: Path,
    layer: str | None,
    utterance_layer: str | None,
) -> None:
    """Add embeddings to a model of ser-edge, from the weights that it has.

    The probabilities stay the same to the bit. INDEX lists the labelled clips that the model was
    trained on: an index.csv or its folder. [default: SER_CORPORA, ../shared/corpora] Of these, the
    training speakers of the corpora that the model names tell how its embeddings are spread.
    """
    from ..export import embedding

    metadata, flatbuffer = model_file.read(model)
    if metadata.embedding is not None:
        raise SerEdgeError(f"{model} has embeddings already")
    clips = _training_clips(read_index(index), metadata.details)
    entries = embedding.embed(
        flatbuffer,
        metadata.to_dict(),
        clips,
        output,
        layer=layer,
        utterance_layer=utterance_layer,
        progress=progress("clips"),
    )
    for key, entry in zip(embedding.KEYS, entries):
        fires = sum(value > 0 for value in entry["std"])
        click.echo(f"{key}: layer {entry['layer']}, {entry['size']} units, of which {fires} fire")


def _training_clips(clips: list[Clip], details: Mapping[str, Any]) -> list[Clip]:
    """Of the corpora that a model's metadata names; of all, where it names none."""
    from ..train.release import training_corpora

    named = training_corpora(details)
    chosen = [c for c in clips if c.split == "train" and (not named or c.corpus in named)]
    if not chosen:
        raise SerEdgeError(f"the index has no training clips of {', '.join(sorted(named))}")
    return chosen

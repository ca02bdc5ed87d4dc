"""``ser-edge-convert fit-frontend``: the front end of a trained model, found by trying."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .. import files
from ..recipes.fit import Fit, Options, fit
from .options import allow_code_option, architecture_option, progress, seed_option

_SHOWN = 5  # recipes
_GB = 2**30


@click.command()
@click.argument("source")
@click.argument("recordings", required=False, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--labels",
    required=True,
    help="The labels in the order of the outputs, with commas between them.",
)
@click.option(
    "--expect",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The author's own predictions: a CSV file with the column path, and label or scores.",
)
@click.option(
    "--scaler",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What the training data were normalized by, as for the command model: it is added to "
    "every front end that is tried, and to be given there again.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the best front end as JSON.",
)
@click.option(
    "--limit",
    type=click.IntRange(2),
    default=Options.limit,
    show_default=True,
    help="Recordings that are used, at most.",
)
@seed_option("Of the choice of these.")
@architecture_option
@allow_code_option
def fit_frontend(
    source: str,
    recordings: Path | None,
    labels: str,
    expect: Path | None,
    scaler: Path | None,
    output: Path | None,
    limit: int,
    seed: int,
    architecture: Path | None,
    allow_code: bool,
) -> None:
    """Find out by trying with which front end SOURCE, a Keras model, was trained.

    RECORDINGS have labels: an index.csv, or a folder for every label. With --expect the paths in
    the table may be relative to RECORDINGS. The presets and what notebooks change of them are
    tried; the best front ends are shown, those that get most labels right first. It takes minutes.
    """
    if recordings is None and expect is None:
        raise click.UsageError("state RECORDINGS with labels, or --expect PREDICTIONS.CSV")
    options = Options(
        labels=[label.strip() for label in labels.split(",")],
        recordings=recordings,
        expect=expect,
        scaler=scaler,
        limit=limit,
        seed=seed,
        architecture=architecture,
        allow_code=allow_code,
    )
    found = fit(source, options, progress=_tell, counter=progress("recipes"))
    if output is not None:
        files.write_text(output, json.dumps(found.ranked[0].candidate.spec, indent=2) + "\n")
    click.echo(_table(found))
    _tell(("sure: " if found.sure else "not sure: ") + found.reason)


def _table(found: Fit) -> str:
    with_scores = found.ranked[0].difference is not None
    kind = "same label" if found.expected else "right"
    head = f"{kind:>10}  " + ("largest difference  " if with_scores else "") + "front end"
    rows = [head]
    for entry in found.ranked[:_SHOWN]:
        share = f"{entry.right} of {found.clips}"
        difference = f"{entry.difference:>18.4f}  " if entry.difference is not None else ""
        rows.append(f"{share:>10}  {difference}{entry.candidate.name}")
    return "\n".join(rows)


def _tell(text: str) -> None:
    click.echo(text, err=True)

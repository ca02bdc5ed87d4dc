"""``ser-edge-convert evaluate``: how good a packed model is on labelled clips."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from ser_edge.cli import model_path
from ser_edge.errors import SerEdgeError
from ser_edge.gate import SYLLABLES
from ser_edge.model import Model

from ..corpus.clips import SPLITS, Clip, label_indices, read_index
from ..corpus.conditions import CONDITIONS
from ..evaluate.report import ALL, GROUPS, Scorecard, scorecards
from .progress import progress

JSON_SCHEMA = 1

_EVERY_CLIP = (
    "UAR, accuracy, calibration error, confusion: as the model decides on every clip "
    "(gate off, threshold 0)"
)


@click.command()
@click.argument("model", metavar="NAME-OR-FILE")
@click.argument("index", required=False, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--split",
    type=click.Choice((*SPLITS, ALL)),
    default="dev",
    show_default=True,
    help="The speakers to measure on.",
)
@click.option(
    "--condition",
    "conditions",
    type=click.Choice((*CONDITIONS, ALL)),
    multiple=True,
    default=("clean",),
    show_default=True,
    help="What the clips go through before; may be given several times.",
)
@click.option(
    "--by",
    type=click.Choice(tuple(GROUPS)),
    default="corpus",
    show_default=True,
    help="What the figures are told apart by.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Of the conditions and the intervals.",
)
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw confusion matrices and reliability into this file, such as .png.",
)
def evaluate(
    model: str,
    index: Path | None,
    split: str,
    conditions: tuple[str, ...],
    by: str,
    seed: int,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Measure a model on labelled clips, as it runs on a device.

    It is one that comes with the package, or a .tflite of ser-edge-convert. INDEX lists
    labelled clips: an index.csv or its folder. [default: SER_CORPORA, ../shared/corpora]

    UAR, accuracy, calibration error and confusion are of the model's decision on every clip (gate
    off, threshold 0), with 95 % intervals by bootstrap over speakers; what the speech gate passes
    and what is answered, of the default settings.
    """
    # Read by libraries when they are loaded: one core is enough, and others may need the rest.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    wanted = CONDITIONS if ALL in conditions else tuple(dict.fromkeys(conditions))
    if plot is not None and len(wanted) > 1:
        raise click.UsageError("--plot draws one condition")
    if by != "corpus" and len(wanted) > 1:
        raise click.UsageError(f"--by {by} measures one condition")
    clips = [clip for clip in read_index(index) if split in (ALL, clip.split)]
    if not clips:
        raise SerEdgeError(f"the index has no clips of the split {split}")
    picture = None
    if plot is not None:
        from ..evaluate.plot import Picture

        try:
            picture = Picture(plot)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--plot") from error
    loaded = Model(model_path(model, "NAME-OR-FILE"))
    cards = _measure(loaded, clips, wanted, by, seed)
    labels = loaded.metadata.labels
    if picture is not None:
        picture.write(
            f"{loaded.metadata.name}, {wanted[0]}, {split} speakers", labels, cards[wanted[0]]
        )
    if as_json:
        report = {
            "schema": JSON_SCHEMA,
            "model": loaded.metadata.name,
            "flatbuffer_sha256": loaded.metadata.flatbuffer.sha256,
            "labels": list(labels),
            "split": split,
            "by": by,
            "seed": seed,
            "gate": SYLLABLES,
            "threshold": loaded.metadata.decision.threshold,
            "note": f"{_EVERY_CLIP}; speech and answered: by default (gate, threshold)",
            "conditions": {
                condition: {name: card.to_dict() for name, card in by_name.items()}
                for condition, by_name in cards.items()
            },
        }
        click.echo(json.dumps(report, indent=1))
        return
    threshold = loaded.metadata.decision.threshold
    click.echo(f"{loaded.metadata.name}: {len(clips)} clips, split {split}, seed {seed}")
    click.echo(_EVERY_CLIP)
    click.echo("(low to high): 95 % interval by bootstrap over speakers")
    click.echo(f"speech, answered: by default (gate {SYLLABLES}, threshold {threshold:g})")
    click.echo()
    if len(cards) == 1:
        click.echo(_by_group(by, cards[wanted[0]]))
        if by == "corpus":
            for name, card in cards[wanted[0]].items():
                click.echo()
                click.echo(_confusion(name, labels, card))
    else:
        click.echo(_by_condition(cards))


def _measure(
    model: Model, clips: Sequence[Clip], conditions: Sequence[str], by: str, seed: int
) -> dict[str, dict[str, Scorecard]]:
    """Scorecards by condition and group."""
    from ..evaluate import predictions

    collected = predictions.collect(model, clips, conditions, seed=seed, progress=progress("clips"))
    labels = label_indices(clips, model.metadata.labels)
    return {
        condition: scorecards(labels, given, clips, by=by, seed=seed)
        for condition, given in collected.items()
    }


def _by_group(by: str, cards: Mapping[str, Scorecard]) -> str:
    header = (by, "speakers", "clips", "UAR %", "accuracy %", "calibration error",
              "speech %", "answered %", "of these right %")  # fmt: skip
    rows = [header]
    for name, card in cards.items():
        accuracy, intervals = card.accuracy, card.intervals
        rows.append(
            (
                name,
                str(accuracy.speakers),
                str(accuracy.clips),
                _with_interval(accuracy.uar, intervals.uar if intervals else None),
                _with_interval(accuracy.accuracy, intervals.accuracy if intervals else None),
                f"{card.calibration_error:.3f}",
                _percent(card.speech),
                _percent(card.answered),
                _percent(card.accuracy_answered),
            )
        )
    text = _table(rows)
    unscored = sum(card.unscored for name, card in cards.items() if name != ALL)
    if unscored:
        text += f"\n{unscored} clips without scores (silence, too short) count as wrong"
    return text


def _by_condition(cards: Mapping[str, Mapping[str, Scorecard]]) -> str:
    """One row a condition: the UAR of each corpus, the rest of all clips."""
    corpora = [name for name in next(iter(cards.values())) if name != ALL]
    header = ("condition", *(f"{name} UAR %" for name in corpora), "accuracy %",
              "calibration error", "speech %", "answered %", "of these right %")  # fmt: skip
    rows = [header]
    for condition, by_corpus in cards.items():
        overall = by_corpus.get(ALL) or by_corpus[corpora[0]]
        rows.append(
            (
                condition,
                *(_percent(by_corpus[name].accuracy.uar) for name in corpora),
                _percent(overall.accuracy.accuracy),
                f"{overall.calibration_error:.3f}",
                _percent(overall.speech),
                _percent(overall.answered),
                _percent(overall.accuracy_answered),
            )
        )
    return _table(rows)


def _confusion(name: str, labels: Sequence[str], card: Scorecard) -> str:
    rows = [(f"{name}: true label", *labels)]
    rows += [(label, *map(str, counts)) for label, counts in zip(labels, card.accuracy.confusion)]
    return _table(rows)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their longest entry, all but the first aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(text.rjust(w) for text, w in zip(row[1:], widths[1:]))]
        )
        for row in rows
    )


def _with_interval(share: float, interval: tuple[float, float] | None) -> str:
    if interval is None:
        return f"{_percent(share)} (one speaker)"
    return f"{_percent(share)} ({_percent(interval[0])} to {_percent(interval[1])})"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"

"""``ser-edge-convert evaluate``: how good a packed model is on labelled clips."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from ser_edge.adapt.profile import Profile
from ser_edge.cli.show.plot import save_figure
from ser_edge.errors import SerEdgeError
from ser_edge.gate import SPEECH
from ser_edge.metadata import Metadata
from ser_edge.model import Model

from ..corpus.clips import SPLITS, Clip, label_indices, read_index
from ..corpus.conditions import CONDITIONS
from ..evaluate.report import ALL, GROUPS, GroupReport, group_reports
from .options import figure_for, model_argument, progress, seed_option

JSON_SCHEMA = 1

_EVERY_CLIP = (
    "UAR, accuracy, calibration error, confusion: as the model decides on every clip "
    "(gate off, threshold 0)"
)


@click.command()
@model_argument
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
    help="What the clips are grouped by.",
)
@click.option(
    "--profile",
    "profile_file",
    type=click.Path(exists=True, dir_okay=False),
    help="Measure the model as a profile of ser-edge adapt changes it.",
)
@seed_option("Of the conditions and the intervals.")
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw confusion matrices and reliability into this file, such as .png.",
)
def evaluate(
    model: str,
    profile_file: str | None,
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
    figure = None if plot is None else figure_for(plot)
    loaded = Model(model)
    profile = None if profile_file is None else Profile.read(profile_file)
    metadata = loaded.metadata
    labels = metadata.labels if profile is None else profile.labels
    reports = _measure(loaded, profile, clips, wanted, by, seed)
    if figure is not None:
        from ..evaluate.plot import draw

        title = f"{metadata.name}, {wanted[0]}, {split} speakers"
        draw(figure, title, labels, reports[wanted[0]])
        save_figure(figure, str(plot))
    if as_json:
        click.echo(_as_json(metadata, labels, split, by, seed, reports))
        return
    click.echo(f"{metadata.name}: {len(clips)} clips, split {split}, seed {seed}")
    click.echo(_EVERY_CLIP)
    click.echo("(low to high): 95 % interval by bootstrap over speakers")
    threshold = metadata.decision.threshold
    click.echo(f"speech, answered: by default (gate {SPEECH}, threshold {threshold:g})")
    click.echo("unfamiliar: not answered only because it is unlike the training data")
    click.echo()
    if len(reports) > 1:
        click.echo(_by_condition(reports))
        return
    click.echo(_by_group(by, reports[wanted[0]]))
    if by == "corpus":
        for name, report in reports[wanted[0]].items():
            click.echo()
            click.echo(_confusion(name, labels, report))


def _measure(
    model: Model,
    profile: Profile | None,
    clips: Sequence[Clip],
    conditions: Sequence[str],
    by: str,
    seed: int,
) -> dict[str, dict[str, GroupReport]]:
    """Reports by condition and group."""
    from ..evaluate import predictions

    collected = predictions.collect(
        model, clips, conditions, profile=profile, seed=seed, progress=progress("clips")
    )
    labels = label_indices(clips, model.metadata.labels if profile is None else profile.labels)
    return {
        condition: group_reports(labels, found, clips, by=by, seed=seed)
        for condition, found in collected.items()
    }


def _as_json(
    metadata: Metadata,
    labels: Sequence[str],
    split: str,
    by: str,
    seed: int,
    reports: Mapping[str, Mapping[str, GroupReport]],
) -> str:
    report = {
        "schema": JSON_SCHEMA,
        "model": metadata.name,
        "flatbuffer_sha256": metadata.flatbuffer.sha256,
        "labels": list(labels),
        "split": split,
        "by": by,
        "seed": seed,
        "gate": SPEECH,
        "threshold": metadata.decision.threshold,
        "note": f"{_EVERY_CLIP}; speech and answered: by default (gate, threshold)",
        "conditions": {
            condition: {name: report.to_dict() for name, report in by_name.items()}
            for condition, by_name in reports.items()
        },
    }
    return json.dumps(report, indent=1)


def _by_group(by: str, reports: Mapping[str, GroupReport]) -> str:
    header = (by, "speakers", "clips", "UAR %", "accuracy %", "calibration error",
              "speech %", "answered %", "of these correct %", "unfamiliar %")  # fmt: skip
    rows = [header]
    for name, report in reports.items():
        accuracy, intervals = report.accuracy, report.intervals
        rows.append(
            (
                name,
                str(accuracy.speakers),
                str(accuracy.clips),
                _with_interval(accuracy.uar, intervals.uar if intervals else None),
                _with_interval(accuracy.accuracy, intervals.accuracy if intervals else None),
                f"{report.calibration_error:.3f}",
                _percent(report.speech),
                _percent(report.answered),
                _percent(report.accuracy_answered),
                _percent(report.unfamiliar),
            )
        )
    text = _table(rows)
    unscored = sum(report.unscored for name, report in reports.items() if name != ALL)
    if unscored:
        text += f"\n{unscored} clips without scores (silence, too short) count as wrong"
    return text


def _by_condition(reports: Mapping[str, Mapping[str, GroupReport]]) -> str:
    """One row a condition: the UAR of each corpus, the rest of all clips."""
    corpora = [name for name in next(iter(reports.values())) if name != ALL]
    header = ("condition", *(f"{name} UAR %" for name in corpora), "accuracy %",
              "calibration error", "speech %", "answered %", "of these correct %",
              "unfamiliar %")  # fmt: skip
    rows = [header]
    for condition, by_corpus in reports.items():
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
                _percent(overall.unfamiliar),
            )
        )
    return _table(rows)


def _confusion(name: str, labels: Sequence[str], report: GroupReport) -> str:
    rows = [(f"{name}: true label", *labels)]
    rows += [(label, *map(str, counts)) for label, counts in zip(labels, report.accuracy.confusion)]
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

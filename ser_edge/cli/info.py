"""``ser-edge info``: what a model is."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from ser_edge.cli.machine import installed_version
from ser_edge.cli.options import is_verbose, load_classifier, profile_option
from ser_edge.cli.terminal import encodable, printable, width

if TYPE_CHECKING:
    from ser_edge.frontend import FrontendSpec
    from ser_edge.model import Model

# Of a page, in cells.
_PAGE_CELLS = 80
_NAME_CELLS = 11


@click.command()
@click.argument("model", default="default", metavar="[NAME-OR-FILE]")
@profile_option
@click.option("--json", is_flag=True, help="Everything, as one JSON object.")
@click.pass_context
def info(context: click.Context, model: str, profile: str | None, json: bool) -> None:
    """Show what a model is, how good, and on what; with --profile, the profile, too.

    With -v everything that the file says of itself: front end, operators, training, confusions.
    """
    classifier = load_classifier(model, profile=profile)
    description = describe(classifier.model)
    if classifier.profile is not None:
        described = classifier.profile.to_dict()
        del described["bias"], described["weights"]
        description["profile"] = {"file": profile, **described}
    if json:
        from json import dumps

        click.echo(dumps(description, indent=1))
    elif is_verbose(context):
        _echo_tree(description)
    else:
        click.echo("\n".join(_page(description, classifier.model.frontend.spec)))


def describe(model: Model) -> dict[str, Any]:
    """All that there is to say of a model, as nested dicts and lists."""
    return {
        "file": model.path,
        "size": os.path.getsize(model.path),
        "runtime": f"{model.runtime} {installed_version(model.runtime)}",
        "operators": list(model.operators),
        **model.metadata.to_dict(),
    }


def _page(description: dict[str, Any], frontend: FrontendSpec) -> Iterator[str]:
    """The lines that a person reads. What informs people in a model's file may have any form."""
    yield f"{_text(description['name'])}: {_text(description.get('description') or 'a model')}"
    yield ""
    facts = {
        "file": f"{description['file']} ({description['size'] / 1000:.0f} KB)",
        "emotions": description["labels"],
        "input": _input(frontend),
        "decision": _decision(description, frontend),
        "weights": description["quantization"],
        "runs in": description["runtime"],
        "licence": description.get("licence"),
    }
    for name, fact in facts.items():
        if fact:
            yield from _wrapped(name, _text(fact))
        if name == "input":
            for line in frontend.lines():
                first, *others = _wrapped("", f"- {_text(line)}")
                yield from (first, *(f"  {other}" for other in others))
    if "profile" in description:
        yield from _wrapped("profile", _text(_profile(description["profile"])))
    yield from _accuracy(description.get("accuracy"))
    yield from _training(description.get("training"))
    yield ""
    yield "-v shows everything, --json gives it to programs."


def _input(frontend: FrontendSpec) -> str:
    seconds = f"{frontend.window_seconds:g} s"
    if frontend.first_only:
        after = f" after {frontend.offset:g} s" if frontend.offset else ""
        windows = f"the first {seconds}{after}"
    else:
        windows = f"windows of {seconds}"
    return f"{windows} at {frontend.sample_rate} Hz, resampled by {frontend.res_type}"


def _decision(description: dict[str, Any], frontend: FrontendSpec) -> str:
    decision = description["decision"]
    windows = "of a stream, a window" if frontend.first_only else "a window"
    hop = f"{windows} every {decision['window_hop_seconds']:g} s"
    if not decision["threshold"]:
        return hop
    below = f"{hop}; 'uncertain' below {_percent(decision['threshold'])}"
    return below if description.get("familiarity") is None else f"{below}, 'unfamiliar' sooner"


def _profile(profile: dict[str, Any]) -> str:
    counts = ", ".join(f"{label} ({count})" for label, count in profile["clips"].items())
    text = f"{profile['file']}, of {profile['created']}, from clips of {counts}"
    left_out = profile["leave_one_out"]
    if left_out is None:
        return text
    before, after = (_percent(left_out[key]["uar"]) for key in ("before", "after"))
    return f"{text}; recall on clips left out {after}, without it {before}"


def _accuracy(accuracy: Any) -> Iterator[str]:
    """How good it is, on which corpora."""
    corpora = accuracy.get("corpora") if isinstance(accuracy, dict) else None
    if not isinstance(corpora, dict):
        return
    split = accuracy.get("split")
    yield ""
    yield from _wrapped("measured", f"on {_text(split)}" if split else "")
    columns = ("uar", "accuracy", "clips", "speakers")
    rows: list[tuple[str, ...]] = [("corpus", "recall", "accuracy", "clips", "speakers")]
    for name, entry in corpora.items():
        entry = entry if isinstance(entry, dict) else {}
        shares = [_percent(entry.get(column)) for column in columns[:2]]
        rows.append((_text(name), *shares, *(_text(entry.get(c, "-")) for c in columns[2:])))
    if "mean_uar" in accuracy:
        rows.append(("mean", _percent(accuracy["mean_uar"]), "", "", ""))
    yield from _table(rows, numbers=range(1, 5))
    abstention = accuracy.get("abstention")
    if isinstance(abstention, dict) and "accuracy_answered" in abstention:
        yield (
            f"  Of its answers {_percent(abstention['accuracy_answered'])} are correct; "
            f"it answers {_percent(abstention.get('answered'))} of the clips."
        )
    yield "  Recall is the mean over the emotions (UAR)."
    ordinary = accuracy.get("ordinary_speech")
    if isinstance(ordinary, dict):
        yield (
            f"  Of ordinary speech {_percent(ordinary.get('emotional'))} are taken for an emotion, "
            f"{_percent(ordinary.get('neutral'))} are neutral."
        )


def _training(training: Any) -> Iterator[str]:
    """What it was trained on, and whose terms hold."""
    corpora = training.get("corpora") if isinstance(training, dict) else None
    if not isinstance(corpora, list):
        return
    yield ""
    yield "trained on"
    rows: list[tuple[str, ...]] = [("corpus", "clips", "speakers", "licence")]
    for entry in corpora:
        if isinstance(entry, dict):
            keys = ("name", "clips", "speakers", "licence")
            rows.append(tuple(_text(entry.get(key, "-")) for key in keys))
    yield from _table(rows, numbers=(1, 2))


def _table(rows: Sequence[Sequence[str]], *, numbers: Collection[int]) -> Iterator[str]:
    """Columns as wide as their longest entry; those of numbers are aligned to the right."""
    widths = [max(map(width, column)) for column in zip(*rows)]
    for row in rows:
        cells = []
        for number, (text, wanted) in enumerate(zip(row, widths)):
            padding = " " * (wanted - width(text))
            cells.append(padding + text if number in numbers else text + padding)
        yield ("  " + "  ".join(cells)).rstrip()


def _wrapped(name: str, text: str) -> list[str]:
    """A name and what it stands for, which may take several lines."""
    from textwrap import wrap

    lines = wrap(text, _PAGE_CELLS - _NAME_CELLS, break_on_hyphens=False) or [""]
    margin = " " * _NAME_CELLS
    return [f"{name:{_NAME_CELLS}}{lines[0]}".rstrip(), *(margin + line for line in lines[1:])]


def _percent(share: Any) -> str:
    if isinstance(share, bool) or not isinstance(share, (int, float)):
        return "-"
    return f"{100 * share:.0f} %"


def _text(value: Any) -> str:
    return encodable(printable(_plain(value)))


def _echo_tree(data: Any, indent: str = "") -> None:
    for key, value in data.items() if isinstance(data, dict) else enumerate(data, 1):
        if isinstance(value, (dict, list, tuple)) and value and not _is_short(value):
            click.echo(f"{indent}{_text(key)}:")
            _echo_tree(value, indent + "  ")
        else:
            click.echo(f"{indent}{_text(key)}: {_text(value)}")


def _is_short(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and not isinstance(value[0], (dict, list, tuple))


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)

"""``ser-edge adapt``: a profile from labelled clips of one voice."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from ser_edge.cli.options import (
    EXIT_FAILED,
    channel_option,
    complain,
    load_classifier,
    model_option,
)
from ser_edge.cli.record import Recorded, Session
from ser_edge.errors import AudioError, ProfileError
from ser_edge.live.sentences import SENTENCES

if TYPE_CHECKING:
    from ser_edge.adapt.fit import Clips
    from ser_edge.adapt.labelled import LabelledClip
    from ser_edge.adapt.profile import Profile
    from ser_edge.adapt.report import CurvePoint, Doubt, Recall
    from ser_edge.classifier import Classifier
    from ser_edge.model import Model

JSON_SCHEMA = 1

_NEUTRAL = "neutral"


@click.command()
@click.argument("paths", nargs=-1, metavar="CLIPS...")
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(dir_okay=False),
    metavar="FILE.json",
    help="The profile to write.",
)
@model_option("The model to adapt.")
@click.option("--force", is_flag=True, help="Write the profile even where it gains nothing.")
@click.option(
    "--neutral-only",
    is_flag=True,
    help="All clips are ordinary speech, for a voice that is heard as 'sad' whatever it says.",
)
@click.option("--record", is_flag=True, help="Ask for the clips at the microphone.")
@click.option(
    "--emotions",
    metavar="A,B,...",
    help="With --record: what to ask for.  [default: the model's labels]",
)
@click.option(
    "--clips",
    type=click.IntRange(1, 100),
    default=5,
    show_default=True,
    help="With --record: how many of each.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(1, 30),
    default=4.0,
    show_default=True,
    help="With --record: length of a clip.",
)
@click.option(
    "--language",
    type=click.Choice(tuple(SENTENCES)),
    default="en",
    show_default=True,
    help="With --record: of the sentences to say.",
)
@click.option("--device", metavar="NAME-OR-NUMBER", help="Microphone.  [default: the system's]")
@channel_option
@click.option(
    "--keep",
    type=click.Path(file_okay=False),
    metavar="FOLDER",
    help="With --record: keep the recordings, which are otherwise forgotten.",
)
@click.option("--json", is_flag=True, help="The report as one JSON object.")
def adapt(
    paths: tuple[str, ...],
    output: str,
    model: str,
    force: bool,
    neutral_only: bool,
    record: bool,
    emotions: str | None,
    clips: int,
    seconds: float,
    language: str,
    device: str | None,
    channel: int | None,
    keep: str | None,
    json: bool,
) -> int:
    """Adapt a model to a voice, a room and emotions of your own.

    CLIPS are folders named after emotions, or an index.csv with the columns path and label: five
    clips of each emotion are good, one is enough to gain. All of one person: a profile is
    personal. Emotions may be some of the model's or new ones, such as calm or bored; the profile
    knows those that the clips have.

    Each clip is answered by a profile made without it, so the report is honest. Nothing is
    written, and the exit code is 1, where the profile answers no better than the model alone.

    \b
    Examples:
      ser-edge adapt clips/ -o voice.json          clips/happy/1.wav, clips/sad/1.wav, ...
      ser-edge classify call.wav --profile voice.json
      ser-edge adapt ordinary/ --neutral-only -o voice.json
      ser-edge adapt --record --emotions calm,angry --clips 3 -o voice.json
    """
    from ser_edge.adapt.fit import Clips
    from ser_edge.adapt.labelled import find_clips

    if not paths and not record:
        raise click.UsageError("name clips: folders named after emotions, or an index.csv")
    if not record and (emotions is not None or keep is not None):
        raise click.UsageError("--emotions and --keep need --record")
    try:
        found = find_clips(paths)
        classifier = load_classifier(model)
        classifier.model.check_adaptable()
        heard = list(_observe(classifier, found, channel))
        if record:
            session = Session(
                classifier,
                labels=_emotions(emotions, classifier, neutral_only),
                clips=clips,
                seconds=seconds,
                language=language,
                device=device,
                channel=channel,
                keep=keep,
            )
            heard += session.run()
        if neutral_only:
            heard = [clip._replace(label=_NEUTRAL) for clip in heard]
        kept = _without_twins(heard)
        observed = Clips.of([(clip.observation, clip.label) for clip in kept])
        files = [clip.name for clip in kept]
        return _adapt(classifier, observed, files, output, force, neutral_only, json)
    except (ProfileError, AudioError) as error:
        complain(str(error))
        return EXIT_FAILED


def _emotions(emotions: str | None, classifier: Classifier, neutral_only: bool) -> list[str]:
    """What to ask for at the microphone."""
    if neutral_only:
        return [_NEUTRAL]
    if emotions is None:
        return list(classifier.labels)
    names = list(dict.fromkeys(name.strip().lower() for name in emotions.split(",")))
    if not all(name and name.isprintable() and os.sep not in name for name in names):
        raise click.BadParameter(
            "names of emotions, with commas between them", param_hint="--emotions"
        )
    return names


def _observe(
    classifier: Classifier, found: Sequence[LabelledClip], channel: int | None
) -> Iterator[Recorded]:
    """What the model gives for each clip that holds speech."""
    for clip in found:
        name = click.format_filename(clip.path)
        try:
            observed = classifier.observe(clip.path, channel=channel)
        except AudioError as error:
            complain(f"{error}: left out")
            continue
        if isinstance(observed, str):
            complain(f"{name}: no emotion ({observed}): left out")
        else:
            yield Recorded(name, clip.label, observed)


def _without_twins(heard: Sequence[Recorded]) -> list[Recorded]:
    """The same recording twice would be its own proof; under two labels it is none."""
    first: dict[bytes, Recorded] = {}
    refused: set[bytes] = set()
    for clip in heard:
        key = clip.observation.inputs.tobytes()
        twin = first.setdefault(key, clip)
        if twin is clip:
            continue
        if twin.label == clip.label:
            complain(f"{clip.name} is the same as {twin.name}: left out")
        else:
            complain(
                f"{clip.name} ({clip.label}) is the same as {twin.name} ({twin.label}): "
                "both left out"
            )
            refused.add(key)
    return [clip for key, clip in first.items() if key not in refused]


def _adapt(
    classifier: Classifier,
    clips: Clips,
    files: Sequence[str],
    output: str,
    force: bool,
    neutral_only: bool,
    json: bool,
) -> int:
    from ser_edge.adapt import report as adapt_report
    from ser_edge.adapt.fit import fit, judge, leave_out, neutral_profile, profile_of

    model = classifier.model
    labels = model.metadata.labels
    doubts: list[Doubt] = []
    curve: list[CurvePoint] = []
    recalls: list[Recall] = []
    if neutral_only:
        profile = neutral_profile(model, clips)
    else:
        fitted = fit(labels, clips)
        left_out = leave_out(labels, clips, fitted.factor)
        profile = profile_of(model, clips, fitted, judge(labels, fitted.labels, clips, left_out))
        doubts = adapt_report.doubts(labels, clips, left_out)
        curve = adapt_report.learning_curve(labels, clips)
        recalls = adapt_report.recalls(labels, clips, left_out)
    refusal = _refusal(profile, model, neutral_only)
    written = force or not refusal
    if written:
        profile.write(output)
    if json:
        _echo_json(profile, recalls, doubts, curve, files, written)
    else:
        _echo(profile, labels, recalls, doubts, curve, files)
    if not written:
        complain(f"{refusal}; nothing was written (--force writes it all the same)")
        return EXIT_FAILED
    if not json:
        size = len(files)
        click.echo(f"{output}: a profile of {size} clips for the model {model.metadata.name}")
    return 0


def _refusal(profile: Profile, model: Model, neutral_only: bool) -> str:
    """Why the profile is not worth writing; nothing where it is."""
    judged = profile.leave_one_out
    if neutral_only and model.metadata.neutral_log_probabilities is not None:
        # Not judged by the answers: the voice may have been taken for neutral too often.
        return "" if profile.bias.any() else "no gain: the model hears this voice like others"
    if judged is None:
        return ""  # nothing says otherwise
    more = judged.after.accuracy > judged.before.accuracy
    if more if neutral_only else judged.gains:
        return ""
    return (
        f"no gain: {_percent(judged.after.uar)} of the clips left out are right, without the "
        f"profile {_percent(judged.before.uar)}"
    )


def _echo(
    profile: Profile,
    model_labels: Sequence[str],
    recalls: Sequence[Recall],
    doubts: Sequence[Doubt],
    curve: Sequence[CurvePoint],
    files: Sequence[str],
) -> None:
    from ser_edge.adapt.report import more_would_help

    new = [label for label in profile.labels if label not in model_labels]
    if new:
        click.echo(f"new to the model: {', '.join(new)}")
    left_out = profile.leave_one_out
    if left_out is None:
        few = "one clip" if len(files) == 1 else "one clip of each emotion"
        click.echo(f"{few} is too few to judge a profile by: it is made with the usual strength")
        return
    if not recalls:
        click.echo(
            f"ordinary speech that is answered with {_NEUTRAL}, each clip by a profile made "
            f"without it: {_percent(left_out.before.accuracy)} before, "
            f"{_percent(left_out.after.accuracy)} after\n"
            "what it does to other emotions cannot be told from these clips"
        )
        return
    click.echo("right answers, each clip answered by a profile made without it:\n")
    rows: list[tuple[str, ...]] = [("emotion", "clips", "before", "after")]
    for recall in recalls:
        share = (recall.before, recall.after)
        shown = [_percent(count / recall.clips) if recall.clips else "-" for count in share]
        rows.append((recall.label, str(profile.clips[recall.label]), *shown))
    rows.append(
        (
            "mean",
            str(sum(profile.clips.values())),
            f"{_percent(left_out.before.uar)}",
            f"{_percent(left_out.after.uar)}",
        )
    )
    click.echo(_table(rows))
    for doubt in doubts:
        name = files[doubt.place]
        if doubt.label is None:
            click.echo(f"listen to {name}: it is unlike all others")
        else:
            click.echo(f"listen to {name}: it sounds more like {doubt.label}")
    if curve:
        click.echo()
        points = ", ".join(f"{point.clips}: {_percent(point.uar)}" for point in curve)
        click.echo(f"with fewer clips of each emotion {points}")
        helps = more_would_help(curve, left_out.after.uar)
        click.echo(f"more clips would probably help{'' if helps else ' little'}")


def _echo_json(
    profile: Profile,
    recalls: Sequence[Recall],
    doubts: Sequence[Doubt],
    curve: Sequence[CurvePoint],
    files: Sequence[str],
    written: bool,
) -> None:
    import json

    described = profile.to_dict()
    report = {
        "schema": JSON_SCHEMA,
        "model": profile.model_name,
        "written": written,
        "labels": described["labels"],
        "clips": described["clips"],
        "leave_one_out": described["leave_one_out"],
        "recalls": [recall._asdict() for recall in recalls],
        "doubts": [
            {"file": files[d.place], "sounds_like": d.label, "probability": d.probability}
            for d in doubts
        ],
        "curve": [point._asdict() for point in curve],
    }
    click.echo(json.dumps(report))


def _percent(share: float) -> str:
    return f"{round(100 * share)} %"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(t.rjust(w) for t, w in zip(row[1:], widths[1:]))])
        for row in rows
    )

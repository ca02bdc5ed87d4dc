"""How training recipes do on corpora and on ordinary speech that they left out.

    python -m tests.bench.leave_corpus_out --ordinary INDEX --sounds FOLDER [--index INDEX]
        [--cache FOLDER] [--plot FILE] [RECIPE ...]

Every fold leaves out whole corpora of emotions, and corpora of ordinary speech, from training,
normalization and teacher, and predicts all of their clips with the float model. Several corpora
are left out at once, which is stricter than one at a time and four times cheaper. The recipes
are rows of docs/training.md, trained for the same number of steps each, or the mean of two such.
Few steps and short fits of the teacher keep a fold to about 15 minutes on one core; folds that
are done are read from the cache, broken ones go on from their last epoch. Features and embeddings
are those that `ser-edge-convert train --copies 3` computes with the same sounds and ordinary
speech. The table is in Markdown.

- false emotions: clips of ordinary speech left out that get an emotion at a probability of 0.5,
  at the temperature that the dev speakers of the corpora learned from give.
- As in released models, neutral's logit is lowered where ordinary speech was heard, and the
  temperature is raised by some caution. `both` is how the bundled `default` is made.
- As in released models, answers on what is unlike the training data are softened; what that
  changes is told below the table.
- The frontier moves the probability of neutral by further factors.

Noise that is mixed in, babble of training clips among it, is drawn once, for all folds.
"""

from __future__ import annotations

import argparse
import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_edge.cli.show.plot import open_figure, save_figure
from ser_edge.convert import frontends
from ser_edge.convert.backend import compute_in_one_order, tensorflow
from ser_edge.convert.cli.options import progress
from ser_edge.convert.corpus.clips import (
    LABELS,
    Clip,
    label_indices,
    read_index,
    read_ordinary,
)
from ser_edge.convert.evaluate.metrics import (
    expected_calibration_error,
    fit_temperature,
    measure_by_corpus,
    on_ordinary_speech,
)
from ser_edge.convert.train import (
    architectures,
    dataset,
    familiarity,
    fit,
    pipeline,
    teacher,
)
from ser_edge.convert.train.config import TrainingConfig
from ser_edge.convert.train.labels import NEUTRAL, NEUTRAL_SHIFT
from ser_edge.convert.train.release import CAUTION
from ser_edge.convert.train.teacher import head
from ser_edge.familiarity import Subspace
from ser_edge.files import draft
from ser_edge.frontend import FrontendSpec
from ser_edge.model import softmax, temperature_scaled

STEPS = 2000  # batches
COPIES = 3
WATCHED = 8  # of so many dev clips one is measured after every epoch
TEACHER_FOLDS = 3
TEACHER_EPOCHS = 6
TEACHER_STEPS = 51  # of 80 ms: four seconds
THRESHOLD = 0.5  # probability of an emotion that counts as false on ordinary speech
FACTORS = np.exp([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0])  # of neutral's probability
CAUTIONS = (1.0, 1.2, 1.4, 1.7, 2.0)  # factors of the temperature

FOUR = ("crema_d", "ravdess", "emo_db", "nemo")  # what the first bundled models learned from


class Fold(NamedTuple):
    """What is left out together."""

    emotional: tuple[str, ...]
    ordinary: tuple[str, ...]


FOLDS = (
    Fold(("ravdess", "emotale", "eyase"), ("picovoice", "kor")),
    Fold(("emo_db", "aesdd", "ased"), ("pansori", "speechocean")),
    Fold(("crema_d",), ("picovoice", "speechocean")),
)


class Recipe(NamedTuple):
    """A row of the table."""

    title: str
    settings: Mapping[str, Any] = MappingProxyType({})  # of TrainingConfig, if they differ
    corpora: tuple[str, ...] = ()  # learned from; empty: all
    ordinary: bool = True  # learned from, too
    student: bool = True  # False: the teacher itself is measured
    members: tuple[str, ...] = ()  # two recipes whose logits are averaged, instead of all this
    neutral_shift: float = 0.0  # added to neutral's logit in that mean


RECIPES = {
    "teacher": Recipe("the teacher on all", student=False),
    "four": Recipe("four studios", corpora=FOUR, ordinary=False),
    "all": Recipe("all corpora", ordinary=False),
    "default": Recipe("all corpora and ordinary speech"),
    "both": Recipe("the mean of both", members=("default", "four"), neutral_shift=-0.25),
    "twice": Recipe(
        "the mean of all, with it and without", members=("default", "all"), neutral_shift=-0.25
    ),
    "few": Recipe("less of it", {"ordinary_fraction": 0.1}),
    "sure": Recipe("neutral for certain", {"ordinary_neutral": 0.95}),
    "labels": Recipe("no teacher's probabilities", {"distillation_weight": 0.3}),
}

ANSWERS = "answers.npz"
HEARD = 2500  # training clips that tell what is familiar


def learns_from(recipe: Recipe, clip: Clip) -> bool:
    """Whether the recipe learns from the clip where no corpus is left out."""
    if recipe.members:
        return any(learns_from(RECIPES[name], clip) for name in recipe.members)
    if clip.label:
        return not recipe.corpora or clip.corpus in recipe.corpora
    return recipe.ordinary


def neutral_shift(recipe: Recipe) -> float:
    """What training adds to neutral's logit."""
    if recipe.members:
        return recipe.neutral_shift
    return NEUTRAL_SHIFT if recipe.student and recipe.ordinary else 0.0


class Answers(NamedTuple):
    """What networks make of clips."""

    probabilities: NDArray[np.float64]  # shape (n, n_labels)
    embeddings: NDArray[np.float16]  # of the utterances, shape (n, size); of a teacher size 0
    learned: NDArray[np.float16]  # the same of clips of :func:`heard`


class Part(NamedTuple):
    """What was measured on a fold, n clips."""

    fold: Fold
    clips: list[Clip]
    probabilities: NDArray[np.float64]  # shape (n, n_labels)
    shares: NDArray[np.float64]  # how unfamiliar each clip is, shape (n,)


class Bench(NamedTuple):
    """What all runs share."""

    data: dataset.Dataset
    embeddings: teacher.Embeddings  # of the training clips, then, for the teacher, of the dev clips
    cache: Path
    steps: int  # of training


def run(bench: Bench, recipe: str, number: int) -> Part:
    """What a recipe's fold makes of clips that it did not learn from."""
    left_out = {*FOLDS[number].emotional, *FOLDS[number].ordinary}
    data = bench.data
    unknown = [row for row, clip in enumerate(data.train_clips) if clip.corpus in left_out]
    clips = [*(data.train_clips[row] for row in unknown), *data.dev_clips]
    answers = predict(bench, recipe, number, unknown)
    measured = [
        row
        for row, clip in enumerate(clips)
        if clip.corpus in left_out or learns_from(RECIPES[recipe], clip)
    ]
    of_recipe = [
        learns_from(RECIPES[recipe], data.train_clips[row]) for row in heard(bench, unknown)
    ]
    shares = left_over(answers.learned[of_recipe], answers.embeddings[measured])
    return Part(
        FOLDS[number], [clips[row] for row in measured], answers.probabilities[measured], shares
    )


def heard(bench: Bench, unknown: list[int]) -> list[int]:
    """Rows of the training clips that tell what is familiar."""
    left_out = set(unknown)
    known = [row for row in range(len(bench.data.train_clips)) if row not in left_out]
    return known[:: max(1, len(known) // HEARD)]


def left_over(learned: NDArray[np.float16], embeddings: NDArray[np.float16]) -> NDArray[np.float64]:
    """The share of each embedding that the principal components of the learned ones leave over."""
    if not embeddings.shape[1]:
        return np.zeros(len(embeddings))
    known = learned.astype(np.float64)
    mean, std = known.mean(axis=0), known.std(axis=0)
    std[std < 0.01 * std.max()] = np.inf
    standardized = [np.clip((one - mean) / std, -3, 3) for one in (known, embeddings)]
    subspace = Subspace(familiarity.principal_components(standardized[0]))
    return np.array([subspace.unfamiliarity(row) for row in standardized[1]])


def predict(bench: Bench, recipe: str, number: int, unknown: list[int]) -> Answers:
    """What is made of the unknown of the training clips, and of all dev clips."""
    chosen = RECIPES[recipe]
    if chosen.members:
        members = [predict(bench, name, number, unknown) for name in chosen.members]
        logits = np.log(np.maximum([one.probabilities for one in members], 1e-9))
        weights = (1 - architectures.SECOND_WEIGHT, architectures.SECOND_WEIGHT)
        return Answers(
            softmax(np.average(logits, axis=0, weights=weights)),
            np.concatenate([one.embeddings for one in members], axis=1),
            np.concatenate([one.learned for one in members], axis=1),
        )
    folder = bench.cache / f"leave-corpus-out-{bench.steps}" / recipe / str(number + 1)
    if not (folder / ANSWERS).exists():
        left_out = set(unknown)
        learned = [
            row
            for row, clip in enumerate(bench.data.train_clips)
            if row not in left_out and learns_from(chosen, clip)
        ]
        if chosen.student:
            answers = study(bench, recipe, learned, unknown, folder)
        else:
            answers = teach(bench, learned, unknown)
        folder.mkdir(parents=True, exist_ok=True)
        with draft(folder / ANSWERS) as unfinished:
            np.savez(unfinished, **answers._asdict())
    with np.load(folder / ANSWERS) as stored:
        return Answers(**stored)


def teach(bench: Bench, learned: list[int], unknown: list[int]) -> Answers:
    """What a teacher that is fitted to some clips says of others; see :func:`predict`."""
    train, dev = bench.data.train_clips, bench.data.dev_clips
    n_train, n_dev = len(train), len(dev)
    rows = [*learned, *unknown, *range(n_train, n_train + n_dev)]
    values, lengths = teacher.padded([bench.embeddings[row] for row in rows], TEACHER_STEPS)
    clips = [[*train, *dev][row] for row in rows]
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "embeddings.npy"
        np.save(file, values)
        fitted, applied = np.split(np.arange(len(rows)), [len(learned)])
        task = head.Task(file, lengths, clips, fitted, applied, TEACHER_EPOCHS)
        probabilities = head.predict_fold(task).astype(np.float64)
    nothing = np.zeros((0, 0), dtype=np.float16)
    n_learned = len(heard(bench, unknown))
    return Answers(probabilities, nothing.reshape(len(applied), 0), nothing.reshape(n_learned, 0))


def study(
    bench: Bench, recipe: str, learned: list[int], unknown: list[int], folder: Path
) -> Answers:
    """What a network that learned from some clips says of others; see :func:`predict`."""
    data = bench.data
    spec = frontends.preset("compact")
    known_clips = [data.train_clips[row] for row in learned]
    targets = teacher.targets_from(
        [bench.embeddings[row] for row in learned],
        known_clips,
        FrontendSpec.parse(spec).window_seconds,
        cache=bench.cache,
        jobs=1,
        folds=TEACHER_FOLDS,
        epochs=TEACHER_EPOCHS,
    )
    part = replace(
        data,
        train=data.train[:, learned],
        dev=data.dev[::WATCHED],
        time_maps=data.time_maps[:, learned],
        train_clips=known_clips,
        dev_clips=data.dev_clips[::WATCHED],
    )
    spec = pipeline.normalized(spec, part)
    config = TrainingConfig(**RECIPES[recipe].settings)
    epochs = max(1, round(bench.steps * config.batch_size / len(known_clips)))
    model = fit.train(
        part,
        spec,
        replace(config, epochs=epochs),
        folder=folder,
        targets=targets,
        resume=True,
        report=lambda line: print(recipe, folder.name, json.dumps(line), file=sys.stderr),
    )
    embedding = model.get_layer(architectures.UTTERANCE_EMBEDDING).output
    both = tensorflow().keras.Model(model.input, [model.output, embedding])
    measured = np.concatenate([data.train[0, unknown], data.dev])
    probabilities, embeddings = both.predict(dataset.normalize(measured, spec), verbose=0)
    known = dataset.normalize(data.train[0, heard(bench, unknown)], spec)
    _, of_learned = both.predict(known, verbose=0)
    return Answers(
        probabilities.astype(np.float64),
        embeddings.astype(np.float16),
        of_learned.astype(np.float16),
    )


class Figures(NamedTuple):
    """What is measured at one factor of neutral's probability."""

    left_out: dict[str, float]  # UAR by corpus left out
    known: dict[str, float]  # UAR by corpus learned from, on its dev speakers
    calibration_error: float  # on the corpora left out, their mean
    known_calibration_error: float  # on the dev speakers of all corpora learned from
    false_emotions: float  # share of ordinary speech, mean over its corpora
    neutral: float  # the same, of what is most probably neutral


def measure(
    parts: Sequence[Part], factor: float, caution: float = CAUTION, *, soften: bool = True
) -> Figures:
    """The figures over all folds.

    Args:
        parts: what :func:`run` gives for each fold.
        factor: multiplies the probability of neutral.
        caution: multiplies the temperature that the dev speakers give.
        soften: what is unfamiliar.
    """
    left_out: dict[str, float] = {}
    known: dict[str, list[float]] = {}
    errors, known_errors, false_emotions, neutral = [], [], [], []
    at = LABELS.index(NEUTRAL)
    for fold, clips, predictions, shares in parts:
        shifted = predictions * np.where(np.arange(len(LABELS)) == at, factor, 1.0)
        shifted /= shifted.sum(axis=1, keepdims=True)
        names = np.array([clip.corpus for clip in clips])
        own = ~np.isin(names, [*fold.emotional, *fold.ordinary])
        own &= [bool(clip.label) for clip in clips]
        own_labels = label_indices([clip for clip, is_own in zip(clips, own) if is_own])
        if soften and shares.any():
            limit, slope = familiarity.rule(shares[own])
            factors = np.exp(slope * np.maximum(0, shares - limit))
            shifted = temperature_scaled(shifted, factors[:, None])
        temperature = caution * fit_temperature(own_labels, shifted[own])
        calibrated = temperature_scaled(shifted, temperature)
        known_errors.append(expected_calibration_error(own_labels, calibrated[own]))
        for name in dict.fromkeys(names):
            rows = np.flatnonzero(names == name)
            probabilities = calibrated[rows]
            if name in fold.ordinary:
                taken = on_ordinary_speech(probabilities, neutral=at, threshold=THRESHOLD)
                false_emotions.append(taken.emotional)
                neutral.append(taken.neutral)
                continue
            part = [clips[row] for row in rows if clips[row].label]
            if not part:
                continue
            labels = label_indices(part)
            speakers = [clip.speaker for clip in part]
            uar = measure_by_corpus(labels, probabilities, speakers, [name] * len(part))[name].uar
            if name in fold.emotional:
                left_out[name] = uar
                errors.append(expected_calibration_error(labels, probabilities))
            else:
                known.setdefault(name, []).append(uar)
    return Figures(
        left_out,
        {name: float(np.mean(values)) for name, values in known.items()},
        float(np.mean(errors)),
        float(np.mean(known_errors)),
        float(np.mean(false_emotions)),
        float(np.mean(neutral)),
    )


def with_known_neutral(parts: Sequence[Part]) -> dict[str, float]:
    """UAR by corpus left out, had each speaker's neutral clips been known beforehand.

    The mean of their logits is made that of neutral clips of the corpora learned from, and all
    clips of the speaker move with it. A speaker without neutral clips stays as predicted.
    """
    uars = {}
    for fold, clips, predictions, _ in parts:
        logits = np.log(np.maximum(predictions, 1e-9))
        neutral = np.array([clip.label == NEUTRAL for clip in clips])
        own = np.array([clip.corpus in fold.emotional for clip in clips])
        own_clips = [clip for clip, is_own in zip(clips, own) if is_own]
        usual = logits[neutral & ~own].mean(axis=0)
        voices = np.array([f"{clip.corpus} {clip.speaker}" for clip in clips])
        for voice in np.unique(voices[own]):
            known = neutral & (voices == voice)
            if known.any():
                logits[voices == voice] += usual - logits[known].mean(axis=0)
        measured = measure_by_corpus(
            label_indices(own_clips),
            softmax(logits[own]),
            [clip.speaker for clip in own_clips],
            [clip.corpus for clip in own_clips],
        )
        uars.update({name: measured[name].uar for name in fold.emotional})
    return uars


def rows(title: str, figures: Figures, corpora: Sequence[str]) -> str:
    """A row of the table."""
    mean = np.mean(list(figures.left_out.values()))
    known = [figures.known[name] for name in FOUR if name in figures.known]
    cells = [f"{100 * figures.left_out[name]:.1f}" for name in corpora]
    cells += [f"**{100 * mean:.1f}**", f"{figures.calibration_error:.2f}"]
    cells += [f"{100 * figures.false_emotions:.0f} %", f"{100 * figures.neutral:.0f} %"]
    cells += [f"{100 * np.mean(known):.1f}"]
    return f"| {title} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--index", type=Path)
    parser.add_argument("--ordinary", type=Path, required=True)
    parser.add_argument("--sounds", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=dataset.default_cache())
    parser.add_argument("--plot", help="the frontiers, into this file")
    parser.add_argument("--folds", type=int, default=len(FOLDS), help="the first ones alone")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of training [{STEPS}]")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("recipes", metavar="RECIPE", nargs="*", help=f"of {', '.join(RECIPES)}")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.recipes if name not in RECIPES]
    if unknown:
        parser.error(f"no recipe {unknown[0]!r} (known: {', '.join(RECIPES)})")
    compute_in_one_order()
    clips = [*read_index(arguments.index), *read_ordinary(arguments.ordinary)]
    spec = frontends.preset("compact")
    common = {"cache": arguments.cache, "jobs": arguments.jobs}
    data = dataset.load(
        clips,
        spec,
        copies=COPIES,
        sounds=arguments.sounds,
        progress=progress("features"),
        **common,
    )
    names = arguments.recipes or list(RECIPES)
    window_seconds = FrontendSpec.parse(spec).window_seconds
    embed = partial(teacher.embed, window_seconds=window_seconds, **common)
    embeddings = embed(data.train_clips, progress=progress("teacher"))
    if any(not RECIPES[name].student for name in names):
        embeddings += embed(data.dev_clips, progress=progress("teacher, dev"))
    bench = Bench(data, embeddings, arguments.cache, arguments.steps)
    folds = FOLDS[: arguments.folds]
    corpora = [name for fold in folds for name in fold.emotional]
    head = [*corpora, "mean", "ECE", "false emotions", "neutral", "the four, dev"]
    print(f"| learned from | {' | '.join(head)} |\n{'|---' * (1 + len(head))}|", flush=True)
    frontiers = {}
    calibrations = {}
    neutral_known = {}
    for name in names:
        parts = [run(bench, name, number) for number in range(len(folds))]
        prior = float(np.exp(neutral_shift(RECIPES[name])))
        at_factors = [measure(parts, prior * factor) for factor in FACTORS]
        frontiers[name] = [
            (figures.false_emotions, float(np.mean(list(figures.left_out.values()))))
            for figures in at_factors
        ]
        calibrations[name] = [
            (measure(parts, prior, caution, soften=False), measure(parts, prior, caution))
            for caution in CAUTIONS
        ]
        neutral_known[name] = with_known_neutral(parts)
        print(rows(RECIPES[name].title, measure(parts, prior), corpora), flush=True)
    for name, points in frontiers.items():
        shown = ", ".join(f"{100 * false:.0f} % {100 * uar:.1f}" for false, uar in points)
        print(f"\n{RECIPES[name].title}, false emotions and UAR: {shown}")
        uars = ", ".join(f"{100 * uar:.1f}" for uar in neutral_known[name].values())
        print(f"UAR, were the speakers' neutral clips known: {uars}")
        print(
            "temperature times: expected calibration error left out, known; false emotions; "
            "then where the unfamiliar is softened"
        )
        for caution, pair in zip(CAUTIONS, calibrations[name]):
            print(
                f"{caution:g}: "
                + " -> ".join(
                    f"{figures.calibration_error:.3f}, {figures.known_calibration_error:.3f}; "
                    f"{100 * figures.false_emotions:.0f} %"
                    for figures in pair
                )
            )
    if arguments.plot:
        draw(frontiers, arguments.plot)


def draw(frontiers: dict[str, list[tuple[float, float]]], path: str) -> None:
    """A curve a recipe, along neutral's probability; a star where it is as training leaves it."""
    figure = open_figure(path)
    axes = figure.subplots()
    for name, points in frontiers.items():
        x, y = zip(*((100 * false, 100 * uar) for false, uar in points))
        (line,) = axes.plot(x, y, marker=".", label=RECIPES[name].title)
        here = list(FACTORS).index(1.0)
        axes.plot(x[here], y[here], marker="*", markersize=12, color=line.get_color())
    axes.set_xlabel("ordinary speech taken for an emotion (%)")
    axes.set_ylabel("UAR on corpora left out (%)")
    axes.legend()
    save_figure(figure, path)


if __name__ == "__main__":
    main()

"""How much a profile gains: adapting the bundled model to speakers that it never heard.

    python -m tests.bench.adaptation [--model NAME-OR-FILE] [--index FOLDER] [--cache FOLDER]
                                     [--plot FILE.png] [--json FILE]

Of each dev speaker of every corpus, k clips of each emotion are drawn, a profile is made from
them, and the speaker's other clips are answered: k = 1, 2, 3, 5, 10, five draws, no clip is ever
in the fit and in the test. An emotion of which a speaker has fewer than k + 2 clips is left out,
and with it a speaker who is left with one. "as it is" is the model alone on the same clips,
"same labels" is the model that may only answer with the emotions of the profile. The tables are in
Markdown: UAR in %, of the clips of all speakers of a corpus, mean over draws.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_edge import audio, model_file
from ser_edge.adapt.fit import Clips, Fit, fit, judge, leave_out, neutral_profile, score
from ser_edge.classifier import Classifier
from ser_edge.convert.cli.options import progress
from ser_edge.convert.corpus.clips import Clip, read_index
from ser_edge.convert.corpus.conditions import degrade
from ser_edge.convert.evaluate.metrics import (
    confusion_matrix,
    expected_calibration_error,
    uar,
)
from ser_edge.gate import OFF
from ser_edge.model import Observation

SIZES = (1, 2, 3, 5, 10)  # clips of each emotion
DRAWS = 5
LEFT_OVER = 2  # clips of an emotion, at least, to test with
NOISE = "noise-10"
SEED = 1

# Labels that the model does not know, by corpus and raw label; and those beside them.
NEW_LABELS = {
    "ravdess": {"calm": "calm", "neutral": "neutral", "sad": "sad", "happy": "happy",
                "angry": "angry"},
}  # fmt: skip
NEUTRAL_CLIPS = 5
NEW_LABEL_SIZES = (1, 2, 3, 5)


class Answers(NamedTuple):
    """For the test clips of one fit, shape (n_clips,) or (n_clips, n_labels)."""

    labels: tuple[str, ...]
    own: NDArray[np.int64]  # places among the labels
    adapted: NDArray[np.float64]
    base: NDArray[np.int64]  # places among the labels, -1 for what the profile does not know
    same_labels: NDArray[np.int64]
    gains: bool  # whether ser-edge adapt would have written the profile


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--model", default="default")
    parser.add_argument("--index", type=Path)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--cache", type=Path, default=Path("/tmp/ser-edge-adaptation"))
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    classifier = Classifier.from_file(model_file.find(options.model), gate=OFF)
    clips = [clip for clip in read_index(options.index) if clip.split == options.split]
    raw_labels = _raw_labels(clips)
    observed = _observe(classifier, clips, "clean", options.cache)
    noisy = _observe(classifier, clips, NOISE, options.cache)
    model_labels = classifier.labels

    clean_figures = measure(model_labels, clips, [c.label for c in clips], observed, observed)
    noisy_figures = measure(model_labels, clips, [c.label for c in clips], observed, noisy)
    print(_table("Clean", clean_figures))
    print(_table("Test clips with noise at 10 dB", noisy_figures))
    new = {}
    for corpus, known in NEW_LABELS.items():
        chosen = [
            place
            for place, clip in enumerate(clips)
            if clip.corpus == corpus and raw_labels[place] in known
        ]
        if chosen:
            new[corpus] = measure(
                model_labels,
                [clips[place] for place in chosen],
                [known[raw_labels[place]] for place in chosen],
                [observed[place] for place in chosen],
                [observed[place] for place in chosen],
                sizes=NEW_LABEL_SIZES,
            )
            print(_table(f"New label: {corpus}, {', '.join(known.values())}", new[corpus]))
    neutral = measure_neutral(classifier, clips, observed)
    print(
        "### Five clips of ordinary speech alone\n\n| corpus | as it is | adapted |\n|---|---|---|"
    )
    for corpus, row in neutral.items():
        print(f"| {corpus} | {100 * row['as_it_is']:.1f} | {100 * row['adapted']:.1f} |")
    gains = [row["adapted"] - row["as_it_is"] for row in neutral.values()]
    print(f"| mean gain | | {100 * np.mean(gains):+.1f} (least {100 * min(gains):+.1f}) |\n")
    if options.json:
        report = {
            "clean": clean_figures,
            "noise": noisy_figures,
            "new": new,
            "neutral_only": neutral,
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        _plot(clean_figures, options.plot)


def measure(
    model_labels: Sequence[str],
    clips: Sequence[Clip],
    labels: Sequence[str],
    observed: Sequence[Observation],
    tested: Sequence[Observation],
    sizes: Sequence[int] = SIZES,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Figures by corpus and k.

    Args:
        model_labels: of the model.
        clips: of whom each clip is.
        labels: the emotion of each, which may be one that the model does not know.
        observed: what the model gives for each, to adapt to.
        tested: the same, to test with.
    """
    found: dict[tuple[str, int], dict[int, list[Answers]]] = defaultdict(lambda: defaultdict(list))
    left_out: dict[tuple[str, int], int] = defaultdict(int)
    speakers: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, clip in enumerate(clips):
        speakers[clip.corpus, clip.speaker].append(place)
    for (corpus, speaker), places in sorted(speakers.items()):
        for size in sizes:
            known = [
                label
                for label in dict.fromkeys(labels[place] for place in places)
                if sum(labels[place] == label for place in places) >= size + LEFT_OVER
            ]
            if len(known) < 2:
                left_out[corpus, size] += 1
                continue
            for draw in range(DRAWS):
                rng = _rng(corpus, speaker, draw)
                inside, outside = [], []
                for label in sorted(known):
                    order = rng.permutation([p for p in places if labels[p] == label])
                    inside += list(order[:size])
                    outside += list(order[size:])
                fitted_to = Clips.of([(observed[p], labels[p]) for p in inside])
                test = Clips.of([(tested[p], labels[p]) for p in outside])
                fitted = fit(model_labels, fitted_to)
                found[corpus, size][draw].append(_answers(model_labels, fitted_to, fitted, test))
    figures: dict[str, dict[str, dict[str, Any]]] = {}
    for (corpus, size), draws in sorted(found.items()):
        figures.setdefault(corpus, {})[str(size)] = _figures(draws, left_out[corpus, size])
    return figures


def measure_neutral(
    classifier: Classifier, clips: Sequence[Clip], observed: Sequence[Observation]
) -> dict[str, dict[str, float]]:
    """UAR by corpus before and after `--neutral-only` with five clips, on all other clips."""
    labels = classifier.labels
    speakers: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, clip in enumerate(clips):
        speakers[clip.corpus, clip.speaker].append(place)
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for (corpus, speaker), places in sorted(speakers.items()):
        neutral = [place for place in places if clips[place].label == "neutral"]
        if len(neutral) < NEUTRAL_CLIPS + LEFT_OVER:
            continue
        for draw in range(DRAWS):
            rng = _rng(corpus, speaker, draw)
            inside = set(map(int, rng.permutation(neutral)[:NEUTRAL_CLIPS]))
            outside = [place for place in places if place not in inside]
            profile = neutral_profile(
                classifier.model, Clips.of([(observed[p], "neutral") for p in sorted(inside)])
            )
            test = Clips.of([(observed[p], clips[p].label) for p in outside])
            after = profile.predict(labels, test.probabilities, test.inputs)
            found[corpus].append(
                (
                    score(test.labels, labels, test.probabilities).uar,
                    score(test.labels, labels, after).uar,
                )
            )
    return {
        corpus: {
            "as_it_is": round(float(np.mean([before for before, _ in pairs])), 4),
            "adapted": round(float(np.mean([after for _, after in pairs])), 4),
        }
        for corpus, pairs in found.items()
    }


def _rng(corpus: str, speaker: str, draw: int) -> np.random.Generator:
    key = hashlib.sha256(f"{corpus}/{speaker}/{draw}".encode()).digest()
    return np.random.default_rng(list(key[:8]))


def _answers(model_labels: Sequence[str], inside: Clips, fitted: Fit, test: Clips) -> Answers:
    left_out = leave_out(model_labels, inside, fitted.factor)
    judged = judge(model_labels, fitted.labels, inside, left_out)
    places = {label: place for place, label in enumerate(fitted.labels)}
    known = [place for place, label in enumerate(fitted.labels) if label in model_labels]
    columns = [model_labels.index(fitted.labels[place]) for place in known]
    return Answers(
        labels=fitted.labels,
        own=np.array([places[label] for label in test.labels]),
        adapted=fitted.predict(model_labels, test),
        base=np.array(
            [places.get(model_labels[best], -1) for best in test.probabilities.argmax(axis=1)]
        ),
        same_labels=np.array(known)[test.probabilities[:, columns].argmax(axis=1)],
        gains=judged is None or judged.gains,
    )


def _figures(draws: dict[int, list[Answers]], left_out: int) -> dict[str, Any]:
    """Figures of a corpus and k; labels are told apart by name, for speakers may have others."""
    by_draw = defaultdict(list)
    confidences, rights = [], []
    for answers in draws.values():
        names = sorted({label for one in answers for label in one.labels})
        own = np.concatenate([_renamed(one.own, one.labels, names) for one in answers])
        for key, chosen in {
            "as_it_is": [one.base for one in answers],
            "same_labels": [one.same_labels for one in answers],
            "adapted": [one.adapted.argmax(axis=1) for one in answers],
            "as_written": [
                one.adapted.argmax(axis=1) if one.gains else one.base for one in answers
            ],
        }.items():
            predicted = np.concatenate(
                [_renamed(c, one.labels, names) for c, one in zip(chosen, answers)]
            )
            by_draw[key].append(_uar(own, predicted, len(names)))
        confidences += [one.adapted.max(axis=1) for one in answers]
        rights += [one.adapted.argmax(axis=1) == one.own for one in answers]
    confidence, right = np.concatenate(confidences), np.concatenate(rights)
    return {
        **{key: round(float(np.mean(values)), 4) for key, values in by_draw.items()},
        # Of the answer given: as if there were two labels, right and wrong.
        "calibration_error": round(_calibration_error(confidence, right), 4),
        "refused": round(
            float(np.mean([not one.gains for answers in draws.values() for one in answers])), 3
        ),
        "speakers": len(draws[0]),
        "speakers_left_out": left_out,
        "clips": len(right),
    }


def _calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    # Three columns, so that the first is the largest however small it is.
    rest = (1 - confidence) / 2
    few = np.stack([confidence, np.minimum(rest, confidence), np.minimum(rest, confidence)], axis=1)
    return expected_calibration_error(np.where(right, 0, 1), few)


def _renamed(
    places: NDArray[np.int64], labels: Sequence[str], names: Sequence[str]
) -> NDArray[np.int64]:
    """Places among the names; what is none of the labels is one beyond the last name."""
    table = np.array([*(names.index(label) for label in labels), len(names)])
    return table[places]


def _uar(own: NDArray[np.int64], predicted: NDArray[np.int64], n_labels: int) -> float:
    return uar(confusion_matrix(own, predicted, n_labels + 1))


def _observe(
    classifier: Classifier, clips: Sequence[Clip], condition: str, cache: Path
) -> list[Observation]:
    """What the model gives for each clip, kept in the cache."""
    sha256 = classifier.model.metadata.flatbuffer.sha256
    names = hashlib.sha256("\n".join(str(clip.path) for clip in clips).encode()).hexdigest()
    file = cache / f"{sha256[:12]}-{names[:12]}-{condition}.npz"
    if not file.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        found = list(_observed(classifier, clips, condition))
        np.savez(
            file,
            probabilities=[one.probabilities for one in found],
            inputs=[one.inputs for one in found],
        )
    with np.load(file) as stored:
        nothing = np.zeros(1, np.float32)
        return [
            Observation(probabilities, inputs, nothing, None)
            for probabilities, inputs in zip(stored["probabilities"], stored["inputs"])
        ]


def _observed(
    classifier: Classifier, clips: Sequence[Clip], condition: str
) -> Iterator[Observation]:
    rate = classifier.model.frontend.sample_rate
    show = progress(f"clips ({condition})")
    rng = np.random.default_rng(SEED)
    pool = [audio.load(clips[p].path, rate) for p in rng.permutation(len(clips))[:64]]
    n_labels, n_inputs = len(classifier.labels), classifier.model.n_inputs
    for place, clip in enumerate(clips):
        clean = audio.load(clip.path, rate)
        own = np.random.default_rng((SEED, place))
        samples = degrade(condition, clean, rate, own, voices=pool)
        one = classifier.observe_samples(samples, rate)
        if isinstance(one, str):  # silence, too short: nothing is known
            nothing = np.zeros(1, np.float32)
            one = Observation(np.full(n_labels, 1 / n_labels), np.zeros(n_inputs), nothing, None)
        yield one
        show(place + 1, len(clips))


def _raw_labels(clips: Sequence[Clip]) -> list[str]:
    """The corpora's own labels, of which the index has a column."""
    import csv

    from ser_edge.convert.corpus.clips import default_folder

    folder = default_folder()
    with open(folder / "index.csv", newline="", encoding="utf-8") as file:
        raw = {str(folder / row["path"]): row.get("raw_label", "") for row in csv.DictReader(file)}
    return [raw.get(str(clip.path), "") for clip in clips]


def _table(title: str, figures: dict[str, dict[str, dict[str, Any]]]) -> str:
    sizes = list(dict.fromkeys(size for by_size in figures.values() for size in by_size))
    head = "".join(f" k = {size} |" for size in sizes)
    lines = [f"### {title}", "", f"| corpus (speakers) |{head}", "|---|" + "---|" * len(sizes)]
    for corpus, by_size in figures.items():
        speakers = max(f["speakers"] for f in by_size.values())
        cells = [_cell(by_size[size]) if size in by_size else "-" for size in sizes]
        lines.append(f"| {corpus} ({speakers}) | " + " | ".join(cells) + " |")
    for name, key, sign in (
        ("gain over the model as it is", "as_it_is", "+"),
        ("gain over the same labels", "same_labels", "+"),
    ):
        means = []
        for size in sizes:
            gains = [by[size]["adapted"] - by[size][key] for by in figures.values() if size in by]
            means.append(f"{100 * np.mean(gains):{sign}.1f} (least {100 * min(gains):{sign}.1f})")
        lines.append(f"| {name} | " + " | ".join(means) + " |")
    for name, key in (("calibration error", "calibration_error"),):
        means = [
            f"{np.mean([by[size][key] for by in figures.values() if size in by]):.3f}"
            for size in sizes
        ]
        lines.append(f"| {name} | " + " | ".join(means) + " |")
    written = []
    for size in sizes:
        rows = [by[size] for by in figures.values() if size in by]
        gain = np.mean([row["as_written"] - row["as_it_is"] for row in rows])
        refused = np.mean([row["refused"] for row in rows])
        written.append(f"{100 * gain:+.1f} ({100 * refused:.0f} % refused)")
    lines.append("| gain where `ser-edge adapt` refuses what does not gain | " + " | ".join(written)
                 + " |")  # fmt: skip
    left = {
        f"{corpus} k = {size}: {row['speakers_left_out']}"
        for corpus, by in figures.items()
        for size, row in by.items()
        if row["speakers_left_out"]
    }
    if left:
        lines += ["", f"Speakers left out for too few clips: {', '.join(sorted(left))}."]
    return "\n".join([*lines, ""])


def _cell(row: dict[str, Any]) -> str:
    return f"{100 * row['as_it_is']:.1f} → {100 * row['adapted']:.1f}"


def _plot(figures: dict[str, dict[str, dict[str, Any]]], path: Path) -> None:
    from ser_edge.cli.show.plot import open_figure, save_figure

    figure = open_figure(str(path))
    axes = figure.subplots()
    for corpus, by_size in figures.items():
        sizes = [0, *map(int, by_size)]
        gains = [0.0, *(100 * (row["adapted"] - row["as_it_is"]) for row in by_size.values())]
        axes.plot(sizes, gains, marker="o", markersize=3, linewidth=1, label=corpus)
    sizes = list(dict.fromkeys(size for by_size in figures.values() for size in by_size))
    means = [
        100 * np.mean([by[s]["adapted"] - by[s]["as_it_is"] for by in figures.values() if s in by])
        for s in sizes
    ]
    axes.plot([0, *map(int, sizes)], [0, *means], color="black", linewidth=2.5, label="mean")
    axes.set_xlabel("clips of each emotion")
    axes.set_ylabel("UAR gained, points")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    save_figure(figure, str(path))


if __name__ == "__main__":
    sys.exit(main())

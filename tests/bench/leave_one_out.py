"""How well the bundled models do on EMO-DB and nEMO, trained with one speaker left out at a time.

    python -m tests.bench.leave_one_out [--index FOLDER] [--cache FOLDER] [FOLD ...]

The dev split has two speakers of EMO-DB and one of nEMO: too few to judge by. Here every fold
leaves out one speaker of each (of both splits), trains on the other ones and on the training
speakers of the other corpora, normalization and teacher anew, and predicts the speakers left out
with the float model. It ends with the figures over the folds done so far, in Markdown.

Fewer epochs than the shipped model's, and fewer and shorter fits of its teacher, keep it to about
13 minutes a fold on one core. The voices mixed in as babble are drawn once, for all folds. Folds
that are done are read from the cache, broken ones go on from their last epoch.
"""

from __future__ import annotations

import argparse
import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_edge.convert import frontends
from ser_edge.convert.backend import compute_in_one_order
from ser_edge.convert.cli.options import progress
from ser_edge.convert.corpus.clips import Clip, label_indices, read_index
from ser_edge.convert.evaluate.metrics import measure_by_corpus
from ser_edge.convert.train import dataset, fit, pipeline, teacher
from ser_edge.convert.train.config import TrainingConfig
from ser_edge.files import draft
from ser_edge.frontend import FrontendSpec

EPOCHS = 14  # of the student
TEACHER_FOLDS = 3
TEACHER_EPOCHS = 6
CORPORA = {"emo_db": "EMO-DB", "nemo": "nEMO"}
PREDICTIONS = "predictions.npy"


def folds(clips: Sequence[Clip]) -> list[set[tuple[str, str]]]:
    """The (corpus, speaker) pairs that each fold leaves out; as many as the longest list."""
    speakers = [sorted({c.speaker for c in clips if c.corpus == name}) for name in CORPORA]
    return [
        {(name, known[fold]) for name, known in zip(CORPORA, speakers) if fold < len(known)}
        for fold in range(max(map(len, speakers)))
    ]


def everything(clips: Sequence[Clip], cache: Path) -> tuple[dataset.Dataset, teacher.Embeddings]:
    """Features and the encoder's embeddings of all training clips and of both corpora's dev clips.

    Those of the training clips are the ones that the bundled model learns from.
    """
    spec = frontends.preset("compact")
    # In a fold the dev speakers of the two corpora are learned from, too.
    rest = [
        replace(clip, split="train") if clip.corpus in CORPORA else clip
        for clip in clips
        if clip.split == "dev"
    ]
    loaded = [
        dataset.load(part, spec, copies=6, cache=cache, progress=progress("features"))
        for part in (clips, rest)
    ]
    encoded = [
        teacher.embed(
            part.train_clips,
            FrontendSpec.parse(spec).window_seconds,
            cache,
            progress=progress("teacher"),
        )
        for part in loaded
    ]
    joined = {
        name: np.concatenate([getattr(part, name) for part in loaded], axis=1)
        for name in ("train", "time_maps")
    }
    train_clips = [clip for part in loaded for clip in part.train_clips]
    embeddings = [steps for of_part in encoded for steps in of_part]
    return replace(loaded[0], **joined, train_clips=train_clips), embeddings


def run(
    data: dataset.Dataset,
    embeddings: teacher.Embeddings,
    left_out: set[tuple[str, str]],
    folder: Path,
) -> NDArray[np.float32]:
    """Probabilities of the clips of the speakers left out, shape (n, n_labels)."""
    clips = data.train_clips
    unknown = np.array([(clip.corpus, clip.speaker) in left_out for clip in clips])
    rows = np.flatnonzero(~unknown)
    known = [clips[row] for row in rows]
    spec = frontends.preset("compact")
    targets = teacher.targets_from(
        [embeddings[row] for row in rows],
        known,
        FrontendSpec.parse(spec).window_seconds,
        cache=folder.parent,
        jobs=1,
        folds=TEACHER_FOLDS,
        epochs=TEACHER_EPOCHS,
    )
    data = replace(
        data,
        train=data.train[:, rows],
        dev=data.train[0, unknown],
        time_maps=data.time_maps[:, rows],
        train_clips=known,
        dev_clips=[clip for clip, is_unknown in zip(clips, unknown) if is_unknown],
    )
    spec = pipeline.normalized(spec, data)
    model = fit.train(
        data,
        spec,
        TrainingConfig(epochs=EPOCHS),
        folder=folder,
        targets=targets,
        resume=True,
        report=lambda line: print(folder.name, line, file=sys.stderr),
    )
    predictions: NDArray[np.float32] = model.predict(dataset.normalize(data.dev, spec), verbose=0)
    with draft(folder / PREDICTIONS) as partial:
        np.save(partial, predictions)
    return predictions


def table(clips: Sequence[Clip], predictions: dict[int, NDArray[np.float32]]) -> str:
    """Figures over the predictions of the folds done."""
    parts = folds(clips)
    left_out = [
        [clip for clip in clips if (clip.corpus, clip.speaker) in parts[fold]]
        for fold in predictions
    ]
    every = [clip for part in left_out for clip in part]
    measured = measure_by_corpus(
        label_indices(every),
        np.concatenate(list(predictions.values())).astype(np.float64),
        [clip.speaker for clip in every],
        [clip.corpus for clip in every],
    )
    lines = [
        "| one speaker left out | UAR | accuracy | speakers | clips |",
        "|---|---|---|---|---|",
    ]
    for name in CORPORA:
        figures = measured[name]
        cells = [f"{100 * figures.uar:.1f} %", f"{100 * figures.accuracy:.1f} %"]
        cells += [str(figures.speakers), str(figures.clips)]
        lines.append(f"| {CORPORA[name]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--index", type=Path)
    parser.add_argument("--cache", type=Path, default=dataset.default_cache())
    parser.add_argument("folds", metavar="FOLD", nargs="*", type=int, help="from 1; all by default")
    arguments = parser.parse_args()
    compute_in_one_order()
    clips = read_index(arguments.index)
    data, embeddings = everything(clips, arguments.cache)
    parts = folds(data.train_clips)
    predictions = {}
    for number in arguments.folds or range(1, len(parts) + 1):
        folder = arguments.cache / "leave-one-out" / str(number)
        predictions[number - 1] = (
            np.load(folder / PREDICTIONS)
            if (folder / PREDICTIONS).exists()
            else run(data, embeddings, parts[number - 1], folder)
        )
    print(table(data.train_clips, predictions))


if __name__ == "__main__":
    main()

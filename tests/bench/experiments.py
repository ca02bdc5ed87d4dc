"""What made the bundled model better: the table in docs/training.md.

    python -m tests.bench.experiments [--index FOLDER] [--cache FOLDER] [--seeds N] [ROW ...]

Every row changes one thing of the row before. It is trained on the training speakers, for few
epochs: all rows cost half an hour on one core. Given numbers, it trains those rows alone; with
several seeds, 1 to N, their cells are means. Rows that are done are read from the cache, broken
ones go on from their last epoch.
"""

from __future__ import annotations

import argparse
import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import json
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from ser_edge.convert import frontends
from ser_edge.convert.backend import compute_in_one_order
from ser_edge.convert.cli.options import progress
from ser_edge.convert.corpus.clips import Clip, read_index
from ser_edge.convert.train import dataset, fit, pipeline, teacher
from ser_edge.convert.train.config import TrainingConfig
from ser_edge.frontend import FrontendSpec

EPOCHS = 5
CORPORA = {"crema_d": "CREMA-D", "ravdess": "RAVDESS", "emo_db": "EMO-DB", "nemo": "nEMO"}

# The first row's front end, and its configuration where it differs from the shipped model's.
FIRST: dict[str, Any] = {
    "architecture": "clstm",
    "preset": "seed",
    "n_mfcc": 20,
    "clean_fraction": 1.0,
    "batch_size": 64,
    "learning_rate": 1.5e-3,
    "distillation_weight": 0.0,
    "utterance_weight": 0.0,
    "frame_weight": 0.0,
    "vtlp_range": 0.0,
    "channel_std": 0.0,
    "mask_frames": 0,
    "crop_frames": 0,
}

ROWS: list[tuple[str, dict[str, Any]]] = [
    ("the original CLSTM on its 22 features of 401 frames, labels alone, no augmentation", {}),
    (
        "convolutions over time, LSTMs, attentive pooling; frames of 32 ms, speech at one level",
        {"architecture": "compact", "preset": "compact"},
    ),
    (
        "augmented copies: speed and pitch, room, noise, telephone, overdrive",
        {"clean_fraction": 0.5},
    ),
    ("64 MFCC", {"n_mfcc": 64}),
    (
        "the teacher's probabilities and its utterance embeddings",
        {"distillation_weight": 0.9, "utterance_weight": 0.6},
    ),
    ("its frame embeddings", {"frame_weight": 2.0}),
    (
        "residual convolutions, twice as deep, on the features and how they differ from their mean",
        {"architecture": "deep"},
    ),
    (
        "vocal tract length perturbation, random channels, masked frames",
        {"vtlp_range": 0.1, "channel_std": 10.0, "mask_frames": 12},
    ),
    (
        "batches of 32 instead of 64 clips, of which 2.64 s are used at once",
        {"batch_size": 32, "learning_rate": 1e-3, "crop_frames": 264},
    ),
    ("four times the learning rate", {"learning_rate": 4e-3}),
]


def settings_of(row: int) -> tuple[TrainingConfig, str, int]:
    """The configuration of a row, counted from 0, its preset and its number of MFCC."""
    settings = dict(FIRST)
    for _, change in ROWS[: row + 1]:
        settings.update(change)
    preset, n_mfcc = settings.pop("preset"), settings.pop("n_mfcc")
    return TrainingConfig(epochs=EPOCHS, **settings), preset, n_mfcc


def run(
    row: int,
    n_seeds: int,
    clips: list[Clip],
    targets: teacher.TeacherTargets | None,
    cache: Path,
) -> list[dict[str, Any]]:
    """The last line of the row's log, for every seed."""
    config, preset, n_mfcc = settings_of(row)
    spec = frontends.preset(preset)
    copies = 0 if preset == "seed" else 6
    data = dataset.load(clips, spec, copies=copies, cache=cache, progress=progress("features"))
    spec["steps"][-2]["stack"][2]["n_mfcc"] = n_mfcc
    if dataset.feature_axis(spec) == 1:
        # The first MFCC of 64 are those of a shorter transform.
        columns = 2 + n_mfcc
        data = replace(data, train=data.train[..., :columns], dev=data.dev[..., :columns])
    spec = pipeline.normalized(spec, data)
    lines = []
    for seed in range(1, n_seeds + 1):
        folder = cache / "experiments" / f"{row + 1}-seed-{seed}"
        fit.train(
            data,
            spec,
            replace(config, seed=seed),
            folder=folder,
            targets=targets,
            resume=True,
            report=lambda line: print(ROWS[row][0], json.dumps(line), file=sys.stderr),
        )
        lines.append(json.loads((folder / fit.LOG).read_text().splitlines()[-1]))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--index", type=Path)
    parser.add_argument("--cache", type=Path, default=dataset.default_cache())
    parser.add_argument("--seeds", metavar="N", type=int, default=1, help="1 by default")
    parser.add_argument("rows", metavar="ROW", nargs="*", type=int, help="from 1; all by default")
    arguments = parser.parse_args()
    compute_in_one_order()
    clips = read_index(arguments.index)
    numbers = arguments.rows or range(1, len(ROWS) + 1)
    targets = None
    if any(settings_of(number - 1)[0].needs_teacher for number in numbers):
        targets = teacher.compute_targets(
            clips,
            window_seconds=FrontendSpec.parse(frontends.preset("compact")).window_seconds,
            cache=arguments.cache,
            progress=progress("teacher"),
        )
    print(f"| | one change a row, {EPOCHS} epochs | {' | '.join(CORPORA.values())} |")
    print("|---" * (2 + len(CORPORA)) + "|")
    for number in numbers:
        lines = run(number - 1, arguments.seeds, clips, targets, arguments.cache)
        means = [statistics.mean(line[f"uar_{name}"] for line in lines) for name in CORPORA]
        cells = [f"{100 * mean:.1f} %" for mean in means]
        print(f"| {number} | {ROWS[number - 1][0]} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

"""What made the bundled model better: the table in the README's section "The bundled models".

    python -m tests.bench.experiments [--index FOLDER] [--cache FOLDER] [ROW ...]

Every row changes one thing of the row before. It is trained on the training speakers, for few
epochs and with one seed. Given numbers, it trains those
rows alone; rows that are done are read from the cache, broken ones go on from their last epoch.
"""

from __future__ import annotations

import argparse
import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from ser_edge.convert import corpus, dataset, presets, teacher, training
from ser_edge.convert.backend import tensorflow
from ser_edge.convert.progress import progress

EPOCHS = 10
CORPORA = {"crema_d": "CREMA-D", "ravdess": "RAVDESS", "emo_db": "EMO-DB", "nemo": "nEMO"}

FIRST: dict[str, Any] = {
    "architecture": "compact",
    "batch_size": 64,
    "learning_rate": 1.5e-3,
    "teacher_share": 0.0,
    "summary_weight": 0.0,
    "state_weight": 0.0,
    "warp": 0.0,
    "colour": 0.0,
    "mask_frames": 0,
}
"""The recipe of the first row, where it differs from the shipped model's."""

ROWS: list[tuple[str, dict[str, Any]]] = [
    ("ZCR, RMS and 20 MFCC over time, labels alone, no augmentation", {"clean_share": 1.0}),
    ("augmented copies: speed, room, noise, telephone, overdrive", {"clean_share": 0.3}),
    ("64 MFCC", {"n_mfcc": 64}),
    (
        "the teacher's probabilities and its summary of the clip",
        {"teacher_share": 0.7, "summary_weight": 0.3},
    ),
    ("its states over time", {"state_weight": 1.0}),
    ("batches of 32 instead of 64 clips", {"batch_size": 32, "learning_rate": 1e-3}),
    ("residual convolutions, twice as deep", {"architecture": "deep"}),
    (
        "warped voices, coloured microphones, masked frames",
        {"warp": 0.1, "colour": 10.0, "mask_frames": 12},
    ),
]


def recipe_of(row: int) -> tuple[training.Recipe, int]:
    """The recipe of a row, counted from 0, and its number of MFCC."""
    settings = dict(FIRST, n_mfcc=20)
    for _, change in ROWS[: row + 1]:
        settings.update(change)
    n_mfcc = settings.pop("n_mfcc")
    return replace(training.Recipe(), epochs=EPOCHS, **settings), n_mfcc


def run(row: int, data: dataset.Dataset, lessons: teacher.Lessons, folder: Path) -> dict[str, Any]:
    """The last line of the row's log."""
    recipe, n_mfcc = recipe_of(row)
    frontend = presets.frontend("compact")
    frontend["features"][2]["n_mfcc"] = n_mfcc
    # The first MFCC of 64 are those of a shorter transform.
    columns = 2 + n_mfcc
    data = replace(data, train=data.train[..., :columns], dev=data.dev[..., :columns])
    frontend["normalization"] = data.normalization(feature_axis=1)
    training.train(
        data,
        frontend,
        recipe,
        folder=folder,
        lessons=lessons,
        resume=True,
        report=lambda line: print(ROWS[row][0], json.dumps(line), file=sys.stderr),
    )
    last: dict[str, Any] = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
    return last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--index", type=Path)
    parser.add_argument("--cache", type=Path, default=dataset.default_cache())
    parser.add_argument("rows", metavar="ROW", nargs="*", type=int, help="from 1; all by default")
    arguments = parser.parse_args()
    tensorflow().config.threading.set_intra_op_parallelism_threads(1)
    tensorflow().config.threading.set_inter_op_parallelism_threads(1)
    clips = corpus.read_index(arguments.index)
    spec = presets.frontend("compact")
    lessons = teacher.lessons(
        clips,
        window_seconds=spec["window_seconds"],
        cache=arguments.cache,
        progress=progress("teacher"),
    )
    data = dataset.load(
        clips, spec, copies=6, seed=1, cache=arguments.cache, progress=progress("features")
    )
    print(f"| | one change a row, {EPOCHS} epochs | {' | '.join(CORPORA.values())} |")
    print("|---" * (2 + len(CORPORA)) + "|")
    for number in arguments.rows or range(1, len(ROWS) + 1):
        folder = arguments.cache / "experiments" / str(number)
        line = run(number - 1, data, lessons, folder)
        cells = [f"{100 * line[f'uar_{name}']:.1f} %" for name in CORPORA]
        print(f"| {number} | {ROWS[number - 1][0]} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

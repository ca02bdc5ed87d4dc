"""What the quantization of a trained model costs, corpus by corpus.

    python -m tests.bench.quantization [--index FOLDER] [--cache FOLDER] [--ordinary INDEX]
        [--sounds FOLDER] [--copies N] [--corpus NAME] [--second-weight WEIGHT]
        [--neutral-shift SHIFT] NAME ...

Needs the cache of `ser-edge-convert train --name NAME`, default front end, and its options. The
float model and the quantized one, converted as by that command, get the same features of the dev
clips, each clip as one window.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_edge.convert import frontends
from ser_edge.convert.corpus.clips import (
    Clip,
    choose,
    label_indices,
    read_index,
    read_ordinary,
)
from ser_edge.convert.evaluate.metrics import measure_by_corpus
from ser_edge.convert.train import architectures, dataset, pipeline
from ser_edge.runtime import find_runtime


def quantized_predictions(model: Any, matrices: NDArray[np.float32]) -> NDArray[np.float32]:
    """The probabilities of the converted model, shape (n, n_labels)."""
    interpreter = find_runtime()[0](model_content=pipeline.quantized(model), num_threads=1)
    interpreter.allocate_tensors()
    features, scores = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    predictions = []
    for matrix in matrices:
        interpreter.reset_all_variables()
        interpreter.set_tensor(features["index"], matrix[np.newaxis])
        interpreter.invoke()
        predictions.append(interpreter.get_tensor(scores["index"])[0])
    return np.array(predictions)


def compare(
    name: str,
    clips: list[Clip],
    *,
    copies: int,
    sounds: Path | None,
    second_weight: float,
    neutral_shift: float,
    cache: Path,
) -> list[str]:
    """The table's rows for one run."""
    spec = frontends.preset("compact")
    data = dataset.load(clips, spec, copies=copies, sounds=sounds, cache=cache)
    rows_of_labels = [row for row, clip in enumerate(data.dev_clips) if clip.label]
    dev = [data.dev_clips[row] for row in rows_of_labels]
    matrices = dataset.normalize(data.dev[rows_of_labels], pipeline.normalized(spec, data))
    folder = pipeline.run_folder(cache, name)
    folders = [path for path in (folder, folder / pipeline.SECOND) if path.is_dir()]
    model = pipeline.trained(folders, second_weight=second_weight, neutral_shift=neutral_shift)
    measured = [
        measure_by_corpus(
            label_indices(dev),
            predictions.astype(np.float64),
            [clip.speaker for clip in dev],
            [clip.corpus for clip in dev],
        )
        for predictions in (
            model.predict(matrices, batch_size=256, verbose=0),
            quantized_predictions(model, matrices),
        )
    ]
    rows = []
    for part, exact in measured[0].items():
        quantized = measured[1][part]
        rows.append(
            f"| {name} | {part} | {100 * exact.uar:.2f}, {100 * exact.accuracy:.2f} "
            f"| {100 * quantized.uar:.2f}, {100 * quantized.accuracy:.2f} | {exact.clips} |"
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--index", type=Path)
    parser.add_argument("--cache", type=Path, default=dataset.default_cache())
    for option in ("--ordinary", "--sounds"):
        parser.add_argument(option, type=Path, help="as for train")
    parser.add_argument("--copies", type=int, default=6, help="as for train")
    parser.add_argument("--corpus", action="append", default=[], help="as for train")
    parser.add_argument("--second-weight", type=float, default=architectures.SECOND_WEIGHT)
    parser.add_argument("--neutral-shift", type=float, default=0.0)
    parser.add_argument("names", metavar="NAME", nargs="+", help="of the runs")
    arguments = parser.parse_args()
    ordinary = read_ordinary(arguments.ordinary) if arguments.ordinary else []
    clips = choose([*read_index(arguments.index), *ordinary], arguments.corpus)
    options = ("copies", "sounds", "second_weight", "neutral_shift", "cache")
    used = {name: getattr(arguments, name) for name in options}
    print("| run | corpus | UAR, accuracy of the float model (%) | quantized | clips |")
    print("|---|---|---|---|---|")
    for name in arguments.names:
        print("\n".join(compare(name, clips, **used)), flush=True)


if __name__ == "__main__":
    main()

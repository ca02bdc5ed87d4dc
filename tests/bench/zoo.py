"""Models of others, from the recording to the label: how many answers are their authors'.

    python -m tests.bench.zoo FOLDER [--fit] [--quantize dynamic] [NAME ...]

FOLDER holds of every model NAME.h5 or NAME.keras, NAME.csv (its author's own predictions: the
column path, and one of scores for every label in the order of the outputs), NAME.json (its front
end) and, for weights alone, NAME.architecture.json. Each is converted and held against the
predictions, step by step; with --fit its front end is looked for, too, and compared with the one
in NAME.json on these recordings.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from ser_edge.convert import frontends
from ser_edge.convert.evaluate import expected
from ser_edge.convert.export import end_to_end, pipeline
from ser_edge.convert.recipes import fit
from ser_edge.errors import SerEdgeError
from ser_edge.frontend import Frontend, FrontendSpec
from ser_edge.metadata import QUANTIZATIONS


def labels_of(table: Path) -> list[str]:
    with table.open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
    return [name for name in header if name not in ("path", "label")]


def architecture_of(source: Path) -> dict[str, Any]:
    path = source.with_suffix(".architecture.json")
    return {"architecture": path} if path.is_file() else {}


def convert(source: Path, quantization: str) -> list[str]:
    """Share of the author's labels behind each step, and the largest difference behind the last."""
    table = source.with_suffix(".csv")
    options = pipeline.Options(
        spec=frontends.read(source.with_suffix(".json")),
        labels=labels_of(table),
        name=source.stem,
        quantization=quantization,
        expect=table,
        min_agreement=0.0,
        **architecture_of(source),
    )
    with tempfile.TemporaryDirectory() as folder:
        found = pipeline.convert_model(str(source), Path(folder) / "out.tflite", options)
    assert found is not None
    assert found.expected is not None
    cells = [
        f"{round(step.agreement * found.expected.recordings)}" for step in found.expected.steps
    ]
    windows = next(step for step in found.expected.steps if step.name == end_to_end.WINDOWS)
    return [f"{found.expected.recordings}", *cells, f"{windows.difference:.4f}"]


def look_for(source: Path) -> str:
    """Whether the front end that is found gives the inputs of the stated one."""
    table = source.with_suffix(".csv")
    labels = labels_of(table)
    begin = time.perf_counter()
    options = fit.Options(labels, expect=table, **architecture_of(source))
    found = fit.fit(str(source), options)
    seconds = time.perf_counter() - begin
    stated = Frontend(FrontendSpec.parse(frontends.read(source.with_suffix(".json"))))
    best = Frontend(FrontendSpec.parse(found.ranked[0].candidate.spec))
    same = 0
    paths = [row.path for row in expected.read(table, labels)]
    for path in paths:
        one, other = (frontend(frontend.load(path)).ravel() for frontend in (stated, best))
        same += np.allclose(one, other, rtol=1e-3, atol=1e-3)
    return (
        f"{found.ranked[0].candidate.name} ({same} of {len(paths)} inputs the same, "
        f"{found.ranked[0].right} of {found.clips} labels, {'sure' if found.sure else 'not sure'}, "
        f"{found.tried} tried in {seconds:.0f} s)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--quantize", choices=QUANTIZATIONS, default="dynamic")
    options = parser.parse_args()
    print("| model | recordings | source | converted | features | windows | gate | difference |")
    print("|---" * 8 + "|")
    for source in sorted([*options.folder.glob("*.h5"), *options.folder.glob("*.keras")]):
        if options.names and source.stem not in options.names:
            continue
        try:
            print(
                f"| {source.stem} | {' | '.join(convert(source, options.quantize))} |", flush=True
            )
            if options.fit:
                print(f"    {look_for(source)}", flush=True)
        except SerEdgeError as error:
            print(f"| {source.stem} | {error} |", flush=True)


if __name__ == "__main__":
    main()

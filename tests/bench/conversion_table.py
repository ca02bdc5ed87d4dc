"""What converts to what: the table in docs/convert.md.

    python tests/bench/conversion_table.py [--index FOLDER]

Every architecture of `ser-edge-convert train`, and the mean of two networks as `--second` makes it,
with random weights, is converted in every way, as `ser-edge-convert model` does it. The sizes and
refusals are those of the TensorFlow installed.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from ser_edge.convert import frontends
from ser_edge.convert.backend import tensorflow
from ser_edge.convert.corpus.clips import LABELS, default_folder
from ser_edge.convert.export import pipeline
from ser_edge.convert.train import architectures
from ser_edge.errors import ModelError
from ser_edge.frontend import Frontend, FrontendSpec
from ser_edge.metadata import QUANTIZATIONS

JOINED = "slim"  # of which two make a model


def networks() -> dict[str, tuple[str, Any]]:
    """The rows: by name the front end's preset and a ``keras.Model``."""
    rows = {}
    for name in architectures.NAMES:
        preset = "compact" if name in architectures.WITH_EMBEDDINGS else "seed"
        shape = Frontend(FrontendSpec.parse(frontends.preset(preset))).shape
        rows[name] = (preset, architectures.build(name, shape, len(LABELS)))
        if name == JOINED:
            both = [architectures.build(name, shape, len(LABELS)) for _ in range(2)]
            rows[f"two-{name}"] = (preset, architectures.joined(both, (0.5, 0.5)))
    return rows


def convert(source: Path, output: Path, preset: str, quantization: str, index: Path) -> str:
    """One cell of the table."""
    options = pipeline.Options(
        spec=frontends.preset(preset),
        labels=LABELS,
        name=source.stem,
        quantization=quantization,
        calibrate=index,
    )
    try:
        pipeline.convert_model(str(source), output, options)
    except ModelError as error:
        return "refused" if "crashed" in str(error) or "took longer" in str(error) else str(error)
    return f"{output.stat().st_size / 1e6:.2f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--index", type=Path, default=default_folder())
    index = parser.parse_args().index
    tensorflow()
    print(f"| architecture | weights | {' | '.join(QUANTIZATIONS)} |")
    print("|---" * (2 + len(QUANTIZATIONS)) + "|")
    with tempfile.TemporaryDirectory() as folder:
        for name, (preset, model) in networks().items():
            source = Path(folder) / f"{name}.keras"
            model.save(source)
            cells = [
                convert(source, Path(folder) / "out.tflite", preset, quantization, index)
                for quantization in QUANTIZATIONS
            ]
            print(f"| {name} | {model.count_params():,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

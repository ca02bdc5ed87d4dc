"""Five hundred damaged model files: each ends in a Result or a SerEdgeError, in little memory.

This file is also the child process that loads them. What is damaged is the file: a flatbuffer made
with malice, with a checksum that fits it, is out of scope.
"""

from __future__ import annotations

import copy
import json
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_edge import Classifier, Result, SerEdgeError
from ser_edge.classifier import bundled_path
from ser_edge.selftest import reference_signal
from tests.helpers.hostile import LIES, attempt_all, tally_of_child
from tests.helpers.models import bundled, pack

N_MUTANTS = 500
MAX_SECONDS_EACH = 20  # a hang, not a time measured: most take some 10 ms
MAX_PEAK_MB = 200  # resident, Python, numpy and the runtime included
KINDS = ("cut", "flip", "flip in metadata", "lie", "lie in zip", "hole", "edit", "edits")
# What metadata lie with: edges of the types, of the ranges and of what JSON can say.
VALUES = (
    None, True, False, -1, 0, 1, 2, 3, 99, 256, 8192, 48_000, 192_000, 2**31, 10**400, -0.5, 1e-30,
    0.01, 0.1, 60.0, 1e12, 1e300, float("nan"), float("inf"), "", "mfcc", "delta", "hann",
    "constant", "x" * 20_000, "\ud800", [], [0.0] * 3000, [[[[]]]], {}, {"name": "rms"},
)  # fmt: skip


def mutant(index: int, original: bytes, flatbuffer: bytes, metadata: Any) -> tuple[str, bytes]:
    """The damaged file of this number and the damage in words."""
    rng = np.random.default_rng(index)
    kind = KINDS[index % len(KINDS)]
    data = bytearray(original)
    words = ""
    if kind == "cut":
        del data[int(rng.integers(len(data))) :]
    elif kind == "hole":
        start = int(rng.integers(len(data)))
        del data[start : start + int(rng.integers(1, 2_000))]
    elif kind in ("lie", "lie in zip"):
        # The flatbuffer's head, or the zip's own records: both directories and the end.
        records = (0,) if kind == "lie" else [*found(original, b"PK", len(flatbuffer))]
        form = ("<H", "<I")[int(rng.integers(2))]
        start = int(rng.choice(records)) + int(rng.integers(46))
        start = min(start, len(data) - struct.calcsize(form))
        value = LIES[int(rng.integers(len(LIES)))] % (1 << 8 * struct.calcsize(form))
        struct.pack_into(form, data, start, value)
    elif kind in ("flip", "flip in metadata"):
        first = len(flatbuffer) if kind == "flip in metadata" else 0
        for position in rng.integers(first, len(data), int(rng.integers(1, 20))):
            data[position] ^= 1 << int(rng.integers(8))
    else:
        metadata = copy.deepcopy(metadata)
        places = [*entries(metadata)]
        for _ in range(1 if kind == "edit" else 3):
            container, key = places[int(rng.integers(len(places)))]
            value = VALUES[int(rng.integers(len(VALUES)))]
            container[key] = value
            words += f", {key}: {value!r:.30}"
        data = bytearray(pack(flatbuffer, json.dumps(metadata).encode()))
    return f"{kind}{words}, number {index}", bytes(data)


def found(data: bytes, pattern: bytes, start: int) -> Iterator[int]:
    while (start := data.find(pattern, start)) >= 0:
        yield start
        start += 1


def entries(metadata: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in what the runtime reads: its container and its key."""
    pairs = metadata.items() if isinstance(metadata, dict) else enumerate(metadata)
    for key, value in pairs:
        yield metadata, key
        if isinstance(value, (dict, list)) and key not in ("training", "accuracy", "converter"):
            yield from entries(value)


def load_all() -> None:
    """Load every mutant and classify a tone with it."""
    original = Path(bundled_path()).read_bytes()
    flatbuffer, metadata = bundled()
    signal = reference_signal(16_000, 2.0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"

        def classify(index: int) -> str:
            path.write_bytes(mutant(index, original, flatbuffer, metadata)[1])
            try:
                result = Classifier.from_file(path).classify_samples(signal, 16_000)
                assert isinstance(result, Result)
                if result.scores is not None:
                    assert abs(sum(result.scores.values()) - 1) < 1e-6
                json.dumps(result.to_dict(), allow_nan=False)
            except SerEdgeError as error:
                if not str(error).isprintable():
                    raise
                return "refused"
            return "classified"

        attempt_all(N_MUTANTS, MAX_SECONDS_EACH, classify)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_damaged_models_end_in_a_result_or_an_error() -> None:
    original = Path(bundled_path()).read_bytes()
    tally = tally_of_child(
        "tests.test_hostile_models",
        N_MUTANTS,
        lambda index: mutant(index, original, *bundled())[0],
    )
    assert tally["classified"] > N_MUTANTS // 50
    assert tally["refused"] > N_MUTANTS // 2
    assert 0 < tally["peak_mb"] < MAX_PEAK_MB


if __name__ == "__main__":
    load_all()

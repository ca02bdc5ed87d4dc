"""The original and the product side by side on real speech.

The original is Keras with the reference library's features, the product the packed model with the
runtime's own: what is compared is everything from the audio file to the probabilities.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_edge import audio
from ser_edge.metadata import FrontendSpec
from ser_edge.model import Model

from ..corpus.clips import Clip
from ..evaluate.metrics import measure
from . import librosa_frontend, sandbox, source_model

PROBABILITIES = "source_model.npy"
"""Name of the original's probabilities in the scratch folder."""

_BATCH = 64
_LATENCY_RUNS = 20

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Accuracy:
    """Unweighted average recall of both, on one corpus."""

    corpus: str
    speakers: int
    clips: int
    original: float
    product: float


@dataclass(frozen=True)
class Verification:
    """How the product compares with the original."""

    clips: int
    agreement: float
    """Share of the clips with the same most probable label, 0 to 1."""
    largest_difference: float
    """Of any probability."""
    mean_difference: float
    """Of all probabilities."""
    accuracy: tuple[Accuracy, ...]
    """By corpus, where labels are known."""
    original_bytes: int
    product_bytes: int
    original_seconds: float
    """For one window, features not included."""
    product_seconds: float
    runtime: str
    """The package that ran the product."""

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON takes them, rounded."""
        return {
            "clips": self.clips,
            "agreement": round(self.agreement, 4),
            "largest_difference": round(self.largest_difference, 4),
            "mean_difference": round(self.mean_difference, 6),
            "uar": {
                part.corpus: {
                    "speakers": part.speakers,
                    "clips": part.clips,
                    "original": round(part.original, 4),
                    "product": round(part.product, 4),
                }
                for part in self.accuracy
            },
            "bytes": {"original": self.original_bytes, "product": self.product_bytes},
            "milliseconds": {
                "original": round(1e3 * self.original_seconds, 2),
                "product": round(1e3 * self.product_seconds, 2),
            },
            "runtime": self.runtime,
        }

    def table(self) -> str:
        """The figures for people."""
        rows = [
            (f"{self.clips} clips", "original", "product"),
            ("size", f"{self.original_bytes / 1e6:.2f} MB", f"{self.product_bytes / 1e6:.2f} MB"),
            (
                f"one window, {self.runtime}",
                f"{1e3 * self.original_seconds:.1f} ms",
                f"{1e3 * self.product_seconds:.1f} ms",
            ),
        ]
        rows += [
            (
                f"UAR {part.corpus}, {part.speakers} speakers, {part.clips} clips",
                f"{100 * part.original:.1f} %",
                f"{100 * part.product:.1f} %",
            )
            for part in self.accuracy
        ]
        rows += [
            ("same label", "", f"{100 * self.agreement:.2f} %"),
            ("difference of probabilities, largest", "", f"{self.largest_difference:.4f}"),
            ("difference of probabilities, mean", "", f"{self.mean_difference:.5f}"),
        ]
        width = max(len(row[0]) for row in rows)
        return "\n".join(f"{name:<{width}} {left:>10} {right:>10}" for name, left, right in rows)


def run_original(
    *,
    scratch: Path,
    source: str,
    frontend: dict[str, Any],
    paths: Sequence[str],
    allow_code: bool,
) -> dict[str, Any]:
    """A job: the original's probabilities for recordings, features by the reference library.

    Args:
        scratch: folder; the result, float64, (n, n_labels), is its :data:`PROBABILITIES`.
        source: path of the model.
        frontend: as in a model's metadata.
        paths: of the recordings.
        allow_code: as in :func:`.source_model.load`.

    Returns:
        ``seconds`` that the original takes for one window.

    Raises:
        ModelError: the model cannot be loaded.
        ser_edge.errors.AudioError: a recording cannot be read.
    """
    sandbox.stage(scratch, "running the original", "raise the limit, or verify on fewer recordings")
    model = source_model.load(Path(source), scratch, allow_code=allow_code)
    spec = FrontendSpec.parse(frontend)
    matrices = np.stack([librosa_frontend.features_of(path, spec) for path in paths])
    if len(model.shape) > matrices.ndim - 1:
        matrices = matrices[..., np.newaxis]
    batches = range(0, len(matrices), _BATCH)
    outputs = np.concatenate([model.predict(matrices[at : at + _BATCH]) for at in batches])
    if not model.gives_probabilities(matrices[:1]):
        outputs = _softmax(outputs)
    np.save(scratch / PROBABILITIES, outputs)
    return {"seconds": _seconds(lambda: model.predict(matrices[:1]))}


def compare(
    recordings: Sequence[Clip],
    probabilities: NDArray[np.float64],
    product: Path,
    *,
    original_bytes: int,
    original_seconds: float,
    progress: Progress = lambda done, total: None,
) -> Verification:
    """Run the product on the recordings and hold it against the original.

    Args:
        recordings: at least one.
        probabilities: the original's, (n, n_labels).
        product: a packed model.
        original_bytes: size of the original.
        original_seconds: see :func:`run_original`.
        progress: told after every recording.

    Raises:
        ser_edge.errors.AudioError: a recording cannot be read.
    """
    model = Model(product)
    answers = np.zeros_like(probabilities)
    for row, recording in enumerate(recordings):
        matrix = model.frontend(audio.load(recording.path, model.frontend.sample_rate))
        answers[row] = model.predict(matrix)
        progress(row + 1, len(recordings))
    difference = np.abs(answers - probabilities)
    return Verification(
        clips=len(recordings),
        agreement=float(np.mean(answers.argmax(axis=1) == probabilities.argmax(axis=1))),
        largest_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        accuracy=_accuracy(recordings, model.metadata.labels, probabilities, answers),
        original_bytes=original_bytes,
        product_bytes=product.stat().st_size,
        original_seconds=original_seconds,
        product_seconds=_seconds(lambda: model.predict(matrix)),
        runtime=model.runtime,
    )


def _accuracy(
    recordings: Sequence[Clip],
    labels: Sequence[str],
    probabilities: NDArray[np.float64],
    answers: NDArray[np.float64],
) -> tuple[Accuracy, ...]:
    labelled = [row for row, recording in enumerate(recordings) if recording.label]
    parts = []
    for corpus in dict.fromkeys(recordings[row].corpus for row in labelled):
        rows = [row for row in labelled if recordings[row].corpus == corpus]
        truth = np.array([labels.index(recordings[row].label) for row in rows])
        speakers = [recordings[row].speaker for row in rows]
        parts.append(
            Accuracy(
                corpus=corpus or "all",
                speakers=len(set(speakers)),
                clips=len(rows),
                original=measure(truth, probabilities[rows], speakers).uar,
                product=measure(truth, answers[rows], speakers).uar,
            )
        )
    return tuple(parts)


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), dtype=np.float64)


def _seconds(work: Callable[[], Any]) -> float:
    """Median time of a call, after one that warms up."""
    work()
    times = []
    for _ in range(_LATENCY_RUNS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))

"""The source model and the converted model side by side on real speech.

The source model runs in TensorFlow on the reference library's features, the converted model as it
was packed, on the runtime's own: what is compared is everything from the audio file to the
probabilities.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_edge.frontend import FrontendSpec
from ser_edge.model import Model

from ..corpus.clips import Clip, label_indices
from ..evaluate.metrics import Accuracy, measure_by_corpus
from . import librosa_frontend, sandbox
from .end_to_end import EndToEnd
from .source import source_model
from .source.outputs import to_probabilities

# Names in the scratch folder.
PROBABILITIES = "probabilities.npy"  # of the source model
MATRICES = "matrices.npy"  # the reference library's features

_BATCH = 64  # windows that the source model gets at once
_LATENCY_RUNS = 20  # of which the median counts


@dataclass(frozen=True)
class Verification:
    """How the converted model compares with the source model."""

    clips: int  # recordings compared
    agreement: float  # share of them with the same most probable label, 0 to 1
    largest_difference: float  # of any probability
    mean_difference: float  # of all probabilities
    source_accuracy: Mapping[str, Accuracy]  # by corpus, of the clips with labels
    converted_accuracy: Mapping[str, Accuracy]  # the same
    source_bytes: int  # size of the file, or of the folder's files
    converted_bytes: int
    source_seconds: float  # for one window, features not included
    converted_seconds: float
    runtime: str  # the package that ran the converted model
    expected: EndToEnd | None = None  # against the author's own answers, where these are known

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON takes them, rounded."""
        figures = {
            "clips": self.clips,
            "agreement": round(self.agreement, 4),
            "largest_difference": round(self.largest_difference, 4),
            "mean_difference": round(self.mean_difference, 6),
            "uar": {
                corpus: {
                    "speakers": source.speakers,
                    "clips": source.clips,
                    "source": round(source.uar, 4),
                    "converted": round(self.converted_accuracy[corpus].uar, 4),
                }
                for corpus, source in self.source_accuracy.items()
            },
            "bytes": {"source": self.source_bytes, "converted": self.converted_bytes},
            "milliseconds": {
                "source": round(1e3 * self.source_seconds, 2),
                "converted": round(1e3 * self.converted_seconds, 2),
            },
            "runtime": self.runtime,
        }
        if self.expected is not None:
            figures["expected"] = self.expected.to_dict()
        return figures

    def table(self) -> str:
        """The figures for people."""
        rows = [
            (f"{self.clips} clips", "source", "converted"),
            ("size", f"{self.source_bytes / 1e6:.2f} MB", f"{self.converted_bytes / 1e6:.2f} MB"),
            (
                f"one window, {self.runtime}",
                f"{1e3 * self.source_seconds:.1f} ms",
                f"{1e3 * self.converted_seconds:.1f} ms",
            ),
        ]
        rows += [
            (
                f"UAR {corpus}, {source.speakers} speakers, {source.clips} clips",
                f"{100 * source.uar:.1f} %",
                f"{100 * self.converted_accuracy[corpus].uar:.1f} %",
            )
            for corpus, source in self.source_accuracy.items()
        ]
        rows += [
            ("same label", "", f"{100 * self.agreement:.2f} %"),
            ("difference of probabilities, largest", "", f"{self.largest_difference:.4f}"),
            ("difference of probabilities, mean", "", f"{self.mean_difference:.5f}"),
        ]
        width = max(len(row[0]) for row in rows)
        lines = [f"{name:<{width}} {left:>10} {right:>10}" for name, left, right in rows]
        if self.expected is not None:
            lines += ["", self.expected.table()]
        return "\n".join(lines)


def run_source(
    *,
    scratch: Path,
    source: str,
    spec: dict[str, Any],
    shape: Sequence[int],
    outputs: str,
    paths: Sequence[str],
    architecture: str | None,
    allow_code: bool,
) -> dict[str, Any]:
    """A job: the source model's probabilities for recordings, features by the reference library.

    Args:
        scratch: folder; the result, float64, (n, n_labels), is its :data:`PROBABILITIES`, and the
            features, float32, (n, *frontend.shape), are its :data:`MATRICES`.
        source: path of the model.
        spec: of the front end, as in a model's metadata.
        shape: of the model's input.
        outputs: what the model gives, a constant of :mod:`.source.outputs`.
        paths: of the recordings.
        architecture: path of the architecture for a file of weights alone.
        allow_code: as in :func:`.source_model.load`.

    Returns:
        ``seconds`` that the model takes for one window.

    Raises:
        ModelError: the model cannot be loaded.
        ser_edge.errors.AudioError: a recording cannot be read.
    """
    sandbox.stage(
        scratch, "running the source model", "raise the limit, or verify on fewer recordings"
    )
    model = source_model.load(
        Path(source),
        scratch,
        architecture=None if architecture is None else Path(architecture),
        allow_code=allow_code,
    )
    parsed = FrontendSpec.parse(spec)
    matrices = np.stack([librosa_frontend.features_of(path, parsed) for path in paths])
    np.save(scratch / MATRICES, matrices)
    matrices = matrices.reshape(-1, *shape)
    batches = range(0, len(matrices), _BATCH)
    rows = np.concatenate([model.predict(matrices[at : at + _BATCH]) for at in batches])
    np.save(scratch / PROBABILITIES, np.asarray(to_probabilities(rows, outputs)))
    return {"seconds": _seconds(lambda: model.predict(matrices[:1]))}


def compare(
    clips: Sequence[Clip],
    probabilities: NDArray[np.float64],
    converted: Path,
    *,
    source_bytes: int,
    source_seconds: float,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Verification:
    """Run the converted model on recordings and compare it with the source model.

    Args:
        clips: at least one.
        probabilities: of the source model, (n, n_labels).
        converted: a packed model.
        source_bytes: size of the source model.
        source_seconds: that the source model takes for one window.
        progress: called with the number of recordings done and their total.

    Raises:
        ser_edge.errors.AudioError: a recording cannot be read.
    """
    model = Model(converted)
    predicted = np.zeros_like(probabilities)
    for row, clip in enumerate(clips):
        matrix = model.frontend(model.frontend.load(clip.path))
        predicted[row] = model.predict(matrix)
        progress(row + 1, len(clips))
    difference = np.abs(predicted - probabilities)
    labels = model.metadata.labels
    return Verification(
        clips=len(clips),
        agreement=float(np.mean(predicted.argmax(axis=1) == probabilities.argmax(axis=1))),
        largest_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        source_accuracy=_accuracy(clips, labels, probabilities),
        converted_accuracy=_accuracy(clips, labels, predicted),
        source_bytes=source_bytes,
        converted_bytes=converted.stat().st_size,
        source_seconds=source_seconds,
        converted_seconds=_seconds(lambda: model.predict(matrix)),
        runtime=model.runtime,
    )


def _accuracy(
    clips: Sequence[Clip], labels: Sequence[str], probabilities: NDArray[np.float64]
) -> dict[str, Accuracy]:
    """By corpus, of the recordings whose label is known."""
    rows = [row for row, clip in enumerate(clips) if clip.label]
    known = [clips[row] for row in rows]
    return measure_by_corpus(
        label_indices(known, labels),
        probabilities[rows],
        [clip.speaker for clip in known],
        [clip.corpus or "all" for clip in known],
    )


def _seconds(work: Callable[[], Any]) -> float:
    """Median time of a call, after one that warms up."""
    work()
    times = []
    for _ in range(_LATENCY_RUNS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))

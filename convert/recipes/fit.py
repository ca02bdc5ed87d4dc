"""From a trained model and recordings to the front end that it was trained with."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ser_edge.errors import SerEdgeError
from ser_edge.frontend import FrontendSpec

from .. import frontends, scaler
from ..corpus import clips
from ..evaluate import expected
from ..export import sandbox
from ..export.source import source_file
from . import prepare
from .search import Ranked, Target, search, verdict
from .trial import Candidate, Trial

Counter = Callable[[int, int], None]


@dataclass(frozen=True)
class Options:
    """What is known of the model."""

    labels: Sequence[str]  # in the order of its outputs
    recordings: Path | None = None  # labelled: an index, or a folder for every label
    expect: Path | None = None  # a table of its author's own predictions
    scaler: Path | None = None  # what the training data were normalized by
    limit: int = 40  # recordings that are used, at most
    seed: int = 1  # of the choice of these
    architecture: Path | None = None  # of a file of weights alone
    allow_code: bool = False  # let code in the model run
    time_limit: float = 300.0  # of loading and converting it, seconds
    memory_limit: int = 8 * 2**30  # bytes


@dataclass(frozen=True)
class Fit:
    """What was found."""

    ranked: list[Ranked]  # best first
    sure: bool  # whether the best is surely the right one
    reason: str  # why, in a sentence
    clips: int  # recordings
    expected: bool  # whether the author's answers were known, or the recordings' labels
    tried: int  # recipes


def fit(
    source: str,
    options: Options,
    *,
    progress: Callable[[str], None] = lambda text: None,
    counter: Counter = lambda done, total: None,
) -> Fit:
    """Find the front end by trying.

    Args:
        source: a Keras file, a SavedModel folder or ``hf://OWNER/REPO/FILE``.
        options: what is known.
        progress: told what is being done.
        counter: told how many recipes are tried, and of how many known so far.

    Raises:
        ModelError: the model or the scaler cannot be loaded, or no recipe gives what it takes.
        SerEdgeError: the recordings or the table cannot be read, or have no labels.
        DependencyError: a package is missing.
    """
    if options.scaler is not None:
        scaler.read(options.scaler)  # what is wrong with it shows before the long work
    paths, target = _target(options)

    def finish(spec: FrontendSpec) -> FrontendSpec:
        return spec if options.scaler is None else scaler.add(spec, options.scaler)

    path = source_file.fetch(source)
    with tempfile.TemporaryDirectory(prefix="ser-edge-convert-") as folder:
        scratch = Path(folder)
        progress(f"converting {source}")
        sandbox.run(
            f"{prepare.__name__}.prepare",
            {
                "source": str(path.resolve()),
                "n_labels": len(options.labels),
                "architecture": options.architecture and str(options.architecture.resolve()),
                "allow_code": options.allow_code,
            },
            scratch,
            time_limit=options.time_limit,
            memory_limit=options.memory_limit,
        )
        flatbuffer = (scratch / prepare.FLATBUFFER).read_bytes()
    trial = Trial(flatbuffer, paths, finish)
    size = " x ".join(map(str, trial.shape))
    progress(f"trying recipes for {size} values on {len(paths)} recordings")
    tried = 0

    def count(done: int, total: int) -> None:
        nonlocal tried
        tried = total
        counter(done, total)

    presets = [Candidate(f"preset {name}", frontends.preset(name)) for name in frontends.NAMES]
    ranked = search(trial, target, presets, seed=options.seed, progress=count)
    sure, reason = verdict(ranked, target)
    return Fit(ranked, sure, reason, len(paths), target.expected, tried)


def _target(options: Options) -> tuple[list[Path], Target]:
    """The recordings, and what is known of each."""
    rng = np.random.default_rng(options.seed)
    if options.expect is not None:
        rows = expected.read(options.expect, options.labels, folder=options.recordings)
        chosen = [rows[i] for i in _some(len(rows), options.limit, rng)]
        given = [row.probabilities for row in chosen]
        labels = np.array([options.labels.index(row.label) for row in chosen])
        scores = None if None in given else np.array(given, dtype=np.float64)
        return [row.path for row in chosen], Target(labels, scores, True)
    if options.recordings is None:
        raise SerEdgeError("recordings with labels are needed, or a table of predictions")
    known = [clip for clip in clips.read_index(options.recordings) if clip.label in options.labels]
    if not known:
        raise SerEdgeError(
            f"{options.recordings} has no recording with one of the labels "
            f"{', '.join(options.labels)}"
        )
    found = [known[i] for i in _some(len(known), options.limit, rng)]
    labels = clips.label_indices(found, options.labels)
    return [clip.path for clip in found], Target(labels, None, False)


def _some(n: int, limit: int, rng: np.random.Generator) -> list[int]:
    return sorted(rng.permutation(n)[:limit].tolist())

"""The networks of a model, one or two: their teachers, their parts of the features, training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ser_edge.frontend import FrontendSpec

from ..backend import compute_in_one_order
from ..corpus.clips import Clip
from . import dataset, fit, pool, teacher
from .config import TrainingConfig

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Network:
    """What a network learns from, and where it is kept."""

    clips: list[Clip]  # of both splits and of all corpora
    corpora: frozenset[str]  # learned from
    folder: Path  # of checkpoints, weights and log

    @property
    def learned(self) -> list[Clip]:
        """The training clips that it learns from."""
        return [clip for clip in self.clips if self._learns_from(clip)]

    def targets(
        self,
        spec: dict[str, Any],
        *,
        cache: Path,
        jobs: int,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> teacher.TeacherTargets:
        """See :func:`.teacher.compute_targets`."""
        return teacher.compute_targets(
            self.learned,
            window_seconds=FrontendSpec.parse(spec).window_seconds,
            cache=cache,
            jobs=jobs,
            progress=progress,
        )

    def part(self, data: dataset.Dataset) -> dataset.Dataset:
        """The features of what it learns from, and of all dev clips."""
        rows = [row for row, clip in enumerate(data.train_clips) if self._learns_from(clip)]
        if len(rows) == len(data.train_clips):
            return data
        return replace(
            data,
            train=data.train[:, rows],
            time_maps=data.time_maps[:, rows],
            train_clips=[data.train_clips[row] for row in rows],
        )

    def _learns_from(self, clip: Clip) -> bool:
        return clip.split == "train" and clip.corpus in self.corpora


@dataclass(frozen=True)
class _Training:
    """What :func:`train` does to one network, in this process or in another."""

    network: Network
    spec: dict[str, Any]
    config: TrainingConfig
    cache: Path
    copies: int
    sounds: Path | None
    resume: bool
    report: Report


def train(
    networks: list[Network],
    spec: dict[str, Any],
    config: TrainingConfig,
    *,
    cache: Path,
    copies: int,
    sounds: Path | None = None,
    resume: bool = False,
    jobs: int = 1,
    report: Report = lambda line: None,
) -> None:
    """Train networks, into their folders, two at once where there are two and as many jobs.

    Args:
        networks: their teachers' targets and the features are in the cache already.
        spec: the front end with its normalization.
        config: the hyper-parameters of each.
        cache: folder of features and targets.
        copies: augmented copies of every training clip.
        sounds: see :func:`.dataset.load`.
        resume: go on from the folders' checkpoints.
        jobs: processes that train.
        report: called with the log line of every epoch; of several networks from another process
            each, so it must be a module's own function.

    Raises:
        SerEdgeError: the run to resume had other settings.
    """
    trainings = [
        _Training(network, spec, config, cache, copies, sounds, resume, report)
        for network in networks
    ]
    if len(trainings) == 1:
        _train(trainings[0])
        return
    for _ in pool.imap(_train, trainings, jobs=jobs, initializer=compute_in_one_order):
        pass


def _train(training: _Training) -> None:
    network, spec, config = training.network, training.spec, training.config
    targets = None
    if config.needs_teacher:
        targets = network.targets(spec, cache=training.cache, jobs=1)
    data = dataset.load(
        network.clips, spec, copies=training.copies, cache=training.cache, sounds=training.sounds
    )
    fit.train(
        network.part(data),
        spec,
        config,
        folder=network.folder,
        targets=targets,
        resume=training.resume,
        report=training.report,
    )

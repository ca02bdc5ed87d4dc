"""What can be known before the first epoch: whether the clips can be learned from and measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ser_edge.audio import open_audio
from ser_edge.errors import AudioError, SerEdgeError
from ser_edge.frontend import FrontendSpec

from ..corpus.clips import Clip, choose, labels_of, shares_speakers
from . import architectures, release
from .config import TrainingConfig
from .labels import NEUTRAL
from .teacher import whisper

MIN_CLIPS = 3  # of a label, to learn it from

_RMS_FIRST = ("zero_crossing_rate", "rms")  # what architectures.RMS counts on


def check(
    clips: Sequence[Clip],
    spec: dict[str, Any],
    config: TrainingConfig,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    second: Sequence[str] = (),
) -> list[str]:
    """Check what a training run will need, but for the recordings' samples.

    Args:
        clips: of both splits.
        spec: the front end, as in a model's metadata.
        config: the hyper-parameters.
        progress: called with the number of recordings opened and their total.
        second: corpora of a second network.

    Returns:
        Sentences about what can be done, but is worth knowing.

    Raises:
        SerEdgeError: with the first thing that would make the run fail, or useless.
        ser_edge.errors.DependencyError: the teacher's weights are not installed.
    """
    release.check_splits(clips)
    train = [clip for clip in clips if clip.split == "train" and clip.label]
    dev = [clip for clip in clips if clip.split == "dev" and clip.label]
    _check_labels(train, dev)
    if any(not clip.label for clip in clips) and NEUTRAL not in labels_of(train):
        raise SerEdgeError(
            f"ordinary speech is taken for {NEUTRAL!r}, which is none of the labels: "
            f"{', '.join(labels_of(train))}"
        )
    _check_frontend(FrontendSpec.parse(spec), config)
    if second:
        _check_second(train, second, config)
    if config.needs_teacher:
        whisper.weights_file()
        if len({(clip.corpus, clip.speaker or clip.path) for clip in train}) < 2:
            raise SerEdgeError(
                "all training clips are of one speaker, but the teacher is fitted to some and "
                "asked about others: --no-teacher does without it"
            )
    _check_readable(clips, progress)
    return _notes(train, dev)


def _check_labels(train: Sequence[Clip], dev: Sequence[Clip]) -> None:
    labels = labels_of(train)
    if len(labels) < 2:
        raise SerEdgeError(f"all training clips have the label {labels[0]!r}: two are needed")
    counts = Counter(clip.label for clip in train)
    rare, count = min(counts.items(), key=lambda item: item[1])
    if count < MIN_CLIPS:
        raise SerEdgeError(
            f"the label {rare!r} has {count} training clip{'s' if count > 1 else ''}, too few to "
            f"learn it from (at least {MIN_CLIPS}): is it misspelt, or should it be left out?"
        )
    unlearned = {clip.label for clip in dev} - set(labels)
    if unlearned:
        raise SerEdgeError(
            f"the label {min(unlearned)!r} has dev clips but no training clips "
            f"(there are: {', '.join(labels)})"
        )


def _check_frontend(spec: FrontendSpec, config: TrainingConfig) -> None:
    if config.architecture not in architectures.WITH_EMBEDDINGS and not config.crop_frames:
        return
    names = tuple(feature.name for feature in spec.features)
    if names[:2] != _RMS_FIRST or spec.feature_axis != 1:
        raise SerEdgeError(
            f"the network {config.architecture!r} tells padding by the RMS: its front end must "
            f"have {' and '.join(_RMS_FIRST)} first and the layout frames_features"
        )


def _check_second(train: Sequence[Clip], second: Sequence[str], config: TrainingConfig) -> None:
    if config.architecture not in architectures.WITH_EMBEDDINGS:
        raise SerEdgeError(f"the network {config.architecture!r} cannot be joined with a second")
    lacking = set(labels_of(train)) - set(labels_of(choose(train, second)))
    if lacking:
        raise SerEdgeError(
            f"the corpora of the second network lack the label {min(lacking)!r}: "
            f"{', '.join(second)}"
        )


def _check_readable(clips: Sequence[Clip], progress: Callable[[int, int], None]) -> None:
    failed: list[AudioError] = []
    for done, clip in enumerate(clips, 1):
        try:
            with open_audio(clip.path):
                pass
        except AudioError as error:
            failed.append(error)
        progress(done, len(clips))
    if failed:
        others = f" (and {len(failed) - 1} other clips)" if len(failed) > 1 else ""
        raise SerEdgeError(f"{failed[0]}{others}: leave them out of the index")


def _notes(train: Sequence[Clip], dev: Sequence[Clip]) -> list[str]:
    notes = []
    if shares_speakers([*train, *dev]):
        notes.append(
            "the speakers are not known, or there is one alone: the accuracy is that on other "
            "recordings, and on other people it is lower (a column 'speaker' tells them apart)"
        )
    learned = {clip.corpus for clip in train}
    measured = {clip.corpus for clip in dev}
    if learned - measured:
        notes.append(
            f"no accuracy will be stated of {', '.join(sorted(learned - measured))}: no dev clips"
        )
    untold = set(labels_of(train)) - {clip.label for clip in dev if clip.corpus in learned}
    if untold:
        notes.append(f"no dev clips of {', '.join(sorted(untold))}: they are not measured")
    return notes

"""From a flatbuffer to a released model: measured on the dev speakers, calibrated, packed."""

from __future__ import annotations

import math
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_edge import model_file
from ser_edge.classifier import Classifier
from ser_edge.decision import default_rules
from ser_edge.errors import SerEdgeError
from ser_edge.frontend import FrontendSpec
from ser_edge.metadata import Metadata
from ser_edge.model import temperature_scaled

from ..corpus.clips import (
    LICENCES,
    Clip,
    corpora_with_labels,
    label_indices,
    shares_speakers,
    spread,
)
from ..evaluate.metrics import (
    expected_calibration_error,
    fit_temperature,
    measure_by_corpus,
    on_ordinary_speech,
    risk_coverage,
)
from ..export import embedding
from ..package import pack
from . import familiarity
from .labels import NEUTRAL

_SPLITS = {
    False: "dev: speakers that are not in the training data",
    True: "dev: other recordings, perhaps of speakers in the training data",
}

COVERAGE = 0.65  # share of the dev clips whose confidence reaches the threshold

# Times the temperature that fits the dev speakers: people, rooms and microphones of another kind
# are less predictable than they are.
CAUTION = 1.1


def check_splits(clips: Sequence[Clip]) -> None:
    """What training and :func:`calibrate_and_pack` need of an index.

    Raises:
        SerEdgeError: no clip is in the split "train", or none of the corpora in it has clips in
            the split "dev".
    """
    clips = [clip for clip in clips if clip.label]
    learned = corpora_with_labels(clips)
    if not learned:
        raise SerEdgeError("no clip of the index is in the split 'train'")
    if not any(clip.split == "dev" and clip.corpus in learned for clip in clips):
        raise SerEdgeError(
            f"no clip of {', '.join(learned)} is in the split 'dev', which the accuracy, the "
            "temperature and the threshold need"
        )


def calibrate_and_pack(
    flatbuffer: bytes,
    metadata: Mapping[str, Any],
    clips: Sequence[Clip],
    output: str | os.PathLike[str],
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Metadata:
    """Give a model its embeddings, where it is plain, and :func:`calibrate` it.

    Args:
        flatbuffer: a TensorFlow Lite model.
        metadata: what is known before: everything but ``decision``, ``accuracy`` and what
            :func:`pack` and :func:`calibrate` fill in.
        clips: of both splits.
        output: the file to write.
        progress: called with the number of clips done and their total, for one part after another.

    Returns:
        The metadata as packed.

    Raises:
        SerEdgeError: as :func:`check_splits`.
    """
    check_splits(clips)
    window_seconds = FrontendSpec.parse(metadata["frontend"]).window_seconds
    undecided = {**metadata, "decision": default_rules(window_seconds)}
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "draft.tflite"
        if embedding.is_plain(flatbuffer):
            train = spread([c for c in clips if c.split == "train"], embedding.STATISTICS_CLIPS)
            embedding.embed(flatbuffer, undecided, train, draft, progress=progress)
        else:
            pack(flatbuffer, undecided, draft)
        return calibrate(draft, clips, output, progress=progress)


def calibrate(
    model: str | os.PathLike[str],
    clips: Sequence[Clip],
    output: str | os.PathLike[str],
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Metadata:
    """Measure a model as it runs on the device, choose its decision rules and pack it anew.

    The temperature calibrates the confidences (Guo et al. 2017), with some :data:`CAUTION`, and
    the threshold rejects the least confident predictions. Both are chosen on the dev clips of the
    corpora that the model learned from. The accuracy is stated for all corpora with dev clips: for
    those that it did not learn from it is that on recordings of an unknown kind. Of ordinary
    speech, clips without a label, it is stated how much is taken for an emotion.

    What is familiar is told by training clips, and by the dev clips of their corpora.

    Args:
        model: a model file.
        clips: of both splits.
        output: the file to write; it may be the same.
        progress: called with the number of clips done and their total, for one part after another.

    Returns:
        The metadata as packed.

    Raises:
        SerEdgeError: as :func:`check_splits`.
    """
    check_splits(clips)
    dev = [clip for clip in clips if clip.split == "dev" and clip.label]
    ordinary = [clip for clip in clips if clip.split == "dev" and not clip.label]
    learned = corpora_with_labels(clips)
    own = np.array([clip.corpus in learned for clip in dev])
    own_clips = [clip for clip in dev if clip.corpus in learned]
    neutral_clips = [clip for clip in own_clips if clip.label == NEUTRAL]
    before, flatbuffer = model_file.read(os.fspath(model))
    metadata = before.to_dict()
    metadata["decision"].update(temperature=1.0, threshold=0.0)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "draft.tflite"
        train = spread([c for c in clips if c.split == "train"], embedding.STATISTICS_CLIPS)
        familiar = familiarity.measure(Path(model), train, own_clips, progress=progress)
        metadata["familiarity"] = None if familiar is None else familiar._asdict()
        pack(flatbuffer, metadata, draft)
        predicted = predict(draft, [*dev, *ordinary], progress=progress)
        neutral = predict(draft, neutral_clips, accept_unfamiliar=True, progress=progress)
    raw = predicted[: len(dev)]
    labels = label_indices(dev, before.labels)
    temperature = fit_temperature(labels[own], raw[own], weights=speaker_weights(own_clips))
    temperature = round(CAUTION * temperature, 3)
    calibrated = temperature_scaled(raw[own], temperature)
    quantile = np.quantile(calibrated.max(axis=1), 1.0 - COVERAGE)
    threshold = math.floor(100 * quantile) / 100  # rounded up it might reject every clip
    everything, accepted = risk_coverage(labels[own], calibrated, [0.0, threshold])
    by_corpus = measure_by_corpus(
        labels, raw, [clip.speaker for clip in dev], [clip.corpus for clip in dev]
    )
    measured = [name for name in learned if name in by_corpus]  # the others have no dev clips
    accuracy = {
        "split": _SPLITS[shares_speakers(clips)],
        "corpora": {name: figures.to_dict() for name, figures in by_corpus.items()},
        "mean_uar": round(float(np.mean([by_corpus[name].uar for name in measured])), 4),
        "calibration_error": round(expected_calibration_error(labels[own], calibrated), 4),
        "abstention": {
            "answered": round(accepted.coverage, 4),
            "accuracy_answered": round(accepted.accuracy, 4),
            "accuracy_all": round(everything.accuracy, 4),
        },
    }
    if ordinary:
        accuracy["ordinary_speech"] = _on_ordinary_speech(
            temperature_scaled(predicted[len(dev) :], temperature),
            ordinary,
            neutral=before.labels.index(NEUTRAL),
            threshold=threshold,
        )
    neutral = temperature_scaled(neutral, temperature)
    complete = {
        **metadata,
        "decision": {**metadata["decision"], "temperature": temperature, "threshold": threshold},
        "accuracy": accuracy,
        "neutral_log_probabilities": neutral_log_probabilities(neutral, neutral_clips),
    }
    return pack(flatbuffer, complete, output)


def _on_ordinary_speech(
    probabilities: NDArray[np.float64], clips: Sequence[Clip], *, neutral: int, threshold: float
) -> dict[str, Any]:
    """How ordinary speech of people not in the training data is taken."""
    taken = on_ordinary_speech(probabilities, neutral=neutral, threshold=threshold)
    return {
        "speakers": len({(clip.corpus, clip.speaker) for clip in clips}),
        "clips": len(clips),
        "emotional": round(taken.emotional, 4),
        "neutral": round(taken.neutral, 4),
    }


def neutral_log_probabilities(
    probabilities: NDArray[np.float64], clips: Sequence[Clip]
) -> list[float] | None:
    """What neutral clips get: the mean logarithm of each label's probability, corpora alike.

    Args:
        probabilities: as if all were familiar, shape (n, n_labels).
        clips: n labelled ones, of speakers left out of training.

    Returns:
        n_labels numbers; None where no clip is neutral.
    """
    logarithms: dict[str, list[NDArray[np.float64]]] = {}
    for clip, row in zip(clips, probabilities):
        if clip.label == NEUTRAL:
            logarithms.setdefault(clip.corpus, []).append(np.log(row))
    if not logarithms:
        return None
    means = [np.mean(rows, axis=0) for rows in logarithms.values()]
    return [round(float(value), 3) for value in np.mean(means, axis=0)]


def predict(
    path: str | os.PathLike[str],
    clips: Sequence[Clip],
    *,
    accept_unfamiliar: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> NDArray[np.float64]:
    """A packed model's probabilities for clips, from the files, as the runtime gives them.

    Returns:
        float64, shape (n, n_labels). A clip without scores (silence, too short) gets equal ones.
    """
    classifier = Classifier.from_file(path, threshold=0.0, accept_unfamiliar=accept_unfamiliar)
    probabilities = np.full((len(clips), len(classifier.labels)), 1.0 / len(classifier.labels))
    for row, clip in enumerate(clips):
        scores = classifier.classify(clip.path).scores
        if scores is not None:
            probabilities[row] = list(scores.values())
        progress(row + 1, len(clips))
    return probabilities


def describe_training(clips: Sequence[Clip]) -> list[dict[str, Any]]:
    """What the training data was, corpus by corpus, for the metadata."""
    train = [clip for clip in clips if clip.split == "train"]
    return [
        {
            "name": corpus,
            "licence": LICENCES.get(corpus, "unknown"),
            "speakers": len({clip.speaker for clip in train if clip.corpus == corpus}),
            "clips": sum(clip.corpus == corpus for clip in train),
        }
        for corpus in dict.fromkeys(clip.corpus for clip in train)
    ]


def training_corpora(details: Mapping[str, Any]) -> list[str]:
    """The corpora that a model's metadata say it learned from.

    Example:
        >>> training_corpora({"training": {"corpora": [{"name": "crema_d"}]}})
        ['crema_d']
    """
    training = details.get("training")
    corpora = training.get("corpora", ()) if isinstance(training, dict) else ()
    return [corpus["name"] for corpus in corpora if "name" in corpus]


def speaker_weights(clips: Sequence[Clip]) -> NDArray[np.float64]:
    """Weights of the clips with which every speaker counts the same, of mean 1; shape (n,)."""
    names = [(clip.corpus, clip.speaker) for clip in clips]
    sizes = Counter(names)
    return np.array([len(names) / len(sizes) / sizes[name] for name in names])

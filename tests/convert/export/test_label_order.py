from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from ser_edge.convert.corpus.clips import LABELS, Clip
from ser_edge.convert.export.label_order import better_order

pytest.importorskip("scipy")

ALPHABET = tuple(sorted(LABELS))


def outputs(
    truth: list[str], order: tuple[str, ...], accuracy: float, seed: int = 1
) -> npt.NDArray[np.float64]:
    """Of a model that is right so often, its outputs being `order`; else it gives any label."""
    rng = np.random.default_rng(seed)
    chosen = [
        order.index(label) if rng.random() < accuracy else int(rng.integers(len(order)))
        for label in truth
    ]
    return np.eye(len(order))[chosen]


def clips(truth: list[str]) -> list[Clip]:
    return [Clip(Path(f"{number}.wav"), label=label) for number, label in enumerate(truth)]


@pytest.mark.parametrize("accuracy", [0.35, 0.6, 1.0])
def test_labels_sorted_by_alphabet_are_found(accuracy: float) -> None:
    truth = list(LABELS) * 40
    better = better_order(clips(truth), LABELS, outputs(truth, ALPHABET, accuracy))
    assert better is not None
    assert better.labels == ALPHABET
    assert better.clips == 240
    assert better.uar == pytest.approx(accuracy + (1 - accuracy) / 6, abs=0.08)
    assert better.uar > better.stated_uar + 0.1
    assert f"--labels {','.join(ALPHABET)}" in str(better)


def test_two_labels_that_changed_places_are_found() -> None:
    truth = list(LABELS) * 40
    swapped = ("neutral", "happy", "angry", "sad", "fear", "disgust")
    better = better_order(clips(truth), LABELS, outputs(truth, swapped, 0.6))
    assert better is not None
    assert better.labels == swapped


@pytest.mark.parametrize("accuracy", [0.0, 0.1, 0.2, 0.6, 1.0])
def test_the_right_order_is_never_refused(accuracy: float) -> None:
    for seed, repeats in itertools.product(range(20), (1, 4, 40)):
        truth = list(LABELS) * repeats
        probabilities = outputs(truth, LABELS, accuracy, seed)
        assert better_order(clips(truth), LABELS, probabilities) is None, (seed, repeats)


def test_a_model_that_gives_one_label_alone_says_nothing_of_their_order() -> None:
    truth = list(LABELS) * 40
    probabilities = np.eye(6)[[3] * 240]
    assert better_order(clips(truth), LABELS, probabilities) is None


def test_labels_without_clips_keep_their_places_where_they_can() -> None:
    truth = ["sad", "angry", "fear"] * 60  # of six
    moved = ("neutral", "happy", "fear", "sad", "angry", "disgust")
    better = better_order(clips(truth), LABELS, outputs(truth, moved, 0.9))
    assert better is not None
    assert better.labels == moved
    elsewhere = ("sad", "happy", "neutral", "angry", "fear", "disgust")
    better = better_order(clips(truth), LABELS, outputs(truth, elsewhere, 1.0))
    assert better is not None
    assert better.labels == elsewhere


def test_few_clips_and_clips_without_labels_prove_nothing() -> None:
    truth = list(LABELS)
    assert better_order(clips(truth), LABELS, outputs(truth, ALPHABET, 1.0)) is None
    assert better_order([Clip(Path("a.wav"))] * 100, LABELS, np.eye(6)[[0] * 100]) is None
    some = [*clips(list(LABELS) * 20), *[Clip(Path("a.wav"))] * 100]
    probabilities = np.concatenate(
        [outputs(list(LABELS) * 20, ALPHABET, 0.9), np.eye(6)[[0] * 100]]
    )
    better = better_order(some, LABELS, probabilities)
    assert better is not None
    assert better.clips == 120

"""The search among recipes: many on a few recordings, then the best and their neighbours on all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from ser_edge.errors import ModelError

from . import space
from .recipe import Recipe
from .trial import Candidate, Trial

Progress = Callable[[int, int], None]

_FIRST_CLIPS = 8  # recordings that every recipe is tried on
_NEXT_CLIPS = 16  # that neighbours are tried on
_KEPT = 24  # recipes that go on from the first round
_EXPANDED = 3  # recipes whose neighbours are tried, a round
_MAX_ROUNDS = 6
_FINALISTS = 16
_ALIKE = 1e-6  # mean difference of probabilities below which two recipes are the same here
_EXACT = 0.01  # mean difference from the author's below which a recipe is his
_NOISE = 1e-4  # mean difference that rounding and writing with few digits make
_LOSS_DIGITS = 4  # that tell recipes apart
_PLAIN = Recipe(())
_SURE = 0.05  # probability of so many better answers by chance


@dataclass(frozen=True)
class Target:
    """What the right front end is known by, for every recording."""

    labels: NDArray[np.int64]  # the author's answers or the recordings' labels, (n,)
    probabilities: NDArray[np.float64] | None  # the author's, (n, n_labels), where known
    expected: bool  # the author's answers, not labels that no model gets all right

    def loss(self, found: NDArray[np.float64], rows: Sequence[int]) -> float:
        """How far probabilities, (len(rows), n_labels), are off: 0 is best, 1 worst."""
        given = np.nan_to_num(found)
        if self.probabilities is not None:
            return float(np.abs(given - self.probabilities[list(rows)]).sum(axis=1).mean() / 2)
        labels = self.labels[list(rows)]
        wrong = float(np.mean(given.argmax(axis=1) != labels))
        doubt = 1.0 - float(given[np.arange(len(labels)), labels].mean())
        return 0.8 * wrong + 0.2 * doubt

    def right(self, found: NDArray[np.float64]) -> NDArray[np.bool_]:
        """For each of all recordings, whether the answer is the one that is known."""
        return np.nan_to_num(found).argmax(axis=1) == self.labels  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Ranked:
    """A recipe on all recordings."""

    candidate: Candidate
    right: int  # recordings with the answer that is known
    loss: float
    difference: float | None  # largest, of any probability from the author's
    probabilities: NDArray[np.float64]


def search(
    trial: Trial, target: Target, presets: Iterable[Candidate], *, seed: int, progress: Progress
) -> list[Ranked]:
    """Rank recipes, best first.

    Args:
        trial: the model and the recordings.
        target: what is known of these.
        presets: recipes to try besides those of :mod:`.space`.
        seed: of the choice of the recordings for the first rounds.
        progress: called with the number of recipes tried and of those known so far.

    Raises:
        ModelError: no recipe fits the model's input.
    """
    n = len(trial.recordings)
    shuffled = np.random.default_rng(seed).permutation(n).tolist()
    seen: set[str] = set()
    counts = [0, 0]

    def fitting(candidates: Iterable[Candidate]) -> list[Candidate]:
        new = []
        for candidate in candidates:
            key = repr(candidate.spec)
            if key not in seen:
                seen.add(key)
                if trial.frontend(candidate) is not None:
                    new.append(candidate)
        return new

    def losses(candidates: Sequence[Candidate], rows: Sequence[int]) -> list[float]:
        counts[1] += len(candidates)

        def tell(done: int, total: int) -> None:
            progress(counts[0] + done, counts[1])

        found = trial.run(candidates, rows, tell)
        counts[0] += len(candidates)
        return [target.loss(probabilities, rows) for probabilities in found]

    length = [size for size in trial.shape if size != 1]
    begin = fitting([*presets, *map(_candidate, space.starts(length))])
    if not begin:
        raise ModelError(
            f"no recipe gives what the model takes, {' x '.join(map(str, trial.shape))} values"
        )
    rows = sorted(shuffled[:_FIRST_CLIPS])
    first = losses(begin, rows)
    kept = [begin[i] for i in np.argsort(first, kind="stable")[:_KEPT]]
    rows = sorted(shuffled[:_NEXT_CLIPS])
    pool = list(zip(losses(kept, rows), range(len(kept)), kept))
    expanded: set[int] = set()
    for _ in range(_MAX_ROUNDS):
        pool.sort(key=lambda entry: entry[:2])
        parents = [entry for entry in pool[:_EXPANDED] if entry[1] not in expanded]
        if not parents:
            break
        expanded |= {number for _, number, _ in parents}
        recipes = [entry[2].origin for entry in parents if isinstance(entry[2].origin, Recipe)]
        new = fitting(_candidate(near) for recipe in recipes for near in space.neighbours(recipe))
        pool += zip(losses(new, rows), range(len(pool), len(pool) + len(new)), new)
    pool.sort(key=lambda entry: entry[:2])
    finalists = [candidate for _, _, candidate in pool[:_FINALISTS]]
    counts[1] += len(finalists)
    found = trial.run(
        finalists, range(n), lambda done, total: progress(counts[0] + done, counts[1])
    )
    ranked = [_rank(candidate, target, values) for candidate, values in zip(finalists, found)]
    return sorted(ranked, key=_order)


def _order(entry: Ranked) -> tuple[int, float, int]:
    """Best first; where nothing tells them apart, the plainer."""
    recipe = entry.candidate.origin
    choices = recipe.differences(_PLAIN) if isinstance(recipe, Recipe) else 0
    return -entry.right, round(entry.loss, _LOSS_DIGITS), choices


def verdict(ranked: Sequence[Ranked], target: Target) -> tuple[bool, str]:
    """Whether the best recipe is surely the right one, and why, in a sentence.

    Recipes that give the same probabilities count as one.
    """
    best = ranked[0]
    n = len(target.labels)
    others = [
        entry
        for entry in ranked[1:]
        if np.abs(np.nan_to_num(entry.probabilities - best.probabilities)).mean() > _ALIKE
    ]
    if target.probabilities is not None:
        if best.loss > _EXACT:
            return False, (
                f"none of these is the author's: the best differs by {best.loss:.3f} in the mean"
            )
        near = sum(entry.loss <= max(2 * best.loss, _NOISE) for entry in others)
        if not near:
            return True, "its probabilities are the author's"
        return best.loss <= 10 * _NOISE, (
            f"its probabilities are the author's, but {near} more come as near on these recordings"
        )
    if target.expected and best.right < n:
        doubt = f"it misses {n - best.right} of the author's labels; "
    else:
        doubt = ""
    if not others:
        return not doubt, doubt + "no other recipe comes near"
    chance = _by_chance(target.right(best.probabilities), target.right(others[0].probabilities))
    if chance < _SURE and not doubt:
        return True, "it is right where the next one is wrong too often for chance"
    return False, doubt + (
        "the next one is hardly worse: more recordings, or the author's scores in place of labels, "
        "would tell"
    )


def _by_chance(better: NDArray[np.bool_], worse: NDArray[np.bool_]) -> float:
    """Probability that one of two equals is right as much more often: the exact sign test."""
    wins, losses = int((better & ~worse).sum()), int((worse & ~better).sum())
    n = wins + losses
    return float(sum(comb(n, k) for k in range(wins, n + 1)) / 2**n)


def _rank(candidate: Candidate, target: Target, found: NDArray[np.float64]) -> Ranked:
    difference = None
    if target.probabilities is not None:
        difference = float(np.abs(np.nan_to_num(found) - target.probabilities).max())
    rows = range(len(target.labels))
    right = int(target.right(found).sum())
    return Ranked(candidate, right, target.loss(found, rows), difference, found)


def _candidate(recipe: Recipe) -> Candidate:
    return Candidate(recipe.describe(), recipe.spec(), recipe)

"""The search among recipes, with a model made of numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_edge.convert.recipes import search
from ser_edge.convert.recipes.recipe import Feature, Recipe
from ser_edge.convert.recipes.search import Ranked, Target, verdict
from ser_edge.convert.recipes.trial import Candidate
from ser_edge.errors import ModelError
from ser_edge.frontend import Frontend, FrontendSpec, fits

RIGHT = Recipe((Feature("mfcc", 40),), res_type="kaiser_fast", duration=2.5, pool="time")
N = 20


class NumpyTrial:
    """Recipes give the better probabilities the nearer they are to the right one."""

    def __init__(self, right: Recipe, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.recordings = [Path(f"{number}.wav") for number in range(N)]
        self.right = right
        self.truth = np.random.default_rng(0).dirichlet(np.ones(4), N)

    def frontend(self, candidate: Candidate) -> Frontend | None:
        try:
            frontend = Frontend(FrontendSpec.parse(candidate.spec))
        except ModelError:
            return None
        return frontend if fits(frontend.shape, self.shape) else None

    def run(
        self,
        candidates: Sequence[Candidate],
        rows: Sequence[int],
        progress: Callable[[int, int], None],
    ) -> list[Any]:
        found = []
        for done, candidate in enumerate(candidates, start=1):
            away = 1.0
            if isinstance(candidate.origin, Recipe):
                away = min(1.0, 0.2 * candidate.origin.differences(self.right))
            values = self.truth[list(rows)]
            found.append((1 - away) * values + away * np.roll(values, 1, axis=1))
            progress(done, len(candidates))
        return found


def target(truth: Any, *, scores: bool = True, expected: bool = True) -> Target:
    return Target(truth.argmax(axis=1), truth if scores else None, expected)


@pytest.mark.parametrize("scores", [True, False])
def test_finds_the_right_recipe(scores: bool) -> None:
    trial: Any = NumpyTrial(RIGHT, (40, 1))
    told: list[tuple[int, int]] = []
    ranked = search.search(
        trial,
        target(trial.truth, scores=scores),
        [],
        seed=1,
        progress=lambda *counts: told.append(counts),
    )
    assert ranked[0].candidate.origin == RIGHT
    assert ranked[0].right == N
    assert told[-1][0] == told[-1][1]
    assert all(done <= total for done, total in told)


def test_steps_to_a_recipe_that_is_no_start() -> None:
    right = Recipe(
        (Feature("mfcc", 40),), duration=3.0, offset=0.5, trim=25.0, samples=("peak",), pool="time"
    )
    trial: Any = NumpyTrial(right, (40,))
    ranked = search.search(
        trial, target(trial.truth), [], seed=1, progress=lambda done, total: None
    )
    assert ranked[0].candidate.origin == right


def test_nothing_fits() -> None:
    trial: Any = NumpyTrial(RIGHT, (7, 5, 3))
    with pytest.raises(ModelError, match="no recipe gives what the model takes, 7 x 5 x 3 values"):
        search.search(trial, target(trial.truth), [], seed=1, progress=lambda done, total: None)


def ranked(truth: Any, found: Any) -> Ranked:
    goal = target(truth)
    right = int(goal.right(found).sum())
    loss = goal.loss(found, range(len(truth)))
    return Ranked(Candidate("", {}), right, loss, float(np.abs(found - truth).max()), found)


TRUTH = np.random.default_rng(0).dirichlet(np.ones(4), N)


def test_the_author_s_probabilities_are_sure() -> None:
    best, other = ranked(TRUTH, TRUTH), ranked(TRUTH, 0.9 * TRUTH + 0.025)
    assert verdict([best, other], target(TRUTH)) == (True, "its probabilities are the author's")
    assert verdict([best], target(TRUTH))[0]


def test_others_that_come_as_near_are_counted() -> None:
    near = ranked(TRUTH, 0.9999 * TRUTH + 0.000025)
    sure, reason = verdict([ranked(TRUTH, TRUTH), near], target(TRUTH))
    assert sure
    assert "but 1 more come as near" in reason


def test_far_from_the_author_s_probabilities() -> None:
    sure, reason = verdict([ranked(TRUTH, np.roll(TRUTH, 1, axis=1))], target(TRUTH))
    assert not sure
    assert "none of these is the author's" in reason


def test_labels_alone() -> None:
    wrong = TRUTH.copy()
    wrong[:10] = np.roll(wrong[:10], 1, axis=1)
    goal = target(TRUTH, scores=False)
    assert verdict([ranked(TRUTH, TRUTH), ranked(TRUTH, wrong)], goal)[0]
    wrong = TRUTH.copy()
    wrong[:2] = np.roll(wrong[:2], 1, axis=1)
    sure, reason = verdict([ranked(TRUTH, TRUTH), ranked(TRUTH, wrong)], goal)
    assert not sure
    assert "hardly worse" in reason
    assert "misses 2 of the author's labels" in verdict([ranked(TRUTH, wrong)], goal)[1]


def test_recipes_that_answer_the_same_are_one() -> None:
    wrong = np.roll(TRUTH, 1, axis=1)
    goal = target(TRUTH, scores=False, expected=False)
    best = ranked(TRUTH, TRUTH)
    assert verdict([best, best, ranked(TRUTH, wrong)], goal)[0]


def test_a_recording_that_is_too_short_counts_as_wrong() -> None:
    goal = target(TRUTH)
    found = TRUTH.copy()
    found[0] = np.nan
    assert goal.loss(found, range(N)) == pytest.approx(0.5 / N)
    assert goal.right(np.full((N, 4), np.nan)).sum() == (goal.labels == 0).sum()

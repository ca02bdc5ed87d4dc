"""The recipes that are tried: what they say as JSON, and that the known ones are among them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ser_edge.convert import frontends
from ser_edge.convert.recipes import space
from ser_edge.convert.recipes.recipe import Feature, Recipe
from ser_edge.errors import ModelError
from ser_edge.frontend import Frontend, FrontendSpec, fits
from tests.helpers.audio import voice


def described(recipe: Recipe) -> FrontendSpec:
    return FrontendSpec.parse(recipe.spec())


@pytest.mark.parametrize(
    "shape",
    [(12,), (13,), (26,), (40,), (60,), (64,), (128,), (162,), (180,), (216,), (40, 174),
     (128, 130), (13, 216), (198, 39), (51, 20), (12, 130), (22, 401)],
)  # fmt: skip
def test_every_start_is_a_description_and_one_fits(shape: tuple[int, ...]) -> None:
    recipes = list(dict.fromkeys(space.starts(shape)))
    assert recipes
    assert any(_fits(recipe, shape) for recipe in recipes)
    for recipe in recipes[::7]:
        described(recipe)


def _fits(recipe: Recipe, shape: tuple[int, ...]) -> bool:
    try:
        return fits(Frontend(described(recipe)).shape, shape)
    except ModelError:  # of lengths that do not fit each other
        return False


def test_neighbours_differ_in_one_choice() -> None:
    recipe = Recipe((Feature("mfcc", 40),), duration=3.0, offset=0.5, pool="time")
    found = set(space.neighbours(recipe)) - {recipe}
    assert len(found) > 50
    for other in found:
        differing = {
            field.name
            for field in dataclasses.fields(Recipe)
            if getattr(recipe, field.name) != getattr(other, field.name)
        }
        assert len(differing - {"duration", "hop_length"}) <= 1
        assert "unknown" not in str(described(other))
    assert dataclasses.replace(recipe, res_type="kaiser_fast") in found


@pytest.mark.parametrize(
    ("preset", "shape"),
    [
        ("mean-mfcc-40", (40,)),
        ("mean-mfcc-40-kaiser", (40,)),
        ("mfcc-over-coefficients", (216,)),
        ("mfcc-40-174", (40, 174)),
        ("mel-128-130", (128, 130)),
        ("mel-128-128", (128, 128)),
        ("mean-mel-128", (128,)),
        ("mean-180", (180,)),
        ("speechpy-39", (198, 39)),
        ("tf-mfcc-40", (40,)),
    ],
)
def test_presets_are_among_the_starts(preset: str, shape: tuple[int, ...]) -> None:
    wanted = Frontend(FrontendSpec.parse(frontends.preset(preset)))
    signal = voice(2.0, wanted.sample_rate)
    expected = wanted(signal).ravel()
    alike = [
        recipe
        for recipe in space.starts(shape)
        if described(recipe).steps[0] == wanted.spec.steps[0] and _fits(recipe, shape)
    ]
    assert any(
        np.array_equal(Frontend(described(recipe))(signal).ravel(), expected) for recipe in alike
    )


def test_words() -> None:
    recipe = Recipe(
        (Feature("melspectrogram", 128, (("power_to_db", space.Frozen(ref="max")),)),),
        res_type="kaiser_fast",
        trim=30.0,
        size=66_150,
        keep="centre",
    )
    assert recipe.describe() == (
        "22.05 kHz kaiser_fast, trim 30 dB, 3 s, centre, zeros at end, "
        "128 melspectrogram in dB of max"
    )

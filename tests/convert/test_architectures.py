from __future__ import annotations

import numpy as np
import pytest

from ser_edge.convert import architectures
from ser_edge.errors import SerEdgeError

pytest.importorskip("tensorflow")

SEED_SHAPE = (22, 401)
COMPACT_SHAPE = (401, 66)


@pytest.mark.parametrize("name", architectures.NAMES)
def test_gives_probabilities(name: str) -> None:
    shape = COMPACT_SHAPE if name in architectures.TEACHABLE else SEED_SHAPE
    model = architectures.build(name, shape, 6)
    batch = np.random.default_rng(1).standard_normal((2, *shape), dtype=np.float32)
    probabilities = model(batch, training=False).numpy()
    assert probabilities.shape == (2, 6)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(2), abs=1e-5)
    assert probabilities.min() > 0


def test_clstm_has_the_parameters_of_the_published_one() -> None:
    assert architectures.build("clstm", SEED_SHAPE, 6).count_params() == 5_826_214


@pytest.mark.parametrize("name", architectures.TEACHABLE)
def test_bundled_networks_fit_their_budget(name: str) -> None:
    # One byte a weight after quantization; 650 KB is the most that the package may carry.
    assert architectures.build(name, COMPACT_SHAPE, 6).count_params() < 600_000


@pytest.mark.parametrize("name", architectures.TEACHABLE)
def test_networks_with_a_teacher_tell_states_every_80_ms(name: str) -> None:
    model = architectures.build(name, COMPACT_SHAPE, 6)
    assert model.get_layer(architectures.STATES).output_shape == (None, 51, 128)
    assert model.get_layer(architectures.SUMMARY).output_shape == (None, 256)


def test_unknown_name_is_a_clear_error() -> None:
    with pytest.raises(SerEdgeError, match=r"no architecture 'transformer' \(known: compact, "):
        architectures.build("transformer", SEED_SHAPE, 6)

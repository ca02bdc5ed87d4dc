from __future__ import annotations

import numpy as np
import pytest

from ser_edge.convert.train import architectures
from ser_edge.errors import SerEdgeError

pytest.importorskip("tensorflow")

SEED_SHAPE = (22, 401)
COMPACT_SHAPE = (401, 66)


@pytest.mark.parametrize("name", architectures.NAMES)
def test_gives_probabilities(name: str) -> None:
    shape = COMPACT_SHAPE if name in architectures.WITH_EMBEDDINGS else SEED_SHAPE
    model = architectures.build(name, shape, 6)
    batch = np.random.default_rng(1).standard_normal((2, *shape), dtype=np.float32)
    probabilities = model(batch, training=False).numpy()
    assert probabilities.shape == (2, 6)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(2), abs=1e-5)
    assert probabilities.min() > 0


def test_clstm_has_the_parameters_of_the_published_one() -> None:
    assert architectures.build("clstm", SEED_SHAPE, 6).count_params() == 5_826_214


def test_a_shifted_logit_multiplies_one_label_alone() -> None:
    model = architectures.build("compact", COMPACT_SHAPE, 3)
    batch = np.random.default_rng(1).standard_normal((2, *COMPACT_SHAPE), dtype=np.float32)
    before = model(batch, training=False).numpy()
    architectures.shift_logit(model, 1, float(np.log(0.25)))
    expected = before * [1.0, 0.25, 1.0]
    expected /= expected.sum(axis=1, keepdims=True)
    assert model(batch, training=False).numpy() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", architectures.WITH_EMBEDDINGS)
def test_bundled_networks_fit_their_budget(name: str) -> None:
    # One byte a weight after quantization; 650 KB is the most that the package may carry.
    assert architectures.build(name, COMPACT_SHAPE, 6).count_params() < 600_000


@pytest.mark.parametrize(("name", "units"), [("compact", 128), ("deep", 128), ("slim", 112)])
def test_embeddings_are_of_80_ms_and_of_the_utterance(name: str, units: int) -> None:
    model = architectures.build(name, COMPACT_SHAPE, 6)
    assert model.get_layer(architectures.FRAME_EMBEDDINGS).output_shape == (None, 51, units)
    assert model.get_layer(architectures.UTTERANCE_EMBEDDING).output_shape == (None, 2 * units)


def test_a_joined_network_has_the_weighted_mean_of_the_logits() -> None:
    batch = np.random.default_rng(1).standard_normal((2, *COMPACT_SHAPE), dtype=np.float32)
    networks = [architectures.build(name, COMPACT_SHAPE, 3) for name in ("slim", "compact")]
    architectures.shift_logit(networks[0], 1, 2.0)  # else both are near to one third
    logits = [np.log(network(batch)) for network in networks]
    expected = np.exp(0.75 * logits[0] + 0.25 * logits[1])
    expected /= expected.sum(axis=1, keepdims=True)
    joined = architectures.joined(networks, (0.75, 0.25))
    assert joined(batch).numpy() == pytest.approx(expected, abs=1e-6)
    assert joined.get_layer(architectures.UTTERANCE_EMBEDDING).output_shape == (None, 480)


def test_two_slim_networks_fit_into_a_file() -> None:
    networks = [architectures.build("slim", COMPACT_SHAPE, 6) for _ in range(2)]
    assert architectures.joined(networks, (0.5, 0.5)).count_params() < 1_000_000


@pytest.mark.parametrize("name", architectures.ANY_LENGTH)
def test_gives_a_clip_the_same_probabilities_in_a_longer_window(name: str) -> None:
    frames = np.random.default_rng(1).standard_normal((1, 400, 66), dtype=np.float32)
    frames[:, 200:] = -1.0
    frames[:, 200:, architectures.RMS] = -9.0
    long = architectures.build(name, (400, 66), 6)
    short = architectures.build(name, (240, 66), 6)
    short.set_weights(long.get_weights())
    probabilities = [long(frames).numpy(), short(frames[:, :240]).numpy()]
    assert probabilities[0] == pytest.approx(probabilities[1], abs=1e-6)


@pytest.mark.parametrize("name", architectures.ANY_LENGTH)
def test_rounding_noise_in_a_silent_pause_changes_nothing(name: str) -> None:
    frames = np.random.default_rng(1).standard_normal((1, *COMPACT_SHAPE), dtype=np.float32)
    frames[:, 100:150, architectures.RMS] = -4.0
    noisy = frames.copy()
    noisy[:, 100:125, architectures.RMS] += np.float32(1e-6)
    model = architectures.build(name, COMPACT_SHAPE, 6)
    assert model(noisy).numpy() == pytest.approx(model(frames).numpy(), abs=1e-6)


@pytest.mark.parametrize("name", architectures.ANY_LENGTH)
def test_a_window_of_one_level_gives_finite_probabilities(name: str) -> None:
    model = architectures.build(name, COMPACT_SHAPE, 6)
    assert np.isfinite(model(np.zeros((1, *COMPACT_SHAPE), "f4")).numpy()).all()


def test_unknown_name_is_a_clear_error() -> None:
    with pytest.raises(SerEdgeError, match=r"no architecture 'transformer' \(known: compact, "):
        architectures.build("transformer", SEED_SHAPE, 6)

"""The default gate's network learns, and says in training what it says in use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ser_edge import gate
from ser_edge.convert.corpus import sounds
from ser_edge.convert.train import gate as gate_training
from ser_edge.convert.train import gate_data
from ser_edge.convert.train.gate import Network
from ser_edge.convert.train.gate_data import Examples, Source


@pytest.fixture(scope="module")
def examples() -> Examples:
    """Synthetic voices of several lengths, and synthetic sounds."""
    rng = np.random.default_rng(0)
    examples = Examples()
    for number in range(96):
        speech = number % 2 == 0
        size = int(rng.uniform(0.2, 4.0) * sounds.RATE)
        samples = sounds.voice(rng, size) if speech else sounds.colored_noise(rng, size, 1.0)
        kind = "somebody" if speech else ("ambience", "coughing")[number // 2 % 2]
        source = Source(Path(), kind, f"{kind}/{number}", speech, False)
        examples.add(samples, source, as_recorded=True)
    return examples


def test_gradients_are_those_of_the_loss(examples, monkeypatch):
    monkeypatch.setattr(gate_training, "DROPOUT", 0.0)
    network = Network(np.random.default_rng(1))
    features, counts = examples.matrix()
    features, counts = features[:8].astype(np.float32), counts[:8]
    targets = np.asarray(examples.speech[:8], np.float32)
    weights = np.linspace(0.5, 1.5, 8, dtype=np.float32)

    def loss() -> float:
        scores = network.scores(features, counts).astype(np.float64)
        return float(np.mean(weights * (np.logaddexp(0, scores) - targets * scores)))

    found = []
    monkeypatch.setattr(network, "_descend", lambda gradients, _: found.extend(gradients))
    network.step(features, counts, targets, weights, 1.0, np.random.default_rng(2))
    for parameter, gradient in zip(network.parameters, found):
        assert gradient.shape == parameter.shape
        place = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        before = parameter[place]
        values = []
        for step in (-1e-3, 1e-3):
            parameter[place] = before + step
            values.append(loss())
        parameter[place] = before
        assert (values[1] - values[0]) / 2e-3 == pytest.approx(gradient[place], rel=0.1)


def test_a_fitted_network_separates_and_scores_alike_in_use(examples, tmp_path):
    everything = np.arange(len(examples.speech))
    network = gate_training.fit(examples, everything, epochs=20, seed=1)
    features, counts = examples.matrix()
    scores = network.scores(features, counts)
    assert set(gate_training.errors(examples, scores).values()) == {0.0}
    gate_training.save(network, tmp_path / "gate.npy")
    layers = gate.read_layers(tmp_path / "gate.npy")
    for frames, score in zip(examples.features, scores):
        in_use = gate.score(frames.astype(np.float32), layers)
        assert in_use == pytest.approx(score, abs=0.05)  # weights are rounded
    again = gate_training.fit(examples, everything, epochs=20, seed=1)
    for parameter, same in zip(network.parameters, again.parameters):
        np.testing.assert_array_equal(parameter, same)


def test_out_of_fold_scores_know_nothing_of_the_group(examples, monkeypatch):
    chosen = []

    def fit(_, rows, *, epochs, seed):
        chosen.append({examples.groups[row] for row in rows})
        return Network(np.random.default_rng(seed))

    monkeypatch.setattr(gate_training, "fit", fit)
    gate_training.out_of_fold(examples, folds=3, epochs=1, seed=1)
    left_out = [set(examples.groups) - groups for groups in chosen]
    assert set().union(*left_out) == set(examples.groups)
    assert sum(map(len, left_out)) == len(set(examples.groups))


def test_weights_keep_the_shares(examples):
    weights = gate_training.example_weights(examples)
    assert weights.mean() == pytest.approx(1.0)
    speech = np.array(examples.speech)
    shares = gate_training.SHARES
    expected = shares["speech"] / (shares["speech"] + shares["ambience"] + shares["vocal"])
    assert weights[speech].sum() / weights.sum() == pytest.approx(expected)


def test_nobody_is_on_both_sides(tmp_path):
    rows = [
        f"vocal/{kind}_P{person:03}_1_2.opus,vocal,{kind},none,2.0"
        for kind in ("coughing", "sneezing")
        for person in range(40)
    ]
    rows += [f"ambience/rain_{number}.opus,ambience,rain,none,60" for number in range(8)]
    (tmp_path / "index.csv").write_text("path,kind,label,licence,seconds\n" + "\n".join(rows))
    sources = gate_data.sound_sources(tmp_path)
    sides = {held: {s.group for s in sources if s.held_out == held} for held in (True, False)}
    assert not sides[True] & sides[False]
    assert sum(s.held_out for s in sources if s.kind == "ambience") == 4
    assert len(sides[True]) == len(sides[False]) == 24


@pytest.mark.parametrize("seed", range(8))
def test_synthetic_sounds_have_a_level_and_a_seed(seed):
    sound = sounds.synthetic(np.random.default_rng(seed), 12_000)
    assert (sound.shape, sound.dtype) == ((12_000,), np.float32)
    assert 0.9 < np.sqrt(np.mean(sound**2)) < 1.2
    np.testing.assert_array_equal(sound, sounds.synthetic(np.random.default_rng(seed), 12_000))

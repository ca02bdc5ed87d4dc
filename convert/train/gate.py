"""Fit the default gate: speech against sounds that are none.

Run it as ``python -m ser_edge.convert.train.gate --shared ../shared --output gate.npy``. What it is
fitted on, and what is held out to measure it, :mod:`ser_edge.convert.train.gate_data` tells.

The network gives a logit every 96 ms; a clip's score is the mean of its three highest, so speech
has to be somewhere in a clip of speech and nowhere in one of noise. The threshold is where odds are
even: :data:`SHARES`, the weights of speech and sounds in the loss, decide the balance.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_edge import gate
from ser_edge.files import draft

from . import gate_data
from .gate_data import Examples

Floats = NDArray[np.float32]

BATCH = 64
LEARNING_RATE = 2e-3  # of Adam, falling to zero as a cosine
WEIGHT_DECAY = 1e-4
DROPOUT = 0.1  # of whole channels
EPOCHS = 12

# Share of the loss; each divided among its kinds by the root of their numbers of examples.
SHARES = {
    "speech": 0.50,
    "ambience": 0.20,
    "synthetic": 0.12,
    "vocal": 0.15,
    "animals": 0.02,
    "cry": 0.01,
}
HARD = {"turev": 3.0, "throat-clearing": 1.5}  # weight: single words, and what is most like them
# What may be wrong of each, at most.
ALLOWED = {"speech": 0.01, "speech of a corpus": 0.03, "ambience": 0.03, "bursts": 0.15}
BURSTS = ("coughing", "sneezing", "throat-clearing", "tongue-clicking")


def share(kind: str, speech: bool) -> str:
    """Which of :data:`SHARES` an example belongs to."""
    if speech:
        return "speech"
    return kind if kind in SHARES else "vocal"


def example_weights(examples: Examples) -> Floats:
    """Weight of each example in the loss; their mean is 1."""
    kinds = list(zip(examples.kinds, examples.speech))
    totals: Counter[str] = Counter()
    raw = {}
    for kind, count in Counter(kinds).items():
        raw[kind] = HARD.get(kind[0], 1.0) * count**-0.5
        totals[share(*kind)] += raw[kind] * count
    weights = np.array([SHARES[share(*kind)] * raw[kind] / totals[share(*kind)] for kind in kinds])
    return np.asarray(weights / weights.mean(), np.float32)


class Network:
    """The detector of :mod:`ser_edge.gate` with its gradients; Adam of Kingma and Ba (2015)."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.parameters: list[Floats] = []  # weights and biases of each layer in turn
        for n_inputs, n_units in gate.LAYER_SHAPES:
            scale = (2 / n_inputs) ** 0.5  # He et al. (2015)
            weights = scale * rng.standard_normal((n_inputs, n_units))
            self.parameters += [weights.astype(np.float32), np.zeros(n_units, np.float32)]
        self._moments = [(np.zeros_like(p), np.zeros_like(p)) for p in self.parameters]
        self._steps = 0

    def scores(self, features: NDArray[np.float16], counts: NDArray[np.int64]) -> Floats:
        """Log odds of speech, shape (n,)."""
        parts = [
            self._forward(features[at : at + 512].astype(np.float32), counts[at : at + 512])[0]
            for at in range(0, len(features), 512)
        ]
        return np.concatenate(parts)

    def step(
        self,
        features: Floats,
        counts: NDArray[np.int64],
        targets: Floats,
        weights: Floats,
        learning_rate: float,
        rng: np.random.Generator,
    ) -> None:
        """One step down the gradient of the weighted cross entropy of a batch."""
        scores, rows, values, best = self._forward(features, counts, rng)
        slopes = weights * (1 / (1 + np.exp(-scores)) - targets) / len(scores)
        by_logit = best * (slopes / best.sum(axis=1))[:, None]
        last = values[-1].reshape(-1, gate.UNITS)
        gradients = [last.T @ by_logit.reshape(-1, 1), by_logit.sum().reshape(1)]
        upstream = by_logit[:, :, None].astype(np.float32) * self.parameters[-2][:, 0]
        for layer in reversed(range(len(gate.STRIDES))):
            upstream = upstream * (values[layer + 1] > 0) * rows[layer][1]
            flat = upstream.reshape(-1, gate.UNITS)
            inputs = rows[layer][0].reshape(len(flat), -1)
            gradients = [inputs.T @ flat, flat.sum(axis=0), *gradients]
            if layer:
                upstream = self._spread(flat @ self.parameters[2 * layer].T, values[layer], layer)
        self._descend(gradients, learning_rate)

    def _forward(
        self,
        features: Floats,
        counts: NDArray[np.int64],
        rng: np.random.Generator | None = None,
    ) -> tuple[Floats, list[tuple[Floats, Floats]], list[Floats], NDArray[np.bool_]]:
        """Scores; each layer's input rows and dropout; values; which logits count."""
        values = [features]
        rows: list[tuple[Floats, Floats]] = []
        for layer, stride in enumerate(gate.STRIDES):
            inputs = _rows(values[-1], stride)
            output = inputs @ self.parameters[2 * layer] + self.parameters[2 * layer + 1]
            kept = np.ones((len(features), 1, gate.UNITS), np.float32)
            if rng is not None:
                kept = (rng.random(kept.shape) >= DROPOUT).astype(np.float32) / np.float32(
                    1 - DROPOUT
                )
            rows.append((inputs, kept))
            values.append(np.maximum(output, 0) * kept)
        logits = (values[-1] @ self.parameters[-2])[:, :, 0] + self.parameters[-1]
        logits = np.where(np.arange(logits.shape[1]) < counts[:, None], logits, -np.inf)
        lowest = np.sort(logits, axis=1)[:, -gate.N_BEST][:, None]
        best = (logits >= lowest) & np.isfinite(logits)
        scores = np.where(best, logits, 0).sum(axis=1) / best.sum(axis=1)
        return scores.astype(np.float32), rows, values, best

    def _spread(self, rows: Floats, values: Floats, layer: int) -> Floats:
        """Gradients of the frames, from those of the rows that they are part of."""
        stride, n_channels = gate.STRIDES[layer], values.shape[2]
        spread = np.zeros_like(values)
        rows = rows.reshape(len(values), -1, gate.KERNEL, n_channels)
        for place in range(gate.KERNEL):
            spread[:, place : place + stride * rows.shape[1] : stride][:, : rows.shape[1]] += rows[
                :, :, place
            ]
        return spread

    def _descend(self, gradients: Sequence[Floats], learning_rate: float) -> None:
        self._steps += 1
        scale = learning_rate * (1 - 0.999**self._steps) ** 0.5 / (1 - 0.9**self._steps)
        for parameter, gradient, (mean, square) in zip(self.parameters, gradients, self._moments):
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            parameter -= np.float32(scale) * mean / (np.sqrt(square) + 1e-8)
            if parameter.ndim == 2:
                parameter -= np.float32(learning_rate * WEIGHT_DECAY) * parameter


def _rows(values: Floats, stride: int) -> Floats:
    """The frames that each output depends on, side by side: shape (n, outputs, KERNEL * inputs)."""
    n, n_frames, n_inputs = values.shape
    n_outputs = (n_frames - gate.KERNEL) // stride + 1
    by_clip, by_frame, by_input = values.strides
    return np.lib.stride_tricks.as_strided(
        values,
        (n, n_outputs, gate.KERNEL * n_inputs),
        (by_clip, stride * by_frame, by_input),
        writeable=False,
    ).copy()


def fit(examples: Examples, chosen: NDArray[np.int64], *, epochs: int, seed: int) -> Network:
    """A network fitted to some of the examples."""
    rng = np.random.default_rng(seed)
    network = Network(rng)
    features, counts = examples.matrix()
    targets = np.asarray(examples.speech, np.float32)
    weights = example_weights(examples)
    n_batches = len(chosen) // BATCH
    for epoch in range(epochs):
        order = rng.permutation(chosen)
        for number in range(n_batches):
            rows = order[number * BATCH : (number + 1) * BATCH]
            progress = (epoch + number / n_batches) / epochs
            network.step(
                features[rows].astype(np.float32),
                counts[rows],
                targets[rows],
                weights[rows],
                LEARNING_RATE * (0.5 + 0.5 * np.cos(np.pi * progress)),
                rng,
            )
    return network


def out_of_fold(examples: Examples, *, folds: int, epochs: int, seed: int) -> Floats:
    """Scores of each example by a network that heard nothing of its person or file."""
    features, counts = examples.matrix()
    fold = np.array([int(gate_data.fraction(f"fold/{g}") * folds) for g in examples.groups])
    scores = np.zeros(len(fold), np.float32)
    for number in range(folds):
        network = fit(examples, np.flatnonzero(fold != number), epochs=epochs, seed=seed)
        left_out = np.flatnonzero(fold == number)
        scores[left_out] = network.scores(features[left_out], counts[left_out])
    return scores


def errors(examples: Examples, scores: Floats) -> dict[str, float]:
    """Of clips as recorded, the share that is decided wrongly, by each of :data:`ALLOWED`."""
    kinds = np.array(examples.kinds)
    speech = np.array(examples.speech)
    recorded = np.array(examples.as_recorded)
    passed = scores >= 0
    corpora = [
        passed[recorded & speech & (kinds == kind)]
        for kind in sorted(set(kinds[recorded & speech]))
    ]
    return {
        "speech": 1 - float(np.mean([p.mean() for p in corpora])),
        "speech of a corpus": 1 - float(np.min([p.mean() for p in corpora])),
        "ambience": float(passed[recorded & (kinds == "ambience")].mean()),
        "bursts": float(passed[recorded & np.isin(kinds, BURSTS)].mean()),
    }


def save(network: Network, path: Path) -> None:
    """Write weights, rounded to float16, and biases for :func:`ser_edge.gate.read_layers`."""
    rounded = [
        values.astype(np.float16) if values.ndim == 2 else values for values in network.parameters
    ]
    flat = np.concatenate([values.astype(np.float32).ravel() for values in rounded])
    with draft(path) as unfinished, unfinished.open("wb") as file:
        np.save(file, flat)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m ser_edge.convert.train.gate", description="Fit the default gate."
    )
    shared = "with corpora, originals, voices and noise, an index.csv in each"
    parser.add_argument("--shared", type=Path, required=True, help=f"folder {shared}")
    parser.add_argument(
        "--corpora",
        type=Path,
        default=os.environ.get("SER_CORPORA"),
        help="the labelled corpora, if elsewhere [default: SER_CORPORA]",
    )
    parser.add_argument("--output", type=Path, required=True, help="the weights to write")
    parser.add_argument("--clips", type=int, default=300, help="of each corpus at most [300]")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"[{EPOCHS}]")
    parser.add_argument(
        "--folds",
        type=int,
        default=0,
        help="also fit without each fold of the people and sounds, and print the errors there [0]",
    )
    parser.add_argument("--seed", type=int, default=1, help="[1]")
    options = parser.parse_args()
    fit_and_save(**vars(options))


def fit_and_save(
    *,
    shared: Path,
    corpora: Path | str | None,
    output: Path,
    clips: int,
    epochs: int,
    folds: int,
    seed: int,
) -> None:
    """Fit the gate and write its weights; see the command's options."""
    sources = [
        *gate_data.speech_sources(Path(corpora) if corpora else shared / "corpora"),
        *gate_data.speech_sources(shared / "originals", originals=True),
        *gate_data.speech_sources(shared / "voices"),
        *gate_data.sound_sources(shared / "noise"),
    ]
    examples = gate_data.collect(
        sources, gate_data.rooms(shared / "noise"), clips=clips, seed=seed, say=print
    )
    everything = np.arange(len(examples.speech))
    save(fit(examples, everything, epochs=epochs, seed=seed), output)
    print(output)
    if folds:
        scores = out_of_fold(examples, folds=folds, epochs=epochs, seed=seed)
        print(f"of training clips as recorded, wrong by networks of {folds} folds:")
        for name, value in errors(examples, scores).items():
            print(f"  {name}: {value:.1%} (allowed {ALLOWED[name]:.0%})")


if __name__ == "__main__":
    main()

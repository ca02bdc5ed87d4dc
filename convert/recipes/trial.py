"""Front ends tried on recordings with a model in the TFLite runtime."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_edge import runtime
from ser_edge.errors import ModelError, SerEdgeError
from ser_edge.frontend import Frontend, FrontendSpec, fits

Progress = Callable[[int, int], None]

_EMPTY = 1e-12  # a sum of outputs below which there is nothing to divide


@dataclass(frozen=True)
class Candidate:
    """A front end to try."""

    name: str  # for people
    spec: dict[str, Any]  # as in a model's metadata
    origin: Any = None  # what it was made of


class Trial:
    """A model that is fed what front ends make of recordings.

    Args:
        flatbuffer: the model, with one input and one output.
        recordings: paths.
        finish: what is added to every front end.
    """

    def __init__(
        self,
        flatbuffer: bytes,
        recordings: Sequence[Path],
        finish: Callable[[FrontendSpec], FrontendSpec] = lambda spec: spec,
    ) -> None:
        self._interpreter, self.runtime = runtime.interpreter(flatbuffer, 1)
        (self._input,) = self._interpreter.get_input_details()
        (self._output,) = self._interpreter.get_output_details()
        self.recordings = list(recordings)
        self._finish = finish
        self._known: dict[bytes, NDArray[np.float64]] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the model's input, without the batch."""
        return tuple(int(length) for length in self._input["shape"][1:])

    def frontend(self, candidate: Candidate) -> Frontend | None:
        """The front end; None where it is none, or does not fit the model."""
        try:
            frontend = self._built(candidate)
        except ModelError:
            return None
        return frontend if fits(frontend.shape, self.shape) else None

    def run(
        self, candidates: Sequence[Candidate], rows: Sequence[int], progress: Progress
    ) -> list[NDArray[np.float64]]:
        """Probabilities of every candidate, (len(rows), n_labels); NaN where it cannot be computed.

        Args:
            candidates: front ends that fit the model.
            rows: which recordings.
            progress: called with the number of candidates done and their total.
        """
        found: list[NDArray[np.float64] | None] = [None] * len(candidates)
        # Those that load recordings alike follow each other, and share what is loaded.
        order = sorted(range(len(candidates)), key=lambda i: repr(_load_step(candidates[i])))
        loaded: dict[int, Any] = {}
        last = None
        for done, number in enumerate(order, start=1):
            candidate = candidates[number]
            frontend = self._built(candidate)
            if _load_step(candidate) != last:
                loaded.clear()
                last = _load_step(candidate)
            found[number] = np.stack([self._one(frontend, row, loaded) for row in rows])
            progress(done, len(order))
        return [probabilities for probabilities in found if probabilities is not None]

    def _built(self, candidate: Candidate) -> Frontend:
        return Frontend(self._finish(FrontendSpec.parse(candidate.spec)))

    def _one(self, frontend: Frontend, row: int, loaded: dict[int, Any]) -> NDArray[np.float64]:
        if row not in loaded:
            loaded[row] = frontend.load(self.recordings[row])
        try:
            matrix = frontend(loaded[row])
        except SerEdgeError:  # a recording may be too short for one recipe
            return np.full(int(self._output["shape"][-1]), np.nan)
        key = hashlib.blake2b(matrix.tobytes(), digest_size=16).digest()
        if key not in self._known:
            self._known[key] = self._predict(matrix)
        return self._known[key]

    def _predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        interpreter = self._interpreter
        interpreter.reset_all_variables()  # a fused LSTM keeps its state
        interpreter.set_tensor(self._input["index"], matrix.reshape(1, *self.shape))
        interpreter.invoke()
        output = interpreter.get_tensor(self._output["index"])[0].astype(np.float64)
        total = output.sum()
        return np.asarray(output / total if total > _EMPTY else output, dtype=np.float64)


def _load_step(candidate: Candidate) -> Any:
    steps = candidate.spec.get("steps")
    return steps[0] if steps else {"rate": candidate.spec.get("sample_rate")}

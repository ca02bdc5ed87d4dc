"""``--quantize auto``: the smallest way to store the weights that keeps the answers, as measured.

Rounding a weight to int8 errs by up to 0.4 % of the largest one of its channel. Where a network's
features are not normalized, that is multiplied by inputs of hundreds, as the first cepstral
coefficients are, and summed up, and a probability moves by a tenth or more; where they are, it does
not matter. The network alone does not tell which is so: recordings do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_edge.runtime import interpreter

MIN_SAME_LABEL = 0.99  # share of the recordings that must keep the label of the float model
MAX_DIFFERENCE = 0.05  # of any probability, which that share must keep within

EXACT = "none"
_SMALLEST_FIRST = ("dynamic", "float16")


class Measured(NamedTuple):
    """A way to store the weights, against the model in float32."""

    quantization: str
    bytes: int  # of the flatbuffer
    same_label: float  # share of the recordings, 0 to 1
    difference: float  # of any probability, largest of that share of the recordings

    @property
    def keeps(self) -> bool:
        """Whether the answers stay what they were."""
        return self.same_label >= MIN_SAME_LABEL and self.difference <= MAX_DIFFERENCE


def choose(
    make: Callable[[str], bytes],
    exact: bytes,
    matrices: NDArray[np.float32],
    *,
    smaller: Sequence[str] = _SMALLEST_FIRST,
) -> tuple[bytes, list[Measured]]:
    """The smallest flatbuffer that keeps the answers for recordings.

    Args:
        make: gives the flatbuffer of a quantization.
        exact: the flatbuffer in float32.
        matrices: the recordings' features, (n, *shape of the input without the batch).
        smaller: quantizations to try, smallest first.

    Returns:
        The flatbuffer, and what was measured; the last one is what is taken.
    """
    wanted = _predict(exact, matrices)
    measured = []
    for quantization in smaller:
        flatbuffer = make(quantization)
        found = _compare(quantization, flatbuffer, wanted, _predict(flatbuffer, matrices))
        measured.append(found)
        if found.keeps:
            return flatbuffer, measured
    return exact, [*measured, Measured(EXACT, len(exact), 1.0, 0.0)]


def table(measured: Sequence[Measured], recordings: int) -> str:
    """What was measured, for people."""
    rows = [("--quantize auto", "size", "same label", "difference")]
    rows += [
        (
            one.quantization,
            f"{one.bytes / 1e6:.2f} MB",
            f"{100 * one.same_label:.2f} %",
            f"{one.difference:.4f}",
        )
        for one in measured
    ]
    width = max(len(row[0]) for row in rows)
    lines = [f"{name:<{width}} {a:>10} {b:>10} {c:>10}" for name, a, b, c in rows]
    lines.append(
        f"taken: {measured[-1].quantization}, the smallest with which {100 * MIN_SAME_LABEL:g} % "
        f"of {recordings} recordings keep their label and move by {MAX_DIFFERENCE:g} at most"
    )
    return "\n".join(lines)


def _compare(
    quantization: str, flatbuffer: bytes, wanted: NDArray[Any], found: NDArray[Any]
) -> Measured:
    moved = np.abs(found - wanted).max(axis=1)
    return Measured(
        quantization,
        len(flatbuffer),
        float(np.mean(found.argmax(axis=1) == wanted.argmax(axis=1))),
        float(np.quantile(moved, MIN_SAME_LABEL, method="higher")),
    )


def _predict(flatbuffer: bytes, matrices: NDArray[np.float32]) -> NDArray[Any]:
    """The probabilities, float32, (n, n_labels)."""
    loaded, _ = interpreter(flatbuffer, 1)
    entry = loaded.get_input_details()[0]["index"]
    exit_ = loaded.get_output_details()[0]["index"]
    outputs = []
    for matrix in matrices:
        loaded.reset_all_variables()  # a fused LSTM keeps its state
        loaded.set_tensor(entry, matrix[None])
        loaded.invoke()
        outputs.append(loaded.get_tensor(exit_)[0])
    return np.array(outputs)

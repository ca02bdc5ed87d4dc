"""Whether ``ser-edge classify`` gives a recording the label that the author's own code gives it.

That the converted model agrees with the source model says nothing of a front end that is stated
wrong: both get the same wrong features. The author's answers tell. Between them and the answer of
``ser-edge classify`` lie a few steps, and where a label is lost on the way says what to mend.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_edge.classifier import Classifier
from ser_edge.gate import OFF
from ser_edge.model import Model

from ..evaluate.expected import Expected

# The steps by what each adds; the last is what `ser-edge classify` prints.
SOURCE = "source model, front end as stated"
CONVERTED = "+ converted"
FEATURES = "+ features by ser-edge"
WINDOWS = "+ all windows of a recording"
CLASSIFY = "ser-edge classify, with its speech gate"

_ADVICE = {
    SOURCE: "the front end as stated is not that of the author's code: compare rate, offset, "
    "duration, padding, order and scaler with it, or let ser-edge-convert fit-frontend find it",
    CONVERTED: "the quantization costs them: another --quantize",
    FEATURES: "ser-edge's features differ from librosa's here, which they should not: please "
    "report it",
    WINDOWS: "the mean over all windows of a recording is not what the author's code takes: state "
    '"windows": "first" in the front end where it takes the first seconds alone, or --hop where it '
    "cuts otherwise",
}
_NOTABLE = 0.1  # difference of a probability of the source model's, with the same labels


class Step(NamedTuple):
    """The answers behind one step."""

    name: str
    agreement: float  # share of the recordings with the author's label, 0 to 1
    difference: float | None  # largest, of any probability; None where the author stated none

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON takes them, rounded."""
        difference = None if self.difference is None else round(self.difference, 4)
        return {
            "step": self.name,
            "agreement": round(self.agreement, 4),
            "largest_difference": difference,
        }


@dataclass(frozen=True)
class EndToEnd:
    """How the answers for recordings compare with the author's, step by step."""

    recordings: int
    steps: tuple[Step, ...]  # in the order of the names above
    unanswered: dict[str, int]  # recordings without a label in the last step, by reason

    @property
    def agreement(self) -> float:
        """Share with the author's label by ``ser-edge classify --gate off``, 0 to 1."""
        return next(step.agreement for step in self.steps if step.name == WINDOWS)

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON takes them, rounded."""
        return {
            "recordings": self.recordings,
            "steps": [step.to_dict() for step in self.steps],
            "unanswered": dict(self.unanswered),
        }

    def table(self) -> str:
        """The figures for people."""
        rows = [(f"{self.recordings} recordings, the author's answers", "same label", "difference")]
        for name, agreement, difference in self.steps:
            shown = "" if difference is None else f"{difference:.4f}"
            rows.append((name, f"{100 * agreement:.2f} %", shown))
        width = max(len(row[0]) for row in rows)
        lines = [f"{name:<{width}} {left:>10} {right:>10}".rstrip() for name, left, right in rows]
        return "\n".join([*lines, *self.explain()])

    def explain(self) -> list[str]:
        """Sentences: where labels are lost, most first, and what to do."""
        lost = []
        before = 1.0
        for step in self.steps:
            count = round((before - step.agreement) * self.recordings)
            if step.name in _ADVICE and count > 0:
                lost.append((count, f"{count} labels lost: {_ADVICE[step.name]}"))
            before = step.agreement
        sentences = [text for _, text in sorted(lost, key=lambda item: -item[0])]
        first = self.steps[0]
        if not sentences and first.difference is not None and first.difference > _NOTABLE:
            sentences.append(f"the labels agree, the scores do not: {_ADVICE[SOURCE]}")
        if self.unanswered:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.unanswered.items())
            sentences.append(
                f"without a label: {reasons} (the gate takes for speech what people say; sounds "
                "of other kinds need --gate off)"
            )
        return sentences


def measure(
    expected: Sequence[Expected],
    probabilities: NDArray[np.float64],
    matrices: NDArray[np.float32],
    model: Model,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> EndToEnd:
    """Run the packed model on recordings, as ``ser-edge classify`` does and short of it.

    Args:
        expected: the author's answers, at least one.
        probabilities: of the source model on the reference library's features of the first window,
            (n, n_labels).
        matrices: these features, (n, *frontend.shape).
        model: the packed model.
        progress: called with the number of recordings done and their total.

    Raises:
        ser_edge.errors.AudioError: a recording cannot be read.
    """
    labels = model.metadata.labels
    everything = Classifier(model, gate=OFF, threshold=0.0)
    by_default = Classifier(model)
    answers: dict[str, list[NDArray[np.float64] | None]] = {
        SOURCE: list(probabilities),
        CONVERTED: [model.predict(matrix) for matrix in matrices],
        FEATURES: [],
        WINDOWS: [],
    }
    given: list[str | None] = []
    reasons: Counter[str] = Counter()
    for done, item in enumerate(expected, 1):
        samples = model.frontend.load(item.path)
        answers[FEATURES].append(model.predict(model.frontend(samples)))
        scores = everything.classify(item.path).scores
        answers[WINDOWS].append(None if scores is None else np.array(list(scores.values())))
        result = by_default.classify(item.path)
        given.append(result.label)
        if result.reason is not None:
            reasons[result.reason] += 1
        progress(done, len(expected))
    wanted = [item.label for item in expected]
    steps = [
        Step(
            name,
            _share([None if p is None else labels[int(p.argmax())] for p in found], wanted),
            _difference(found, expected),
        )
        for name, found in answers.items()
    ]
    steps.append(Step(CLASSIFY, _share(given, wanted), None))
    return EndToEnd(len(expected), tuple(steps), dict(reasons))


def _share(found: Sequence[str | None], wanted: Sequence[str]) -> float:
    return sum(one == other for one, other in zip(found, wanted)) / len(wanted)


def _difference(
    found: Sequence[NDArray[np.float64] | None], expected: Sequence[Expected]
) -> float | None:
    differences = [
        float(np.abs(one - np.array(item.probabilities)).max())
        for one, item in zip(found, expected)
        if one is not None and item.probabilities is not None
    ]
    return max(differences, default=None)

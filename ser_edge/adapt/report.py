"""What labelled clips tell of a profile: how good it is, which clips look wrong, what more help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ser_edge.adapt.fit import Clips, fit, judged_places, order_labels, score
from ser_edge.forking import PRODUCTS

if TYPE_CHECKING:
    import numpy.typing as npt

# A clip looks mislabelled where, left out, it gets its own label less often than this, and another
# one at least this often.
_OWN_BELOW = 0.1
_OTHER_ABOVE = 0.6
# A clip is unlike the others where its nearest neighbour is so many times as far as theirs are.
_FAR = 2.5
_FEWEST_TO_COMPARE = 6  # clips

_CURVE = (1, 2, 3, 5, 10, 20, 50)  # clips of each emotion
_CURVE_DRAWS = 10
_CURVE_MAX_CLIPS = 200  # of a subset; larger ones take too long
_HELPS = 0.02  # UAR gained by the second half of the clips, from which more are worth asking for


class Recall(NamedTuple):
    """How many clips of an emotion were answered rightly."""

    label: str
    clips: int  # that could be left out
    before: int  # right answers of the model alone
    after: int  # right answers of profiles made without the clip


class Doubt(NamedTuple):
    """A clip to listen to again."""

    place: int  # among the clips
    label: str | None  # what it sounds more like; None where it is unlike all others
    probability: float | None  # of this label


class CurvePoint(NamedTuple):
    """How good profiles of fewer clips are."""

    clips: int  # of each emotion, at most
    uar: float  # on the clips that were left out


def recalls(
    model_labels: Sequence[str], clips: Clips, left_out: npt.NDArray[np.float64]
) -> list[Recall]:
    """Right answers for each emotion, before and after.

    Args:
        model_labels: the labels of the model.
        clips: those that were left out in turn.
        left_out: probabilities for each, as ``adapt.leave_out`` gives them.
    """
    labels = order_labels(clips.labels, model_labels)
    places = judged_places(clips.labels)
    found: dict[str, list[bool]] = {label: [] for label in labels}
    based: dict[str, list[bool]] = {label: [] for label in labels}
    for place in places:
        own = clips.labels[place]
        based[own].append(model_labels[int(clips.probabilities[place].argmax())] == own)
        found[own].append(labels[int(left_out[place].argmax())] == own)
    return [
        Recall(label, len(found[label]), sum(based[label]), sum(found[label])) for label in labels
    ]


def doubts(
    model_labels: Sequence[str], clips: Clips, left_out: npt.NDArray[np.float64]
) -> list[Doubt]:
    """Clips that look mislabelled, or unlike all others; arguments as for :func:`recalls`."""
    labels = order_labels(clips.labels, model_labels)
    found = []
    for place in judged_places(clips.labels):
        probabilities = left_out[place]
        best = int(probabilities.argmax())
        own = probabilities[labels.index(clips.labels[place])]
        if own < _OWN_BELOW and probabilities[best] >= _OTHER_ABOVE:
            found.append(Doubt(place, labels[best], float(probabilities[best])))
    if len(clips.labels) >= _FEWEST_TO_COMPARE:
        squares = (clips.inputs**2).sum(axis=1)
        with PRODUCTS:
            distances = squares[:, None] + squares - 2 * clips.inputs @ clips.inputs.T
        np.fill_diagonal(distances, np.inf)
        nearest = np.sqrt(np.maximum(distances.min(axis=1), 0.0))
        limit = _FAR * float(np.median(nearest))
        found += [Doubt(int(place), None, None) for place in np.flatnonzero(nearest > limit)]
    return found


def learning_curve(model_labels: Sequence[str], clips: Clips) -> list[CurvePoint]:
    """How good profiles of 1, 2, 3, 5, ... clips of each emotion are, on the other clips.

    Each point is the mean over several draws. An emotion with too few clips is tested only where
    it has one left.
    """
    counts = Counter(clips.labels)
    rng = np.random.default_rng(1)  # the same clips give the same report
    points = []
    for size in _CURVE:
        # Emotions of which clips are left over have to tell something.
        tested = [label for label in counts if counts[label] > size]
        if len(tested) < 2 or size * len(counts) > _CURVE_MAX_CLIPS:
            break
        uars = []
        for _ in range(_CURVE_DRAWS):
            order = rng.permutation(len(clips.labels))
            taken: Counter[str] = Counter()
            inside: list[int] = []
            outside: list[int] = []
            for place in order:
                label = clips.labels[place]
                (inside if taken[label] < size else outside).append(int(place))
                taken[label] += 1
            fitted = fit(model_labels, clips.select(inside), factor=1.0)
            rest = clips.select(outside)
            answers = fitted.predict(model_labels, rest)
            uars.append(score(rest.labels, fitted.labels, answers).uar)
        points.append(CurvePoint(size, round(float(np.mean(uars)), 4)))
    return points


def more_would_help(curve: Sequence[CurvePoint], uar: float) -> bool | None:
    """Whether twice as many clips are worth asking for; None where the curve is too short.

    Args:
        curve: of subsets.
        uar: with all clips, each left out in turn.
    """
    if not curve:
        return None
    half = curve[len(curve) // 2]
    return uar - half.uar >= _HELPS

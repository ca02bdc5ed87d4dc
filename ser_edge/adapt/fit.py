"""Adapting a model to labelled clips of one voice: the arithmetic, in numpy alone.

Multinomial logistic regression on the model's embeddings that starts from the model's own scores:
``scores = base + bias + weights @ inputs``. Bias and weights are the most probable ones under
Gaussian priors around zero (maximum a posteriori), found in the dual form, as for a Gaussian
process with a linear kernel: Rasmussen and Williams, "Gaussian Processes for Machine Learning"
(2006), algorithm 3.3. Its cost depends on the clips, not on the size of the embeddings.

How strong the prior is, and how sure the answers are, follows the clips: both are chosen by the
answers on clips left out, which the Laplace approximation gives without fitting anew (Vehtari et
al., "Bayesian leave-one-out cross-validation approximations for Gaussian latent variable models",
JMLR 17, 2016).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ser_edge.adapt.laplace import find_mode, fit_dual
from ser_edge.adapt.profile import (
    MAX_LABELS,
    LeaveOneOut,
    Profile,
    Score,
    adapted,
    base_scores,
    rounded,
)
from ser_edge.errors import ProfileError
from ser_edge.forking import PRODUCTS
from ser_edge.model import softmax

if TYPE_CHECKING:
    import numpy.typing as npt

    from ser_edge.model import Model, Observation

    Floats = npt.NDArray[np.float64]

MAX_CLIPS = 1000  # the cost grows with their cube

# All figures here were chosen on training speakers of corpora that the bundled models never heard.
_PRIOR_VARIANCE = 4.0  # of the bias, and of the weighted sum of each embedding, in nats squared
# Factors of the variance from which the clips may choose, neighbours of the first one first.
_FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
_FACTOR_PRECISION = 1.0  # of the normal distribution around 0 that the factor's logarithm has
_SHARPNESS = 0.9  # divides the temperature that adapted answers need on average
_SHARPNESS_PRECISION = 20.0  # of the logarithm, as above: so many clips would weigh as much
_SHARPNESSES = np.exp(np.linspace(np.log(0.4), np.log(2.0), 33))
# Nats by which the scores of one voice's neutral clips differ from those of other voices, whom the
# model judges well all the same. What exceeds it is corrected (soft thresholding, Donoho 1995).
_VOICE_SPREAD = 1.6
# For a model that does not say what others get: then the correction is small.
_NEUTRAL_BIAS_VARIANCE = 0.1
_NEUTRAL_WEIGHTS_VARIANCE = 0.3

_MOST_FOLDS = 10  # in which clips are left out
_LEAST_PROBABILITY = 1e-9  # of a right answer, for the log loss

_TINY = 1e-12


class Clips(NamedTuple):
    """Labelled clips as the model hears them."""

    labels: tuple[str, ...]  # of each clip
    probabilities: Floats  # shape (n_clips, n_model_labels)
    inputs: Floats  # shape (n_clips, n_inputs)

    @classmethod
    def of(cls, observations: Sequence[tuple[Observation, str]]) -> Clips:
        """Clips of these observations.

        Raises:
            ProfileError: there are none.
        """
        if not observations:
            raise ProfileError("there is no clip with speech in it")
        return cls(
            tuple(label for _, label in observations),
            np.array([one.probabilities for one, _ in observations]),
            np.array([one.inputs for one, _ in observations]),
        )

    def select(self, places: Sequence[int] | npt.NDArray[np.int64]) -> Clips:
        """Those clips alone."""
        index = np.asarray(places)
        labels = tuple(self.labels[place] for place in index)
        return Clips(labels, self.probabilities[index], self.inputs[index])


class Fit(NamedTuple):
    """What the clips tell."""

    labels: tuple[str, ...]  # in the order of the scores
    bias: Floats  # shape (n_labels,)
    weights: Floats  # shape (n_labels, n_inputs)
    temperature: float
    factor: float  # of the prior variance

    def predict(self, model_labels: Sequence[str], clips: Clips) -> Floats:
        """Probabilities of the labels for other clips, shape (n_clips, n_labels)."""
        base = base_scores(self.labels, model_labels, clips.probabilities)
        return adapted(base, clips.inputs, self.bias, self.weights, self.temperature)


def order_labels(labels: Iterable[str], model_labels: Sequence[str]) -> tuple[str, ...]:
    """Different labels: those of the model in its order, then new ones by the alphabet.

    Example:
        >>> order_labels(["calm", "sad", "happy", "sad"], ["happy", "sad", "fear"])
        ('happy', 'sad', 'calm')
    """
    given = set(labels)
    known = [label for label in model_labels if label in given]
    return (*known, *sorted(given - set(known)))


def fit(model_labels: Sequence[str], clips: Clips, factor: float | None = None) -> Fit:
    """Adapt to clips of two emotions or more.

    Args:
        model_labels: the labels of the model.
        clips: at most :data:`MAX_CLIPS`.
        factor: of the prior variance; by default the clips choose it.

    Raises:
        ProfileError: there are too few or too many emotions, or too many clips.
    """
    labels = order_labels(clips.labels, model_labels)
    if len(labels) < 2:
        raise ProfileError(f"all clips are {labels[0]}: give clips of at least two emotions")
    if len(labels) > MAX_LABELS:
        raise ProfileError(f"the clips have {len(labels)} emotions, but at most {MAX_LABELS} fit")
    if len(clips.labels) > MAX_CLIPS:
        raise ProfileError(f"there are {len(clips.labels)} clips, but at most {MAX_CLIPS} fit")
    targets = np.array([[label == own for label in labels] for own in clips.labels], dtype=float)
    counts = targets.sum(axis=0)
    # How often an emotion is among the clips tells nothing of how often it will be heard: what
    # frequency there is goes into the offset, and is left out afterwards.
    frequency = np.log(counts / counts.sum())
    base = base_scores(labels, model_labels, clips.probabilities)
    with PRODUCTS:
        kernel = _PRIOR_VARIANCE * (1 + clips.inputs @ clips.inputs.T)
    # A clip that is the only one of its emotion cannot be left out.
    judged = counts[targets.argmax(axis=1)] > 1
    search = _Search(kernel, base, targets, frequency, judged)
    best = search.at(factor) if factor is not None else search.best()
    slopes = best.factor * _PRIOR_VARIANCE * best.dual
    with PRODUCTS:
        weights = slopes.T @ clips.inputs
    return Fit(
        labels=labels,
        bias=rounded(slopes.sum(axis=0)),
        weights=rounded(weights),
        temperature=round(1 / best.sharpness, 4),
        factor=best.factor,
    )


def leave_out(model_labels: Sequence[str], clips: Clips, factor: float) -> Floats:
    """Answers on each clip by a fit without it and without one clip of each other emotion.

    Args:
        model_labels: the labels of the model.
        clips: of two emotions or more.
        factor: of the prior variance.

    Returns:
        Probabilities of the labels of :func:`fit`, float64, shape (n_clips, n_labels); zeros for
        a clip that is the only one of its emotion, which cannot be left out.
    """
    labels = order_labels(clips.labels, model_labels)
    taken: Counter[str] = Counter()
    folds = []
    n_folds = min(max(Counter(clips.labels).values()), _MOST_FOLDS)
    for label in clips.labels:
        folds.append(taken[label] % n_folds)
        taken[label] += 1
    left_out = np.zeros((len(clips.labels), len(labels)))
    for fold in range(n_folds):
        outside = [p for p in judged_places(clips.labels) if folds[p] == fold]
        # The only clip of an emotion stays in, so that every fit knows all of them.
        inside = sorted(set(range(len(clips.labels))) - set(outside))
        if outside:
            fitted = fit(model_labels, clips.select(inside), factor)
            left_out[outside] = fitted.predict(model_labels, clips.select(outside))
    return left_out


def make_profile(model: Model, clips: Clips) -> Profile:
    """A profile from clips of two emotions or more.

    Raises:
        ModelError: the model cannot be adapted.
        ProfileError: as :func:`fit`.
    """
    model.check_adaptable()
    labels = model.metadata.labels
    fitted = fit(labels, clips)
    left_out = leave_out(labels, clips, fitted.factor)
    return profile_of(model, clips, fitted, judge(labels, fitted.labels, clips, left_out))


def neutral_profile(model: Model, clips: Clips, neutral: str = "neutral") -> Profile:
    """A profile from clips of ordinary speech alone; no emotion is left out.

    Where the model says what neutral clips of others get, ``neutral_log_probabilities``, all
    scores are moved towards that, as far as these clips differ from it more than voices do. A
    model that does not gets a small correction towards `neutral`.

    Args:
        model: the model, of whose labels one is `neutral`.
        clips: whatever their labels.
        neutral: the label of ordinary speech.

    Raises:
        ModelError: the model cannot be adapted.
        ProfileError: it has no such label, or there are too many clips.
    """
    model.check_adaptable()
    labels = model.metadata.labels
    if neutral not in labels:
        raise ProfileError(f"the model {model.metadata.name} has no label {neutral}")
    if len(clips.labels) > MAX_CLIPS:
        raise ProfileError(f"there are {len(clips.labels)} clips, but at most {MAX_CLIPS} fit")
    clips = clips._replace(labels=(neutral,) * len(clips.labels))
    usual = model.metadata.neutral_log_probabilities
    bias, weights = _neutral_fit(labels, clips, neutral, usual)
    n_clips = len(clips.labels)
    fitted = Fit(labels, bias, weights, 1.0, 1.0)
    judged = None
    if n_clips > 1:
        left_out = np.zeros((n_clips, len(labels)))
        for place in range(n_clips):
            others = clips.select([other for other in range(n_clips) if other != place])
            bias, weights = _neutral_fit(labels, others, neutral, usual)
            scores = base_scores(labels, labels, clips.probabilities[place])
            with PRODUCTS:
                scores = scores + bias + weights @ clips.inputs[place]
            left_out[place] = softmax(scores)
        judged = judge(labels, labels, clips, left_out)
    return profile_of(model, clips, fitted, judged)


def profile_of(model: Model, clips: Clips, fitted: Fit, judged: LeaveOneOut | None) -> Profile:
    """What was found, in the form of a profile."""
    counts = Counter(clips.labels)
    return Profile(
        model_name=model.metadata.name,
        model_sha256=model.metadata.flatbuffer.sha256,
        labels=fitted.labels,
        bias=fitted.bias,
        weights=fitted.weights,
        temperature=fitted.temperature,
        clips={label: counts[label] for label in fitted.labels},
        leave_one_out=judged,
        created=date.today().isoformat(),
    )


def judge(
    model_labels: Sequence[str], labels: Sequence[str], clips: Clips, left_out: Floats
) -> LeaveOneOut | None:
    """How good the answers on clips left out are; None where none could be.

    Args:
        model_labels: the labels of the model.
        labels: those of the profile.
        clips: those that were left out in turn.
        left_out: probabilities of the profile's labels for each, as :func:`leave_out` gives them.
    """
    places = judged_places(clips.labels)
    if not places:
        return None
    own = [clips.labels[place] for place in places]
    return LeaveOneOut(
        clips=len(places),
        before=score(own, model_labels, clips.probabilities[places]),
        after=score(own, labels, left_out[places]),
    )


def judged_places(labels: Sequence[str]) -> list[int]:
    """Places of the clips that can be left out: their emotion has another one.

    Example:
        >>> judged_places(["sad", "happy", "sad"])
        [0, 2]
    """
    counts = Counter(labels)
    return [place for place, label in enumerate(labels) if counts[label] > 1]


def score(own: Sequence[str], labels: Sequence[str], probabilities: Floats) -> Score:
    """How good answers are, rounded to four digits.

    Args:
        own: the right label of each clip.
        labels: those that were asked for; a right one may be missing, which is a wrong answer.
        probabilities: of these, shape (n_clips, n_labels).

    Example:
        >>> score(["sad", "sad", "happy"], ["sad", "happy"], np.array([[1, 0], [1, 0], [1, 0]]))
        Score(uar=0.5, accuracy=0.6667, log_loss=6.9078)
    """
    counts: Counter[str] = Counter(own)
    right: Counter[str] = Counter()
    loss = 0.0
    for label, row in zip(own, probabilities):
        right[label] += labels[int(row.argmax())] == label
        probability = row[labels.index(label)] if label in labels else 0.0
        loss -= np.log(max(probability, _LEAST_PROBABILITY))
    uar = sum(right[label] / counts[label] for label in counts) / len(counts)
    accuracy = sum(right.values()) / len(own)
    return Score(round(uar, 4), round(accuracy, 4), round(float(loss) / len(own), 4))


class _Point(NamedTuple):
    """The fit with one strength of the prior."""

    cost: float  # nats: what the clips left out say against it, and the priors
    factor: float
    sharpness: float
    dual: Floats  # shape (n_clips, n_labels)
    left_out: Floats  # scores of each clip without it, shape (n_clips, n_labels)


class _Search:
    """Looks for the strength of the prior that suits the clips best."""

    def __init__(
        self,
        kernel: Floats,
        base: Floats,
        targets: Floats,
        frequency: Floats,
        judged: npt.NDArray[np.bool_],
    ) -> None:
        self._kernel = kernel
        self._base = base
        self._targets = targets
        self._frequency = frequency
        self._judged = judged

    def best(self) -> _Point:
        """The factor at which the cost no longer falls, up or down from 1."""
        middle = self.at(1.0)
        if not self._judged.any():
            return middle
        start = _FACTORS.index(1.0)
        best = middle
        for factors in (_FACTORS[start - 1 :: -1], _FACTORS[start + 1 :]):
            for factor in factors:
                point = self.at(factor)
                if point.cost >= best.cost:
                    break
                best = point
            if best is not middle:
                break
        return best

    def at(self, factor: float) -> _Point:
        offset = self._base + self._frequency
        dual, left_out = fit_dual(factor * self._kernel, offset, self._targets)
        left_out -= self._frequency
        cost, sharpness = 0.0, _SHARPNESS
        if self._judged.any():
            cost, sharpness = self._sharpness(left_out[self._judged])
        cost += _FACTOR_PRECISION / 2 * np.log(factor) ** 2
        return _Point(float(cost), factor, float(sharpness), dual, left_out)

    def _sharpness(self, scores: Floats) -> tuple[float, float]:
        """The sharpness under which the answers left out are likeliest, and its cost."""
        own = self._targets[self._judged] > 0
        costs = []
        for sharpness in _SHARPNESSES:
            probabilities = softmax(sharpness * scores + self._frequency)[own]
            prior = _SHARPNESS_PRECISION / 2 * np.log(sharpness / _SHARPNESS) ** 2
            costs.append(prior - np.log(np.maximum(probabilities, _TINY)).sum())
        best = int(np.argmin(costs))
        return float(costs[best]), float(_SHARPNESSES[best])


@PRODUCTS
def _neutral_fit(
    labels: Sequence[str], clips: Clips, neutral: str, usual: Sequence[float] | None
) -> tuple[Floats, Floats]:
    """Bias and weights from neutral clips, given what those of others usually get."""
    base = base_scores(labels, labels, clips.probabilities)
    if usual is not None:
        difference = np.array(usual) - base.mean(axis=0)
        difference -= difference.mean()  # which softmax does not see
        size = float(np.sqrt(difference @ difference))
        bias = max(0.0, 1 - _VOICE_SPREAD / max(size, _TINY)) * difference
        return rounded(bias), np.zeros((len(labels), clips.inputs.shape[1]))
    targets = np.zeros((len(clips.labels), len(labels)))
    targets[:, labels.index(neutral)] = 1.0
    kernel = _NEUTRAL_BIAS_VARIANCE + _NEUTRAL_WEIGHTS_VARIANCE * clips.inputs @ clips.inputs.T
    dual = find_mode(kernel, base, targets)
    bias = _NEUTRAL_BIAS_VARIANCE * dual.sum(axis=0)
    return rounded(bias), rounded(_NEUTRAL_WEIGHTS_VARIANCE * dual.T @ clips.inputs)

"""Adapting to labelled clips: the posterior's maximum, exact leave-one-out, and odd input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ser_edge import Classifier
from ser_edge.adapt.fit import Clips, Fit, fit, judge, leave_out, neutral_profile, order_labels
from ser_edge.adapt.laplace import find_mode, fit_dual
from ser_edge.adapt.profile import base_scores
from ser_edge.adapt.report import Doubt, doubts, learning_curve, more_would_help, recalls
from ser_edge.errors import ProfileError
from ser_edge.model import softmax
from tests.helpers.models import bundled, write

MODEL_LABELS = ("neutral", "happy", "sad")
N_INPUTS = 12


def clips(labels: Sequence[str], *, seed: int = 0, spread: float = 0.3) -> Clips:
    """Clips whose emotion lies in their inputs, and of which the model thinks nothing."""
    rng = np.random.default_rng(seed)
    known = sorted(set(labels))
    centres = np.random.default_rng(9).standard_normal((16, N_INPUTS)) / np.sqrt(N_INPUTS)
    inputs = np.array([centres[known.index(label)] for label in labels])
    inputs += spread * rng.standard_normal(inputs.shape) / np.sqrt(N_INPUTS)
    probabilities = softmax(rng.standard_normal((len(labels), len(MODEL_LABELS))))
    return Clips(tuple(labels), probabilities, inputs)


def objective(found: Fit, given: Clips, bias: np.ndarray, weights: np.ndarray) -> float:
    """The logarithm of the posterior, written down directly."""
    targets = np.array([found.labels.index(label) for label in given.labels])
    counts = np.bincount(targets)
    scores = base_scores(found.labels, MODEL_LABELS, given.probabilities)
    scores = scores + np.log(counts / counts.sum()) + bias + given.inputs @ weights.T
    likelihood = np.log(softmax(scores)[np.arange(len(targets)), targets]).sum()
    variance = 4.0 * found.factor
    return float(likelihood - ((bias**2).sum() + (weights**2).sum()) / (2 * variance))


def test_it_is_the_maximum_of_the_posterior():
    given = clips(["happy"] * 3 + ["sad"] * 5 + ["calm"] * 2)
    found = fit(MODEL_LABELS, given)
    best = objective(found, given, found.bias, found.weights)
    rng = np.random.default_rng(0)
    for size in (0.02, 0.2):
        for _ in range(20):
            bias = found.bias + size * rng.standard_normal(found.bias.shape)
            weights = found.weights + size * rng.standard_normal(found.weights.shape)
            assert objective(found, given, bias, weights) < best


def approximate_leave_one_out(given: Clips) -> np.ndarray:
    """By the formula that chooses the strength of the prior."""
    labels = order_labels(given.labels, MODEL_LABELS)
    targets = np.array([[label == own for label in labels] for own in given.labels], dtype=float)
    base = base_scores(labels, MODEL_LABELS, given.probabilities)
    kernel = 4.0 * (1 + given.inputs @ given.inputs.T)
    return softmax(fit_dual(kernel, base, targets)[1])


def exact_leave_one_out(given: Clips) -> np.ndarray:
    n_clips = len(given.labels)
    found = []
    for place in range(n_clips):
        others = given.select([p for p in range(n_clips) if p != place])
        # Neither frequencies of labels nor a temperature, as above.
        fitted = fit(MODEL_LABELS, others, factor=1.0)
        labels = order_labels(others.labels, MODEL_LABELS)
        targets = np.array([[la == own for la in labels] for own in others.labels], dtype=float)
        base = base_scores(labels, MODEL_LABELS, others.probabilities)
        kernel = 4.0 * (1 + others.inputs @ others.inputs.T)
        dual = find_mode(kernel, base, targets)
        assert fitted.labels == labels
        own = base_scores(labels, MODEL_LABELS, given.probabilities[place])
        reach = 4.0 * (1 + others.inputs @ given.inputs[place])
        found.append(softmax(own + reach @ dual))
    return np.array(found)


def test_the_approximate_leave_one_out_is_nearly_exact():
    given = clips(["happy"] * 5 + ["sad"] * 5 + ["calm"] * 5, spread=1.0)
    approximate, exact = approximate_leave_one_out(given), exact_leave_one_out(given)
    assert (exact.argmax(axis=1) == approximate.argmax(axis=1)).mean() > 0.9
    assert np.abs(exact - approximate).max() < 0.1
    assert np.abs(exact - approximate).mean() < 0.02


def test_clips_left_out_are_answered_by_fits_without_them():
    given = clips(["happy"] * 3 + ["sad"] * 3 + ["calm"], spread=1.0)
    left_out = leave_out(MODEL_LABELS, given, 1.0)
    others = given.select([1, 2, 4, 5, 6])
    fitted = fit(MODEL_LABELS, others, 1.0)
    assert np.allclose(left_out[[0, 3]], fitted.predict(MODEL_LABELS, given.select([0, 3])))
    assert not left_out[6].any()  # the only one of its emotion
    assert left_out[:6].sum(axis=1) == pytest.approx(1)


def test_new_labels_come_after_those_of_the_model_and_are_learned():
    given = clips(["calm"] * 5 + ["sad"] * 5 + ["bored"] * 5)
    found = fit(MODEL_LABELS, given)
    assert found.labels == ("sad", "bored", "calm")
    other = clips(["calm", "sad", "bored"] * 4, seed=1)
    best = found.predict(MODEL_LABELS, other).argmax(axis=1)
    assert [found.labels[place] for place in best] == list(other.labels)


def test_how_often_an_emotion_was_recorded_does_not_favour_it():
    given = clips(["happy"] * 20 + ["sad"] * 4, spread=0.0)
    nothing = np.zeros((1, N_INPUTS))
    neither = Clips(("happy",), np.full((1, 3), 1 / 3), nothing)
    equal = given._replace(
        inputs=np.zeros_like(given.inputs), probabilities=np.full((24, 3), 1 / 3)
    )
    found = fit(MODEL_LABELS, equal)
    # Clips that say nothing of the emotion leave both as probable as they were.
    assert found.predict(MODEL_LABELS, neither)[0] == pytest.approx([0.5, 0.5], abs=0.01)


def test_the_order_of_the_clips_does_not_matter():
    given = clips(["happy"] * 4 + ["sad"] * 4, spread=1.0)
    order = np.random.default_rng(0).permutation(8)
    one, other = fit(MODEL_LABELS, given), fit(MODEL_LABELS, given.select(order))
    assert one.labels == other.labels
    assert np.allclose(one.weights, other.weights, atol=1e-3)
    assert np.allclose(one.bias, other.bias, atol=1e-3)


def test_one_clip_of_each_emotion_takes_the_usual_strength():
    given = clips(["happy", "sad", "calm"])
    found = fit(MODEL_LABELS, given)
    assert found.factor == 1.0
    assert found.temperature == pytest.approx(1 / 0.9, abs=1e-3)
    left_out = leave_out(MODEL_LABELS, given, found.factor)
    assert judge(MODEL_LABELS, found.labels, given, left_out) is None
    assert learning_curve(MODEL_LABELS, given) == []


def test_an_emotion_of_one_clip_is_learned_but_not_judged():
    given = clips(["happy"] * 5 + ["sad"] * 5 + ["calm"])
    found = fit(MODEL_LABELS, given)
    left_out = leave_out(MODEL_LABELS, given, found.factor)
    judged = judge(MODEL_LABELS, found.labels, given, left_out)
    assert judged is not None
    assert judged.clips == 10
    by_label = {recall.label: recall for recall in recalls(MODEL_LABELS, given, left_out)}
    assert by_label["calm"].clips == 0
    assert by_label["happy"].clips == 5
    other = clips(["calm"] * 4 + ["sad"] + ["happy"], seed=1)
    best = found.predict(MODEL_LABELS, other).argmax(axis=1)
    assert [found.labels[place] for place in best].count("calm") >= 3


def test_clips_that_say_what_the_model_says_change_little():
    # The model is right and sure, and the inputs tell nothing more.
    labels = ["happy", "sad"] * 5
    probabilities = np.array(
        [[0.01, 0.98, 0.01] if label == "happy" else [0.01, 0.01, 0.98] for label in labels]
    )
    given = Clips(tuple(labels), probabilities, np.zeros((10, N_INPUTS)))
    found = fit(MODEL_LABELS, given)
    assert np.abs(found.bias).max() < 0.05
    assert not found.weights.any()


def test_five_hundred_clips_are_taken_and_a_thousand_and_one_refused():
    given = clips(["happy", "sad", "neutral", "calm", "bored"] * 100, spread=1.0)
    found = fit(MODEL_LABELS, given)
    assert np.isfinite(found.weights).all()
    assert np.isfinite(found.bias).all()
    many = clips(["happy", "sad"] * 501)
    with pytest.raises(ProfileError, match="there are 1002 clips, but at most 1000 fit"):
        fit(MODEL_LABELS, many)


def test_clips_of_one_emotion_or_of_too_many_are_refused():
    with pytest.raises(ProfileError, match="all clips are happy: give clips of at least two"):
        fit(MODEL_LABELS, clips(["happy"] * 5))
    names = tuple(f"emotion{number}" for number in range(17))
    many = Clips(names, np.full((17, 3), 1 / 3), np.zeros((17, N_INPUTS)))
    with pytest.raises(ProfileError, match="the clips have 17 emotions, but at most 16 fit"):
        fit(MODEL_LABELS, many)
    with pytest.raises(ProfileError, match="there is no clip with speech"):
        Clips.of([])


def test_the_same_clip_under_two_labels_is_a_toss_up():
    one = clips(["happy"])
    given = Clips(
        ("happy", "sad"),
        np.full((2, 3), 1 / 3),
        np.concatenate([one.inputs, one.inputs]),
    )
    found = fit(MODEL_LABELS, given)
    assert found.predict(MODEL_LABELS, given) == pytest.approx(0.5, abs=1e-3)


def doubted(given: Clips) -> list[Doubt]:
    return doubts(MODEL_LABELS, given, leave_out(MODEL_LABELS, given, 1.0))


def test_a_swapped_label_is_doubted():
    given = clips(["happy"] * 6 + ["sad"] * 6)
    wrong = given._replace(labels=("sad", *given.labels[1:]))
    assert [(doubt.place, doubt.label) for doubt in doubted(wrong)] == [(0, "happy")]
    assert doubted(given) == []


def test_a_clip_unlike_all_others_is_doubted():
    given = clips(["happy"] * 6 + ["sad"] * 6)
    inputs = given.inputs.copy()
    inputs[3] += 3.0
    odd = given._replace(inputs=inputs)
    assert [doubt.place for doubt in doubted(odd) if doubt.label is None] == [3]


def test_the_learning_curve_rises_with_the_clips():
    given = clips(["happy", "sad", "calm"] * 6, spread=1.5)
    curve = learning_curve(MODEL_LABELS, given)
    assert [point.clips for point in curve] == [1, 2, 3, 5]
    assert curve[-1].uar > curve[0].uar
    assert learning_curve(MODEL_LABELS, given) == curve
    assert more_would_help([], 0.5) is None
    assert more_would_help(curve, curve[len(curve) // 2].uar + 0.1)
    assert not more_would_help(curve, curve[len(curve) // 2].uar)


def neutral_clips(classifier, scores):
    """Five clips that get these scores, and nothing in their embeddings."""
    n_inputs = classifier.model.n_inputs
    return Clips(("whatever",) * 5, np.tile(softmax(scores), (5, 1)), np.zeros((5, n_inputs)))


def away(classifier, distance):
    """Scores that lie so far from those that neutral clips usually get."""
    usual = np.array(classifier.model.metadata.neutral_log_probabilities)
    direction = np.array([-3.0, 0.0, 2.0, 0.0, 1.0, 0.0])
    return usual + distance * direction / np.linalg.norm(direction)


def test_neutral_clips_alone_move_a_voice_as_near_as_voices_usually_are(tmp_path):
    flatbuffer, metadata = bundled()
    metadata["neutral_log_probabilities"] = [-0.6, -3.2, -2.9, -3.8, -4.4, -5.1]
    classifier = Classifier.from_file(write(tmp_path / "model.tflite", flatbuffer, metadata))
    given = neutral_clips(classifier, away(classifier, 5.0))
    assert classifier.labels[given.probabilities[0].argmax()] == "sad"
    profile = neutral_profile(classifier.model, given)
    assert profile.labels == classifier.labels
    assert profile.clips["neutral"] == 5
    assert profile.leave_one_out is not None
    assert not profile.weights.any()
    after = profile.predict(classifier.labels, given.probabilities[0], given.inputs[0])
    assert classifier.labels[after.argmax()] == "neutral"
    assert after == pytest.approx(softmax(away(classifier, 1.6)), abs=1e-3)


def test_neutral_clips_like_those_of_others_change_nothing(classifier):
    for distance in (0.0, 1.5):
        given = neutral_clips(classifier, away(classifier, distance))
        assert not neutral_profile(classifier.model, given).bias.any()


def test_a_voice_that_was_always_neutral_becomes_less_so(classifier):
    given = neutral_clips(classifier, np.array([9.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
    profile = neutral_profile(classifier.model, given)
    after = profile.predict(classifier.labels, given.probabilities[0], given.inputs[0])
    assert 0.5 < after[0] < given.probabilities[0, 0]


def test_neutral_clips_alone_make_a_small_correction_where_others_are_not_known(tmp_path):
    flatbuffer, metadata = bundled()
    del metadata["neutral_log_probabilities"]
    classifier = Classifier.from_file(write(tmp_path / "model.tflite", flatbuffer, metadata))
    n_inputs = classifier.model.n_inputs
    rng = np.random.default_rng(0)
    sad = np.array([0.2, 0.05, 0.6, 0.05, 0.05, 0.05])
    given = Clips(
        ("whatever",) * 5,
        np.tile(sad, (5, 1)),
        np.tile(rng.standard_normal(n_inputs) / np.sqrt(n_inputs), (5, 1)),
    )
    profile = neutral_profile(classifier.model, given)
    assert profile.labels == classifier.labels
    assert profile.clips["neutral"] == 5
    assert profile.leave_one_out is not None
    after = profile.predict(classifier.labels, given.probabilities, given.inputs)[0]
    assert after[0] > sad[0] + 0.1
    # What the model is sure of, it stays sure of.
    angry = np.array([0.01, 0.01, 0.01, 0.95, 0.01, 0.01])
    after = profile.predict(classifier.labels, angry, given.inputs[0])
    assert after.argmax() == 3
    with pytest.raises(ProfileError, match="has no label ordinary"):
        neutral_profile(classifier.model, given, "ordinary")


def test_a_classifier_of_ordinary_speech_alone(classifier):
    source = Path(__file__).parents[1] / "data" / "synthetic.wav"
    heard = classifier.observe(source)
    expected = neutral_profile(classifier.model, Clips.of([(heard, "neutral")]))
    adapted = classifier.adapted([(source, "whatever")], neutral_only=True)
    assert adapted.labels == classifier.labels
    assert adapted.profile.clips == expected.clips
    assert (adapted.profile.bias == expected.bias).all()


def test_real_speech_gains(corpora):
    """A speaker that the model never heard, of a corpus that it never heard."""
    hearer = Classifier.bundled("open", gate="off")
    spoken = [c for c in corpora if (c.corpus, c.speaker) == ("nemo", "EB0")]
    labels = sorted({clip.label for clip in spoken})
    inside = [c for label in labels for c in [s for s in spoken if s.label == label][:3]]
    outside = [c for label in labels for c in [s for s in spoken if s.label == label][3:11]]
    adapted = hearer.adapted([(str(clip.path), clip.label) for clip in inside])
    assert adapted.profile is not None
    before = after = 0
    for clip in outside:
        before += _best(hearer, clip) == clip.label
        after += _best(adapted, clip) == clip.label
    assert after >= before + 2


def _best(classifier, clip):
    scores = classifier.classify(str(clip.path)).scores
    return max(scores, key=scores.get)

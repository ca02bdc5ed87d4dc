"""A profile's file: written and read again, hostile, of another model; and classifying with it."""

from __future__ import annotations

import io
import json
import pickle
from typing import Any

import numpy as np
import pytest
import soundfile

from ser_edge import Classifier
from ser_edge.adapt.profile import MAX_LABELS, LeaveOneOut, Profile, Score, rounded
from ser_edge.errors import AudioError, ModelError, ProfileError
from tests.helpers.audio import RATE, silence, voice
from tests.helpers.models import MISSING, bundled, edited, write


@pytest.fixture(scope="module")
def profile(classifier) -> Profile:
    rng = np.random.default_rng(0)
    return Profile(
        model_name=classifier.model.metadata.name,
        model_sha256=classifier.model.metadata.flatbuffer.sha256,
        labels=("sad", "happy", "calm"),
        bias=np.array([0.5, -0.25, 0.125]),
        weights=rng.standard_normal((3, classifier.model.n_inputs)).round(3),
        temperature=0.9,
        clips={"sad": 5, "happy": 5, "calm": 4},
        leave_one_out=LeaveOneOut(14, Score(0.5, 0.5, 1.5), Score(0.75, 0.7, 0.9)),
        created="2026-11-25",
    )


@pytest.fixture(scope="module")
def data(profile) -> dict[str, Any]:
    return json.loads(json.dumps(profile.to_dict()))


def read(path, content) -> Profile:
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return Profile.read(path)


def refusal(path, content) -> str:
    with pytest.raises(ProfileError) as caught:
        read(path, content)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def same(one: Profile, other: Profile) -> bool:
    return one.to_dict() == other.to_dict()


def test_written_and_read_again_it_is_the_same(profile, tmp_path):
    path = tmp_path / "voice.json"
    profile.write(path)
    assert same(Profile.read(path), profile)
    assert [file.name for file in tmp_path.iterdir()] == ["voice.json"]
    without = profile._replace(leave_one_out=None)
    without.write(path)
    assert same(Profile.read(path), without)


@pytest.mark.parametrize(("n_labels", "limit"), [(10, 50_000), (16, 57_000)])
def test_a_profile_is_small(profile, tmp_path, n_labels, limit):
    n_inputs = profile.weights.shape[1]
    labels = tuple(f"emotion{number}" for number in range(n_labels))
    full = profile._replace(
        labels=labels,
        bias=np.full(n_labels, -0.1234),
        weights=np.full((n_labels, n_inputs), -0.1234),
        clips=dict.fromkeys(labels, 5),
    )
    path = tmp_path / "voice.json"
    full.write(path)
    assert path.stat().st_size < limit
    assert same(Profile.read(path), full)


def test_a_usual_profile_is_smaller_still(profile, tmp_path):
    rng = np.random.default_rng(1)
    labels = tuple(f"emotion{number}" for number in range(MAX_LABELS))
    full = profile._replace(
        labels=labels,
        bias=rounded(rng.standard_normal(MAX_LABELS)),
        weights=rounded(rng.standard_normal((MAX_LABELS, profile.weights.shape[1])) / 50),
        clips=dict.fromkeys(labels, 5),
    )
    path = tmp_path / "voice.json"
    full.write(path)
    assert path.stat().st_size < 50_000
    found = Profile.read(path)
    assert np.array_equal(found.weights, full.weights)
    assert same(found, full)


@pytest.mark.parametrize("largest", [0.0, 1e-15, 0.0099996, 0.99999, 1.0, 12.344, 9999.0])
def test_rounding_once_more_changes_nothing(largest):
    values = rounded(np.linspace(-largest, largest, 7))
    assert np.abs(values - np.linspace(-largest, largest, 7)).max() <= max(largest / 1999, 1e-12)
    assert np.array_equal(rounded(values), values)


def test_the_first_format_is_read(profile, data, tmp_path):
    first = {**data, "format": 1, "weights": profile.weights.tolist()}
    del first["scale"]
    found = read(tmp_path / "p.json", first)
    assert np.array_equal(found.weights, profile.weights)
    assert "scale: unknown" in refusal(tmp_path / "p.json", {**first, "scale": 10})


@pytest.mark.parametrize(
    "path",
    [
        "format", "model", "model.name", "model.sha256", "labels", "clips", "clips.sad",
        "temperature", "bias", "scale", "weights", "created", "leave_one_out.before",
        "leave_one_out.after.uar",
    ],
)  # fmt: skip
def test_what_is_missing_is_named(data, tmp_path, path):
    assert f"{path} is missing" in refusal(tmp_path / "p.json", edited(data, path, MISSING))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("format", 0), ("format", "1"), ("model", []), ("labels", ["sad"]),
        ("labels", ["sad", "sad", "calm"]), ("labels", [1, 2, 3]), ("labels", "sad"),
        ("labels", ["sad", "a\x1b[2J", "calm"]), ("clips", None), ("clips.sad", -1),
        ("clips.sad", 1.5), ("temperature", 0), ("temperature", "hot"), ("bias", [1, 2]),
        ("bias", [1e9, 0, 0]), ("bias", [None, 0, 0]), ("weights", []),
        ("weights", [[1], [1, 2], [1]]), ("weights", {"sad": [1]}), ("weights", [[1e9]] * 3),
        ("scale", 0), ("scale", "1"),
        ("weights", [["1"]] * 3), ("created", ""), ("created", 5), ("leave_one_out", 1),
        ("leave_one_out.after.uar", 1.5), ("leave_one_out.clips", 0),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence(data, tmp_path, path, value):
    assert "\x1b" not in refusal(tmp_path / "p.json", edited(data, path, value))


@pytest.mark.parametrize("weights", [[[], [], []], [[0.5], [0.5], [0.5]]])
def test_a_profile_of_another_embedding_is_refused(data, tmp_path, classifier, weights):
    found = read(tmp_path / "p.json", {**data, "weights": weights})
    with pytest.raises(ProfileError, match="weights for each emotion"):
        Classifier(classifier.model, profile=found)


@pytest.mark.parametrize("place", ["", "model", "clips", "leave_one_out", "leave_one_out.before"])
def test_what_is_unknown_is_named(data, tmp_path, place):
    path = f"{place}.speed".lstrip(".")
    assert "speed: unknown to this ser-edge" in refusal(tmp_path / "p.json", edited(data, path, 2))


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"{", b'{"format": NaN}', b"[" * 100_000, bytes(range(256))]
)
def test_what_is_no_profile_is_refused(tmp_path, content):
    refusal(tmp_path / "p.json", content)


def test_a_file_that_is_cut_anywhere_is_refused(data, tmp_path):
    text = json.dumps(data).encode()
    for length in range(0, len(text) - 1, 997):
        refusal(tmp_path / "p.json", text[:length])


def test_a_huge_file_is_not_read(tmp_path):
    path = tmp_path / "p.json"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ProfileError, match="larger than"):
        Profile.read(path)


def test_a_missing_file_and_a_newer_format_are_refused(data, tmp_path):
    with pytest.raises(ProfileError, match="cannot read the profile"):
        Profile.read(tmp_path / "none.json")
    assert "upgrade ser-edge" in refusal(tmp_path / "p.json", {**data, "format": 3})


def test_another_model_refuses_it(profile):
    with pytest.raises(ProfileError, match="made for another model \\(default\\) than this open"):
        Classifier.bundled("open", profile=profile)


def test_a_model_of_format_1_says_that_it_cannot_be_adapted(profile, tmp_path):
    flatbuffer, metadata = bundled()
    for key in ("embedding", "utterance_embedding"):
        del metadata[key]
    from tests.helpers.models import one_output

    path = write(tmp_path / "old.tflite", one_output(flatbuffer), {**metadata, "format": 1})
    old = Classifier.from_file(path)
    new = Classifier.bundled(accept_unfamiliar=True)
    assert old.classify_samples(voice(3.0), RATE) == new.classify_samples(voice(3.0), RATE)
    sentence = "the model default gives no embedding, so it cannot be adapted: convert it again"
    for use in (
        lambda: Classifier.from_file(path, profile=profile),
        lambda: old.embed(_wav(voice(3.0))),
        lambda: old.adapted([(_wav(voice(3.0)), "sad")]),
    ):
        with pytest.raises(ModelError, match=sentence):
            use()


def _wav(samples) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


def test_a_window_gets_the_probabilities_of_the_profile(classifier, profile):
    adapted = Classifier(classifier.model, threshold=0, profile=profile)
    assert adapted.labels == profile.labels
    samples = voice(3.0)
    result = adapted.classify_samples(samples, RATE)
    observed = classifier.observe_samples(samples, RATE)
    base = np.log(observed.probabilities * 6)
    scores = np.array([base[2], base[1], 0.0]) + profile.bias + profile.weights @ observed.inputs
    expected = np.exp(scores / 0.9) / np.exp(scores / 0.9).sum()
    assert list(result.scores) == ["sad", "happy", "calm"]
    assert list(result.scores.values()) == pytest.approx(expected.tolist(), rel=1e-9)
    assert sum(result.scores.values()) == pytest.approx(1)


def test_a_profile_without_weight_restricts_the_labels_and_no_more(classifier, profile):
    nothing = profile._replace(
        labels=classifier.labels,
        bias=np.zeros(6),
        weights=np.zeros((6, classifier.model.n_inputs)),
        temperature=1.0,
    )
    plain = Classifier(classifier.model, accept_unfamiliar=True).classify_samples(voice(3.0), RATE)
    adapted = Classifier(classifier.model, profile=nothing).classify_samples(voice(3.0), RATE)
    assert adapted.label == plain.label
    assert list(adapted.scores.values()) == pytest.approx(list(plain.scores.values()))


def test_results_do_not_depend_on_chunks_or_on_what_was_before(classifier, profile):
    adapted = Classifier(classifier.model, profile=profile)
    samples = np.concatenate([voice(9.0), silence(5.0), voice(3.0)])
    whole = list(adapted.stream(RATE).through([samples]))
    for length in (160, 4001, 70_000):
        chunks = [samples[start : start + length] for start in range(0, samples.size, length)]
        assert list(adapted.stream(RATE).through(chunks)) == whole
    again = adapted.classify_samples(voice(3.0), RATE)
    assert adapted.classify_samples(voice(3.0), RATE) == again
    assert len({result.reason for result in whole}) > 1


def test_a_long_recording_is_the_mean_of_its_windows(classifier, profile):
    adapted = Classifier(classifier.model, threshold=0, profile=profile)
    samples = voice(9.0)
    windows = [r for r in adapted.stream(RATE).through([samples]) if r.scores]
    mean = np.mean([list(r.scores.values()) for r in windows], axis=0)
    result = adapted.classify_samples(samples, RATE)
    assert list(result.scores.values()) == pytest.approx(mean.tolist())


def test_silence_stays_silence(classifier, profile):
    adapted = Classifier(classifier.model, profile=profile)
    result = adapted.classify_samples(silence(3.0), RATE)
    assert (result.label, result.reason, result.scores) == (None, "silence", None)


def test_it_may_be_pickled(classifier, profile):
    adapted = pickle.loads(pickle.dumps(Classifier(classifier.model, profile=profile)))
    assert adapted.classify_samples(voice(3.0), RATE) == Classifier(
        classifier.model, profile=profile
    ).classify_samples(voice(3.0), RATE)


def test_a_path_is_as_good_as_a_profile(classifier, profile, tmp_path):
    path = tmp_path / "voice.json"
    profile.write(path)
    assert Classifier.bundled(profile=path).classify_samples(voice(3.0), RATE) == Classifier(
        classifier.model, profile=profile
    ).classify_samples(voice(3.0), RATE)


def test_embeddings_are_those_of_the_network(classifier):
    embedding = classifier.embed(_wav(voice(3.0)))
    assert (embedding.shape, embedding.dtype) == ((128,), np.float32)
    assert (embedding >= 0).all()  # after a ReLU
    assert embedding.any()
    utterance = classifier.embed(_wav(voice(3.0)), utterance=True)
    assert (utterance.shape, utterance.dtype) == ((448,), np.float32)
    with pytest.raises(AudioError, match="no embedding: silence"):
        classifier.embed(_wav(silence(3.0)))


def test_the_embedding_of_a_long_recording_is_the_mean_of_its_windows(classifier):
    samples = voice(9.0)
    window, hop = 4 * RATE, 2 * RATE
    pieces = [samples[start : start + window] for start in range(0, 5 * RATE + 1, hop)]
    pieces.append(samples[6 * RATE :])
    parts = [classifier.observe_samples(piece, RATE) for piece in pieces]
    mean = np.mean([part.embedding for part in parts if not isinstance(part, str)], axis=0)
    assert classifier.embed(_wav(samples)) == pytest.approx(mean, abs=1e-5)


def test_embeddings_cost_no_probability_a_bit(tmp_path, classifier):
    """The model with one output, as it was before, says the same."""
    flatbuffer, metadata = bundled()
    from tests.helpers.models import one_output

    plain = {**metadata, **dict.fromkeys(("embedding", "utterance_embedding", "familiarity"))}
    path = write(tmp_path / "plain.tflite", one_output(flatbuffer), plain)
    accepting = Classifier(classifier.model, accept_unfamiliar=True)
    for seconds in (0.5, 2.0, 9.0):
        assert Classifier.from_file(path).classify_samples(
            voice(seconds), RATE
        ) == accepting.classify_samples(voice(seconds), RATE)

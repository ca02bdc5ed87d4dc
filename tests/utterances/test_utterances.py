"""Utterances: where speech is cut, whatever the chunks, and what a summary tells of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from ser_edge import Result
from ser_edge.utterances.segments import Segmenter
from ser_edge.utterances.summary import Summarizer, summarize
from tests.helpers.audio import RATE, noise, silence, voice

WINDOW = 4 * RATE


def spans(samples, chunk=RATE):
    """Start and end of the utterances, in seconds."""
    segmenter = Segmenter(WINDOW, RATE)
    found = [
        window
        for start in range(0, samples.size, chunk)
        for window in segmenter.push(samples[start : start + chunk])
    ]
    found += segmenter.flush()
    for start, cut in found:
        np.testing.assert_array_equal(cut, samples[start : start + cut.size])
    return [(start / RATE, (start + cut.size) / RATE) for start, cut in found]


def test_boundaries_of_voices_between_pauses():
    parts, truth, at = [], [], 0.0
    for seconds in (2.0, 3.0, 1.5, 2.5):
        parts += [silence(1.5), voice(seconds)]
        truth.append((at + 1.5, at + 1.5 + seconds))
        at += 1.5 + seconds
    for level in (0.0, 0.01):
        samples = np.concatenate([*parts, silence(2.0)])
        samples += noise(samples.size, level=level)
        np.testing.assert_allclose(spans(samples), truth, atol=0.25)


@pytest.mark.parametrize("chunk", [1601, 16_000, 1 << 20])
def test_chunks_change_nothing(chunk):
    samples = np.concatenate([voice(9.0), silence(1.0), voice(0.5), noise(3 * RATE), voice(2.0)])
    assert spans(samples, chunk) == spans(samples, 777)


def test_utterances_fit_the_window_and_do_not_overlap():
    found = spans(np.concatenate([voice(30.0), silence(1.0), voice(5.0)]))
    assert max(end - start for start, end in found) <= 4.0
    assert all(end <= start for (_, end), (start, _) in zip(found, found[1:]))
    assert sum(end - start for start, end in found) > 33.0  # nothing of the speech is lost


def test_short_utterances_are_joined_to_a_near_neighbour():
    near = np.concatenate([silence(1.0), voice(0.6), silence(0.45), voice(1.5), silence(1.0)])
    far = np.concatenate([silence(1.0), voice(0.6), silence(0.9), voice(1.5), silence(1.0)])
    assert (len(spans(near)), len(spans(far))) == (1, 2)


@pytest.mark.parametrize("samples", [silence(5.0), noise(5 * RATE), silence(0.01)])
def test_no_utterance_in_silence_and_noise(samples):
    assert spans(samples) == []


def test_hours_in_bounded_memory():
    """Whatever comes, only some seconds of it are held."""
    segmenter = Segmenter(WINDOW, RATE)
    held = []
    for number in range(300):
        kind = number // 100
        second = (silence(1.0), voice(1.0), noise(RATE, seed=number))[kind]
        for _ in segmenter.push(second):
            pass
        held.append(sum(chunk.size for chunk in segmenter._samples))
    assert max(held) < 16 * RATE


def test_utterances_of_files_and_streams_are_the_same(tmp_path, ungated):
    samples = np.concatenate([silence(1.0), voice(2.0), silence(1.0), voice(3.0)])
    path = tmp_path / "voices.wav"
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    results = list(ungated.utterances(path))
    assert len(results) == 2
    assert all(result.scores is not None for result in results)
    stream = ungated.utterance_stream(RATE)
    pushed = [r for at in range(0, samples.size, 999) for r in stream.push(samples[at : at + 999])]
    assert pushed + stream.flush() == results


def test_an_array_is_refused(classifier):
    with pytest.raises(TypeError, match="path, bytes or a binary file"):
        classifier.utterances(np.zeros(RATE))


def test_a_summary_tells_times_and_shares(tmp_path, ungated):
    samples = np.concatenate([silence(1.0), voice(2.0), silence(5.0), voice(3.0), silence(1.0)])
    path = tmp_path / "voices.wav"
    soundfile.write(path, samples, RATE)
    summary = ungated.summarize(path)
    results = list(ungated.utterances(path))
    assert summary == summarize(results, ungated.labels, 12.0)
    assert summary.duration == 12.0
    assert summary.speaking == pytest.approx(sum(r.end - r.start for r in results))
    assert sum(summary.shares.values()) + summary.uncertain == pytest.approx(1.0)
    assert sum(part.speaking for part in summary.changes) == pytest.approx(summary.speaking)
    assert summary.label in ungated.labels
    assert json.loads(json.dumps(summary.to_dict()))["utterances"] == 2


def test_a_summary_of_nothing():
    summary = Summarizer(["happy", "sad"]).summary(5.0)
    assert (summary.speaking, summary.label, summary.uncertain) == (0.0, None, 0.0)
    assert [part.end for part in summary.changes] == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_the_strongest_passages_and_few_stretches_of_a_long_recording():
    summarizer = Summarizer(["sad"])
    for number in range(10_000):
        p = 0.5 + (number % 1000) / 4000
        summarizer.add(Result("sad", p, {"sad": p}, 3.0 * number, 3.0 * number + 2.0))
    summary = summarizer.summary(30_000.0)
    assert [passage.start for passage in summary.passages["sad"]] == [2997.0, 5997.0, 8997.0]
    assert 20 <= len(summary.changes) <= 40
    assert summary.speaking == pytest.approx(20_000.0)

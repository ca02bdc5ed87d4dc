"""Live audio becomes the results of a stream; no window reaches over lost audio."""

from __future__ import annotations

import numpy as np

from ser_edge.live.source import Chunk, Format, results
from tests.helpers.audio import RATE, voice

FORMAT = Format(RATE, 1, "int16")


def coded(samples: np.ndarray) -> bytes:
    return np.rint(samples * 32767).astype("<i2").tobytes()


def test_chunks_give_the_results_of_a_stream(classifier):
    data = coded(voice(9.5))
    chunks = [Chunk(data[at : at + 999], FORMAT) for at in range(0, len(data), 999)]
    stream = classifier.stream(RATE, hop=1.0)
    assert list(results(chunks, classifier, hop=1.0)) == [*stream.push(data), *stream.flush()]


def test_no_window_reaches_over_lost_audio(classifier):
    data = bytes(2 * RATE)
    seconds = [Chunk(data, FORMAT)] * 5
    found = list(results([*seconds, Chunk(data, FORMAT, 60.0), *seconds], classifier, hop=4.0))
    assert [(r.start, r.end) for r in found] == [(0, 4), (4, 5), (60, 64), (64, 66)]


def test_a_new_format_begins_a_new_stream(classifier):
    other = Format(48_000, 2, "int16")
    chunks = [Chunk(bytes(2 * RATE), FORMAT), Chunk(bytes(4 * 48_000 * 2), other, 30.0)]
    assert [(r.start, r.end) for r in results(chunks, classifier)] == [(0, 1), (30, 32)]

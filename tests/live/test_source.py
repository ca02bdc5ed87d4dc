"""Live audio becomes the results of a stream; no window reaches over lost audio."""

from __future__ import annotations

import numpy as np
import pytest

from ser_edge import Result
from ser_edge.audio.pcm import Format
from ser_edge.live.source import Chunk, results, told
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


def every_second(labels: str) -> list[Result]:
    """A result of four seconds every second; a dot is silence, u uncertain."""
    reasons = {".": "silence", "u": "uncertain"}
    return [
        Result(None if one in reasons else one, None, None, at, at + 4.0, reasons.get(one))
        for at, one in enumerate(labels)
    ]


@pytest.mark.parametrize(
    ("labels", "options", "expected"),
    [
        ("aabb", {}, "0a 1a 2b 3b"),
        ("aab.u.aa", {"only_changes": True}, "0a 2b 3. 4u 5. 6a"),
        # An emotion must last: a flicker of two seconds is none, nor is what it interrupts anew.
        ("aaaabbaaaabbbb", {"hold": 2, "only_changes": True}, "2a 12b"),
        ("aaaabbaaaa", {"hold": 2}, "2a 3a 8a 9a"),
        ("abababab", {"hold": 1}, ""),
        ("aaa...bbb", {"hold": 2, "only_changes": True}, "2a 5. 8b"),
        ("aaaaaaa", {"cooldown": 3}, "0a 3a 6a"),
        # What lasts beyond the cooldown is told when it ends.
        ("abbbbbb", {"cooldown": 3, "only_changes": True}, "0a 3b"),
        ("abaaaaa", {"cooldown": 3, "only_changes": True}, "0a"),
        ("aabbccdd", {"hold": 1, "cooldown": 4, "only_changes": True}, "1a 5c"),
        ("", {"hold": 1}, ""),
    ],
)
def test_what_is_told(labels, options, expected):
    found = told(every_second(labels), **options)
    reasons = {"silence": ".", "uncertain": "u"}
    shown = [f"{r.start}{r.label or reasons[r.reason or '']}" for r in found]
    assert " ".join(shown) == expected

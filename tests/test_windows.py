from __future__ import annotations

import numpy as np
import pytest

from ser_edge.stream import Windower


def cut(
    size: int, *, length: int, hop_length: int, pieces: int = 1
) -> list[tuple[int, list[float]]]:
    """Starts and contents of the windows of the samples 0, 1, 2, ... pushed in equal pieces."""
    windower = Windower(length, hop_length)
    samples = np.arange(size, dtype=np.float32)
    windows = [
        window for piece in np.array_split(samples, pieces) for window in windower.push(piece)
    ]
    windows.extend(windower.flush())
    return [(window.start, window.samples.tolist()) for window in windows]


@pytest.mark.parametrize(
    ("size", "hop_length", "expected"),
    [
        (0, 2, []),
        (1, 2, [(0, 1)]),
        (3, 2, [(0, 3)]),
        (4, 2, [(0, 4)]),  # one window to the sample: no tail
        (5, 2, [(0, 4), (2, 3)]),
        (6, 2, [(0, 4), (2, 4)]),
        (7, 2, [(0, 4), (2, 4), (4, 3)]),
        (8, 4, [(0, 4), (4, 4)]),
        (9, 4, [(0, 4), (4, 4), (8, 1)]),
        (9, 6, [(0, 4), (6, 3)]),  # two samples in no window
        (6, 6, [(0, 4)]),
        (5, 6, [(0, 4)]),
        (7, 6, [(0, 4), (6, 1)]),
        (6, 1, [(0, 4), (1, 4), (2, 4)]),
    ],
)
def test_starts_and_sizes(size: int, hop_length: int, expected: list[tuple[int, int]]) -> None:
    windows = cut(size, length=4, hop_length=hop_length)
    assert windows == [
        (start, [float(n) for n in range(start, start + length)]) for start, length in expected
    ]


@pytest.mark.parametrize("hop_length", [1, 3, 10, 17, 100])
@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 117, 250])
def test_the_pieces_do_not_matter(size: int, hop_length: int) -> None:
    whole = cut(size, length=10, hop_length=hop_length)
    for pieces in (2, 7, 100, 300):  # also empty ones
        assert cut(size, length=10, hop_length=hop_length, pieces=pieces) == whole


@pytest.mark.parametrize("hop_length", [1, 3, 10])
def test_every_sample_is_in_a_window(hop_length: int) -> None:
    for size in range(1, 40):
        windows = cut(size, length=10, hop_length=hop_length)
        heard = {sample for _, samples in windows for sample in samples}
        assert heard == set(range(size))
        assert all(samples for _, samples in windows)


def test_windows_are_the_caller_s_own() -> None:
    windower = Windower(4, 2)
    first, second = windower.push(np.arange(6, dtype=np.float32))
    first.samples[:] = 99
    assert second.samples.tolist() == [2, 3, 4, 5]
    (third,) = windower.push(np.arange(6, 8, dtype=np.float32))
    assert third.samples.tolist() == [4, 5, 6, 7]


def test_windows_come_as_soon_as_they_are_whole() -> None:
    windower = Windower(4, 4)
    assert list(windower.push(np.zeros(3, np.float32))) == []
    assert len(list(windower.push(np.zeros(1, np.float32)))) == 1


def test_flushing_twice_gives_nothing_twice() -> None:
    windower = Windower(4, 2)
    list(windower.push(np.zeros(3, np.float32)))
    assert len(list(windower.flush())) == 1
    assert list(windower.flush()) == []

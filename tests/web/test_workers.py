"""Workers and their queue."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from ser_edge import Classifier, ModelError
from ser_edge.model_file import bundled_path
from ser_edge.web.work.pool import Busy, Pool, WorkerLost
from ser_edge.web.work.worker import Settings
from tests.helpers.audio import voice
from tests.helpers.serving import RECORDING

SETTINGS = Settings(model=str(bundled_path()))
REFERENCE = {"job": "reference"}


@pytest.fixture
def held() -> Iterator[tuple[Pool, threading.Event]]:
    """A pool whose thread is held up by its first job."""
    pool = Pool(SETTINGS, 0, max_waiting=4, report=print)
    release, began = threading.Event(), threading.Event()

    class Slow(io.RawIOBase):
        name = "slow"

        def read(self, size: int = -1) -> bytes:
            began.set()
            release.wait(30)
            return b""

    pool.submit({"job": "outcome"}, [Slow()])
    assert began.wait(30)
    yield pool, release
    release.set()
    pool.close()


def test_who_asks_for_the_first_time_need_not_wait_for_all(
    held: tuple[Pool, threading.Event],
) -> None:
    pool, release = held
    order: list[str] = []
    waiting = [pool.submit(REFERENCE) for _ in range(3)]
    for number, future in enumerate(waiting):
        future.add_done_callback(lambda _, n=number: order.append(str(n)))
    pool.submit(REFERENCE, soon=True).add_done_callback(lambda _: order.append("new"))
    release.set()
    assert waiting[-1].result(30).error is None
    assert order == ["new", "0", "1", "2"]


def test_too_many_are_refused_but_live_audio_is_not(held: tuple[Pool, threading.Event]) -> None:
    pool, release = held
    jobs = [pool.submit(REFERENCE) for _ in range(4)]
    assert pool.waiting == 4
    with pytest.raises(Busy):
        pool.submit(REFERENCE)
    live = pool.submit(REFERENCE, live=True)
    jobs[0].cancel()  # its client went away
    release.set()
    assert live.result(30).payload == jobs[-1].result(30).payload


def test_a_worker_that_takes_too_long_is_replaced() -> None:
    said: list[str] = []
    pool = Pool(SETTINGS, 1, max_seconds=0.5, report=said.append)
    try:
        worker = pool._workers[0]._process.pid
        os.kill(worker, signal.SIGSTOP)
        with pytest.raises(WorkerLost, match="took too long"):
            pool.submit(REFERENCE).result(30)
        again = pool.submit({"job": "outcome"}, [io.BytesIO(voice(4.0).tobytes())])
        assert again.result(60).error is None
        assert said == ["a worker is replaced: the recording took too long"]
        assert pool.lost == 1
    finally:
        pool.close()


@pytest.mark.parametrize("size", [0, 1])
def test_a_model_that_is_none_is_one_error(size: int) -> None:
    with pytest.raises(ModelError, match="No such file"):
        Pool(SETTINGS._replace(model="/no/model.tflite"), size, report=print)


def test_windows_are_those_of_the_classifier(classifier: Classifier) -> None:
    pool = Pool(SETTINGS, 1, report=print)
    try:
        samples = voice(4.0)
        expected = classifier._window.outcome(samples)
        assert np.array_equal(pool.outcome(samples, None), expected)
        assert pool.outcome(np.zeros(64_000, np.float32), None) == "silence"
        whole = {"job": "classify", "file": "a.wav", "origin": {}}
        # Pieces that are full to the byte, and one that is not.
        for size in (RECORDING.stat().st_size, 1 << 18, (1 << 18) + 1, 1 << 19):
            body = RECORDING.read_bytes().ljust(size, b"\0")[:size]
            answer = pool.submit(whole, [io.BytesIO(body)]).result(60)
            assert answer.error is None, answer.payload
            several = pool.submit(
                {"job": "profile", "clips": [{"file": "a", "label": "sad"}] * 2},
                [io.BytesIO(body), io.BytesIO(body)],
            ).result(60)
            assert several.error == "audio"
            assert b"at least two emotions" in several.payload
    finally:
        pool.close()

"""Several processes give what one gives, in the same order, whatever happens to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ser_edge import Classifier
from ser_edge.archive.pool import MAX_DEATHS, outcomes
from ser_edge.archive.worker import Outcome, Worker
from ser_edge.errors import DependencyError
from tests.helpers.audio import RATE, voice

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


@pytest.fixture
def clips(tmp_path: Path) -> list[str]:
    """Ten recordings of different lengths, of which the last two are none."""
    paths = [tmp_path / f"{number}.wav" for number in range(10)]
    for number, path in enumerate(paths[:8]):
        soundfile.write(path, voice(3.0 - 0.3 * number), RATE)
    paths[8].write_bytes(b"no audio")
    return [str(path) for path in paths]


class Fake(Worker):
    """A worker that does what a file's name says; no model is needed."""

    def __init__(self) -> None:
        pass

    def __reduce__(self) -> tuple[Any, ...]:
        return Fake, ()  # where processes are spawned, as beside the threads of other tests

    def outcome(self, file: str, on_chunk: Any = None) -> Outcome:
        name = file.partition(":")[0]
        if name == "slow":
            time.sleep(0.05)
        elif name == "poison" or (name == "unlucky" and not _once(file)):
            os.kill(os.getpid(), signal.SIGKILL)
        elif name == "missing":
            raise DependencyError("no soundfile")
        return Outcome(file, [])


def _once(file: str) -> bool:
    """Whether this was asked before, in whichever process."""
    path = file.partition(":")[2]
    if os.path.exists(path):
        return True
    Path(path).touch()
    return False


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("windows", [False, True])
def test_equals_one_process(
    classifier: Classifier, clips: list[str], jobs: int, windows: bool
) -> None:
    worker = Worker(classifier, windows=windows, hop=0.5)
    assert list(outcomes(worker, clips, jobs)) == [worker.outcome(clip) for clip in clips]


def test_outcomes_as_they_are_ready_are_the_same() -> None:
    files = [f"{kind}:{number}" for number in range(20) for kind in ("slow", "fast")]
    found = [outcome.file for outcome in outcomes(Fake(), files, 2, ordered=False)]
    assert sorted(found) == sorted(files)
    assert found != files


def test_the_order_is_kept() -> None:
    files = [f"{'slow' if number % 7 == 0 else 'fast'}:{number}" for number in range(50)]
    assert [outcome.file for outcome in outcomes(Fake(), files, 3)] == files


def test_more_processes_than_files_and_no_files() -> None:
    assert [outcome.file for outcome in outcomes(Fake(), ["a"], 8)] == ["a"]
    assert list(outcomes(Fake(), [], 8)) == []


@pytest.mark.parametrize("ordered", [True, False])
def test_a_file_that_kills_its_process_is_reported_and_left(ordered: bool, tmp_path: Path) -> None:
    files = ["a", f"unlucky:{tmp_path}/once", "poison", "b", "poison:2", "c"]
    found = sorted(outcomes(Fake(), files, 2, ordered=ordered))
    assert [outcome.file for outcome in found] == sorted(files)
    errors = {outcome.file: outcome.error for outcome in found if outcome.error}
    assert errors == {
        name: f"{name}: ended {MAX_DEATHS} processes that read it (SIGKILL)"
        for name in ("poison", "poison:2")
    }


def test_a_missing_package_ends_all() -> None:
    with pytest.raises(DependencyError, match="no soundfile"):
        list(outcomes(Fake(), ["a", "missing", "b"], 2))


def test_files_are_taken_as_they_are_needed() -> None:
    taken = []

    def endless() -> Any:
        for number in range(10**9):
            taken.append(number)
            yield str(number)

    work = outcomes(Fake(), endless(), 2)
    assert [next(work).file for _ in range(5)] == list("01234")
    work.close()
    assert len(taken) < 20_000


def test_children_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """Also in the middle of a recording of many hours."""
    soundfile.write(tmp_path / "long.wav", np.tile(voice(10.0, 8000), 360), 8000)
    code = f"""
import multiprocessing, sys, threading, time
from ser_edge import Classifier
from ser_edge.archive.pool import outcomes
from ser_edge.archive.worker import Worker
def tell():
    while not multiprocessing.active_children():
        time.sleep(0.01)
    time.sleep(0.5)  # into the recording
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)
threading.Thread(target=tell).start()
list(outcomes(Worker(Classifier.bundled()), [{str(tmp_path / "long.wav")!r}], 1))
"""
    parent = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    children = [int(word) for word in parent.stdout.readline().split()]
    parent.kill()
    parent.wait()
    assert children
    deadline = time.monotonic() + 30
    while any(_alive(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_alive(child) for child in children)


def _alive(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"

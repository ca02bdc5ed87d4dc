"""Whatever becomes of a child process, its caller gets a result or one sentence."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from ser_edge.convert.export import sandbox
from ser_edge.errors import DependencyError, ModelError

GIGABYTE = 2**30


@pytest.fixture(autouse=True)
def bad_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the children import the module of this name."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2] / "helpers"))


def run(name: str, scratch: Path, time_limit: float | None = 60.0, **arguments: Any) -> Any:
    return sandbox.run(
        f"bad_jobs.{name}", arguments, scratch, time_limit=time_limit, memory_limit=GIGABYTE
    )


def test_a_result(tmp_path: Path) -> None:
    assert run("succeed", tmp_path / "new" / "folder", number=21) == {"double": 42}


@pytest.mark.parametrize(
    ("name", "error", "sentence"),
    [
        ("refuse", ModelError, "^the model is blue$"),
        ("lack", DependencyError, "^a package is missing$"),
        ("stumble", ModelError, "failed: KeyError: 'no such key'$"),
        ("leave", ModelError, "failed: something odd$"),
    ],
)
def test_errors(tmp_path: Path, name: str, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        run(name, tmp_path)


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (signal.SIGSEGV, r"^painting crashed TensorFlow \(SIGSEGV\): use another brush$"),
        (signal.SIGABRT, r"^painting crashed TensorFlow \(SIGABRT\): use another brush$"),
        (signal.SIGKILL, r"^painting was killed, .* memory runs out \(SIGKILL\): use another"),
    ],
)
def test_ends_by_a_signal(tmp_path: Path, number: int, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        run("end_by", tmp_path, number=int(number))


def test_a_child_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(ModelError, match=r"^painting took longer than 5 s and was stopped: use an"):
        run("hang", tmp_path, time_limit=5.0)
    assert time.monotonic() - start < 50  # and not the minute that it would have slept
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        deadline = time.monotonic() + 10
        while is_running(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not is_running(pid)


def is_running(pid: int) -> bool:
    """Whether a process is there and is more than an entry that nobody has collected yet."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


def test_too_much_memory(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"^painting needs over 1 GB of memory: use another brush$"
    ):
        run("eat", tmp_path)


def test_too_much_memory_in_tensorflow(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    with pytest.raises(
        ModelError, match=r"^painting needs over 1 GB of memory: use another brush$"
    ):
        run("eat_with_tensorflow", tmp_path)

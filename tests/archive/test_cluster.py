"""A cluster of Dask on this machine: every file exactly once, whatever happens to its workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

from ser_edge import Classifier, archive
from ser_edge.archive.table import OutputError
from ser_edge.archive.worker import Outcome, Worker
from tests.helpers.audio import RATE, voice

distributed = pytest.importorskip("distributed", reason="NO CLUSTER TESTED: there is no Dask")
parquet = pytest.importorskip("pyarrow.parquet", reason="NO CLUSTER TESTED: no pyarrow")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of Dask, about ports and time
]


class Fake(Worker):
    """Does what a file's name says, in a process of the cluster."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Fake, (self.classifier,)

    def outcome(self, file: str, on_chunk: Any = None) -> Outcome:
        kind = file.partition(":")[0]
        if kind == "slow":
            time.sleep(0.2)
        return Outcome(file, [self._result])

    @property
    def _result(self) -> Any:
        from ser_edge import Result

        return Result(None, None, None, 0.0, 1.0, "silence")


@pytest.fixture
def cluster() -> Iterator[Any]:
    options = {
        "distributed.scheduler.allowed-failures": 2,
        "distributed.worker.memory.terminate": 0.9,
    }
    import dask

    with (
        dask.config.set(options),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            memory_limit="600MB",
        ) as made,
    ):
        yield made


def rows(output: Path) -> list[dict[str, Any]]:
    return sorted(parquet.read_table(output).to_pylist(), key=lambda row: row["file"])


def test_a_cluster(cluster: Any, tmp_path: Path, classifier: Classifier) -> None:
    """One after the other in one cluster, for one takes seconds to start."""
    with distributed.Client(cluster) as client:
        the_same_answers_as_one_process(client, tmp_path / "plain", classifier)
        a_worker_killed_under_load(client, tmp_path / "killed", classifier)


def the_same_answers_as_one_process(client: Any, folder: Path, classifier: Classifier) -> None:
    folder.mkdir()
    files = [folder / f"{number}.wav" for number in range(7)]
    for number, path in enumerate(files[:5]):
        soundfile.write(path, voice(1.0 + 0.5 * number), RATE)
    files[5].write_bytes(b"RIFF")
    names = [str(path) for path in files]
    output = folder / "results"
    done: list[int] = []
    summary = archive.classify_files(
        names[:6],
        client,
        str(output),
        partition_seconds=3.0,
        on_done=lambda count, *_: done.append(count),
    )
    assert summary == (6, 1)
    assert len(done) > 2
    assert sum(done) == 6
    worker = Worker(classifier)
    expected = [worker.outcome(name) for name in names]
    for row, outcome in zip(rows(output), expected):
        assert (row["file"], row["error"]) == (outcome.file, outcome.error)
        for result in outcome.results:
            assert {label: row[label] for label in classifier.labels} == result.scores
            assert (row["label"], row["end"]) == (result.label, result.end)
    # Go on: one new file, one that was an error.
    with pytest.raises(OutputError, match="--resume goes on"):
        archive.classify_files(names, client, str(output))
    soundfile.write(files[6], voice(2.0), RATE)
    assert archive.classify_files(names, client, str(output), resume=True) == (7, 1)
    soundfile.write(files[5], voice(2.0), RATE)
    summary = archive.classify_files(names, client, str(output), resume=True, retry_errors=True)
    assert summary == (7, 0)
    assert [row["file"] for row in rows(output)] == names
    other = Worker(classifier, windows=True)
    with pytest.raises(OutputError, match="other settings"):
        archive.classify_files(names, client, str(output), worker=other, resume=True)


def a_worker_killed_under_load(client: Any, folder: Path, classifier: Classifier) -> None:
    files = [f"slow:{number:03}" for number in range(40)]

    def kill() -> None:
        for _ in range(2):
            time.sleep(1.0)
            pids = list(client.run(os.getpid).values())
            os.kill(pids[0], signal.SIGKILL)

    killing = threading.Thread(target=kill)
    killing.start()
    summary = archive.classify_files(
        files, client, str(folder), worker=Fake(classifier), partition_seconds=1e-9
    )
    killing.join()
    assert summary == (40, 0)
    assert [row["file"] for row in rows(folder)] == files


def test_a_scheduler_that_restarts(tmp_path: Path) -> None:
    """The command waits for it, and goes on."""
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    names = [f"{number:03}.wav" for number in range(60)]
    for name in names:
        soundfile.write(recordings / name, voice(3.0), RATE)
    address = "tcp://127.0.0.1:18786"
    code = "from distributed.cli.dask_{0} import main; main()"

    def start(part: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", code.format(part), *options]
        return subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def both() -> list[subprocess.Popen[bytes]]:
        port = ["--host", "127.0.0.1", "--port", "18786", "--no-dashboard"]
        return [
            start("scheduler", *port),
            start("worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny"),
        ]

    processes = both()
    output = tmp_path / "results"
    command = [sys.executable, "-m", "ser_edge", "classify", str(recordings), "-o", str(output)]
    environment = {**os.environ, "DASK_SER_EDGE__PARTITION_SECONDS": "6"}
    try:
        running = subprocess.Popen(
            [*command, "--scheduler", address], stderr=subprocess.PIPE, text=True, env=environment
        )
        while not list(output.glob("part-*")):
            assert running.poll() is None
            time.sleep(0.02)
        for process in processes:
            process.kill()
            process.wait()
        assert running.poll() is None
        before = len(list(output.glob("part-*")))
        processes = both()
        _, err = running.communicate(timeout=240)
    finally:
        for process in processes:
            process.kill()
    assert running.returncode == 0, err
    assert "the scheduler is gone; what is done is kept" in err
    assert f"{output}: 60 files" in err
    assert before > 0
    assert [Path(row["file"]).name for row in rows(output)] == names

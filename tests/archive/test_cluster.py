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
from ser_edge.archive.cluster import ClusterError
from ser_edge.archive.table import OutputError
from ser_edge.archive.worker import Outcome, Worker
from tests.helpers.audio import RATE, voice

distributed = pytest.importorskip("distributed", reason="NO CLUSTER TESTED: there is no Dask")
parquet = pytest.importorskip("pyarrow.parquet", reason="NO CLUSTER TESTED: no pyarrow")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # workers start slowly where others need the processor
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
        elif kind == "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        elif kind == "hungry":
            held = []
            for _ in range(60):
                held.append(b"x" * 10_000_000)
                time.sleep(0.02)
            time.sleep(60)  # until the nanny looks
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
        # A worker that is started again may take longer than the usual 15 s.
        "distributed.deploy.lost-worker-timeout": "600s",
    }
    import dask

    with (
        dask.config.set(options),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            memory_limit="500MB",
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
        files_that_end_their_workers(client, tmp_path / "ended", classifier)


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
        files, client, str(folder), worker=Fake(classifier), partition_seconds=0
    )
    killing.join()
    assert summary == (40, 0)
    assert [row["file"] for row in rows(folder)] == files


def files_that_end_their_workers(client: Any, folder: Path, classifier: Classifier) -> None:
    """One by a crash, one by the memory that it needs; the others are not lost with them."""
    files = ["fast:0", "poison:1", "fast:2", "fast:3", "hungry:4", "fast:5"]
    summary = archive.classify_files(
        files, client, str(folder), worker=Fake(classifier), partition_seconds=0
    )
    assert summary == (6, 2)
    found = rows(folder)
    assert [row["file"] for row in found] == sorted(files)
    assert {row["file"]: row["error"] for row in found if row["error"]} == {
        name: f"{name}: ended 3 workers that read it" for name in ("poison:1", "hungry:4")
    }


def test_workers_with_too_little_memory_take_no_work(
    tmp_path: Path, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dask pauses them: others do it all, and where there are no others, that is told."""
    monkeypatch.setattr("ser_edge.archive.cluster._PATIENCE_SECONDS", 1.0)

    def of(**limits: str) -> Any:
        """A cluster in this process, whose memory is that of each worker."""
        workers = {
            name: {
                "cls": distributed.Worker,
                "options": {"protocol": "inproc", "nthreads": 1, "memory_limit": limit},
            }
            for name, limit in limits.items()
        }
        scheduler = {
            "cls": distributed.Scheduler,
            "options": {"protocol": "inproc", "dashboard": False},
        }
        return distributed.SpecCluster(workers, scheduler)

    def wait_for_pause(client: Any) -> None:
        while "paused" not in _statuses(client):
            time.sleep(0.05)

    files = [f"fast:{number}" for number in range(20)]
    output = str(tmp_path)
    with of(poor="10MB") as cluster, distributed.Client(cluster) as client:
        wait_for_pause(client)
        with pytest.raises(ClusterError, match="too little memory"):
            archive.classify_files(
                files, client, output, worker=Fake(classifier), partition_seconds=0
            )
    with of(poor="10MB", rich="100GB") as cluster, distributed.Client(cluster) as client:
        wait_for_pause(client)
        summary = archive.classify_files(
            files, client, output, worker=Fake(classifier), partition_seconds=0, resume=True
        )
    assert summary == (20, 0)
    assert [row["file"] for row in rows(tmp_path)] == sorted(files)


def _statuses(client: Any) -> set[str]:
    identity = client.sync(client.scheduler.identity)
    return {worker["status"] for worker in identity["workers"].values()}


SLOW = """
import time
from ser_edge.archive import cluster, partitions

def slowly(*arguments):
    time.sleep(2)
    return partitions.work(*arguments)

cluster.work = slowly
"""


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

    def both(*options: str) -> list[subprocess.Popen[bytes]]:
        port = ["--host", "127.0.0.1", "--port", "18786", "--no-dashboard"]
        worker = [address, "--nthreads", "1", "--no-dashboard", "--no-nanny", *options]
        return [start("scheduler", *port), start("worker", *worker)]

    slow = tmp_path / "slow.py"  # or it may all be done before this process looks
    slow.write_text(SLOW)
    processes = both("--preload", str(slow))
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
        assert before < 30
        processes = both()
        _, err = running.communicate(timeout=240)
    finally:
        for process in processes:
            process.kill()
    assert running.returncode == 0, err
    assert "the scheduler is gone; what is done is kept" in err
    assert f"{output}: 60 files" in err
    assert [Path(row["file"]).name for row in rows(output)] == names

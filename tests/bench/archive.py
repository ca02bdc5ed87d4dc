"""Files and seconds of audio a second, by format, length and number of processes.

Run it as ``python -m tests.bench.archive``, from the project's root, on a machine that has nothing
else to do. Each kind of recording is classified by one process and by two, in turns; times are
medians, ratios medians of the pairs. Recordings are copies, by hard links, of a few with a
voice-like signal; what an archive's disk or network costs is not in it.

``--dask`` measures what a partition costs beside its classifying, on a cluster of one worker that
knows all answers: the plan, the scheduler, the messages, the Parquet file.

``--simulate`` prints what many cores would do with many hours: each core takes the next partition
from a scheduler that needs a given time for each, reads it through a store of given bandwidth, and
computes at the speed measured here.
"""

from __future__ import annotations

import argparse
import heapq
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import soundfile

from ser_edge import Classifier, Result
from ser_edge.archive.pool import outcomes
from ser_edge.archive.worker import Outcome, Worker
from ser_edge.selftest import reference_signal

RATE = 16_000
# Ending, libsndfile's format and subtype.
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "opus": ("OGG", "OPUS"),
}
N_SOURCES = 4


class Kind(NamedTuple):
    """Recordings of one format and length."""

    ending: str
    seconds: float
    files: list[str]
    megabytes_an_hour: float


class Cost(NamedTuple):
    """Of a run."""

    wall: float  # s
    cpu: float  # s, of all processes


def recordings(folder: Path, ending: str, seconds: float, count: int) -> Kind:
    """So many recordings, most of them links; those that are there already are taken."""
    format_, subtype = FORMATS[ending]
    sources = []
    for number in range(N_SOURCES if seconds < 60 else 1):
        path = folder / f"{seconds:g}-source-{number}.{ending}"
        if not path.exists():
            draft = path.with_suffix(".draft")
            voice = reference_signal(RATE, 3.0) * (0.5 + 0.1 * number)
            with soundfile.SoundFile(draft, "w", RATE, 1, subtype, format=format_) as file:
                for _ in range(int(seconds) // 3):
                    file.write(voice)
            draft.rename(path)
        sources.append(path)
    files = []
    for number in range(count):
        link = folder / f"{seconds:g}-{number:06}.{ending}"
        if not link.exists():
            os.link(sources[number % len(sources)], link)
        files.append(str(link))
    size = statistics.fmean(path.stat().st_size for path in sources)
    return Kind(ending, seconds, files, size / seconds * 3600 / 1e6)


def cost(worker: Worker, files: Sequence[str], processes: int) -> Cost:
    """What a run over these files takes, all of which succeed."""
    wall, cpu = time.perf_counter(), _cpu()
    for outcome in outcomes(worker, files, processes):
        if outcome.error is not None:
            raise SystemExit(outcome.error)
    return Cost(time.perf_counter() - wall, _cpu() - cpu)


def _cpu() -> float:
    """Seconds of processor, of this process and its children that have ended."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def growth(kinds: Sequence[Kind], rounds: int) -> Iterator[str]:
    """A line for each kind of recording."""
    worker = Worker(Classifier.bundled())
    yield "format  length    audio s/CPU s  files/s, 1 process  files/s, 2 processes  ratio  MB/h"
    for kind in kinds:
        pairs = [(cost(worker, kind.files, 1), cost(worker, kind.files, 2)) for _ in range(rounds)]
        count = len(kind.files)
        one, two = (count / statistics.median(c.wall for c in costs) for costs in zip(*pairs))
        ratio = statistics.median(first.wall / second.wall for first, second in pairs)
        audio = count * kind.seconds / statistics.median(first.cpu for first, _ in pairs)
        yield (
            f"{kind.ending:6}  {kind.seconds:6g} s  {audio:13.0f}  {one:18.4g}  "
            f"{two:20.4g}  {ratio:5.2f}  {kind.megabytes_an_hour:4.0f}"
        )


class Knowing(Worker):
    """Knows every answer."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Knowing, (self.classifier,)

    def outcome(self, file: str, on_chunk: Any = None) -> Outcome:
        scores = dict.fromkeys(self.classifier.labels, 0.123456)
        return Outcome(file, [Result("happy", 0.123456, scores, 0.0, 3.0, None)])


def overhead(folder: Path, rounds: int) -> Iterator[str]:
    """A line for each size of partition."""
    import distributed

    from ser_edge.archive.cluster import classify_files

    worker = Knowing(Classifier.bundled())
    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None
    )
    yield "partition     files  ms for each  of which client and scheduler"
    with cluster, distributed.Client(cluster) as client:
        for files, partitions in ((1, 200), (10, 100), (100, 30), (600, 10)):
            kind = recordings(folder, "wav", 3.0, files * partitions)
            costs = []
            for _ in range(rounds + 1):
                with tempfile.TemporaryDirectory() as output:
                    wall, cpu = time.perf_counter(), time.process_time()
                    classify_files(
                        kind.files,
                        client,
                        f"{output}/results",
                        worker=worker,
                        partition_seconds=3.0 * files - 0.5,
                    )
                    took = time.perf_counter() - wall, time.process_time() - cpu
                    assert len(os.listdir(f"{output}/results")) == partitions + 1
                costs.append([1e3 * seconds / partitions for seconds in took])
            all_, ours = map(statistics.median, zip(*costs[1:]))  # the first one loads
            yield f"{3 * files:7} s  {files:8}  {all_:11.1f}  {ours:29.1f}"


def simulated(
    hours: float,
    cores: int,
    *,
    speed: float,
    partition_seconds: float,
    schedule_seconds: float,
    store_megabytes: float,
    megabytes_an_hour: float,
) -> float:
    """Hours that so many cores need for so many hours of audio.

    Args:
        hours: of audio.
        cores: each with a process.
        speed: seconds of audio that a core classifies in a second.
        partition_seconds: of audio, in what a core takes at a time.
        schedule_seconds: that the scheduler, one for all, needs for each partition.
        store_megabytes: that the store gives in a second, to all together.
        megabytes_an_hour: of audio.

    Example:
        >>> usual = dict(partition_seconds=600.0, schedule_seconds=0.001, megabytes_an_hour=115.0)
        >>> round(simulated(1000, 10, speed=100.0, store_megabytes=1e6, **usual), 2)
        1.0
        >>> round(simulated(1000, 10, speed=100.0, store_megabytes=10.0, **usual), 2)
        3.2
    """
    size = partition_seconds / 3600 * megabytes_an_hour
    free = [0.0] * cores  # when each core is
    scheduler = store = 0.0  # when they are
    for _ in range(max(1, round(hours * 3600 / partition_seconds))):
        ready = heapq.heappop(free)
        scheduler = max(scheduler, ready) + schedule_seconds
        store = max(store, scheduler) + size / store_megabytes
        heapq.heappush(free, store + partition_seconds / speed)
    return max(free) / 3600


def simulation(speed: float) -> Iterator[str]:
    """What limits many cores, for ten thousand hours."""
    yield f"10 000 hours at {speed:g} s of audio a second and core: hours needed"
    yield "cores  partition  as is  store 1 GB/s  scheduler 20 ms"
    for cores in (10, 100, 1000):
        for seconds in (60.0, 600.0, 1800.0):
            needed = [
                simulated(
                    10_000,
                    cores,
                    speed=speed,
                    partition_seconds=seconds,
                    schedule_seconds=schedule,
                    store_megabytes=store,
                    megabytes_an_hour=115.0,
                )
                for schedule, store in ((0.005, 1e5), (0.005, 1e3), (0.02, 1e5))
            ]
            first, stored, scheduled = needed
            yield f"{cores:5}  {seconds:7g} s  {first:5.2f}  {stored:12.2f}  {scheduled:15.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=400, help="of 3 s, of each format")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hours", type=int, default=2, help="recordings of an hour, each format")
    parser.add_argument("--folder", help="keeps the recordings for other runs")
    parser.add_argument("--dask", action="store_true", help="what partitions cost instead")
    parser.add_argument("--simulate", type=float, metavar="SPEED", help="with this speed instead")
    options = parser.parse_args()
    if options.simulate:
        for line in simulation(options.simulate):
            print(line)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.folder or temporary)
        if options.dask:
            lines = overhead(folder, options.rounds)
        else:
            kinds = [
                recordings(folder, ending, seconds, count)
                for seconds, count in ((3.0, options.files), (3600.0, options.hours))
                for ending in FORMATS
                if count
            ]
            lines = growth(kinds, options.rounds)
        for line in lines:
            print(line, flush=True)


if __name__ == "__main__":
    main()

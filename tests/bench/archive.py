"""Files and seconds of audio a second, by format, length and number of processes.

Run it as ``python -m tests.bench.archive``, from the project's root, on a machine that has nothing
else to do. Each kind of recording is classified by one process and by two, in turns; times are
medians, ratios medians of the pairs. Recordings are copies, by hard links, of a few with a
voice-like signal; what an archive's disk or network costs is not in it.

``--simulate`` prints what many cores would do with many hours: each core takes the next partition
from a scheduler that needs a given time for each, reads it through a store of given bandwidth, and
computes at the speed measured here.
"""

from __future__ import annotations

import argparse
import heapq
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from ser_edge import Classifier
from ser_edge.archive.pool import outcomes
from ser_edge.archive.worker import Worker
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


def recordings(folder: Path, ending: str, seconds: float, count: int) -> Kind:
    """So many recordings, most of them links."""
    format_, subtype = FORMATS[ending]
    sources = []
    for number in range(min(N_SOURCES, count)):
        path = folder / f"{seconds:g}-source-{number}.{ending}"
        voice = np.tile(reference_signal(RATE, 3.0) * (0.5 + 0.1 * number), -(-int(seconds) // 3))
        soundfile.write(path, voice[: round(seconds * RATE)], RATE, subtype, format=format_)
        sources.append(path)
    files = []
    for number in range(count):
        link = folder / f"{seconds:g}-{number:06}.{ending}"
        os.link(sources[number % len(sources)], link)
        files.append(str(link))
    size = statistics.fmean(path.stat().st_size for path in sources)
    return Kind(ending, seconds, files, size / seconds * 3600 / 1e6)


def elapsed(worker: Worker, files: Sequence[str], processes: int) -> float:
    """Seconds of a run over these files, all of which succeed."""
    began = time.perf_counter()
    for outcome in outcomes(worker, files, processes):
        if outcome.error is not None:
            raise SystemExit(outcome.error)
    return time.perf_counter() - began


def speed(worker: Worker, files: Sequence[str]) -> float:
    """Seconds of audio for each second of processor, in this process, once it is warm."""
    worker.outcome(files[0])
    began = time.process_time()
    audio = sum(worker.outcome(file).seconds for file in files)
    return audio / (time.process_time() - began)


def growth(kinds: Sequence[Kind], rounds: int) -> Iterator[str]:
    """A line for each kind of recording."""
    worker = Worker(Classifier.bundled())
    yield "format  length    audio s/CPU s  files/s, 1 process  files/s, 2 processes  ratio  MB/h"
    for kind in kinds:
        pairs = [
            (elapsed(worker, kind.files, 1), elapsed(worker, kind.files, 2)) for _ in range(rounds)
        ]
        one, two = (len(kind.files) / statistics.median(times) for times in zip(*pairs))
        ratio = statistics.median(first / second for first, second in pairs)
        audio = speed(worker, kind.files)
        yield (
            f"{kind.ending:6}  {kind.seconds:6g} s  {audio:13.0f}  {one:18.2f}  "
            f"{two:20.2f}  {ratio:5.2f}  {kind.megabytes_an_hour:4.0f}"
        )


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
        for seconds in (60.0, 600.0, 3600.0):
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
                for schedule, store in ((0.001, 1e5), (0.001, 1e3), (0.02, 1e5))
            ]
            first, stored, scheduled = needed
            yield f"{cores:5}  {seconds:7g} s  {first:5.2f}  {stored:12.2f}  {scheduled:15.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=400, help="of 3 s, of each format")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hours", type=int, default=2, help="recordings of an hour, each format")
    parser.add_argument("--simulate", type=float, metavar="SPEED", help="with this speed instead")
    options = parser.parse_args()
    if options.simulate:
        for line in simulation(options.simulate):
            print(line)
        return
    with tempfile.TemporaryDirectory() as folder:
        kinds = [
            recordings(Path(folder), ending, seconds, count)
            for seconds, count in ((3.0, options.files), (3600.0, options.hours))
            for ending in FORMATS
            if count
        ]
        for line in growth(kinds, options.rounds):
            print(line, flush=True)


if __name__ == "__main__":
    main()

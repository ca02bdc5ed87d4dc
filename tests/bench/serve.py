"""The service under load: throughput, latency, memory, and whether its answers stay the same.

    python tests/bench/serve.py                 # two minutes
    python tests/bench/serve.py --seconds 20 --clients 50 --slow 10
    python tests/bench/serve.py --ceiling       # only `classify`, on one core and on each at once

Clients upload a recording of three seconds again and again, each over a connection of its own,
while slow ones send a byte a second. What one core's `classify` does is measured before and after.
On a machine with other work the ratio of the two says little; there the processor time of a request
tells what the ratio is on cores that have nothing else to do. How much the machine did besides, and
how long its cores had nothing to do, is printed, too.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from ser_edge import Classifier
from tests.helpers.serving import RECORDING, Served, serving

ALONE_SECONDS = 8.0
LATENCY_REQUESTS = 100
LOOK_SECONDS = 1.0  # between two looks at memory, which cost the machine milliseconds


def alone(seconds: float) -> tuple[float, float]:
    """Recordings a second that one core's classify does, and ms of processor time for each."""
    classifier = Classifier.bundled()
    data = RECORDING.read_bytes()
    classifier.classify(data)
    count, began, used = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        classifier.classify(data)
        count += 1
    elapsed = time.perf_counter() - began
    return count / elapsed, 1e3 * (time.process_time() - used) / count


def pinned(core: int, begin: Any, told: Any) -> None:
    """Classify on one core when all are ready."""
    os.sched_setaffinity(0, {core})
    Classifier.bundled().classify(RECORDING.read_bytes())
    begin.wait()
    told.put(alone(ALONE_SECONDS))


def together(cores: Sequence[int]) -> dict[str, Any]:
    """What a loop of classify on each core does, all at a time."""
    context = get_context("spawn")
    begin, told = context.Barrier(len(cores)), context.Queue()
    loops = [context.Process(target=pinned, args=(core, begin, told)) for core in cores]
    for loop in loops:
        loop.start()
    found = [told.get() for _ in loops]
    for loop in loops:
        loop.join()
    return {
        "cores": list(cores),
        "per_second": round(sum(rate for rate, _ in found), 1),
        "processor_ms": [round(cost, 2) for _, cost in found],
    }


def ceiling() -> None:
    """Print what the machine can do at best: how many times one core all its cores are."""
    cores = sorted(os.sched_getaffinity(0))
    ones = [together([core]) for core in cores]
    every = together(cores)
    for figures in (*ones, every):
        print(json.dumps(figures))
    one = statistics.mean(figures["per_second"] for figures in ones)
    print(f"together {every['per_second'] / one:.2f} times one core")


def request(port: int) -> bytes:
    body = RECORDING.read_bytes()
    head = f"POST /v1/classify HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def answer(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body of the next answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields[b"content-length"]):
        body += _some(connection)
    return int(head.split()[1]), body


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(65_536)
    if not data:
        raise ConnectionError("closed")
    return data


def client(port: int, seconds: float, told: Any) -> None:
    """Upload until the time is over; put what came of it."""
    sent = request(port)
    outcomes: Counter[str] = Counter()
    bodies: set[bytes] = set()
    waits = []
    in_time = 0
    deadline = time.monotonic() + seconds
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        while time.monotonic() < deadline:
            began = time.perf_counter()
            connection.sendall(sent)
            status, body = answer(connection)
            waits.append(time.perf_counter() - began)
            outcomes[str(status)] += 1
            if status == 200:
                bodies.add(body)
                in_time += time.monotonic() < deadline
            elif status == 503:
                time.sleep(1)
    told.put((dict(outcomes), bodies, waits, in_time))


def clients(port: int, seconds: float, count: int, told: Any) -> None:
    """Several clients in one process."""
    threads = [threading.Thread(target=client, args=[port, seconds, told]) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told.put(time.process_time())


def first_answer(port: int) -> float:
    """Seconds that somebody waits who asks for the first time, as a page does."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        connection.sendall(request(port))
        answer(connection)
    return time.perf_counter() - began


def slow(port: int, seconds: float) -> None:
    """Send a byte a second, again after being left."""
    sent = request(port)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            try:
                for place in range(200, len(sent)):
                    connection.sendall(sent[:place] if place == 200 else sent[place : place + 1])
                    if time.monotonic() > deadline:
                        return
                    time.sleep(1)
            except OSError:
                pass


def processor_seconds(served: Served) -> tuple[float, float]:
    """Processor time of the service itself, and of its workers."""
    times = []
    for process in (served.process.pid, *served.workers()):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        times.append((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
    return times[0], sum(times[1:])


def machine_seconds() -> tuple[float, float]:
    """Processor time of everything on the machine, and time in which its cores were idle."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, idle, waiting, interrupts, soft, stolen = (int(f) for f in fields)
    busy = user + nice + system + interrupts + soft + stolen
    return tuple(t / os.sysconf("SC_CLK_TCK") for t in (busy, idle + waiting))  # type: ignore[return-value]


def memory_mb(served: Served) -> tuple[float, float]:
    """Resident and proportional memory of the service and its workers, MB."""
    resident = proportional = 0.0
    for process in (served.process.pid, *served.workers()):
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
        resident += int(text.split("Rss:")[1].split()[0]) / 1000
        proportional += int(text.split("Pss:")[1].split()[0]) / 1000
    return resident, proportional


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--slow", type=int, default=10)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--ceiling", action="store_true")
    options = parser.parse_args()
    if options.ceiling:
        ceiling()
        return
    context = get_context("spawn")
    with serving("--workers", str(options.workers)) as service:
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            waits = []
            for _ in range(LATENCY_REQUESTS):
                began = time.perf_counter()
                connection.sendall(request(service.port))
                _, expected = answer(connection)
                waits.append(1e3 * (time.perf_counter() - began))
        print(
            f"one client: {statistics.median(waits):.1f} ms, "
            f"95 % within {sorted(waits)[int(0.95 * len(waits))]:.1f} ms"
        )
        before, start = alone(ALONE_SECONDS), memory_mb(service)
        used = (*processor_seconds(service), time.process_time(), *machine_seconds())
        told = context.Queue()
        loaded = context.Process(
            target=clients, args=(service.port, options.seconds, options.clients, told)
        )
        loaded.start()
        for _ in range(options.slow):
            threading.Thread(target=slow, args=[service.port, options.seconds], daemon=True).start()
        highest = start
        found: list[Any] = []
        beside: list[float] = []
        while len(found) < options.clients + 1:  # the last is the processor time of all
            while not told.empty():
                found.append(told.get())
            highest = max(highest, memory_mb(service))
            beside.append(1e3 * first_answer(service.port))
            time.sleep(LOOK_SECONDS)
        loaded.join()
        now = (*processor_seconds(service), time.process_time(), *machine_seconds())
        spent = [end - begin for begin, end in zip(used, now)]
        spent[2] += found.pop()  # who looks, with the slow clients, and the quick ones
        after = alone(ALONE_SECONDS)
        lost = len(service.workers()) != options.workers
    outcomes: Counter[str] = Counter()
    bodies = {expected}
    waits = []
    answered = len(beside)
    for counts, seen, waited, in_time in found:
        outcomes.update(counts)
        bodies |= seen
        waits += waited
        answered += in_time
    rate = answered / options.seconds
    one = (before[0] + after[0]) / 2
    classify_ms = min(before[1], after[1])
    count = sum(outcomes.values()) + len(beside)
    service_ms, workers_ms, clients_ms, busy_ms, idle_ms = (1e3 * s / count for s in spent)
    all_ms = service_ms + workers_ms + clients_ms
    figures = {
        "answers": dict(outcomes),
        "per_second": round(rate, 1),
        "one_core_per_second": [round(before[0], 1), round(after[0], 1)],
        "ratio": round(rate / one, 2),
        "processor_ms": {
            "classify": round(classify_ms, 2),
            "service": round(service_ms, 2),
            "workers": round(workers_ms, 2),
            "clients": round(clients_ms, 2),
            "others": round(busy_ms - all_ms, 2),
            "idle": round(idle_ms, 2),
        },
        "ratio_on_two_idle_cores": round(2 * classify_ms / all_ms, 2),
        "first_answer_beside_ms": [
            round(statistics.median(beside)),
            round(sorted(beside)[int(0.95 * len(beside))]),
        ],
        "median_wait_ms": round(1e3 * statistics.median(waits)),
        "memory_mb": {"resident": [round(start[0]), round(highest[0])],
                      "proportional": [round(start[1]), round(highest[1])]},
    }  # fmt: skip
    print(json.dumps(figures, indent=1))
    label = Classifier.bundled().classify(RECORDING).rounded()
    assert len(bodies) == 1, "answers differ"
    assert json.loads(bodies.pop())["scores"] == dict(label.scores or {}), "other than classify"
    assert set(outcomes) <= {"200", "503"}, "an error"
    assert not lost, "a worker was lost"


if __name__ == "__main__":
    main()

"""The service under load: throughput, latency, memory, and whether its answers stay the same.

    python tests/bench/serve.py                 # two minutes
    python tests/bench/serve.py --seconds 20 --clients 50 --slow 10

Clients upload a recording of three seconds again and again, each over a connection of its own,
while slow ones send a byte a second. What one core's `classify` does is measured before and after.
On a machine with other work the ratio of the two says little; there the processor time of a request
tells what the ratio is on cores that have nothing else to do.
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
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from ser_edge import Classifier
from tests.helpers.serving import RECORDING, Served, serving

ALONE_SECONDS = 8.0
LATENCY_REQUESTS = 100


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
            elif status == 503:
                time.sleep(1)
    told.put((dict(outcomes), bodies, waits))


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
    options = parser.parse_args()
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
        used = processor_seconds(service)
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
            time.sleep(0.2)
        loaded.join()
        spent = [now - then for now, then in zip(processor_seconds(service), used)]
        spent.append(found.pop())
        after = alone(ALONE_SECONDS)
        lost = len(service.workers()) != options.workers
    outcomes: Counter[str] = Counter()
    bodies = {expected}
    waits = []
    for counts, seen, waited in found:
        outcomes.update(counts)
        bodies |= seen
        waits += waited
    rate = outcomes["200"] / options.seconds
    one = (before[0] + after[0]) / 2
    classify_ms = min(before[1], after[1])
    service_ms, workers_ms, clients_ms = (1e3 * s / sum(outcomes.values()) for s in spent)
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

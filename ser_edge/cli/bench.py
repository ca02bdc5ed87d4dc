"""``ser-edge bench``: how fast this device is."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from ser_edge import __version__
from ser_edge.cli.machine import (
    Machine,
    installed_version,
    temperature,
    this_machine,
    throttling,
)
from ser_edge.cli.options import (
    load_classifier,
    model_option,
    profile_name,
    profile_option,
    threads_option,
)
from ser_edge.errors import SerEdgeError

if TYPE_CHECKING:
    from ser_edge.classifier import Classifier

REPORT_SCHEMA = 1  # grows when a field changes its meaning

# Of the recording for the cold start, the same for every model.
_RATE = 16_000  # Hz
_SECONDS = 4.0
_COLD_STARTS = 3  # processes, of which the median counts
_WARM_UPS = 3  # runs before those that count


@dataclass(frozen=True)
class Timing:
    """Wall-clock time of one step."""

    median_ms: float  # of all runs
    p95_ms: float  # 95th percentile


@dataclass(frozen=True)
class Report:
    """What `ser-edge bench` found."""

    ser_edge: str  # version
    python: str  # version
    numpy: str  # version
    runtime: str  # name and version
    model: str  # name
    model_sha256: str  # of its flatbuffer
    machine: Machine
    threads: int  # of the interpreter
    runs: int  # of every step
    window_seconds: float
    steps: dict[str, Timing]  # of one window
    real_time_factor: float  # time to classify a window over the time it lasts
    windows_per_second: float  # that one thread classifies
    cold_start_s: float  # a fresh `ser-edge classify`, from start to exit
    peak_mb: float  # resident memory of that process
    temperature_c: float | None  # after the runs
    throttling: tuple[str, ...] | None  # None where it cannot be known
    profile: str | None = None  # name of what adapts the model

    def score(self) -> str:
        """One line to compare devices by."""
        return (
            f"ser-edge {self.ser_edge}: {self.windows_per_second:.1f} windows/s per thread, "
            f"cold start {self.cold_start_s:.2f} s, peak {self.peak_mb:.0f} MB | {self.machine} | "
            f"Python {self.python}, {self.runtime}, numpy {self.numpy} | "
            f"{self.model} {self.model_sha256[:8]}"
            + (f" + {self.profile}" if self.profile is not None else "")
        )


def benchmark(
    model: str = "default", *, profile: str | None = None, threads: int = 1, runs: int = 50
) -> Report:
    """Measure one model on this device, on a window of generated speech.

    Args:
        model: a bundled model's name or a file's path.
        profile: the file of what adapts it.
        threads: threads of the interpreter.
        runs: how often each step is timed.

    Raises:
        SerEdgeError: the model cannot be loaded.
    """
    import numpy

    with tempfile.TemporaryDirectory(prefix="ser-edge-") as folder:
        path = os.path.join(folder, "reference.wav")
        _write_wav(path, _RATE, _SECONDS)
        # First, for Linux counts this process's own memory as its children's, too.
        cold_starts = [_cold_start(model, profile, path) for _ in range(_COLD_STARTS)]
        classifier = load_classifier(model, profile=profile, threads=threads)
        loaded = classifier.model
        seconds = loaded.metadata.frontend.window_seconds
        whole = loaded.frontend.spec.offset + seconds
        _write_wav(path, loaded.frontend.sample_rate, whole)
        steps = _time_steps(classifier, path, runs)
    window_ms = steps["total"].median_ms
    return Report(
        ser_edge=__version__,
        python=platform.python_version(),
        numpy=numpy.__version__,
        runtime=f"{loaded.runtime} {installed_version(loaded.runtime)}",
        model=loaded.metadata.name,
        model_sha256=loaded.metadata.flatbuffer.sha256,
        machine=this_machine(),
        threads=threads,
        runs=runs,
        window_seconds=seconds,
        steps=steps,
        real_time_factor=window_ms / 1000 / seconds,
        windows_per_second=1000 / window_ms / threads,
        cold_start_s=statistics.median(seconds for seconds, _ in cold_starts),
        peak_mb=max(peak for _, peak in cold_starts),
        temperature_c=temperature(),
        throttling=throttling(),
        profile=None if profile is None else profile_name(profile),
    )


@click.command()
@model_option("The model to measure.")
@profile_option
@threads_option
@click.option(
    "--runs",
    type=click.IntRange(2),
    default=50,
    show_default=True,
    help="How often each step is timed.",
)
@click.option("--json", is_flag=True, help="One JSON object.")
def bench(model: str, profile: str | None, threads: int, runs: int, json: bool) -> None:
    """Measure how fast this device is; the last line compares devices."""
    report = benchmark(model, profile=profile, threads=threads, runs=runs)
    click.echo(_json(report) if json else _table(report))


def _time_steps(classifier: Classifier, path: str, runs: int) -> dict[str, Timing]:
    model = classifier.model
    samples = model.frontend.load(path)
    matrix = model.frontend(samples)
    if classifier.classify(path).scores is None:
        raise SerEdgeError("the model does not take the reference signal for speech")
    return {
        "decode": _time(lambda: model.frontend.load(path), runs),
        "features": _time(lambda: model.frontend(samples), runs),
        "inference": _time(lambda: model.predict(matrix), runs),
        # Besides the above: is it loud enough, is it speech?
        "total": _time(lambda: classifier.classify(path), runs),
    }


def _time(function: Callable[[], object], runs: int) -> Timing:
    for _ in range(_WARM_UPS):
        function()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        times.append(1000 * (time.perf_counter() - start))
    return Timing(
        statistics.median(times), statistics.quantiles(times, n=20, method="inclusive")[-1]
    )


# A process counts the memory of the one that started it as its own peak, so a small one does that.
_LAUNCHER = """
import os, sys, time
discard = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
start = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=discard)
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - start, usage.ru_maxrss)
sys.exit(status != 0)
"""


def _cold_start(model: str, profile: str | None, path: str) -> tuple[float, float]:
    """Seconds and peak MB of a process that classifies a recording."""
    command = [sys.executable, "-m", "ser_edge", "classify", "--model", model, path]
    if profile is not None:
        command += ["--profile", profile]
    launched = subprocess.run(
        [sys.executable, "-S", "-c", _LAUNCHER, *command], capture_output=True, text=True
    )
    if launched.returncode:
        reason = launched.stderr.strip().split("\n")[-1]
        raise SerEdgeError(reason.removeprefix("ser-edge: ").removeprefix("Error: "))
    seconds, peak = map(float, launched.stdout.split())
    # Linux counts in kB, macOS in bytes.
    return seconds, peak / (1e6 if sys.platform == "darwin" else 1e3)


def _write_wav(path: str, sample_rate: int, seconds: float) -> None:
    from ser_edge.selftest import reference_signal

    samples = reference_signal(sample_rate, seconds)
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes((samples * 32_767).astype("<i2").tobytes())


def _json(report: Report) -> str:
    fields = asdict(report)
    if report.profile is None:
        del fields["profile"]
    return json.dumps({"schema": REPORT_SCHEMA, **fields, "score": report.score()})


def _table(report: Report) -> str:
    machine = report.machine
    lines = [
        *((f"board        {machine.board}",) if machine.board else ()),
        f"processor    {machine.processor}, {machine.architecture}, {machine.cores} cores"
        + (f", governor {machine.governor}" if machine.governor else ""),
        f"software     ser-edge {report.ser_edge}, Python {report.python}, numpy {report.numpy}, "
        f"{report.runtime}",
        f"model        {report.model} ({report.model_sha256[:8]}), {_count(report.threads)}",
        "",
        f"one window of {report.window_seconds:g} s  median ms    p95 ms",
    ]
    lines += [
        f"  {name:19} {timing.median_ms:9.2f} {timing.p95_ms:9.2f}"
        for name, timing in report.steps.items()
    ]
    lines += [
        "",
        f"real-time factor    {report.real_time_factor:.4f}",
        f"windows per second  {report.windows_per_second:.1f} per thread",
        f"cold start          {report.cold_start_s:.2f} s",
        f"peak memory         {report.peak_mb:.0f} MB",
    ]
    if report.temperature_c is not None:
        lines.append(f"temperature         {report.temperature_c:.0f} °C")
    if report.throttling is not None:
        lines.append(f"throttling          {', '.join(report.throttling) or 'none'}")
    return "\n".join([*lines, "", report.score()])


def _count(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"

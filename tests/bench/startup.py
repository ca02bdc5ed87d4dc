"""Cold start and memory of `ser-edge classify` on a 3 s WAV, against the floor of its imports.

Run it as ``python -m tests.bench.startup``. The floor is a process that only imports the three
packages that any TFLite program with audio needs. Both are run in turn; the ratio is the median
over pairs, so that a busy machine slows both.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import soundfile

from ser_edge.selftest import reference_signal
from tests.bench.report import report

RATE = 16_000
TARGET_RATIO = 1.35
TARGET_MB = 70


class Cost(NamedTuple):
    """What a process took."""

    wall: float  # s
    cpu: float  # s, user and system
    peak: float  # MB of resident memory


def cost(command: list[str]) -> Cost:
    """Run a command and measure it."""
    # Users have bytecode cached after the first run; so must what is measured.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise SystemExit(f"{command} failed")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def floor_command() -> list[str]:
    """Only the imports: of the runtime that is installed here."""
    from ser_edge.runtime import find_runtime

    module = find_runtime()[0].__module__
    return [sys.executable, "-c", f"import numpy, soundfile, {module}"]


def measure(runs: int) -> dict[str, float]:
    """Medians over pairs of runs, after one of each to warm the disk cache."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "three_seconds.wav"
        soundfile.write(wav, reference_signal(RATE, 3.0), RATE)
        program = [str(Path(sys.executable).parent / "ser-edge"), "classify", str(wav)]
        floor = floor_command()
        pairs = [(cost(floor), cost(program)) for _ in range(runs + 1)][1:]
    return {
        "floor_wall_s": statistics.median(f.wall for f, _ in pairs),
        "classify_wall_s": statistics.median(c.wall for _, c in pairs),
        "wall_ratio": statistics.median(c.wall / f.wall for f, c in pairs),
        "cpu_ratio": statistics.median(c.cpu / f.cpu for f, c in pairs),
        "floor_peak_mb": max(f.peak for f, _ in pairs),
        "classify_peak_mb": max(c.peak for _, c in pairs),
    }


def table(figures: dict[str, float]) -> Iterator[str]:
    yield f"imports alone      {figures['floor_wall_s']:.3f} s {figures['floor_peak_mb']:5.1f} MB"
    yield (
        f"ser-edge classify  {figures['classify_wall_s']:.3f} s "
        f"{figures['classify_peak_mb']:5.1f} MB (target: under {TARGET_MB})"
    )
    yield (
        f"ratio              {figures['wall_ratio']:.2f} wall, {figures['cpu_ratio']:.2f} CPU "
        f"(target: at most {TARGET_RATIO})"
    )


if __name__ == "__main__":
    report(__doc__, "runs", measure, table)

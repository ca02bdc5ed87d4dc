"""What the tests with damaged files share: they read them in a child process.

So a crash of a native library, or a hang in one, is a failure that names the file.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What headers lie with: zero, one, and the edges of signed and unsigned 16 and 32 bit numbers.
LIES = (0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def attempt_all(count: int, max_seconds_each: int, attempt: Callable[[int], str]) -> None:
    """In the child: attempt every number; print it before and, at the end, the tally as JSON."""
    tally: Counter[str] = Counter()
    for index in range(count):
        print(index, flush=True)
        signal.alarm(max_seconds_each)  # unhandled: ends the process even inside a library
        tally[attempt(index)] += 1
    print(json.dumps({**tally, "peak_mb": _peak_memory_mb()}))


def tally_of_child(module: str, count: int, words: Callable[[int], str]) -> dict[str, int]:
    """Run a module that calls `attempt_all`; the tally, or a failure with words for the number."""
    command = [sys.executable, "-W", "error", "-m", module]
    child = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False
    )
    assert child.stdout, child.stderr
    *numbers, last = child.stdout.splitlines()
    if child.returncode:
        what = words(int(last))
        raise AssertionError(f"exit status {child.returncode} at {what}: {child.stderr[-2000:]}")
    assert numbers == [str(index) for index in range(count)], "a library wrote to stdout"
    tally: dict[str, int] = json.loads(last)
    return tally


def _peak_memory_mb() -> int:
    """The largest resident size of this process (ru_maxrss would include pytest's, its parent)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024

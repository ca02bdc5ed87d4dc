"""Jobs that end badly, to be run in children of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ser_edge.convert.export import sandbox
from ser_edge.errors import DependencyError, ModelError


def succeed(*, scratch: Path, number: int) -> dict[str, Any]:
    return {"double": 2 * number}


def refuse(*, scratch: Path) -> dict[str, Any]:
    raise ModelError("the model is blue")


def lack(*, scratch: Path) -> dict[str, Any]:
    raise DependencyError("a package is missing")


def stumble(*, scratch: Path) -> dict[str, Any]:
    return {}["no such key"]


def end_by(*, scratch: Path, number: int) -> dict[str, Any]:
    sandbox.stage(scratch, "painting", "use another brush")
    os.kill(os.getpid(), number)
    time.sleep(60)
    return {}


def leave(*, scratch: Path) -> dict[str, Any]:
    sys.stderr.write("something odd\n")
    sys.stderr.flush()
    os._exit(7)


def hang(*, scratch: Path) -> dict[str, Any]:
    """Hang, deaf to requests to end, together with a process of its own."""
    sandbox.stage(scratch, "painting", "use another brush")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (scratch / "pids").write_text(f"{os.getpid()} {helper.pid}")
    time.sleep(60)
    return {}


def eat(*, scratch: Path) -> dict[str, Any]:
    sandbox.stage(scratch, "painting", "use another brush")
    heap = [b"x" * 2**24 for _ in range(1000)]
    return {"eaten": len(heap)}


def eat_with_tensorflow(*, scratch: Path) -> dict[str, Any]:
    import tensorflow as tf

    sandbox.stage(scratch, "painting", "use another brush")
    return {"eaten": float(tf.reduce_sum(tf.ones((2**16, 2**16))))}

"""Work in a child process with limits, for TensorFlow can crash, hang or eat all memory.

A job is a function, given by name, that takes JSON and a scratch folder and returns JSON. Whatever
becomes of the child, the caller gets its result or one clear sentence.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ser_edge.errors import DependencyError, ModelError, SerEdgeError

_JOB = "job.json"
_RESULT = "result.json"
_STAGE = "stage.json"
_LOG = "log.txt"
# What allocators write when they give up, in C++, Python and TensorFlow.
_OUT_OF_MEMORY = ("bad_alloc", "MemoryError", "OOM when allocating", "Cannot allocate memory")


def run(
    function: str,
    arguments: Mapping[str, Any],
    scratch: Path,
    *,
    time_limit: float | None,
    memory_limit: int,
) -> dict[str, Any]:
    """Run a function in a child process.

    Args:
        function: its full name, ``package.module.function``; called with `arguments` as keywords,
            and ``scratch``.
        arguments: what JSON can hold.
        scratch: a folder for this job alone; what the job makes is found there.
        time_limit: seconds after which the child is stopped; None: never.
        memory_limit: bytes that the child may allocate.

    Returns:
        What the function returned.

    Raises:
        ModelError: what the function raised, or that the child crashed, was killed, took too
            long or needed too much memory.
        DependencyError: the function lacks a package.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    job = {"function": function, "arguments": dict(arguments), "memory_limit": memory_limit}
    (scratch / _JOB).write_text(json.dumps(job))
    with (scratch / _LOG).open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", __name__, str(scratch)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            code = child.wait(time_limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _stop(child)
    doing, advice = _stage(scratch)
    if code is None:
        raise ModelError(f"{doing} took longer than {time_limit:g} s and was stopped: {advice}")
    result = _result(scratch)
    if code == 0 and "value" in result:
        value: dict[str, Any] = result["value"]
        return value
    if result.get("error") == "dependency":
        raise DependencyError(result["text"])
    if result.get("error") == "refused":
        raise ModelError(result["text"])
    log_text = (scratch / _LOG).read_text(errors="replace")
    if result.get("error") == "memory" or any(sign in log_text for sign in _OUT_OF_MEMORY):
        raise ModelError(f"{doing} needs over {memory_limit / 2**30:g} GB of memory: {advice}")
    if code == -signal.SIGKILL:
        raise ModelError(
            f"{doing} was killed, as the system does when memory runs out (SIGKILL): {advice}"
        )
    if code < 0:
        raise ModelError(f"{doing} crashed TensorFlow ({_signal_name(-code)}): {advice}")
    raise ModelError(f"{doing} failed: {result.get('text') or _last_line(log_text)}")


def stage(scratch: Path, doing: str, advice: str) -> None:
    """Note, from within a job, what is being done and what to try if it fails for no reason."""
    (scratch / _STAGE).write_text(json.dumps([doing, advice]))


def one_line(error: BaseException) -> str:
    """An error's message in one line of at most 300 characters, or else its type."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End the child and all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _stage(scratch: Path) -> tuple[str, str]:
    try:
        doing, advice = json.loads((scratch / _STAGE).read_text())
    except (OSError, ValueError):
        return "starting TensorFlow", "is it installed and is there enough memory?"
    return doing, advice


def _result(scratch: Path) -> dict[str, Any]:
    try:
        result: dict[str, Any] = json.loads((scratch / _RESULT).read_text())
    except (OSError, ValueError):
        return {}
    return result


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "for no stated reason"


def _perform(scratch: Path) -> dict[str, Any]:
    job = json.loads((scratch / _JOB).read_text())
    _limit_memory(job["memory_limit"])
    module, _, name = job["function"].rpartition(".")
    try:
        function = getattr(importlib.import_module(module), name)
        return {"value": function(scratch=scratch, **job["arguments"])}
    except MemoryError:
        return {"error": "memory"}
    except DependencyError as error:
        return {"error": "dependency", "text": str(error)}
    except SerEdgeError as error:
        return {"error": "refused", "text": str(error)}
    except Exception as error:
        if type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's MemoryError
            return {"error": "memory"}
        return {"error": "failed", "text": f"{type(error).__name__}: {one_line(error)}"}


def _limit_memory(limit: int) -> None:
    try:
        import resource
    except ImportError:  # not a Unix system
        return
    # Counts what is written to; the address space that TensorFlow only reserves is far larger.
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if most != resource.RLIM_INFINITY:
        limit = min(limit, most)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


def _main(folder: str) -> None:
    scratch = Path(folder)
    result = _perform(scratch)
    draft = scratch / f"{_RESULT}.draft"
    draft.write_text(json.dumps(result))
    draft.replace(scratch / _RESULT)


if __name__ == "__main__":
    _main(sys.argv[1])

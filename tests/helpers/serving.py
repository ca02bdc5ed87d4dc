"""`ser-edge serve` as a program of its own, for tests that are its clients."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

START_SECONDS = 90.0  # of a machine that has much else to do
RECORDING = Path(__file__).parents[1] / "data" / "synthetic.wav"


class Served:
    """A running service.

    Args:
        arguments: of ``ser-edge serve``, besides the port.
        environment: further variables.
    """

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ser_edge", "serve", "--port", "0", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
        )
        self.said: list[str] = []  # on standard error
        self._serving = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._serving.wait(START_SECONDS) or not self.url:
            self.process.kill()
            raise AssertionError(f"it does not serve: {self.said}")

    def _read(self) -> None:
        self.url = ""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            text = line.decode().rstrip()
            self.said.append(text)
            if found := re.search(r"serving at (https?://\S+:\d+)/;", text):
                self.url = found[1]
                self._serving.set()
        self._serving.set()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def workers(self) -> list[int]:
        """The processes that it started."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(word) for word in children.read_text().split()]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(30)
        self._reader.join(10)
        return code


@contextlib.contextmanager
def serving(*arguments: str, **environment: str) -> Iterator[Served]:
    """A running service, ended afterwards."""
    served = Served(*arguments, **environment)
    try:
        yield served
    finally:
        if served.process.poll() is None:
            served.process.kill()
            served.process.wait()


def lines(text: str) -> list[dict[str, Any]]:
    """The objects of JSON lines."""
    import json

    return [json.loads(line) for line in text.splitlines()]

"""How a benchmark is called and printed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from typing import Any


def report(
    doc: str,
    repeat: str,
    measure: Callable[[int], Any],
    table: Callable[[Any], Iterable[str]],
) -> None:
    """Measure and print, as a table or with ``--json``.

    Args:
        doc: docstring of the benchmark, whose first line is its help.
        repeat: name of the option that says how often to measure, such as ``runs``.
        measure: from that number to figures that JSON can hold.
        table: from the figures to lines for a person.
    """
    parser = argparse.ArgumentParser(description=doc.split("\n")[0])
    parser.add_argument(f"--{repeat}", dest="repeat", type=int, default=25)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.repeat)
    print(json.dumps(figures) if options.json else "\n".join(table(figures)))

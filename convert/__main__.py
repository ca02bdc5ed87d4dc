"""``python -m ser_edge.convert`` is ``ser-edge-convert``."""

from __future__ import annotations

from .cli import main

main(prog_name="ser-edge-convert")

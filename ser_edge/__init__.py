"""Speech emotion recognition that runs on a Raspberry Pi."""

from __future__ import annotations

__version__ = "0.1.0"

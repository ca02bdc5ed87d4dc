"""From samples to the model's input: the description of it, and its computation."""

from __future__ import annotations

from ser_edge.frontend.arguments import Step
from ser_edge.frontend.compute import Frontend, fits
from ser_edge.frontend.spec import FrontendSpec

__all__ = ["Frontend", "FrontendSpec", "Step", "fits"]

"""Figures for Prometheus: what was classified, what waits, what was lost, how long it took."""

from __future__ import annotations

import functools
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ser_edge.result import Result

# Seconds; the boards are slow, and recordings may be long.
_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counts, in a registry of its own.

    Args:
        waiting: how many jobs wait for a worker.
        lost: how many workers were lost.
        dropped: results that followers of the device's microphone were too slow for.
        lost_seconds: of the microphone's audio, as the processor was too slow.
    """

    def __init__(
        self,
        *,
        waiting: Callable[[], float],
        lost: Callable[[], float],
        dropped: Callable[[], float],
        lost_seconds: Callable[[], float],
    ) -> None:
        self._registry = registry = CollectorRegistry()
        self._windows = Counter(
            "ser_edge_windows",
            "Results by label, or by the reason for none.",
            ["source", "label", "reason"],
            registry=registry,
        )
        self._seconds = Counter(
            "ser_edge_audio_seconds",
            "Seconds of audio that were classified.",
            ["source"],
            registry=registry,
        )
        self._requests = Histogram(
            "ser_edge_request_seconds",
            "From a request's beginning to its answer.",
            ["path", "status"],
            buckets=_BUCKETS,
            registry=registry,
        )
        # Looking a counter up costs more than counting.
        self._windows_of = functools.lru_cache(1000)(self._windows.labels)
        self._seconds_of = functools.lru_cache(10)(self._seconds.labels)
        self._requests_of = functools.lru_cache(1000)(self._requests.labels)
        self.streams = Gauge(
            "ser_edge_streams", "Open streams of live audio from clients.", registry=registry
        )
        for name, text, function in (
            ("ser_edge_queue_length", "Jobs that wait for a worker.", waiting),
            ("ser_edge_lost_workers", "Workers that died or were too slow.", lost),
            ("ser_edge_dropped_results", "Results that followers were too slow for.", dropped),
            ("ser_edge_lost_audio_seconds", "Seconds that the microphone lost.", lost_seconds),
        ):
            Gauge(name, text, registry=registry).set_function(function)

    def classified(
        self, source: str, label: str | None, reason: str | None, seconds: float
    ) -> None:
        """Count a result; source: upload, stream or device."""
        self._windows_of(source, label or "", reason or "").inc()
        self._seconds_of(source).inc(max(0.0, seconds))

    def window(self, source: str, result: Result, seconds: float) -> None:
        """Count the result of a window of which so many seconds are new."""
        self.classified(source, result.label, result.reason, seconds)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request; path: of the route, so that there are few."""
        self._requests_of(path, str(status)).observe(seconds)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)

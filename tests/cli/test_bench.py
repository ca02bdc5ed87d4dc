"""`ser-edge bench` measures everything and says so as a table and as JSON."""

from __future__ import annotations

import json
import statistics

import pytest
from click.testing import CliRunner

from ser_edge import cli
from ser_edge.cli import bench
from ser_edge.errors import SerEdgeError


@pytest.fixture(scope="module")
def report() -> bench.Report:
    return bench.benchmark(runs=3)


def test_every_step_is_timed(report: bench.Report) -> None:
    assert list(report.steps) == ["decode", "features", "inference", "total"]
    for timing in report.steps.values():
        assert 0 < timing.median_ms <= timing.p95_ms


def test_derived_figures(report: bench.Report) -> None:
    total = report.steps["total"].median_ms / 1000
    assert report.windows_per_second == pytest.approx(1 / total)
    assert report.real_time_factor == pytest.approx(total / report.window_seconds)
    assert report.cold_start_s > total
    # Of numpy and a runtime: neither a unit's mistake nor another process's memory.
    assert 20 < report.peak_mb < 200


def test_score_is_one_line(report: bench.Report) -> None:
    assert "\n" not in report.score()
    for part in (f"{report.windows_per_second:.1f} windows/s", report.runtime, str(report.machine)):
        assert part in report.score()


def test_timing_is_median_and_95th_percentile(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(t for run in range(100) for t in (run, run + (run + 1) / 1000))
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(clock))
    calls = []
    timing = bench._time(lambda: calls.append(None), 100)
    assert len(calls) > 100  # warmed up
    assert timing.median_ms == pytest.approx(statistics.median(range(1, 101)))
    assert timing.p95_ms == pytest.approx(95.05)


def test_command(monkeypatch: pytest.MonkeyPatch, report: bench.Report) -> None:
    monkeypatch.setattr(bench, "benchmark", lambda *_, **__: report)
    table = CliRunner().invoke(cli.program, ["bench"], catch_exceptions=False)
    assert table.exit_code == 0
    assert table.output.splitlines()[-1] == report.score()
    for word in ("decode", "features", "inference", "total", "real-time factor", "cold start"):
        assert word in table.output
    as_json = CliRunner().invoke(cli.program, ["bench", "--json"], catch_exceptions=False)
    data = json.loads(as_json.output)
    assert data["schema"] == 1
    assert data["score"] == report.score()
    assert data["steps"]["total"]["median_ms"] == report.steps["total"].median_ms


def test_an_unknown_model_is_one_sentence() -> None:
    with pytest.raises(SerEdgeError, match=r"no bundled model 'nope', .*nor is it a file$"):
        bench.benchmark("nope", runs=2)

"""The comparison of devices must be able to fail, and 32-bit ARM must be told from the others."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from emulate import SKIPPED, compare, main
from packages import requirements

RESULT: dict[str, Any] = {
    "file": "a.wav",
    "label": "sad",
    "reason": None,
    "start": 0.0,
    "end": 2.0,
    "scores": {"sad": 0.75, "happy": 0.25},
}


def test_compare_returns_the_largest_difference() -> None:
    there = {**RESULT, "file": "/recordings/a.wav", "scores": {"sad": 0.7504, "happy": 0.2496}}
    difference, name = compare([RESULT], [there])
    assert difference == pytest.approx(4e-4)
    assert name == "a.wav"


@pytest.mark.parametrize(
    "change",
    [
        {"label": "happy"},
        {"reason": "silence"},
        {"end": 2.1},
        {"scores": {"sad": 0.7511, "happy": 0.2489}},
        {"scores": None},
        {"error": "a.wav: is damaged"},
    ],
)
def test_compare_refuses_other_results(change: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match=r"FAILED: a\.wav"):
        compare([RESULT], [{**RESULT, **change}])


def test_compare_refuses_missing_results_and_results_without_scores() -> None:
    with pytest.raises(SystemExit, match="0 results instead of 1"):
        compare([RESULT], [])
    silence = {**RESULT, "label": None, "reason": "silence", "scores": None}
    with pytest.raises(SystemExit, match="no result has probabilities"):
        compare([silence], [silence])


def test_what_cannot_run_is_skipped_loudly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["emulate.py"])
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert main() == SKIPPED != 0
    assert "SKIPPED: no emulated device was tested: chroot needs root" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("python", "machine", "expected"),
    [
        ("3.11", "armv7l", {"click", "tflite-runtime"}),
        ("3.11", "aarch64", {"click", "tflite-runtime", "soxr"}),
        ("3.13", "aarch64", {"click", "soxr"}),
    ],
)
def test_requirements_are_those_of_the_named_platform(
    tmp_path: Path, python: str, machine: str, expected: set[str]
) -> None:
    wheel = tmp_path / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(
            "thing-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n"
            "Requires-Dist: click>=8\n"
            'Requires-Dist: soxr; platform_machine != "armv7l"\n'
            'Requires-Dist: tflite-runtime; sys_platform == "linux" and python_version < "3.12"\n'
            'Requires-Dist: librosa; extra == "convert"\n',
        )
    assert {r.name for r in requirements(wheel, python, machine)} == expected

"""`ser-edge doctor` finds a healthy installation healthy, and says how to mend another."""

from __future__ import annotations

import sys

from ser_edge.cli import options


def test_doctor_finds_this_installation_healthy(run):
    outcome = run("doctor")
    assert outcome.code == 0
    assert "FAIL" not in outcome.out
    assert "reference answer" in outcome.out


def test_doctor_says_how_to_mend(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    outcome = run("doctor")
    assert outcome.code == options.EXIT_UNUSABLE
    assert "FAIL  audio files" in outcome.out
    assert "apt install libsndfile1" in outcome.out

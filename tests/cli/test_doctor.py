"""`ser-edge doctor` finds a healthy installation healthy, and says how to mend another."""

from __future__ import annotations

import shutil
import sys
import types

import pytest

from ser_edge.cli import doctor, options


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


def checks() -> dict[str, doctor.Check]:
    return {check.name.split(" (")[0]: check for check in doctor.examine("default")}


def test_what_need_not_be_there_is_no_failure(run, monkeypatch):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    outcome = run("doctor")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    for extra in ("mic", "mqtt", "plot", "vad"):
        assert any(
            line.startswith(f"-     extra {extra} ") and f"'ser-edge[{extra}]'" in line
            for line in lines
        )
    assert "-     microphone: not looked for, without the extra mic" in lines
    assert any(line.startswith("-     ffmpeg: not installed") for line in lines)


@pytest.mark.parametrize("error", [ImportError("no such name"), OSError("PortAudio not found")])
def test_a_broken_extra_is_a_failure(monkeypatch, error):
    def fail(name: str) -> None:
        raise error

    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(doctor.importlib, "import_module", fail)
    check = doctor._extra(doctor._EXTRAS[0])
    assert (check.ok, check.finding) == (False, str(error))
    assert "libportaudio2" in (check.remedy or "")


def test_microphones_and_ffmpeg_are_looked_for(monkeypatch):
    device = {"name": "USB", "max_input_channels": 1, "default_samplerate": 48_000.0}
    card = types.SimpleNamespace(
        PortAudioError=RuntimeError,
        default=types.SimpleNamespace(device=[0, 0]),
        query_devices=lambda: [device, device],
    )
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    found = checks()
    assert (found["microphone"].ok, found["microphone"].finding[:2]) == (True, "2:")
    assert (found["ffmpeg"].ok, found["ffmpeg"].finding) == (True, "/usr/bin/ffmpeg")
    card.query_devices = list
    found = checks()
    assert found["microphone"].ok is None
    assert "arecord -l" in (found["microphone"].remedy or "")

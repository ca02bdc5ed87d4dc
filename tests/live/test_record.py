"""`ser-edge adapt --record` with a microphone that plays what the test wants said."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_edge import Classifier
from ser_edge.adapt.profile import Profile
from ser_edge.cli.record import Session
from ser_edge.live import recorder
from ser_edge.live.recorder import Take
from ser_edge.live.sentences import SENTENCES
from tests.helpers.audio import RATE, noise, silence, voice
from tests.live.test_pulseaudio import SOURCE_RATE, Server, server  # noqa: F401

SECONDS = 2.0


def spoken(kind: str, number: int, rate: int = RATE, seconds: float = SECONDS) -> np.ndarray:
    """A slow or a fast voice, a bit different each time."""
    speed = {"calm": 0.7, "excited": 1.4}[kind] * (1 + 0.03 * number)
    return voice(2 * seconds, round(rate / speed))[: round(seconds * rate)]


@pytest.fixture
def say(monkeypatch, capsys):
    """Runs a session: what is typed, and what the microphone delivers one after another."""

    def run(typed: str, takes: list[np.ndarray], **options):
        waiting = iter(takes)
        monkeypatch.setattr(
            recorder, "record", lambda seconds, **_: Take(next(waiting).astype(np.float32), RATE)
        )
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        arguments = {
            "labels": ["calm", "excited"], "clips": 2, "seconds": SECONDS, "language": "en",
            "device": None, "channel": None, "keep": None,
        }  # fmt: skip
        session = Session(Classifier.bundled(), **{**arguments, **options})
        clips = [(clip.name, clip.label) for clip in session.run()]
        return clips, capsys.readouterr().err

    return run


def test_each_emotion_is_asked_for_so_often(say):
    takes = [spoken(kind, number) for kind in ("calm", "excited") for number in (0, 1)]
    clips, said = say("\n" * 4, takes)
    assert clips == [
        ("calm/1.wav", "calm"), ("calm/2.wav", "calm"),
        ("excited/1.wav", "excited"), ("excited/2.wav", "excited"),
    ]  # fmt: skip
    assert said.count("good (") == 4
    assert "excited, 2 of 2" in said
    assert SENTENCES["en"][1] in said


def test_what_cannot_be_used_is_asked_for_again(say):
    loud = np.clip(20 * spoken("calm", 0), -1, 1)
    takes = [silence(2.0), loud, noise(2 * RATE), voice(0.1), spoken("calm", 0)]
    clips, said = say("\n" * 5, takes, labels=["calm"], clips=1)
    assert clips == [("calm/1.wav", "calm")]
    assert said.count("again, please") == 4
    for remedy in ("nothing was heard", "too loud", "no speech was heard", "too little speech"):
        assert remedy in said


def test_a_clip_is_recorded_again_an_emotion_skipped_and_a_session_ended(say, tmp_path):
    takes = [spoken("calm", number) for number in range(4)]
    keep = tmp_path / "kept"
    clips, _ = say("\nr\n\nq\n", takes, keep=str(keep))
    assert clips == [("calm/1.wav", "calm"), ("calm/2.wav", "calm")]
    samples, rate = soundfile.read(keep / "calm" / "1.wav")
    assert rate == RATE
    assert samples == pytest.approx(takes[1], abs=1e-4)
    clips, _ = say("s\n\nq\n", takes)
    assert clips == [("excited/1.wav", "excited")]
    clips, _ = say("", takes)  # the end of input
    assert clips == []


def test_there_is_nothing_to_play_before_the_first_clip(say):
    _, said = say("p\nq\n", [])
    assert "nothing to play yet" in said


def test_all_languages_have_sentences_enough():
    assert {len(sentences) for sentences in SENTENCES.values()} == {5}
    assert all(len(set(sentences)) == 5 for sentences in SENTENCES.values())


@pytest.mark.slow
def test_a_session_at_a_real_microphone(server: Server, tmp_path: Path):  # noqa: F811
    """Silence and shouting are refused, then a profile comes of two clips of each emotion."""
    output, keep = tmp_path / "voice.json", tmp_path / "kept"
    command = [sys.executable, "-m", "ser_edge", "adapt", "--record", "--device", "default"]
    command += ["--emotions", "calm,excited", "--clips", "2", "--seconds", str(SECONDS)]
    command += ["--keep", str(keep), "-o", str(output)]
    process = subprocess.Popen(
        command,
        env=server.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    said = ""

    def until(*texts: str) -> None:
        nonlocal said
        assert process.stderr is not None
        seen = ""
        while not any(text in seen for text in texts):
            character = process.stderr.read(1)
            assert character, said
            seen += character.decode(errors="replace")
            said += character.decode(errors="replace")

    voices = [
        None,
        np.clip(50 * spoken("calm", 0, SOURCE_RATE, 6.0), -1, 1),
        *(spoken(kind, n, SOURCE_RATE, 6.0) for kind in ("calm", "excited") for n in (0, 1)),
    ]
    for samples in voices:
        until("\n> ")
        player = None
        if samples is not None:
            player = threading.Thread(target=server.play, args=(samples,))
            player.start()
            time.sleep(1.0)
        process.stdin.write(b"\n")
        process.stdin.flush()
        until("again, please", "good (")
        if player is not None:
            player.join()
    out, err = process.communicate(timeout=60)
    said += err.decode()
    assert process.returncode == 0, said
    assert said.count("again, please") == 2
    assert "nothing was heard" in said
    assert "too loud" in said
    assert said.count("good (") == 4
    assert b"a profile of 4 clips" in out
    assert Profile.read(output).labels == ("calm", "excited")
    kept = sorted(str(path.relative_to(keep)) for path in keep.rglob("*.wav"))
    assert kept == ["calm/1.wav", "calm/2.wav", "excited/1.wav", "excited/2.wav"]
    adapted = Classifier.bundled(profile=output, threshold=0)
    for kind in ("calm", "excited"):
        assert adapted.classify_samples(spoken(kind, 1), RATE).label == kind

"""A microphone: lost audio is reported, a lost device is waited for, and nothing piles up."""

from __future__ import annotations

import sys
import threading
import time
import types

import pytest

from ser_edge import AudioError, DependencyError
from ser_edge.audio.pcm import Format
from ser_edge.cli import options
from ser_edge.live import microphone
from ser_edge.live.microphone import Backlog, Microphone
from ser_edge.live.source import Stop


class Card:
    """What sounddevice offers, with a card that can be unplugged and asked for audio."""

    class PortAudioError(Exception):
        pass

    def __init__(self) -> None:
        self.plugged = True  # whether it opens
        self.present = True  # whether the system has it
        self.rate = 44_100.0
        self.channels = 2
        self.scans = 0
        self.open: list = []
        self.closed: list = []
        self.default = types.SimpleNamespace(device=[0, 0])

    def query_devices(self, device=None, kind=None):
        info = {
            "name": "Test card",
            "max_input_channels": self.channels,
            "default_samplerate": self.rate,
        }
        if kind is None:
            speaker = {**info, "max_input_channels": 0}
            return [info, speaker] if self.present else [speaker]
        if device not in (None, 0, "Test") or not self.plugged:
            raise ValueError(f"No input device matching {device!r}")
        return info

    def RawInputStream(self, **arguments):
        return types.SimpleNamespace(
            start=lambda: self.open.append(arguments),
            close=lambda ignore_errors: self.closed.append(arguments),
        )

    def _terminate(self) -> None:
        self.scans += 1

    def _initialize(self) -> None:
        pass

    def deliver(self, frames: int, *, overflow: bool = False) -> None:
        arguments = self.open[-1]
        status = types.SimpleNamespace(input_overflow=overflow)
        arguments["callback"](bytes(2 * frames * arguments["channels"]), frames, None, status)


@pytest.fixture
def card(monkeypatch):
    card = Card()
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    return card


def test_the_card_s_own_rate_and_channels(card):
    opened = Microphone("Test", stop=Stop(), report=print)
    assert opened.format == Format(44_100, 2, "int16")
    assert card.open[0]["samplerate"] == 44_100
    card.channels = 32  # a sound server's
    assert Microphone(stop=Stop(), report=print).format.channels == 1
    assert Microphone(channel=3, stop=Stop(), report=print).format.channels == 3
    assert Microphone("0", rate=48_000, stop=Stop(), report=print).format.sample_rate == 48_000


def test_a_microphone_that_is_not_there(card):
    with pytest.raises(AudioError, match=r"device 'Nowhere'.*--list-devices"):
        Microphone("Nowhere", stop=Stop(), report=print)
    card.plugged = False
    with pytest.raises(AudioError, match="the default microphone"):
        Microphone(stop=Stop(), report=print)


@pytest.mark.parametrize("device", [None, "0", "USB"])
def test_no_microphone_at_all(card, device):
    card.plugged = card.present = False
    checks = r"^there is no microphone: .*arecord -l.*group audio.*PipeWire"
    with pytest.raises(AudioError, match=checks):
        Microphone(device, stop=Stop(), report=print)
    with pytest.raises(AudioError, match=checks):
        list(microphone.devices())


@pytest.mark.parametrize("arguments", [[], ["--list-devices"], ["--device", "USB"]])
def test_the_command_says_that_there_is_none(card, run, arguments):
    card.plugged = card.present = False
    outcome = run("listen", *arguments)
    assert (outcome.code, outcome.out) == (options.EXIT_FAILED, "")
    assert outcome.err.startswith("ser-edge: there is no microphone: ")
    assert outcome.err.count("\n") == 1


def test_portaudio_that_fails_to_look_has_found_none(card, monkeypatch):
    def fail(*_, **__):
        raise card.PortAudioError("PortAudio not initialized")

    monkeypatch.setattr(card, "query_devices", fail)
    with pytest.raises(AudioError, match="there is no microphone"):
        Microphone(stop=Stop(), report=print)


def test_without_sounddevice(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(DependencyError, match=r"ser-edge\[mic\].*libportaudio2"):
        Microphone(stop=Stop(), report=print)


def test_devices_are_listed(card):
    assert list(microphone.devices()) == ["*   0  Test card (2 channels, 44100 Hz)"]


def test_an_overrun_drops_the_oldest_and_is_counted(card):
    reports: list[str] = []
    stop = Stop()
    opened = Microphone(stop=stop, report=reports.append)
    block = 4410  # a tenth of a second
    for _ in range(microphone._BACKLOG_BLOCKS + 1):
        card.deliver(block)
    chunks = iter(opened)
    got = [next(chunks) for _ in range(microphone._BACKLOG_BLOCKS // 2 + 1)]
    assert got[0].start == pytest.approx(5.0)
    assert {chunk.start for chunk in got[1:]} == {None}
    assert reports == ["too slow for live audio: dropped 5.0 s, 5.0 s in all"]
    card.deliver(block, overflow=True)
    assert next(chunks).start is None
    assert "lost some audio" in reports[-1]
    stop.requested = True
    assert list(chunks) == []
    assert card.closed == card.open


def test_the_backlog_never_grows():
    backlog = Backlog(limit=10)
    for _ in range(1000):
        backlog.put(b"..", frames=1)
    positions = []
    while (block := backlog.get(0)) is not None:
        positions.append(block.position)
    assert 5 <= len(positions) <= 10
    assert positions == list(range(1000 - len(positions), 1000))


def test_a_card_that_disappears_is_waited_for(card, monkeypatch):
    monkeypatch.setattr(microphone, "_STALL_SECONDS", 0.2)
    monkeypatch.setattr(microphone, "_RETRY_SECONDS", 0.1)
    reports: list[str] = []
    stop = Stop()
    opened = Microphone("Test", stop=stop, report=reports.append)
    chunks = iter(opened)
    card.deliver(4410)
    assert next(chunks).start is None

    def plug_in() -> None:
        card.plugged = False
        while card.scans < 3:
            time.sleep(0.01)
        card.rate, card.plugged = 48_000.0, True
        while len(card.open) < 2:
            time.sleep(0.01)
        card.deliver(4800)

    helper = threading.Thread(target=plug_in)
    helper.start()
    chunk = next(chunks)
    helper.join()
    assert chunk.format.sample_rate == 48_000
    assert chunk.start is not None
    assert chunk.start > 0.2
    assert reports == ["Test card disappeared; waiting for it", "Test card is back"]
    stop.requested = True
    assert list(chunks) == []
    assert card.closed == card.open  # each once

"""Home Assistant itself hears of a listening device: its MQTT integration, and its own API.

It is tested where ``SER_EDGE_HASS`` names the program ``hass`` of an installed Home Assistant Core.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.audio import RATE, voice
from tests.live.test_mqtt import Broker, eventually

HASS = os.environ.get("SER_EDGE_HASS")
TOPIC = "home/kitchen/emotion"
START_SECONDS = 300.0  # it installs what its integrations need
ENTITIES = ("sensor.kitchen_emotion", "sensor.kitchen_confidence")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(HASS is None, reason="NO HOME ASSISTANT TESTED: SER_EDGE_HASS names none"),
    pytest.mark.skipif(
        shutil.which("mosquitto") is None, reason="NO HOME ASSISTANT TESTED: no mosquitto"
    ),
]

CONFIGURATION = """
homeassistant:
  name: Test
  time_zone: UTC
http:
  server_host: 127.0.0.1
  server_port: {port}
api:
config:
logger:
  default: warning
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class HomeAssistant:
    """A Home Assistant of our own, whose user is called tester."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        (folder / "configuration.yaml").write_text(CONFIGURATION.format(port=port))
        add = ["--script", "auth", "-c", str(folder), "add", "tester", "secret"]
        subprocess.run([str(HASS), *add], check=True, capture_output=True)
        self._token = ""
        self.start()

    def start(self) -> None:
        with (self._folder / "output").open("wb") as output:
            self._process = subprocess.Popen(
                [str(HASS), "-c", str(self._folder)], stdout=output, stderr=subprocess.STDOUT
            )
        eventually(self._answers, START_SECONDS)
        self._log_in()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(120)

    def set_up_mqtt(self, port: int) -> None:
        """As a person does in its settings."""
        flow = self.ask("/api/config/config_entries/flow", {"handler": "mqtt"})
        broker = {"broker": "127.0.0.1", "port": port}
        done = self.ask(f"/api/config/config_entries/flow/{flow['flow_id']}", broker)
        assert done["type"] == "create_entry", done

    def states(self) -> tuple[str, str] | None:
        """The emotion and its confidence, as its API tells them; None while it knows neither."""
        try:
            emotion, confidence = (self.ask(f"/api/states/{name}")["state"] for name in ENTITIES)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        return emotion, confidence

    def ask(self, path: str, content: Any = None, *, form: bool = False) -> Any:
        """Its answer to a request."""
        data = None
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if form:
            data = urllib.parse.urlencode(content).encode()
        elif content is not None:
            data = json.dumps(content).encode()
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(f"{self._url}{path}", data, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self._folder / "output").read_text()[-2000:]
        try:
            urllib.request.urlopen(f"{self._url}/api/", timeout=10).close()
        except urllib.error.HTTPError as error:
            return error.code == 401  # it asks who we are
        except OSError:
            return False
        return True

    def _log_in(self) -> None:
        self._token = ""
        client = f"{self._url}/"
        start = {"client_id": client, "handler": ["homeassistant", None], "redirect_uri": client}
        flow = self.ask("/auth/login_flow", start)
        who = {"client_id": client, "username": "tester", "password": "secret"}
        code = self.ask(f"/auth/login_flow/{flow['flow_id']}", who)["result"]
        form = {"grant_type": "authorization_code", "code": code, "client_id": client}
        self._token = self.ask("/auth/token", form, form=True)["access_token"]


class Listener:
    """`ser-edge listen --mqtt`, which hears what the test lets it hear."""

    def __init__(self, broker: Broker) -> None:
        url = f"mqtt://127.0.0.1:{broker.port}/{TOPIC}"
        options = ["--rate", str(RATE), "--hop", "4", "--threshold", "0", "--json"]
        options += ["--mqtt", url, "--name", "Kitchen"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ser_edge", "listen", "-", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def hear(self, samples: np.ndarray) -> tuple[str, str]:
        """The state that a window of audio has to give."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(np.rint(samples * 32767).astype("<i2").tobytes())
        self.process.stdin.flush()
        result = json.loads(self.process.stdout.readline())
        if result["label"] is None:
            return "none", "unknown"
        return result["label"], str(round(100 * result["confidence"], 1))

    def end(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.wait(30)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    (tmp_path / "broker").mkdir()
    started = Broker(tmp_path / "broker", "allow_anonymous true")
    yield started
    started.stop()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[HomeAssistant]:
    (tmp_path / "home").mkdir()
    started = HomeAssistant(tmp_path / "home")
    yield started
    with contextlib.suppress(subprocess.TimeoutExpired):
        started.stop()


def test_the_emotion_is_there_changes_and_survives(broker: Broker, home: HomeAssistant) -> None:
    speech, quiet = voice(4.0), np.zeros(4 * RATE)
    home.set_up_mqtt(broker.port)
    listener = Listener(broker)
    heard = listener.hear(speech)
    assert heard[0] != "none"
    eventually(lambda: home.states() == heard, 60)
    options = home.ask(f"/api/states/{ENTITIES[0]}")["attributes"]["options"]
    assert heard[0] in options
    assert "none" in options

    assert listener.hear(quiet) == ("none", "unknown")
    eventually(lambda: home.states() == ("none", "unknown"))
    heard = listener.hear(speech)
    eventually(lambda: home.states() == heard)

    # The device is restarted.
    listener.end(signal.SIGTERM)
    eventually(lambda: home.states() == ("unavailable", "unavailable"))
    listener = Listener(broker)
    eventually(lambda: home.states() == heard)  # the broker remembers it
    listener.hear(quiet)
    eventually(lambda: home.states() == ("none", "unknown"))
    heard = listener.hear(speech)
    eventually(lambda: home.states() == heard)

    # Home Assistant is.
    home.stop()
    home.start()
    eventually(lambda: home.states() == heard, 60)

    # The device dies.
    listener.end(signal.SIGKILL)
    eventually(lambda: home.states() == ("unavailable", "unavailable"))

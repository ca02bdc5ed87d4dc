"""The examples of docs/serve.md do what they say."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ser_edge import Classifier
from tests.helpers import readme
from tests.helpers.audio import RATE, voice
from tests.helpers.serving import RECORDING, Served, lines, serving

pytest.importorskip("starlette", reason="NO SERVICE TESTED: the extra web is not installed")
pytest.importorskip("httpx", reason="NO SERVICE TESTED: httpx is not installed")

PAGE = "docs/serve.md"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving("--workers", "0") as service:
        yield service


def block(name: str, page: str = PAGE) -> str:
    return readme.example(page, name)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is missing")
def test_curl(served: Served, tmp_path: Path) -> None:
    for name in ("call.wav", "meeting.flac"):
        shutil.copy(RECORDING, tmp_path / name)
    commands = re.findall(r"^curl .*", readme.text(PAGE), re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        words = shlex.split(command.replace("http://localhost:8350", served.url))
        printed = subprocess.run(
            [*words, "-s"], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
        assert all(result["label"] == "neutral" for result in lines(printed)), printed


@pytest.mark.skipif(shutil.which("node") is None, reason="NO JAVASCRIPT TESTED: no Node.js")
def test_javascript(served: Served, tmp_path: Path) -> None:
    script = tmp_path / "ask.mjs"
    script.write_text(block("javascript"))
    for recording, expected in ((RECORDING, "neutral"), (script, "not audio that can be read")):
        command = ["node", str(script), str(recording), served.url]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert expected in told


def test_python(served: Served, classifier: Classifier) -> None:
    script: dict = {}
    exec(block("python"), script)
    assert script["classify"](served.url, RECORDING)["label"] == "neutral"
    data = np.rint(voice(9.0) * 32767).astype("<i2").tobytes()
    found = script["live"](served.url, [data[:1000], data[1000:]], RATE)
    expected = classifier.stream(RATE).through([data])
    assert [r["label"] for r in found] == [r.label for r in expected]


def test_node_red() -> None:
    nodes = {node["id"]: node for node in json.loads(block("node-red"))}
    assert [node["type"] for node in nodes.values()] == [
        "inject", "function", "http request", "debug",
    ]  # fmt: skip
    assert all(
        target in nodes for node in nodes.values() for wires in node["wires"] for target in wires
    )
    assert "/v1/history?from=" in nodes["url"]["func"]


def unit(page: str) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(strict=True, interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(block("systemd-unit", page))
    return parsed


def test_the_service_is_as_hardened_as_the_listener_s() -> None:
    service, listener = unit(PAGE)["Service"], unit("docs/live.md")["Service"]
    own = {"ExecStart", "EnvironmentFile", "LoadCredential", "Environment", "MemoryMax"}
    assert {key: service.get(key) for key in listener if key not in own} == {
        key: listener[key] for key in listener if key not in own
    }
    program, command, *rest = shlex.split(service["ExecStart"])
    assert (Path(program).name, command, rest) == ("ser-edge", "serve", [])


def test_the_environment_file_is_understood() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "ser_edge", "serve", "--help"], capture_output=True, check=True
    ).stdout.decode()
    variables = [line.split("=")[0] for line in block("environment-file").splitlines()]
    variables.append(unit(PAGE)["Service"]["Environment"].split("=")[0])
    for variable in variables:
        option = variable.replace("SER_EDGE_SERVE_", "--").replace("_", "-").lower()
        assert re.search(rf"^ +{option}\b", shown, re.MULTILINE), option


def test_the_card_shows_what_home_assistant_finds() -> None:
    card = block("dashboard-card", "docs/home-assistant.md")
    assert set(re.findall(r"sensor\.\w+", card)) == {
        "sensor.kitchen_emotion",
        "sensor.kitchen_confidence",
    }

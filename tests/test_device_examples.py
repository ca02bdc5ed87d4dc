"""The examples for devices do what they say."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.helpers import readme
from tests.helpers.audio import RATE


def example(name: str) -> str:
    return readme.example("docs/live.md", name)


class Lamp:
    def __init__(self) -> None:
        self.states: list[bool] = []

    def on(self) -> None:
        self.states.append(True)

    def off(self) -> None:
        self.states.append(False)


def test_the_lamp_follows_the_emotion():
    script: dict = {}
    exec(example("lamp"), script)
    lamp = Lamp()
    labels = ["angry", "sad", None, "angry"]
    script["follow"]([json.dumps({"label": label}) for label in labels], lamp)
    assert lamp.states == [True, False, False, True]


def test_the_lamp_s_command_is_understood(monkeypatch):
    script: dict = {}
    exec(example("lamp"), script)
    original = subprocess.Popen

    def piped(command, **options):
        assert command[0] == "ser-edge"
        source = ["-", "--rate", str(RATE)]
        process = original(
            [sys.executable, "-m", "ser_edge", *command[1:], *source],
            stdin=subprocess.PIPE,
            **options,
        )
        process.stdin.write(bytes(2 * RATE))
        process.stdin.close()
        return process

    monkeypatch.setattr(subprocess, "Popen", piped)
    lamp = Lamp()
    script["main"](lamp)
    assert lamp.states == [False]


def test_the_service_is_a_hardened_unit_that_our_command_line_understands():
    unit = configparser.ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(example("systemd-unit"))
    service = unit["Service"]
    assert service["DynamicUser"] == "yes"
    assert service["SupplementaryGroups"] == "audio"
    assert service["ProtectSystem"] == "strict"
    assert service["Restart"] == "always"
    program, command, *rest = shlex.split(service["ExecStart"])
    assert (Path(program).name, command, rest) == ("ser-edge", "listen", [])
    shown = subprocess.run(
        [sys.executable, "-m", "ser_edge", "listen", "--help"], capture_output=True, check=True
    ).stdout.decode()
    variables = [line.split("=")[0] for line in example("environment-file").splitlines()]
    variables.append(service["Environment"].split("=")[0])
    for variable in variables:
        option = variable.replace("SER_EDGE_LISTEN_", "--").replace("_", "-").lower()
        assert re.search(rf"^ +{option}\b", shown, re.MULTILINE), option


def test_the_environment_file_configures_the_listener():
    settings = dict(line.split("=", 1) for line in example("environment-file").splitlines())
    settings["SER_EDGE_LISTEN_MQTT"] = "mqtt://127.0.0.1:9/x"  # nobody is there
    listener = subprocess.run(
        [sys.executable, "-m", "ser_edge", "listen", "-", "--rate", str(RATE), "--json"],
        env={**os.environ, **settings},
        input=np.zeros(RATE * 9, np.int16).tobytes(),
        capture_output=True,
        timeout=60,
    )
    assert listener.returncode == 0
    assert len(listener.stdout.splitlines()) == 1  # only changes, and silence does not change
    assert b"cannot reach the broker" in listener.stderr

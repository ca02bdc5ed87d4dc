"""The microphone's path for real: PulseAudio plays into a null sink, PortAudio records from it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ser_edge import Classifier

pytestmark = pytest.mark.slow

SOURCE_RATE = 48_000
GAP_SECONDS = 4.5  # longer than a window, so that no window holds two recordings


class Server:
    """A PulseAudio of our own whose only microphone hears what is played."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = folder / "socket"
        alsa = folder / "asound.conf"
        alsa.write_text(
            "</usr/share/alsa/alsa.conf>\npcm.!default { type pulse }\nctl.!default { type pulse }"
        )
        self.environment = {
            **os.environ,
            "PULSE_SERVER": f"unix:{self._socket}",
            "PULSE_SOURCE": "cable.monitor",
            "PULSE_RUNTIME_PATH": str(folder / "runtime"),
            "XDG_CONFIG_HOME": str(folder),
            "ALSA_CONFIG_PATH": str(alsa),
        }
        self.start()

    def start(self) -> None:
        self._socket.unlink(missing_ok=True)
        command = ["pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no"]
        command += ["--exit-idle-time=-1", "--disable-shm=yes"]
        command += ["-L", "module-null-sink sink_name=cable rate=48000 channels=2"]
        command += ["-L", f"module-native-protocol-unix auth-anonymous=1 socket={self._socket}"]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )
        for _ in range(100):
            if self._socket.exists():
                return
            time.sleep(0.1)
        pytest.skip(
            "NO MICROPHONE TESTED: PulseAudio does not start: "
            + (self._folder / "log").read_text()[-300:]
        )

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def play(self, samples: np.ndarray) -> None:
        """In real time, as the null sink takes it."""
        data = np.rint(samples * 32767).astype("<i2").tobytes()
        command = ["pacat", "--playback", "--device=cable", f"--rate={SOURCE_RATE}"]
        command += ["--channels=1", "--format=s16le", "--latency-msec=200"]
        subprocess.run(command, input=data, env=self.environment, check=True, timeout=120)


@pytest.fixture
def server(tmp_path):
    for program in ("pulseaudio", "pacat"):
        if shutil.which(program) is None:
            pytest.skip(f"NO MICROPHONE TESTED: there is no {program}: apt install pulseaudio")
    try:
        import sounddevice  # noqa: F401
    except (ImportError, OSError) as error:
        pytest.skip(f"NO MICROPHONE TESTED: {error}")
    server = Server(tmp_path)
    yield server
    server.kill()


def listening(server: Server, *arguments: str) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-m", "ser_edge", "listen", "--json", "--threshold", "0", *arguments],
        env=server.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()  # the first window is full: it records
    return process


def results(out: bytes) -> list[dict]:
    return [json.loads(line) for line in out.splitlines()]


def test_a_microphone_hears_what_a_file_holds(server, speech, recordings, classifier):
    from ser_edge.audio.resample import resample

    # Answers that are no toss-up: a window that starts elsewhere than the file may tip those.
    hearer = Classifier(classifier.model, threshold=0)
    expected = []
    played = []
    for clip in (recordings[clip.path.name] for clip in speech[::10]):
        if len(expected) == 4 or not 1 < clip.size / 16_000 < 3:
            continue
        loud = resample(clip, 16_000, SOURCE_RATE)
        result = hearer.classify_samples(loud, SOURCE_RATE)
        if result.label and result.confidence > 0.7:
            expected.append(result.label)
            played += [loud, np.zeros(round(GAP_SECONDS * SOURCE_RATE), np.float32)]
    assert len(expected) == 4
    process = listening(server, "--device", "default", "--hop", "0.25")
    server.play(np.concatenate(played))
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert b"listening to default" in err
    # Windows that hold a recording's beginning, all of it, and its end follow one another.
    groups: list[list[str]] = [[]]
    for result in results(out):
        if result["reason"] == "silence":
            groups += [[]] if groups[-1] else []
        else:
            groups[-1].append(result["label"])
    heard = [group[len(group) // 2] for group in groups if group]
    assert heard == expected


def test_a_sound_server_that_dies_is_waited_for(server):
    process = listening(server, "--hop", "1")
    server.kill()
    assert process.stderr is not None
    for line in process.stderr:
        if b"disappeared" in line:
            break
    server.start()
    for line in process.stderr:
        if b"is back" in line:
            break
    assert process.stdout is not None
    before = json.loads(process.stdout.readline())
    while (after := json.loads(process.stdout.readline()))["start"] < before["end"]:
        before = after
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 0
    assert after["start"] >= before["end"] + 1


def test_a_killed_listener_leaves_the_microphone_to_others(server):
    process = listening(server)
    process.kill()
    process.communicate()
    process = listening(server)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 0

"""The service's answers, asked for over HTTP."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.helpers.audio import RATE, noise, voice
from tests.helpers.serving import RECORDING, Served, lines, serving

pytest.importorskip("starlette", reason="NO SERVICE TESTED: the extra web is not installed")
httpx = pytest.importorskip("httpx", reason="NO SERVICE TESTED: httpx is not installed")

from ser_edge.web import app, openapi  # noqa: E402


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving("--workers", "1", "--max-mb", "2") as service:
        yield service


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=60) as made:
        yield made


def wav(samples: np.ndarray, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def command_line(*arguments: object) -> str:
    """What ``ser-edge classify --json`` prints."""
    command = [sys.executable, "-m", "ser_edge", "classify", "--json", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False).stdout.decode()


def test_a_body_gives_the_line_of_the_command_line(client: httpx.Client) -> None:
    answer = client.post(
        "/v1/classify", params={"file": str(RECORDING)}, content=RECORDING.read_bytes()
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.text == command_line(RECORDING)


def test_several_files_of_a_form_give_a_line_each(client: httpx.Client, tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no audio")
    quiet = tmp_path / "quiet.wav"
    quiet.write_bytes(wav(np.zeros(RATE)))
    paths = [RECORDING, broken, quiet]
    files = [("file", (str(path), path.read_bytes())) for path in paths]
    answer = client.post("/v1/classify", files=files)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.text == command_line(*paths)


@pytest.mark.parametrize("query", [{}, {"hop": "1"}, {"hop": "0.5", "channel": "2"}])
def test_windows(client: httpx.Client, tmp_path: Path, query: dict[str, str]) -> None:
    path = tmp_path / "voice.wav"
    path.write_bytes(wav(np.stack([voice(9.0), noise(9 * RATE)], axis=1)))
    answer = client.post(
        "/v1/classify",
        params={"windows": "1", "file": str(path), **query},
        content=path.read_bytes(),
    )
    options = [word for name, value in query.items() for word in (f"--{name}", value)]
    assert answer.text == command_line("--windows", *options, path)
    assert len(answer.text.splitlines()) > 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "the file is empty"), (b"no audio at all", "not audio that can be read")],
)
def test_what_cannot_be_read_is_told_in_the_words_of_the_command_line(
    client: httpx.Client, tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(content)
    answer = client.post("/v1/classify", params={"file": str(path)}, content=content)
    assert answer.status_code == 422
    (told,) = lines(command_line(path))
    assert answer.json() == {"error": told["error"], "file": str(path), "exit_code": 1}
    assert reason in told["error"]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"windows": "2"}, "windows must be 0 or 1"),
        ({"hop": "1"}, "hop needs windows=1"),
        ({"windows": "1", "hop": "nan"}, "hop must be a number"),
        ({"channel": "0"}, "channel must be a number"),
        ({"profile": "nobody"}, "there is no profile nobody"),
        ({"profile": "{}"}, "profile"),
    ],
)
def test_wrong_usage(client: httpx.Client, query: dict[str, str], sentence: str) -> None:
    answer = client.post("/v1/classify", params=query, content=RECORDING.read_bytes())
    assert (answer.status_code, answer.json()["exit_code"]) in [(400, 2), (422, 1)]
    assert sentence in answer.json()["error"]


def test_there_is_no_such_channel(client: httpx.Client) -> None:
    answer = client.post("/v1/classify", params={"channel": "3"}, content=RECORDING.read_bytes())
    assert answer.status_code == 422
    assert "there is no channel 3" in answer.json()["error"]


def test_paths_and_methods_that_are_not_there(client: httpx.Client) -> None:
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("GET", "/v1/classify", 405),
        ("DELETE", "/v1/model", 405),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/v1/results", 404),
        ("GET", "/v1/history", 404),
    ):
        answer = client.request(method, path)
        assert answer.status_code == status, path
        assert set(answer.json()) == {"error"}


def test_the_form_must_be_one(client: httpx.Client) -> None:
    for content, sentence in (
        (b"--x\r\n\r\n", "form"),
        (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n', "no file"),
    ):
        headers = {"content-type": "multipart/form-data; boundary=x"}
        answer = client.post("/v1/classify", content=content, headers=headers)
        assert answer.status_code == 400
        assert sentence in answer.json()["error"]
    headers = {"content-type": "multipart/form-data"}
    assert client.post("/v1/classify", content=b"x", headers=headers).status_code == 400


def clip(kind: str, number: int) -> bytes:
    speed = {"calm": 0.7, "excited": 1.4}[kind] * (1 + 0.02 * number)
    samples = voice(3.0, round(RATE / speed))[: 2 * RATE]
    return wav(samples + noise(samples.size, seed=number, level=0.001))


def test_a_profile_is_made_and_used_at_once(client: httpx.Client) -> None:
    files = [
        (kind, (f"{kind}-{number}.wav", clip(kind, number)))
        for kind in ("calm", "excited")
        for number in range(4)
    ]
    files.append(("calm", ("quiet.wav", wav(np.zeros(RATE)))))
    answer = client.post("/v1/profile", files=files)
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert made["profile"]["labels"] == ["calm", "excited"]
    assert made["gains"] is True
    assert {r["label"]: r["after"] for r in made["recalls"]} == {"calm": 4, "excited": 4}
    assert made["left_out"] == [{"file": "quiet.wav", "reason": "silence"}]
    text = json.dumps(made["profile"])
    for profile in (("voice.json", text), (None, text)):
        form = [("file", ("fresh.wav", clip("excited", 5))), ("profile", profile)]
        told = client.post("/v1/classify", files=form).json()
        assert (told["label"], told["profile"]) == ("excited", "sent")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("no profile", "JSON"), ('{"format": 1}', "profile"), ('{"format": 99}', "format")],
)
def test_a_broken_profile_is_refused(client: httpx.Client, text: str, sentence: str) -> None:
    form = [("file", ("a.wav", RECORDING.read_bytes())), ("profile", ("voice.json", text))]
    answer = client.post("/v1/classify", files=form)
    assert answer.status_code == 422
    assert sentence in answer.json()["error"]


def test_too_few_clips_are_told(client: httpx.Client) -> None:
    answer = client.post("/v1/profile", files=[("sad", ("a.wav", RECORDING.read_bytes()))])
    assert answer.status_code == 422
    assert "at least two emotions" in answer.json()["error"]


def test_the_profiles_of_the_service(tmp_path: Path, client: httpx.Client) -> None:
    files = [
        (kind, (f"{kind}-{number}.wav", clip(kind, number)))
        for kind in ("calm", "excited")
        for number in range(4)
    ]
    profile = json.dumps(client.post("/v1/profile", files=files).json()["profile"])
    (tmp_path / "others").mkdir()
    mine, other = tmp_path / "mine.json", tmp_path / "others" / "other.json"
    mine.write_text(profile)
    other.write_text(profile)
    recording = tmp_path / "fresh.wav"
    recording.write_bytes(clip("calm", 7))
    arguments = ["--profile", str(mine), "--profiles", str(other.parent), "--workers", "0"]
    with serving(*arguments) as service, httpx.Client(base_url=service.url, timeout=60) as asker:

        def ask(**query: str) -> str:
            query["file"] = str(recording)
            content = recording.read_bytes()
            return str(asker.post("/v1/classify", params=query, content=content).text)

        assert ask() == command_line("--profile", mine, recording)
        assert ask(profile="other") == command_line("--profile", other, recording)
        assert ask(profile="none") == command_line(recording)
        told = asker.get("/v1/model").json()
        assert told["labels"] == ["calm", "excited"]
        assert set(told["profiles"]) == {"mine", "other", "none"}


def test_what_is_too_large_is_refused(client: httpx.Client) -> None:
    answer = client.post("/v1/classify", content=bytes(2_000_001))
    assert answer.status_code == 413
    assert "2 MB" in answer.json()["error"]

    def pieces() -> Iterator[bytes]:  # of a length that is not announced
        for _ in range(300):
            yield bytes(10_000)

    # It may be closed while we write.
    with contextlib.suppress(httpx.WriteError, httpx.RemoteProtocolError):
        assert client.post("/v1/classify", content=pieces()).status_code == 413
    assert client.get("/healthz").status_code == 200


def test_health_and_figures(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    client.post("/v1/classify", content=RECORDING.read_bytes())
    text = client.get("/metrics").text
    label = json.loads(command_line(RECORDING))["label"]
    counted = rf'ser_edge_windows_total{{label="{label}",reason="",source="upload"}} [1-9]'
    assert re.search(counted, text)
    assert re.search(r'ser_edge_audio_seconds_total{source="upload"} [\d.]+', text)
    assert "ser_edge_queue_length 0.0" in text
    assert 'path="/v1/classify",status="200"' in text


def test_the_openapi_document_has_the_routes_and_no_others(client: httpx.Client) -> None:
    described = client.get("/v1/openapi.json").json()
    assert described == openapi.document()
    routes = {route.path: route.methods - {"HEAD"} for route in app.API}
    routes[app.STREAM.path] = {"GET"}
    assert {
        path: {method.upper() for method in methods} for path, methods in described["paths"].items()
    } == routes
    result = described["components"]["schemas"]["Result"]
    answer = client.post("/v1/classify", content=RECORDING.read_bytes()).json()
    assert set(result["required"]) <= set(answer) <= set(result["properties"])


def test_a_recording_that_ends_a_worker_harms_no_other(
    served: Served, client: httpx.Client
) -> None:
    (worker,) = served.workers()
    os.kill(worker, signal.SIGSTOP)
    with httpx.Client(base_url=served.url, timeout=60) as other:
        import threading

        answers: list[httpx.Response] = []

        def ask() -> None:
            answers.append(other.post("/v1/classify", content=RECORDING.read_bytes()))

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(0.5)
        os.kill(worker, signal.SIGKILL)
        asking.join(60)
    assert answers[0].status_code == 422
    assert "ended the process" in answers[0].json()["error"]
    again = client.post("/v1/classify", content=RECORDING.read_bytes())
    assert again.status_code == 200
    assert served.workers() != [worker]
    assert "ser_edge_lost_workers 1.0" in client.get("/metrics").text


def test_the_head_of_an_answer_goes_with_its_body_but_does_not_wait_for_events() -> None:
    import h11

    from ser_edge.web.limits import _Connection

    def asked() -> h11.Connection:
        connection = _Connection(h11.SERVER)
        connection.receive_data(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.next_event()
        return connection

    connection = asked()
    assert connection.send(h11.Response(status_code=200, headers=[("content-length", "2")])) == b""
    sent = connection.send(h11.Data(data=b"ab"))
    assert sent.startswith(b"HTTP/1.1 200")
    assert sent.endswith(b"\r\n\r\nab")
    assert connection.send(h11.EndOfMessage()) == b""
    connection = asked()
    assert connection.send(h11.Response(status_code=304, headers=[("content-length", "2")])) == b""
    assert connection.send(h11.EndOfMessage()).startswith(b"HTTP/1.1 304")
    assert asked().send(h11.Response(status_code=200, headers=[])).startswith(b"HTTP/1.1 200")

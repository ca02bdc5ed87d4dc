"""Who may ask, and what a client cannot do to others."""

from __future__ import annotations

import base64
import inspect
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.serving import RECORDING, Served, serving

pytest.importorskip("starlette", reason="NO SERVICE TESTED: the extra web is not installed")
httpx = pytest.importorskip("httpx", reason="NO SERVICE TESTED: httpx is not installed")

from ser_edge.web import app, limits, security  # noqa: E402
from ser_edge.web.security import Guard  # noqa: E402

TOKEN = "0123456789abcdef-secret"


def serve(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A service that does not start."""
    command = [sys.executable, "-m", "ser_edge", "serve", "--port", "0", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def own_address() -> str:
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(probe.getsockname()[0])


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    file = tmp_path_factory.mktemp("guarded") / "token"
    file.write_text(f"{TOKEN}\n")
    arguments = ["--host", "0.0.0.0", "--token-file", str(file), "--workers", "0"]
    with serving(*arguments) as service:
        yield service


def test_nobody_outside_reaches_it_by_accident() -> None:
    for host in ("0.0.0.0", "::", own_address()):
        outcome = serve("--host", host)
        assert outcome.returncode == 2
        assert "--token-file" in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--tls-cert", __file__], "need each other"),
        (["--history", "h.sqlite"], "need --listen"),
        (["--mqtt", "mqtt://a/b"], "need --listen"),
        (["--token-file", __file__, "--no-auth"], "exclude each other"),
        (["--host", "no.such.host.invalid", "--no-auth"], "no.such.host.invalid"),
        (["--model", "nobody"], "nobody"),
        (["--tls-cert", __file__, "--tls-key", __file__], "--tls-cert"),
    ],
)
def test_wrong_usage(arguments: list[str], sentence: str) -> None:
    outcome = serve(*arguments)
    assert outcome.returncode == 2
    assert sentence in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_short_token_and_a_history_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("short")
    assert "16 characters" in serve("--token-file", file).stderr
    outcome = serve("--listen", "-", "--history", file)
    assert outcome.returncode == 2
    assert "no history" in outcome.stderr


def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        outcome = serve("--port", taken.getsockname()[1])
    assert outcome.returncode == 2
    assert "in use" in outcome.stderr


def test_without_the_token_only_health_is_told(guarded: Served) -> None:
    address = f"http://{own_address()}:{guarded.port}"
    assert httpx.get(f"{address}/healthz").json() == {"status": "ok"}
    for path in [*app.FILES, *(route.path for route in app.API), "/nothing", app.STREAM.path]:
        if path == "/healthz":
            continue
        for method in ("GET", "POST", "PUT", "OPTIONS", "HEAD"):
            for headers in ({}, {"authorization": "Bearer wrong"}, {"cookie": "ser_edge=x"}):
                answer = httpx.request(method, f"{address}{path}", headers=headers)
                assert answer.status_code == 401, (method, path)
                assert "set-cookie" not in answer.headers
                assert method == "HEAD" or set(answer.json()) == {"error"}


def test_the_token_opens_it(guarded: Served) -> None:
    basic = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
    for authorization in (f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Basic {basic}"):
        headers = {"authorization": authorization}
        answer = httpx.get(f"{guarded.url}/v1/model", headers=headers)
        assert answer.status_code == 200
    kept = answer.headers["set-cookie"]
    assert TOKEN not in kept
    assert "HttpOnly" in kept
    assert "SameSite=Strict" in kept
    cookie = {"cookie": kept.split(";")[0]}
    assert httpx.get(f"{guarded.url}/v1/model", headers=cookie).status_code == 200
    for bad in ("Basic !!!", "Basic", "Bearer", "Digest x", f"Bearer {TOKEN}x", f"Basic {TOKEN}"):
        answer = httpx.get(f"{guarded.url}/v1/model", headers={"authorization": bad})
        assert answer.status_code == 401, bad


def test_the_token_opens_websockets(guarded: Served) -> None:
    client = pytest.importorskip("websockets.sync.client")
    url = f"ws{guarded.url[4:]}/v1/stream"
    with pytest.raises(client.InvalidStatus) as refused, client.connect(url):
        pass
    assert refused.value.response.status_code == 401
    with client.connect(url, additional_headers={"Authorization": f"Bearer {TOKEN}"}):
        pass


def test_the_token_is_compared_in_constant_time() -> None:
    source = inspect.getsource(security._same)
    assert "hmac.compare_digest" in source
    for function in (Guard._is_token, Guard._knows_token):
        assert "==" not in inspect.getsource(function).replace("scheme.lower() ==", "")


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost:8350", True),
        ("LOCALHOST", True),
        ("127.0.0.1:8350", True),
        ("[::1]:8350", True),
        ("192.168.1.7", True),
        (f"{socket.gethostname()}:8350", True),
        (f"{socket.gethostname().split('.')[0]}.local", True),
        ("voice.home.example", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
        ("[::1", False),
        ("evil.example@localhost", True),  # no browser sends it, and the name is ours
    ],
)
def test_only_names_of_this_device_are_answered(host: str, allowed: bool) -> None:
    guard = Guard(hosts=["voice.home.example"])
    assert (guard.refuse({"host": host}) is None) == allowed


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:8350", True),
        ("https://localhost:8350", True),
        ("http://localhost", False),
        ("http://evil.example", False),
        ("null", False),
        ("", False),
    ],
)
def test_only_pages_of_the_service_are_answered(origin: str, allowed: bool) -> None:
    refusal = Guard().refuse({"host": "localhost:8350", "origin": origin})
    assert (refusal is None) == allowed


def test_every_answer_has_a_strict_policy(guarded: Served) -> None:
    for path in ("/", "/healthz", "/nothing"):
        headers = {"authorization": f"Bearer {TOKEN}"}
        policy = httpx.get(f"{guarded.url}{path}", headers=headers).headers[
            "content-security-policy"
        ]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "*" not in policy


def request(head: bytes) -> bytes:
    return b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\n" + head


@pytest.mark.slow
def test_slow_clients_are_left_and_harm_nobody() -> None:
    with serving("--workers", "1") as service:
        slow = []
        for start in (b"", b"GET / HT", request(b"Content-Length: 1000\r\n\r\nRI")):
            for _ in range(10):
                connection = socket.create_connection(("127.0.0.1", service.port))
                connection.sendall(start)
                slow.append((start, connection))
        began = time.monotonic()
        answer = httpx.post(
            f"{service.url}/v1/classify", content=RECORDING.read_bytes(), timeout=60
        )
        assert answer.status_code == 200
        assert time.monotonic() - began < limits.HEADER_SECONDS / 2
        for start, connection in slow:
            connection.settimeout(3 * limits.HEADER_SECONDS)
            try:
                said = connection.recv(10_000)
            except ConnectionResetError:
                said = b""
            assert said.startswith(b"HTTP/1.1 408") if b"Content-Length" in start else not said
            connection.close()
        assert service.stop() == 0


def test_a_client_that_does_not_read_is_no_burden() -> None:
    with serving("--workers", "1") as service:
        connections = []
        for _ in range(20):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            connection.connect(("127.0.0.1", service.port))
            connection.sendall(b"GET /app.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
            connections.append(connection)
        assert httpx.get(f"{service.url}/healthz", timeout=30).status_code == 200
        for connection in connections:
            connection.close()
        assert service.stop() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_recording_is_gone_after_the_answer(tmp_path: Path) -> None:
    with serving("--workers", "1", TMPDIR=str(tmp_path)) as service:
        content = RECORDING.read_bytes() + bytes(3_000_000)
        for _ in range(3):
            answer = httpx.post(f"{service.url}/v1/classify", content=content, timeout=60)
            assert answer.status_code == 200
            answer = httpx.post(
                f"{service.url}/v1/classify", files={"file": ("a.wav", content)}, timeout=60
            )
            assert answer.status_code == 200
        with socket.create_connection(("127.0.0.1", service.port)) as gone:
            gone.sendall(request(b"Content-Length: 9000000\r\n\r\n") + bytes(2_000_000))
        time.sleep(1)
        assert list(tmp_path.iterdir()) == []
        for process in (service.process.pid, *service.workers()):
            for descriptor in Path(f"/proc/{process}/fd").iterdir():
                assert str(tmp_path) not in os.readlink(descriptor)
        assert service.stop() == 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="NO TLS TESTED: openssl is missing")
def test_tls(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-keyout", key, "-out", cert, "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    with serving("--tls-cert", str(cert), "--tls-key", str(key), "--workers", "0") as service:
        assert service.url.startswith("https://")
        trust = ssl.create_default_context(cafile=str(cert))
        answer = httpx.post(
            f"{service.url}/v1/classify",
            content=RECORDING.read_bytes(),
            headers={"origin": service.url},
            verify=trust,
            timeout=60,
        )
        assert answer.status_code == 200
        assert service.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_all_that_it_started(number: int) -> None:
    with serving("--workers", "2") as service:
        workers = service.workers()
        assert len(workers) == 2
        assert service.stop(number) == 0
        assert service.said == [service.said[0]]
        assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_workers_end_with_a_service_that_was_killed() -> None:
    with serving("--workers", "1") as service:
        (worker,) = service.workers()
        service.process.kill()
        service.process.wait()
        deadline = time.monotonic() + 30
        while Path(f"/proc/{worker}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_other_commands_load_nothing_of_it() -> None:
    code = (
        "import atexit, sys\n"
        "from ser_edge.cli import main\n"
        "names = ('starlette', 'uvicorn', 'websockets', 'prometheus_client', 'ser_edge.web')\n"
        "atexit.register(lambda: print([n for n in names if n in sys.modules]))\n"
        f"sys.argv = ['ser-edge', 'classify', '--json', {str(RECORDING)!r}]\n"
        "main()\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "[]"

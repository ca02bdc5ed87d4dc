"""Requests that are damaged or lie: the service neither crashes nor hangs nor leaves a file behind.

``SER_HOSTILE_REQUESTS=10000 pytest --timeout 0 tests/web/test_hostile_requests.py`` tries ten
thousand.
"""

from __future__ import annotations

import base64
import json
import os
import random
import socket
import struct
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.helpers.serving import RECORDING, Served, serving

pytest.importorskip("starlette", reason="NO SERVICE TESTED: the extra web is not installed")
httpx = pytest.importorskip("httpx", reason="NO SERVICE TESTED: httpx is not installed")

from ser_edge.web import app  # noqa: E402

N_MUTANTS = int(os.environ.get("SER_HOSTILE_REQUESTS", "300"))
MAX_SECONDS_EACH = 60.0  # a hang, not a time measured
MAX_GROWTH_MB = 60  # of the service, over all of them
PATIENCE_SECONDS = 1.0  # with a request that waits for more
PATHS = [*(route.path for route in app.API), *app.FILES, app.STREAM.path]
LIES = [b"0", b"-1", b"1", b"99999999999999999999", b"0x10", b"", b"NaN", b"\xff", b"4294967296"]
VALUES = [
    b"",
    b"\x00",
    b"\xff\xfe",
    b"../../etc/passwd",
    b"%00",
    b"%ff",
    b"a" * 70_000,
    b"\r\nX: y",
]


def form(random_: random.Random, recording: bytes) -> tuple[bytes, bytes]:
    """A form's head and body."""
    parts = []
    for _ in range(random_.randint(1, 4)):
        field = random_.choice([b"file", b"profile", b"sad", b"angry", b"", b'"', b"\xff"])
        name = random_.choice([b"a.wav", b"", b"../../x", b'"', b"\xff", b"a" * 3000])
        content = random_.choice([recording, recording[:1000], b"", b"{}", b'{"format": 1}'])
        parts.append(
            b'--xyz\r\nContent-Disposition: form-data; name="' + field + b'"; filename="' + name
            + b'"\r\nContent-Type: audio/wav\r\n\r\n' + content + b"\r\n"
        )  # fmt: skip
    return b"Content-Type: multipart/form-data; boundary=xyz\r\n", b"".join(parts) + b"--xyz--\r\n"


def frame(random_: random.Random, payload: bytes) -> bytes:
    """A WebSocket frame, mostly a sound one."""
    code = random_.choice([1, 2, 2, 2, 2, 8, 9, 10, 0, 3, 15])
    first = random_.choice([0x80, 0x80, 0x80, 0x00, 0xF0]) | code
    size = len(payload)
    if random_.random() < 0.1:
        size = random_.choice([0, 125, 126, 127, 1 << 15, 1 << 31, (1 << 63) - 1])
    mask = random_.randbytes(4) if hasattr(random_, "randbytes") else bytes(4)
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def websocket(random_: random.Random, port: int) -> bytes:
    """A handshake and frames after it."""
    head = (
        f"GET /v1/stream HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
        f"{base64.b64encode(bytes(16)).decode()}\r\n\r\n"
    ).encode()
    firsts = (
        {"sample_rate": 16000},
        {"sample_rate": 16000, "format": "float32", "channels": 2, "hop": 1},
        {"sample_rate": random_.choice([0, -1, 3, 10**30, 1.5, None, "x", [], 768_000])},
        {"sample_rate": 16000, "hop": random_.choice([0, -1, 1e300, "x", 0.1])},
        {"sample_rate": 16000, "profile": random_.choice(["x", {}, {"format": 1}, [], 7])},
        {"sample_rate": 16000, "channels": random_.choice([0, 129, 128, -1])},
    )
    text = json.dumps(random_.choice(firsts)).encode()
    frames = [struct.pack("!BB", 0x81, 0x80 | len(text)) + bytes(4) + text]
    for _ in range(random_.randint(0, 6)):
        size = random_.choice([0, 1, 3, 1000, 30_000])
        frames.append(frame(random_, bytes(random_.choices(range(256), k=size))))
    return head + b"".join(frames)


def request(random_: random.Random, port: int, recording: bytes) -> bytes:
    """A request that is sound, or lies about itself."""
    if random_.random() < 0.2:
        return websocket(random_, port)
    method, path = b"POST", random_.choice([b"/v1/classify", b"/v1/classify", b"/v1/profile"])
    if random_.random() < 0.3:
        method = random_.choice([b"POST", b"GET", b"GET", b"PUT", b"HEAD", b"OPTIONS", b"\xffX"])
        path = random_.choice([*(path.encode() for path in PATHS), b"*", b"//", b"/%2e%2e/"])
    for _ in range(random_.randint(0, 3)):
        name = random_.choice(
            [b"windows", b"hop", b"channel", b"profile", b"file", b"from", b"bin"]
        )
        path += random_.choice([b"?", b"&"]) + name + b"=" + random_.choice([*LIES, b"1", b"0.5"])
    head = b""
    body = random_.choice([recording, recording[: random_.randint(0, 3000)], b"", b"{}"])
    if random_.random() < 0.5:
        head, body = form(random_, recording)
    length = str(len(body)).encode() if random_.random() < 0.9 else random_.choice(LIES)
    if random_.random() < 0.15:
        head += b"Transfer-Encoding: chunked\r\n"
        size = random_.choice([b"%x" % len(body), b"ffffffffffffffff", b"-1", b"zz"])
        body = size + b"\r\n" + body + b"\r\n0\r\n\r\n"
    else:
        head += b"Content-Length: " + length + b"\r\n"
    for _ in range(random_.choice([0, 0, 0, 1, 2])):
        name = random_.choice(
            [
                b"Origin",
                b"Cookie",
                b"Authorization",
                b"Host",
                b"Expect",
                b"Content-Type",
                b"Upgrade",
            ]
        )
        head += name + b": " + random_.choice([*VALUES, b"100-continue", b"Basic ="]) + b"\r\n"
    host = f"Host: localhost:{port}\r\n".encode()
    return method + b" " + path + b" HTTP/1.1\r\n" + host + head + b"\r\n" + body


def mutant(number: int, port: int, recording: bytes) -> bytes:
    """The same request for the same number, with some of its bytes changed."""
    random_ = random.Random(number)
    data = bytearray(request(random_, port, recording))
    kind = random_.random()
    if kind < 0.25:  # anywhere, which is mostly in a recording
        for _ in range(random_.randint(1, 20)):
            data[random_.randrange(len(data))] = random_.randrange(256)
    elif kind < 0.3:
        data[random_.randrange(min(len(data), 300))] = random_.randrange(256)
    elif kind < 0.35:
        del data[random_.randrange(len(data)) :]
    elif kind < 0.45:
        place = random_.randrange(len(data))
        data[place:place] = random_.choice(VALUES)
    return bytes(data)


def send(number: int, port: int, recording: bytes) -> str:
    """Send a mutant; what came of it."""
    with socket.create_connection(("127.0.0.1", port), timeout=MAX_SECONDS_EACH) as connection:
        said = b""
        try:
            connection.sendall(mutant(number, port, recording))
            if number % 3 == 0:
                connection.shutdown(socket.SHUT_WR)
            connection.settimeout(PATIENCE_SECONDS)
            while len(said) < 100_000 and (some := connection.recv(65_536)):
                said += some
                if b"\r\n\r\n" in said and not said.startswith(b"HTTP/1.1 101"):
                    break
        except socket.timeout:
            return "waits"
        except OSError:
            return "closed"
    return said[9:12].decode("latin-1") if said.startswith(b"HTTP/1.1 ") else "closed"


def memory_mb(served: Served) -> float:
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_damaged_requests_harm_nobody(tmp_path: Path) -> None:
    recording = RECORDING.read_bytes()[:60_000]
    with (
        serving("--workers", "1", TMPDIR=str(tmp_path)) as service,
        httpx.Client(base_url=service.url, timeout=MAX_SECONDS_EACH) as client,
    ):
        expected = client.post("/v1/classify", content=recording).text
        workers = service.workers()
        tally: Counter[str] = Counter()
        before = 0.0
        with ThreadPoolExecutor(16) as pool:
            for start in range(0, N_MUTANTS, 100):
                numbers = range(start, min(N_MUTANTS, start + 100))
                tally.update(pool.map(lambda n: send(n, service.port, recording), numbers))
                assert service.process.poll() is None, service.said
                assert client.get("/healthz").status_code == 200
                assert client.post("/v1/classify", content=recording).text == expected
                before = before or memory_mb(service)
        assert service.workers() == workers  # none was lost
        assert tally["500"] == 0, tally
        assert {"200", "400", "404", "405", "101"} <= set(tally), tally
        assert memory_mb(service) - before < MAX_GROWTH_MB
        assert list(tmp_path.iterdir()) == []
        time.sleep(0.2)
        descriptors = [os.readlink(d) for d in Path(f"/proc/{service.process.pid}/fd").iterdir()]
        assert not [name for name in descriptors if str(tmp_path) in name]
        assert service.stop() == 0
        assert service.said == service.said[:1]  # not a word of all this

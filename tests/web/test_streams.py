"""Live audio: of clients over a WebSocket, and of the device's own source."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_edge import Classifier
from tests.helpers.audio import RATE, silence, voice
from tests.helpers.serving import Served, serving

pytest.importorskip("starlette", reason="NO SERVICE TESTED: the extra web is not installed")
httpx = pytest.importorskip("httpx", reason="NO SERVICE TESTED: httpx is not installed")
client = pytest.importorskip("websockets.sync.client")

from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402

from ser_edge.web import limits  # noqa: E402


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving("--workers", "1") as service:
        yield service


@contextlib.contextmanager
def opened(served: Served, first: Any = None, **options: Any) -> Iterator[Any]:
    with client.connect(f"ws{served.url[4:]}/v1/stream", **options) as socket:
        if first is not None:
            socket.send(first if isinstance(first, str) else json.dumps(first))
        yield socket


def coded(samples: np.ndarray) -> bytes:
    return np.rint(samples * 32767).astype("<i2").tobytes()


def rest(socket: Any) -> list[dict[str, Any]]:
    """All messages until it is closed."""
    found = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            found.append(json.loads(socket.recv(timeout=60)))
    return found


def bare(message: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in message.items() if k not in ("time", "schema", "model")}


@pytest.mark.parametrize("chunk", [1000, 96_000])
def test_a_stream_gives_the_results_of_the_classifier(
    served: Served, classifier: Classifier, chunk: int
) -> None:
    samples = np.concatenate([voice(6.0, 48_000), silence(3.0, 48_000)])
    data = coded(np.repeat(samples, 2))
    expected = classifier.stream(48_000, hop=1.0, channels=2).through([data])
    first = {"sample_rate": 48_000, "format": "int16", "channels": 2, "hop": 1}
    with opened(served, first) as socket:
        for start in range(0, len(data), chunk):
            socket.send(data[start : start + chunk])
        socket.send('{"end": true}')
        found = rest(socket)
        assert socket.close_code == 1000
    assert [bare(m) for m in found] == [r.rounded().to_dict() for r in expected]
    assert {m["model"] for m in found} == {"default"}
    assert all("time" in m for m in found)


def test_results_come_while_audio_still_does(served: Served) -> None:
    with opened(served, {"sample_rate": RATE, "hop": 1}) as socket:
        socket.send(coded(voice(5.0)))
        starts = [json.loads(socket.recv(timeout=60))["start"] for _ in range(2)]
        assert starts == [0.0, 1.0]


@pytest.mark.parametrize(
    ("first", "sentence"),
    [
        ("no JSON", "the first message must be JSON"),
        ("[]", "the first message must be JSON"),
        ("{}", "sample_rate"),
        ({"sample_rate": "48000"}, "sample_rate has the wrong type"),
        ({"sample_rate": True}, "sample_rate has the wrong type"),
        ({"sample_rate": 3}, "3 Hz"),
        ({"sample_rate": RATE, "format": "mp3"}, "the sample format is 'mp3'"),
        ({"sample_rate": RATE, "channels": 0}, "channels"),
        ({"sample_rate": RATE, "channels": 10**30}, "channels"),
        ({"sample_rate": RATE, "hop": 0}, "hop"),
        ({"sample_rate": RATE, "smoothing": 1}, "smoothing"),
        ({"sample_rate": RATE, "profile": "nobody"}, "there is no profile nobody"),
        ({"sample_rate": RATE, "profile": {"format": 1}}, "profile"),
        ({"sample_rate": RATE, "colour": 1}, "'colour' is none of"),
    ],
)
def test_a_wrong_first_message_is_one_sentence(served: Served, first: Any, sentence: str) -> None:
    with opened(served, first) as socket:
        (message,) = rest(socket)
        assert socket.close_code == 1008
    assert sentence in message["error"]
    assert message["exit_code"] in (1, 2)


def test_audio_that_cannot_be_used_is_told(served: Served) -> None:
    with opened(served, {"sample_rate": RATE, "format": "float32"}) as socket:
        socket.send(np.full(RATE, np.nan, "<f4").tobytes())
        (message,) = rest(socket)
    assert "NaN" in message["error"]


def test_a_message_that_is_too_large_ends_it(served: Served) -> None:
    with opened(served, {"sample_rate": RATE}) as socket:
        socket.send(bytes((1 << 20) + 1))
        assert rest(socket) == []
        assert socket.close_code == 1009


def test_streams_are_limited(served: Served) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(16):
            stack.enter_context(opened(served, {"sample_rate": RATE}))
        refused = stack.enter_context(opened(served))
        assert rest(refused) == []
        assert refused.close_code == 1013
    assert httpx.get(f"{served.url}/healthz").status_code == 200


@pytest.mark.slow
def test_a_stream_may_pause_for_longer_than_a_request(served: Served) -> None:
    with opened(served, {"sample_rate": RATE}) as socket:
        time.sleep(limits.HEADER_SECONDS + 2)
        socket.send(coded(voice(4.0)))
        assert json.loads(socket.recv(timeout=60))["start"] == 0.0


def test_a_page_of_another_site_cannot_listen(served: Served) -> None:
    with pytest.raises(InvalidStatus) as refused, opened(served, origin="http://evil.example"):
        pass
    assert refused.value.response.status_code == 403
    named = {"Host": "evil.example"}
    with pytest.raises(InvalidStatus), opened(served, additional_headers=named):
        pass
    with opened(served, origin=served.url):
        pass


def test_a_signal_ends_streams_with_their_last_result() -> None:
    with serving("--workers", "1") as service:
        with opened(service, {"sample_rate": RATE}) as socket:
            socket.send(coded(voice(4.5)))
            first = json.loads(socket.recv(timeout=60))
            assert (first["start"], first["end"]) == (0, 4)
            time.sleep(0.3)
            service.process.send_signal(signal.SIGTERM)
            (last,) = rest(socket)
            assert (last["start"], last["end"]) == (2, 4.5)
            assert socket.close_code == 1001
        assert service.stop() == 0
        assert len(service.said) == 1


# The device's own audio.


class Events:
    """Follows the device's results."""

    def __init__(self, served: Served) -> None:
        self.messages: list[dict[str, Any]] = []
        self._url = f"{served.url}/v1/results"
        self._open = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()
        assert self._open.wait(30)

    def _follow(self) -> None:
        with httpx.stream("GET", self._url, timeout=60) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            for line in answer.iter_lines():
                self._open.set()
                if line.startswith("data: "):
                    self.messages.append(json.loads(line[6:]))

    def ended(self) -> bool:
        """Whether the service let it go."""
        self._thread.join(30)
        return not self._thread.is_alive()


def test_the_device_s_results_are_followed_kept_and_told_to_the_end(
    tmp_path: Path, classifier: Classifier
) -> None:
    data = coded(np.concatenate([voice(8.0), silence(5.0)]))
    expected = list(classifier.stream(RATE).through([data]))
    file = tmp_path / "history.sqlite"
    arguments = ["--listen", "-", "--rate", str(RATE), "--history", str(file), "--workers", "1"]
    with serving(*arguments) as service:
        assert service.process.stdin is not None
        events = Events(service)
        assert httpx.get(f"{service.url}/v1/model").json()["listens"] is True
        service.process.stdin.write(data)
        service.process.stdin.flush()
        deadline = time.monotonic() + 60
        while len(events.messages) < len(expected) - 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        kept = httpx.get(f"{service.url}/v1/history").json()
        assert [r["label"] for r in kept["results"]] == [r.label for r in expected[:-1]]
        query = {"bin": "3600", "from": str(time.time() - 1800)}
        (one,) = httpx.get(f"{service.url}/v1/history", params=query).json()["bins"]
        assert sum(one["seconds"].values()) == pytest.approx(expected[-2].end)
        late = Events(service)
        assert late.messages in ([], [events.messages[-1]])  # the last one is told again
        assert service.stop() == 0
        assert events.ended()
        assert late.ended()
    assert [bare(m) for m in events.messages] == [r.rounded().to_dict() for r in expected]
    assert late.messages[0] == events.messages[-2]
    assert file.stat().st_mode & 0o077 == 0
    rows = sqlite3.connect(file).execute("SELECT label, reason, seconds FROM results").fetchall()
    assert [(label, reason) for label, reason, _ in rows] == [(r.label, r.reason) for r in expected]
    assert sum(seconds for _, _, seconds in rows) == pytest.approx(13.0)


def test_what_is_told_and_what_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "history.sqlite"
    arguments = ["--listen", "-", "--rate", str(RATE), "--history", str(file), "--workers", "0"]
    with serving(*arguments, "--only-changes", "--hop", "1") as service:
        events = Events(service)
        assert service.process.stdin is not None
        service.process.stdin.write(bytes(2 * 9 * RATE))
        service.process.stdin.close()  # its end
        deadline = time.monotonic() + 60
        while "the device's microphone ended" not in " ".join(service.said):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert httpx.get(f"{service.url}/healthz").status_code == 503
        assert service.stop() == 0
        assert events.ended()
    assert [m["reason"] for m in events.messages] == ["silence"]
    (count,) = sqlite3.connect(file).execute("SELECT COUNT(*) FROM results").fetchone()
    assert count == 6

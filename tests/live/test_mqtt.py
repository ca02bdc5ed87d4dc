"""Results over a real broker, mosquitto, that is stopped, restarted, killed and never trusted."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from ser_edge import DependencyError
from ser_edge.live.homeassistant import discovery_messages
from ser_edge.live.mqtt import Publisher, parse_url

TOPIC = "home/kitchen/emotion"


def eventually(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


class Broker:
    """A mosquitto of our own that remembers over a restart who has to get what."""

    def __init__(self, folder: Path, *settings: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._configuration = folder / "mosquitto.conf"
        lines = [f"listener {self.port}", "persistence true", f"persistence_location {folder}/"]
        lines += ["max_queued_messages 0", "user root", *settings]
        self._configuration.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen | None = None
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["mosquitto", "-c", str(self._configuration)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(self._listens)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None


class Consumer:
    """Keeps all messages; the broker holds for it what comes while it is away."""

    def __init__(self, broker: Broker) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.messages: list[tuple[str, str, bool]] = []
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="test", clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_message = lambda client, data, message: self.messages.append(
            (message.topic, message.payload.decode(), message.retain)
        )
        subscribed: list[int] = []
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: subscribed.append(1)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        eventually(lambda: subscribed)

    def on(self, topic: str) -> list[str]:
        """What came there as it was sent, without what the broker tells those who come later."""
        return [payload for name, payload, kept in self.messages if name == topic and not kept]

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(tmp_path):
    if shutil.which("mosquitto") is None:
        pytest.skip("NO BROKER TESTED: there is no mosquitto: apt install mosquitto")
    pytest.importorskip("paho.mqtt.client", reason="NO BROKER TESTED: pip install paho-mqtt")
    brokers: list[Broker] = []

    def start(*settings: str) -> Broker:
        brokers.append(Broker(tmp_path, *(settings or ["allow_anonymous true"])))
        return brokers[-1]

    yield start
    for one in brokers:
        one.stop(signal.SIGKILL)


@pytest.fixture
def publisher():
    started: list[Publisher] = []

    def start(broker: Broker, *, scheme: str = "mqtt", host: str = "127.0.0.1", **options):
        reports: list[str] = []
        url = f"{scheme}://{host}:{broker.port}/{TOPIC}"
        address = options.pop("address", None) or parse_url(url)
        started.append(Publisher(address, report=reports.append, **options))
        return started[-1], reports

    yield start
    for one in started:
        one.close()


def test_urls():
    assert parse_url("mqtt://host/t") == ("host", 1883, False, None, "t")
    assert parse_url("mqtts://p%40i@[::1]:99/a/b%20c") == ("::1", 99, True, "p@i", "a/b c")
    for url in (
        "http://host/t",
        "host/t",
        "mqtt://host",
        "mqtt://host/",
        "mqtt:///t",
        "mqtt://host:x/t",
        "mqtt://host/a/+/b",
        "mqtt://host/a/#",
        "mqtt://host/t?x=1",
    ):
        with pytest.raises(ValueError, match=r"form mqtt|[Pp]ort"):
            parse_url(url)
    with pytest.raises(ValueError, match="password"):
        parse_url("mqtt://pi:secret@host/t")


def test_without_paho(monkeypatch):
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(DependencyError, match=r"ser-edge\[mqtt\]"):
        Publisher(parse_url("mqtt://host/t"), report=print)


def test_availability_discovery_and_messages(broker, publisher):
    server = broker()
    consumer = Consumer(server)
    announcements = dict(discovery_messages(TOPIC, ("happy", "sad")))
    sender, reports = publisher(server, announcements=announcements.items())
    for number in range(5):
        sender.send(str(number))
    eventually(lambda: len(consumer.on(TOPIC)) == 5)
    assert consumer.on(TOPIC) == list("01234")
    assert consumer.on(f"{TOPIC}/availability") == ["online"]
    sender.send("last")
    sender.close()
    eventually(lambda: consumer.on(f"{TOPIC}/availability") == ["online", "offline"])
    assert consumer.on(TOPIC)[-1] == "last"
    consumer.leave()
    assert reports == []
    later = Consumer(server)  # finds what the broker retained
    eventually(lambda: len(later.messages) >= 4)
    retained = {topic: payload for topic, payload, retained in later.messages if retained}
    assert retained == {**announcements, TOPIC: "last", f"{TOPIC}/availability": "offline"}
    later.leave()


def test_a_dashboard_that_comes_later_finds_the_state(broker, publisher):
    server = broker()
    sender, _ = publisher(server)
    sender.send("before")
    sender.send("state")
    eventually(lambda: not sender._waiting and not sender._busy)
    later = Consumer(server)
    eventually(lambda: len(later.messages) == 2)
    assert sorted(later.messages) == [
        (TOPIC, "state", True),
        (f"{TOPIC}/availability", "online", True),
    ]
    later.leave()


def test_while_the_broker_is_down_the_newest_wait_and_the_others_are_counted(broker, publisher):
    server = broker()
    consumer = Consumer(server)
    sender, reports = publisher(server, queue_length=50)
    sender.send("before")
    eventually(lambda: consumer.on(TOPIC) == ["before"])
    server.stop()
    eventually(lambda: any("lost" in report for report in reports))
    for number in range(200):
        sender.send(str(number))
    assert sender.dropped == 150
    server.start()
    eventually(lambda: len(consumer.on(TOPIC)) == 51)
    assert consumer.on(TOPIC) == ["before", *map(str, range(150, 200))]
    eventually(lambda: "MQTT: connected" in reports)
    eventually(lambda: reports[-1].endswith("waited for the broker: 150"))
    consumer.leave()


def test_restarts_under_load_lose_nothing(broker, publisher):
    server = broker()
    consumer = Consumer(server)
    sender, _ = publisher(server)
    for number in range(300):
        sender.send(str(number))
        time.sleep(0.01)
        if number in (100, 200):
            server.stop()
            server.start()
    eventually(lambda: "299" in consumer.on(TOPIC))
    got = consumer.on(TOPIC)
    assert list(dict.fromkeys(got)) == [str(number) for number in range(300)]
    assert max(Counter(got).values()) <= 2
    assert sender.dropped == 0
    consumer.leave()


def test_a_killed_broker_is_found_again(broker, publisher):
    server = broker()
    sender, _ = publisher(server)
    sender.send("before")
    eventually(lambda: not sender._waiting and not sender._busy)
    server.stop(signal.SIGKILL)
    for number in range(10):
        sender.send(str(number))
    server.start()
    consumer = Consumer(server)
    eventually(lambda: not sender._waiting and not sender._busy)
    sender.send("after")
    eventually(lambda: "after" in consumer.on(TOPIC))
    consumer.leave()


def test_a_wrong_password_is_said_once_and_a_right_one_works(broker, publisher, tmp_path):
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(passwords), "pi", "right"], check=True)
    server = broker("allow_anonymous false", f"password_file {passwords}")
    address = parse_url(f"mqtt://pi@127.0.0.1:{server.port}/{TOPIC}")
    sender, reports = publisher(server, address=address, password="wrong")
    eventually(lambda: reports)
    time.sleep(2.5)  # two more attempts
    assert len(reports) == 1
    assert "refuses" in reports[0]
    sender.send("lost")
    sender.close()
    assert reports[1:] == ["MQTT: results not delivered: 1"]
    sender, reports = publisher(server, address=address, password="right")
    sender.send("kept")
    eventually(lambda: not sender._waiting and not sender._busy)
    assert reports == []


@pytest.fixture
def certificates(tmp_path):
    """A test authority, and a server's certificate for the name localhost."""
    if shutil.which("openssl") is None:
        pytest.skip("NO TLS TESTED: there is no openssl")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True)

    subject = ("-subj", "/CN=ser-edge test")
    key = ("-newkey", "rsa:2048", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", *subject)
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (tmp_path / "extension").write_text("subjectAltName=DNS:localhost")
    signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
    files = ("-in", "server.csr", "-out", "server.pem", "-extfile", "extension")
    openssl("x509", "-req", *files, *signing)
    return tmp_path


def test_tls_is_verified(broker, publisher, certificates):
    server = broker(
        "allow_anonymous true",
        f"certfile {certificates}/server.pem",
        f"keyfile {certificates}/server.key",
    )
    ca_file = str(certificates / "ca.pem")
    sender, reports = publisher(server, scheme="mqtts", host="localhost", ca_file=ca_file)
    sender.send("secret")
    eventually(lambda: not sender._waiting and not sender._busy)
    assert reports == []
    for host, authority in (("localhost", None), ("127.0.0.1", ca_file)):
        stranger, complaints = publisher(server, scheme="mqtts", host=host, ca_file=authority)
        eventually(lambda complaints=complaints: complaints)
        assert "verify failed" in complaints[0]
        stranger.close()


def listening(server_port: int, *arguments: str) -> subprocess.Popen:
    url = f"mqtt://127.0.0.1:{server_port}/{TOPIC}"
    command = [sys.executable, "-m", "ser_edge", "listen", "-", "--rate", "16000", "--json"]
    return subprocess.Popen(
        [*command, "--mqtt", url, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_the_command_publishes_what_it_prints(broker, classifier):
    server = broker()
    consumer = Consumer(server)
    process = listening(server.port, "--name", "Kitchen")
    out, err = process.communicate(bytes(2 * 16_000 * 9), timeout=60)
    assert (process.returncode, err) == (
        0,
        b"ser-edge: standard input ended after 9.0 s of audio\n",
    )
    lines = out.decode().splitlines()
    assert len(lines) == 4
    eventually(lambda: consumer.on(f"{TOPIC}/availability") == ["online", "offline"])
    assert consumer.on(TOPIC) == lines
    configs = {
        topic: payload
        for topic, payload, _ in consumer.messages
        if topic.startswith("homeassistant/")
    }
    assert all(json.loads(payload)["device"]["name"] == "Kitchen" for payload in configs.values())
    assert set(configs) == {topic for topic, _ in discovery_messages(TOPIC, classifier.labels)}
    consumer.leave()


def test_the_broker_says_it_when_the_listener_is_killed(broker):
    server = broker()
    consumer = Consumer(server)
    process = listening(server.port, "--no-discovery")
    assert process.stdin is not None
    process.stdin.write(bytes(2 * 16_000 * 4))
    process.stdin.flush()
    eventually(lambda: consumer.on(TOPIC))
    process.kill()
    process.communicate()
    eventually(lambda: consumer.on(f"{TOPIC}/availability") == ["online", "offline"])
    assert not any(topic.startswith("homeassistant/") for topic, _, _ in consumer.messages)
    consumer.leave()


def test_without_a_broker_it_listens_and_ends_all_the_same():
    with socket.socket() as taken:  # bound, but never listening
        taken.bind(("127.0.0.1", 0))
        process = listening(taken.getsockname()[1])
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(bytes(2 * 16_000 * 4))
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 0
    complaints = err.decode().splitlines()
    assert "cannot reach the broker" in complaints[0]
    assert "refused" in complaints[0]
    assert complaints[1:] == ["ser-edge: MQTT: results not delivered: 1"]


def test_the_password_comes_from_a_file_or_the_environment(broker, tmp_path, monkeypatch):
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(passwords), "pi", "s3cret"], check=True)
    server = broker("allow_anonymous false", f"password_file {passwords}")
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    url = f"mqtt://pi@127.0.0.1:{server.port}/{TOPIC}"
    for arguments, variable in ((["--mqtt-password-file", str(secret)], None), ([], "s3cret")):
        if variable:
            monkeypatch.setenv("SER_EDGE_LISTEN_MQTT_PASSWORD", variable)
        process = listening(server.port, "--mqtt", url, *arguments)
        _, err = process.communicate(bytes(2 * 16_000), timeout=60)
        assert (process.returncode, err) == (
            0,
            b"ser-edge: standard input ended after 1.0 s of audio\n",
        )


@pytest.mark.parametrize(
    "arguments",
    [["--mqtt", "mqtt://pi:x@host/t"], ["--mqtt", "nonsense"], ["--mqtt-ca", "/nowhere"]],
)
def test_usage(arguments):
    process = listening(1, *arguments)
    out, err = process.communicate(b"", timeout=60)
    assert (process.returncode, out) == (2, b"")
    assert b"Error: Invalid value" in err

"""Results to an MQTT broker, for weeks: it may go away and come back."""

from __future__ import annotations

import json
import re
import sys
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from ser_edge import __version__
from ser_edge.errors import DependencyError

# Results that wait while the broker is away; then the oldest are dropped. At a result a second
# these are a quarter of an hour and half a megabyte.
QUEUE_LENGTH = 1000

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_KEEPALIVE_SECONDS = 30  # a broker that is silent for half as long again is gone
_MIN_RETRY_SECONDS = 1
_MAX_RETRY_SECONDS = 60
# At the end: what still waits may take this long, then the farewell this long.
_DRAIN_SECONDS = 0.4
_FAREWELL_SECONDS = 0.2


class Address(NamedTuple):
    """Where results go."""

    host: str
    port: int
    tls: bool
    user: str | None
    topic: str


def parse_url(url: str) -> Address:
    """Read ``mqtt://[user@]host[:port]/topic`` or ``mqtts://...``.

    Raises:
        ValueError: it is something else, or holds a password.

    Example:
        >>> parse_url("mqtts://pi@broker.local/home/kitchen/emotion")
        Address(host='broker.local', port=8883, tls=True, user='pi', topic='home/kitchen/emotion')
    """
    parts = urlsplit(url)
    if parts.password is not None:
        raise ValueError("a password does not belong into a URL, where every user can see it")
    topic = unquote(parts.path).strip("/")
    if (
        parts.scheme not in _PORTS
        or not parts.hostname
        or not topic
        or re.search(r"[?#]", url)
        or re.search(r"[+#\0]", topic)
    ):
        raise ValueError("it must have the form mqtt://[user@]host[:port]/topic, without wildcards")
    return Address(
        parts.hostname,
        parts.port or _PORTS[parts.scheme],
        parts.scheme == "mqtts",
        unquote(parts.username) if parts.username else None,
        topic,
    )


def discovery_messages(topic: str, labels: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Topics and payloads by which Home Assistant finds the emotion and its confidence.

    Their ids depend on the topic alone, so they outlive a new SD card.

    Example:
        >>> for config, payload in discovery_messages("home/kitchen", ("happy", "sad")):
        ...     print(config)
        homeassistant/sensor/ser_edge_home_kitchen/emotion/config
        homeassistant/sensor/ser_edge_home_kitchen/confidence/config
    """
    node = "ser_edge_" + re.sub(r"[^A-Za-z0-9_-]", "_", topic)
    entities: dict[str, dict[str, Any]] = {
        "emotion": {
            "name": "Emotion",
            "device_class": "enum",
            "options": [*labels, "none"],
            "value_template": "{{ value_json.label or 'none' }}",
            "json_attributes_topic": topic,
            "icon": "mdi:emoticon-outline",
        },
        "confidence": {
            "name": "Confidence",
            "unit_of_measurement": "%",
            "state_class": "measurement",
            "value_template": "{{ (100 * value_json.confidence) | round(1) "
            "if value_json.confidence is not none else none }}",
        },
    }
    for name, entity in entities.items():
        config = {
            **entity,
            "unique_id": f"{node}_{name}",
            "state_topic": topic,
            "availability_topic": availability_topic(topic),
            "device": {
                "identifiers": [node],
                "name": topic,
                "manufacturer": "ser-edge",
                "model": "Speech emotion recognition",
                "sw_version": __version__,
            },
            "origin": {"name": "ser-edge", "sw_version": __version__},
        }
        yield f"homeassistant/sensor/{node}/{name}/config", json.dumps(config)


def availability_topic(topic: str) -> str:
    """Where ``online`` and ``offline`` are told; the broker itself says the latter of the dead."""
    return f"{topic}/availability"


class Publisher:
    """Sends messages in order, each at least once (QoS 1), whenever the broker is there.

    One message is on its way at a time; the others wait here, where they can be counted and
    dropped. A message whose receipt got lost with the connection is sent once more.

    Args:
        address: broker and topic.
        password: of the address's user.
        ca_file: certificates that vouch for the broker instead of the system's.
        labels: the emotions, for Home Assistant's discovery; None for no discovery.
        retain: whether the broker keeps the last message for those who come later.
        report: told, in a sentence, of everything that a person should know.
        queue_length: messages that may wait.

    Raises:
        DependencyError: paho-mqtt 2 or later is missing.
        OSError: the certificates cannot be read.
    """

    def __init__(
        self,
        address: Address,
        *,
        password: str | None = None,
        ca_file: str | None = None,
        labels: Sequence[str] | None = None,
        retain: bool = False,
        report: Callable[[str], None],
        queue_length: int = QUEUE_LENGTH,
    ) -> None:
        self._topic = address.topic
        self._labels = labels
        self._retain = retain
        self._report = report
        self._trouble: str | None = None  # the one last reported
        self._queue_length = queue_length
        self.dropped = 0
        self._dropped_reported = 0

        # Guards what follows. It is never held while paho is called: paho calls us with locks.
        self._changed = threading.Condition()
        self._waiting: deque[str] = deque()
        self._busy = False  # whether a message is on its way
        self._received: set[int] = set()  # ids of messages that the broker has
        self._connected = False
        self._closing = False

        self._client = client = _client(f"ser-edge-{uuid.uuid4().hex[:12]}")
        if address.user is not None:
            client.username_pw_set(address.user, password)
        if address.tls:
            client.tls_set(ca_certs=ca_file)
        client.will_set(availability_topic(self._topic), "offline", qos=1, retain=True)
        client.reconnect_delay_set(_MIN_RETRY_SECONDS, _MAX_RETRY_SECONDS)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.connect_async(address.host, address.port, keepalive=_KEEPALIVE_SECONDS)
        client.loop_start()
        threading.Thread(target=self._send_all, daemon=True).start()

    def send(self, message: str) -> None:
        """Queue a message; never waits."""
        with self._changed:
            if len(self._waiting) >= self._queue_length:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(message)
            self._changed.notify_all()
        if self.dropped and not self._dropped_reported:
            self._tell_dropped()

    def close(self) -> None:
        """Send what still waits, if that is soon done, say goodbye and leave."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._busy, _DRAIN_SECONDS)
            self._closing = True
            unsent = len(self._waiting) + self._busy
            connected = self._connected
            self._changed.notify_all()
        if connected:
            self._client.publish(availability_topic(self._topic), "offline", retain=True)
        self._client.disconnect()
        with self._changed:
            self._changed.wait_for(lambda: not self._connected, _FAREWELL_SECONDS)
        if unsent:
            self._report(f"MQTT: results not delivered: {unsent}")
        self._tell_dropped()

    def _send_all(self) -> None:
        """The sender's thread: one message after another, each until the broker has it."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or (self._waiting and self._connected))
                if self._closing:
                    return
                message = self._waiting.popleft()
                self._busy = True
                self._received.clear()
            # Should the connection be lost meanwhile, paho keeps it and sends it on the next one.
            sent = self._client.publish(self._topic, message, qos=1, retain=self._retain)
            with self._changed:
                while not self._closing and sent.mid not in self._received:
                    self._changed.wait()
                self._busy = sent.mid not in self._received
                self._changed.notify_all()

    def _on_connect(self, client: Any, _: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._tell(f"the broker refuses the connection: {reason}; trying again")
            return
        # Without QoS: they are sent on every connection, and must not pile up over broken ones.
        client.publish(availability_topic(self._topic), "online", retain=True)
        if self._labels is not None:
            for topic, payload in discovery_messages(self._topic, self._labels):
                client.publish(topic, payload, retain=True)
        with self._changed:
            self._connected = True
            self._changed.notify_all()
        if self._trouble is not None:
            self._report("MQTT: connected")
            self._trouble = None
        self._tell_dropped()

    def _on_connect_fail(self, client: Any, _: Any) -> None:
        # paho does not say why, but calls this while it handles the error.
        error = sys.exc_info()[1]
        self._tell(f"cannot reach the broker: {error}; trying again")

    def _on_disconnect(self, client: Any, _: Any, flags: Any, reason: Any, properties: Any) -> None:
        with self._changed:
            was_connected = self._connected
            self._connected = False
            self._changed.notify_all()
        if was_connected and not self._closing:
            self._tell(f"the connection is lost: {reason}; trying again")

    def _on_publish(self, client: Any, _: Any, mid: int, reason: Any, properties: Any) -> None:
        with self._changed:
            self._received.add(mid)
            self._changed.notify_all()

    def _tell(self, trouble: str) -> None:
        """Report a trouble once, however often it comes."""
        if trouble != self._trouble:
            self._trouble = trouble
            self._report(f"MQTT: {trouble}")

    def _tell_dropped(self) -> None:
        if self.dropped > self._dropped_reported:
            self._dropped_reported = self.dropped
            self._report(
                f"MQTT: results dropped, as more than {self._queue_length} waited for the "
                f"broker: {self.dropped}"
            )


def _client(name: str) -> Any:
    try:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion
    except ImportError as error:
        raise DependencyError(
            f"MQTT needs paho-mqtt 2 or later: pip install 'ser-edge[mqtt]' ({error})"
        ) from None
    return Client(CallbackAPIVersion.VERSION2, client_id=name)

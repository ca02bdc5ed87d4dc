"""Results to an MQTT broker, for weeks: it may go away and come back."""

from __future__ import annotations

import re
import sys
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from ser_edge.errors import DependencyError

# Results that wait while the broker is away; then the oldest are dropped. At a result a second
# these are a quarter of an hour and half a megabyte.
QUEUE_LENGTH = 1000

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_KEEPALIVE_SECONDS = 30  # a broker that is silent for half as long again is gone
_MIN_RETRY_SECONDS = 1
_MAX_RETRY_SECONDS = 60
# At the end: what still waits may take this long, then leaving this long.
_DRAIN_SECONDS = 0.4
_DISCONNECT_SECONDS = 0.2


class Address(NamedTuple):
    """Where results go."""

    host: str  # name or IP address of the broker
    port: int  # TCP
    tls: bool  # whether the connection is encrypted
    user: str | None  # name by which the broker knows us
    topic: str  # of the results


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


def availability_topic(topic: str) -> str:
    """Where ``online`` and ``offline`` are published, the latter also as the last will."""
    return f"{topic}/availability"


class Publisher:
    """Sends messages in order, each at least once (QoS 1), whenever the broker is there.

    The broker keeps the last one (it is retained) for those who come later, as a dashboard that
    is restarted; whether it is still true, the availability tells.

    One message is on its way at a time; the others wait here, where they can be counted and
    dropped. A message whose receipt got lost with the connection is sent once more.

    Args:
        address: broker and topic.
        password: of the address's user.
        ca_file: certificates that vouch for the broker instead of the system's.
        announcements: topics and payloads that are published, retained, on every connection.
        report: called with a sentence about everything that a person should know.
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
        announcements: Iterable[tuple[str, str]] = (),
        report: Callable[[str], None],
        queue_length: int = QUEUE_LENGTH,
    ) -> None:
        self._topic = address.topic
        self._announcements = tuple(announcements)
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
            self._report_dropped()

    def close(self) -> None:
        """Send what still waits, if that is soon done, publish ``offline`` and disconnect."""
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
            self._changed.wait_for(lambda: not self._connected, _DISCONNECT_SECONDS)
        if unsent:
            self._report(f"MQTT: results not delivered: {unsent}")
        self._report_dropped()

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
            sent = self._client.publish(self._topic, message, qos=1, retain=True)
            with self._changed:
                while not self._closing and sent.mid not in self._received:
                    self._changed.wait()
                self._busy = sent.mid not in self._received
                self._changed.notify_all()

    def _on_connect(self, client: Any, _: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._report_once(f"the broker refuses the connection: {reason}; trying again")
            return
        # Without QoS: they are sent on every connection, and must not pile up over broken ones.
        client.publish(availability_topic(self._topic), "online", retain=True)
        for topic, payload in self._announcements:
            client.publish(topic, payload, retain=True)
        with self._changed:
            self._connected = True
            self._changed.notify_all()
        if self._trouble is not None:
            self._report("MQTT: connected")
            self._trouble = None
        self._report_dropped()

    def _on_connect_fail(self, client: Any, _: Any) -> None:
        # paho does not say why, but calls this while it handles the error.
        error = sys.exc_info()[1]
        self._report_once(f"cannot reach the broker: {error}; trying again")

    def _on_disconnect(self, client: Any, _: Any, flags: Any, reason: Any, properties: Any) -> None:
        with self._changed:
            was_connected = self._connected
            self._connected = False
            self._changed.notify_all()
        if was_connected and not self._closing:
            self._report_once(f"the connection is lost: {reason}; trying again")

    def _on_publish(self, client: Any, _: Any, mid: int, reason: Any, properties: Any) -> None:
        with self._changed:
            self._received.add(mid)
            self._changed.notify_all()

    def _report_once(self, trouble: str) -> None:
        """Report a trouble once, however often it comes."""
        if trouble != self._trouble:
            self._trouble = trouble
            self._report(f"MQTT: {trouble}")

    def _report_dropped(self) -> None:
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

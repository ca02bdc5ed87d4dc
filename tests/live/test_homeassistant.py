"""What Home Assistant is told of a listening device."""

from __future__ import annotations

import json

from ser_edge.live.homeassistant import discovery_messages


def test_sensors_read_what_is_published():
    configs = {topic.split("/")[3]: json.loads(p) for topic, p in discovery_messages("a/b", ["x"])}
    assert set(configs) == {"emotion", "confidence"}
    assert {c["state_topic"] for c in configs.values()} == {"a/b"}
    assert {c["availability_topic"] for c in configs.values()} == {"a/b/availability"}
    assert {tuple(c["device"]["identifiers"]) for c in configs.values()} == {("ser_edge_a_b",)}
    assert configs["emotion"]["options"] == ["x", "none"]
    assert len({c["unique_id"] for c in configs.values()}) == 2


def test_the_device_has_a_name_of_its_own():
    def device(**options):
        (payload, _) = (json.loads(p) for _, p in discovery_messages("a/b", ["x"], **options))
        return payload["device"]

    assert device()["name"] == "a/b"
    named = device(name="Kitchen")
    assert named["name"] == "Kitchen"
    assert named["identifiers"] == device()["identifiers"]  # the name may change

"""MQTT discovery messages, by which Home Assistant finds the sensors of a listening device.

The format: https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ser_edge import __version__
from ser_edge.live.mqtt import availability_topic


def discovery_messages(
    topic: str, labels: Sequence[str], *, name: str | None = None
) -> Iterator[tuple[str, str]]:
    """Yield a topic and a payload for each sensor: the emotion and its confidence.

    Their ids depend on the topic alone, so they outlive a new SD card.

    Args:
        topic: where results are published.
        labels: the emotions that a result may have.
        name: of the device; by default the topic.

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
    for sensor, entity in entities.items():
        config = {
            **entity,
            "unique_id": f"{node}_{sensor}",
            "state_topic": topic,
            "availability_topic": availability_topic(topic),
            "device": {
                "identifiers": [node],
                "name": name or topic,
                "manufacturer": "ser-edge",
                "model": "Speech emotion recognition",
                "sw_version": __version__,
            },
            "origin": {"name": "ser-edge", "sw_version": __version__},
        }
        yield f"homeassistant/sensor/{node}/{sensor}/config", json.dumps(config)

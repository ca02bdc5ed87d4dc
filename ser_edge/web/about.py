"""What the page tells of the model: how good it is, on whom, and under which terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ser_edge import __version__
from ser_edge.live.sentences import SENTENCES
from ser_edge.web.colors import colors
from ser_edge.web.service import NO_PROFILE

if TYPE_CHECKING:
    from ser_edge.web.service import Service

# UAR on corpora unlike those that a bundled model learned from; the README's figures.
_UNLIKE: dict[str, dict[str, float]] = {
    "default": {"TESS": 0.407, "SAVEE": 0.464, "EMOVO": 0.411, "Urdu": 0.42},
}


def describe(service: Service) -> dict[str, Any]:
    """The answer of ``GET /v1/model``."""
    model = service.plain.model
    metadata = model.metadata
    current = service.models.classifier(service.order_of(None))
    details = metadata.details
    return {
        "version": __version__,
        "name": metadata.name,
        "description": details.get("description"),
        "labels": list(current.labels),
        "colors": dict(zip(current.labels, colors(current.labels))),
        "model_labels": list(metadata.labels),
        "model_colors": dict(zip(metadata.labels, colors(metadata.labels))),
        "runtime": model.runtime,
        "window_seconds": metadata.frontend.window_seconds,
        "hop_seconds": metadata.decision.window_hop_seconds,
        "threshold": current.threshold,
        "gate": current.gate,
        "adaptable": model.n_inputs > 0,
        "profile": service.default_profile,
        "profiles": [*service.profiles, NO_PROFILE],
        "trained_on": _trained_on(details),
        "accuracy": _accuracy(metadata.name, details),
        "listens": service.listener is not None,
        "history": service.history is not None,
        "sentences": {language: list(lines) for language, lines in SENTENCES.items()},
        "max_bytes": service.budget.max_body,
    }


def _trained_on(details: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Name, licence, speakers and clips of each corpus."""
    training = details.get("training")
    entries = training.get("corpora") if isinstance(training, dict) else None
    keys = ("name", "licence", "speakers", "clips")
    return [
        {key: entry.get(key) for key in keys}
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict)
    ]


def _accuracy(name: str, details: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Unweighted average recall on new speakers, by corpus, and whether it learned from others."""
    trained = {entry["name"] for entry in _trained_on(details)}
    accuracy = details.get("accuracy")
    entries = accuracy.get("corpora") if isinstance(accuracy, dict) else None
    found = [
        {"corpus": corpus, "uar": entry["uar"], "trained_on": corpus in trained}
        for corpus, entry in (entries.items() if isinstance(entries, dict) else ())
        if isinstance(entry, dict) and isinstance(entry.get("uar"), (int, float))
    ]
    unlike = _UNLIKE.get(name, {}).items()
    return found + [{"corpus": c, "uar": uar, "trained_on": False} for c, uar in unlike]

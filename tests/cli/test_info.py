"""`ser-edge info` shows the model's metadata, and with what it runs."""

from __future__ import annotations

import json


def test_info_shows_what_the_model_says_of_itself(run, classifier):
    shown = run("info").out
    assert all(label in shown for label in classifier.labels)
    data = json.loads(run("info", "--json").out)
    metadata = json.loads(json.dumps(classifier.model.metadata.to_dict()))
    assert {key: data[key] for key in metadata} == metadata
    assert data["runtime"].startswith(classifier.model.runtime)

"""`ser-edge info` shows the model's metadata, and with what it runs."""

from __future__ import annotations

import json
import os

import pytest

from ser_edge.cli import info


def test_info_shows_what_the_model_says_of_itself(run, classifier):
    shown = run("info").out
    assert ", ".join(classifier.labels) in shown
    data = json.loads(run("info", "--json").out)
    metadata = json.loads(json.dumps(classifier.model.metadata.to_dict()))
    assert {key: data[key] for key in metadata} == metadata
    assert data["runtime"].startswith(classifier.model.runtime)
    assert data["size"] == os.path.getsize(classifier.model.path)


def test_a_page_for_a_person(run, classifier):
    metadata = classifier.model.metadata
    lines = run("info").out.splitlines()
    details = metadata.details
    assert len(lines) <= 32 + len(details["training"]["corpora"]) + len(
        details["accuracy"]["corpora"]
    )
    assert max(map(len, lines)) <= 80 or len(classifier.model.path) > 60
    page = "\n".join(lines)
    assert lines[0].startswith(f"{metadata.name}: ")
    for corpus in metadata.details["training"]["corpora"]:
        row = next(
            line.split() for line in reversed(lines) if line.startswith(f"  {corpus['name']}")
        )
        assert row[1:3] == [str(corpus["clips"]), str(corpus["speakers"])]
        assert " ".join(row[3:]) == corpus["licence"]
    for name, measured in metadata.details["accuracy"]["corpora"].items():
        row = next(line.split() for line in lines if line.startswith(f"  {name}"))
        assert row[1] == f"{100 * measured['uar']:.0f}"
    ordinary = details["accuracy"]["ordinary_speech"]
    assert f"Of ordinary speech {100 * ordinary['emotional']:.0f} % are taken for" in page
    assert "  - mfcc: n_mfcc 64, n_fft 512" in page
    assert "0.049275" not in page  # the values of the normalization


def test_details_with_v(run):
    shown = run("info", "-v").out
    for part in ("by: training", "operators: ", "confusion:", "flatbuffer:"):
        assert part in shown


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"description": None, "licence": ["a", "b"], "accuracy": 0.7, "training": "mine"},
        {"accuracy": {"corpora": {"x": 1, "\x1b[31m": {"uar": "good", "clips": None}}}},
        {"accuracy": {"corpora": {}, "mean_uar": True, "abstention": 3}},
        {"accuracy": {"corpora": {}, "ordinary_speech": {"emotional": "few"}}},
        {"training": {"corpora": [1, {"name": "\x1b[31m" * 40}, {}]}},
        {"description": "two\nlines", "licence": "\x1b[2J"},
    ],
)
def test_what_a_file_says_of_itself_may_have_any_form(classifier, details):
    description = info.describe(classifier.model)
    for key in ("description", "licence", "accuracy", "training"):
        description.pop(key, None)
    lines = list(info._page({**description, **details}, classifier.model.frontend.spec))
    assert all(line.isprintable() for line in lines)
    assert len(lines) >= 9

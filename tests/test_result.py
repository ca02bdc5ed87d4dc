from __future__ import annotations

import json
from types import MappingProxyType
from xml.etree import ElementTree

import pytest

from ser_edge import Result


def test_a_result_is_a_value() -> None:
    result = Result("happy", 0.75, {"happy": 0.75, "sad": 0.25}, 0.0, 2.5)
    assert result == Result("happy", 0.75, {"happy": 0.75, "sad": 0.25}, 0.0, 2.5, None)
    with pytest.raises(AttributeError):
        result.label = "sad"  # type: ignore[misc]
    assert json.loads(json.dumps(result.to_dict())) == {
        "label": "happy",
        "confidence": 0.75,
        "scores": {"happy": 0.75, "sad": 0.25},
        "start": 0.0,
        "end": 2.5,
        "reason": None,
    }


def test_best_is_the_most_probable_label_whatever_the_reason() -> None:
    scores = {"happy": 0.3, "sad": 0.4, "angry": 0.3}
    assert Result(None, 0.4, scores, 0.0, 2.5, "uncertain").best == "sad"
    assert Result("sad", 0.4, scores, 0.0, 2.5).best == "sad"
    assert Result(None, None, None, 0.0, 2.5, "silence").best is None


def test_printed_probabilities_have_six_significant_digits() -> None:
    scores = {"happy": 0.123456789, "sad": 0.8765432109876543, "angry": 1.23456789e-9}
    rounded = Result("sad", 0.8765432109876543, scores, 0.0625, 2.5).rounded()
    assert json.dumps(rounded.to_dict()) == (
        '{"label": "sad", "confidence": 0.876543, '
        '"scores": {"happy": 0.123457, "sad": 0.876543, "angry": 1.23457e-09}, '
        '"start": 0.0625, "end": 2.5, "reason": null}'
    )
    silent = Result(None, None, None, 0.0, 2.5, "silence")
    assert silent.rounded() == silent


def test_a_result_is_a_table_in_notebooks() -> None:
    scores = {"<b>": 0.25, "sad": 0.75}
    html = Result("sad", 0.75, scores, 1.0, 2.5)._repr_html_()
    assert ElementTree.fromstring(html).tag == "table"
    rows = ["".join(row.itertext()) for row in ElementTree.fromstring(html).iter("tr")]
    assert rows == ["sad75.0 %", "<b>25.0 %"]
    assert "sad 75 %, 1.0 s to 2.5 s" in html
    silent = Result(None, None, None, 0.0, 2.5, "silence")._repr_html_()
    assert list(ElementTree.fromstring(silent).iter("tr")) == []


def test_dicts_make_a_table() -> None:
    pandas = pytest.importorskip("pandas")
    spoken = Result("happy", 0.75, MappingProxyType({"happy": 0.75, "sad": 0.25}), 0.0, 2.5)
    silent = Result(None, None, None, 0.0, 2.5, "silence")
    table = pandas.DataFrame([spoken.to_dict(), silent.to_dict()])
    assert list(table.columns) == ["label", "confidence", "scores", "start", "end", "reason"]
    assert table.confidence.dtype == float
    assert table.scores[0] == {"happy": 0.75, "sad": 0.25}
    wide = pandas.json_normalize([spoken.to_dict()])
    assert wide["scores.sad"][0] == 0.25

"""The README's figures are those of the model that ships."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ser_edge.classifier import bundled_path
from ser_edge.metadata import Metadata
from ser_edge.model import Model

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CORPORA = {"CREMA-D": "crema_d", "RAVDESS": "ravdess", "EMO-DB": "emo_db", "nEMO": "nemo"}
MODELS = ("default", "open")


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Metadata:
    return Model(bundled_path(request.param)).metadata


def test_the_first_command_prints_what_is_shown() -> None:
    command = [sys.executable, "-m", "ser_edge", "classify", "tests/data/synthetic.wav"]
    environment = {"PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(ROOT)}
    output = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    assert f"```\n{output.stdout.decode()}```" in README


def test_the_accuracy_table_is_the_models_own(model: Metadata) -> None:
    stated = model.details["accuracy"]["corpora"]
    pair = r"([\d.]+) %, ([\d.]+) %"
    rows = re.findall(rf"^\| ([\w-]+)[^|]* \| {pair} \| {pair} \| (\d+) \| (\d+) \|$", README, re.M)
    assert {CORPORA[name] for name, *_ in rows} == set(stated)
    for name, *cells in rows:
        figures = stated[CORPORA[name]]
        first = 2 * MODELS.index(model.name)
        assert tuple(map(float, cells[first : first + 2])) == (
            round(100 * figures["uar"], 1),
            round(100 * figures["accuracy"], 1),
        )
        assert tuple(map(int, cells[4:])) == (figures["speakers"], figures["clips"])


def test_the_training_data_are_the_models_own(model: Metadata) -> None:
    trained = {corpus["name"]: corpus for corpus in model.details["training"]["corpora"]}
    rows = re.findall(r"^\| \[([\w-]+)\].* \| (\d+), (\d+) \| (yes|no) \|$", README, re.M)
    assert {CORPORA[name] for name, *_ in rows} == set(CORPORA.values())
    for name, speakers, clips, in_open in rows:
        corpus = trained.get(CORPORA[name])
        assert (corpus is not None) == (model.name == "default" or in_open == "yes")
        if corpus is not None:
            assert (int(speakers), int(clips)) == (corpus["speakers"], corpus["clips"])


def test_the_threshold_and_size_are_the_models_own(model: Metadata) -> None:
    accuracy = model.details["accuracy"]
    abstention = accuracy["abstention"]
    answered, right, whole = (
        f"{abstention[figure]:.0%}".replace("%", " %")
        for figure in ("answered", "accuracy_answered", "accuracy_all")
    )
    text = " ".join(README.split())
    if model.name == "default":
        assert f"At its threshold of {model.decision.threshold:.2f} `default` answers" in text
        assert f"answers {answered} of its corpora's clips and is right in {right} of" in text
        assert f"without it, in {whole} of all" in text
    else:
        threshold = f"{model.decision.threshold:.2f}"
        assert f"threshold is {threshold}: {answered} answered, {right} right, {whole} of" in text
    assert f"{accuracy['calibration_error']:.3f}" in text
    assert f"{model.details['training']['parameters']:,}".replace(",", " ") in text


def test_the_teacher_is_as_good_as_is_said() -> None:
    teacher = Model(bundled_path()).metadata.details["training"]["teacher"]
    text = " ".join(README.split())
    stated = f"{teacher['uar']['crema_d']:.0%}".replace("%", " %")
    assert f"the teacher, fifteen times as large, {stated}" in text

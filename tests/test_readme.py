"""The README's figures are those of the model that ships."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from ser_edge import Classifier

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CORPORA = {"CREMA-D": "crema_d", "RAVDESS": "ravdess", "EMO-DB": "emo_db", "nEMO": "nemo"}


def test_the_first_command_prints_what_is_shown() -> None:
    command = [sys.executable, "-m", "ser_edge", "classify", "tests/data/synthetic.wav"]
    environment = {"PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(ROOT)}
    output = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    assert f"```\n{output.stdout.decode()}```" in README


def test_the_accuracy_table_is_the_model_s_own(classifier: Classifier) -> None:
    stated = classifier.model.metadata.details["accuracy"]["corpora"]
    rows = re.findall(
        r"^\| ([\w-]+)[^|]* \| ([\d.]+) % \| ([\d.]+) % \| (\d+) \| (\d+) \|$", README, re.M
    )
    assert {CORPORA[name] for name, *_ in rows} == set(stated)
    for name, uar, accuracy, speakers, clips in rows:
        figures = stated[CORPORA[name]]
        assert (float(uar), float(accuracy)) == (
            round(100 * figures["uar"], 1),
            round(100 * figures["accuracy"], 1),
        )
        assert (int(speakers), int(clips)) == (figures["speakers"], figures["clips"])


def test_the_training_data_are_the_model_s_own(classifier: Classifier) -> None:
    for corpus in classifier.model.metadata.details["training"]["corpora"]:
        assert f"| {corpus['speakers']}, {corpus['clips']} |" in README


def test_the_threshold_and_size_are_the_model_s_own(classifier: Classifier) -> None:
    metadata = classifier.model.metadata
    abstention = metadata.details["accuracy"]["abstention"]
    text = " ".join(README.split())
    assert f"At its threshold of {metadata.decision.threshold:.2f} the model answers" in text
    assert f"answers {abstention['answered']:.0%}".replace("%", " %") in text
    assert f"right in {abstention['accuracy_answered']:.0%}".replace("%", " %") in text
    assert f"{metadata.details['training']['parameters']:,}".replace(",", " ") in text

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ser_edge import model_file
from ser_edge.classifier import Classifier, bundled_path
from ser_edge.convert.cli import main
from ser_edge.convert.corpus.clips import LABELS
from ser_edge.familiarity import Subspace, decoded
from tests.helpers.audio import RATE, voice

soundfile = pytest.importorskip("soundfile")

SPEAKERS = 4  # the last one is dev
EACH = 3  # clips of a speaker and label


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Voices of several speeds, with labels at random."""
    rng = np.random.default_rng(1)
    rows = ["path,corpus,speaker,label,split"]
    for speaker in range(SPEAKERS):
        for number, label in enumerate(LABELS * EACH):
            name = f"{speaker}-{number}.wav"
            samples = voice(2.5, round(RATE * rng.uniform(0.7, 1.4)))[: 2 * RATE]
            soundfile.write(tmp_path / name, samples, RATE)
            split = "dev" if speaker == SPEAKERS - 1 else "train"
            rows.append(f"{name},here,{speaker},{label},{split}")
    (tmp_path / "index.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "index.csv"


def calibrate(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["calibrate", *map(str, arguments)])
    return int(exit_.value.code or 0)


def test_calibrates_a_packed_model_anew(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "model.tflite"
    assert calibrate("default", index, "-o", output) == 0
    before, after = (model_file.read(str(path)) for path in (bundled_path(), output))
    assert after[1] == before[1]  # not a weight is changed
    metadata = after[0]
    accuracy = json.loads(capsys.readouterr().err)
    assert accuracy == metadata.details["accuracy"]
    dev = len(LABELS) * EACH
    assert accuracy["corpora"]["here"]["clips"] == dev
    assert metadata.decision.temperature != before[0].decision.temperature
    assert metadata.decision.silence_dbfs == before[0].decision.silence_dbfs

    # Half of the dev clips are left over more of than the limit; none of the clips learned from is.
    familiarity, embedding = metadata.familiarity, metadata.utterance_embedding
    assert familiarity is not None
    assert embedding is not None
    subspace = Subspace(decoded(familiarity.components).reshape(-1, embedding.size))
    classifier = Classifier.from_file(output, gate="off")

    def share(name: str) -> float:
        observed = classifier.observe(str(tmp_path / name))
        assert not isinstance(observed, str)
        return subspace.unfamiliarity(observed.inputs[-embedding.size :])

    shares = [share(f"{SPEAKERS - 1}-{number}.wav") for number in range(dev)]
    assert familiarity.limit == pytest.approx(np.median(shares), abs=1e-3)
    assert share("0-0.wav") < 0.1


def test_an_index_without_training_clips_is_refused(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index.write_text(index.read_text().replace(",train", ",dev"))
    assert calibrate("default", index, "-o", tmp_path / "model.tflite") == 1
    assert "no clip of the index is in the split 'train'" in capsys.readouterr().err
    assert not (tmp_path / "model.tflite").exists()

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_edge.convert.corpus.clips import LABELS, Clip, read_index
from tests.helpers.audio import RATE, tone


@pytest.fixture(scope="session")
def toy_frontend() -> dict[str, Any]:
    """A front end of two features and few frames, for tests that compute real matrices."""
    return {
        "sample_rate": RATE,
        "window_seconds": 0.5,
        "trim": None,
        "level_dbfs": None,
        "features": [
            {"name": "zero_crossing_rate", "frame_length": 400, "hop_length": 400},
            {"name": "rms", "frame_length": 400, "hop_length": 400},
        ],
        "layout": "frames_features",
        "normalization": None,
    }


@pytest.fixture(scope="session")
def toy_clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """Tones whose pitch is their label: four training speakers and two others for dev."""
    soundfile = pytest.importorskip("soundfile")
    folder: Path = tmp_path_factory.mktemp("toy corpus")
    rng = np.random.default_rng(1)
    rows = ["path,corpus,speaker,gender,label,split"]
    for speaker in range(6):
        for number, label in enumerate(LABELS):
            hertz = 200 * 2**number * rng.uniform(0.95, 1.05)
            name = f"{speaker}-{label}.wav"
            soundfile.write(folder / name, 0.3 * tone(0.5, hertz), RATE)
            split = "train" if speaker < 4 else "dev"
            rows.append(f"{name},toy,speaker {speaker},,{label},{split}")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    return read_index(folder)

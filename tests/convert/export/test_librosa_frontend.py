"""The reference libraries' front end and the runtime's own agree, for features of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ser_edge.convert import frontends
from ser_edge.convert.export import librosa_frontend
from ser_edge.errors import AudioError
from ser_edge.frontend import Frontend, FrontendSpec
from tests.helpers.audio import RATE, voice

pytest.importorskip("librosa")

BASE = {"sample_rate": 22050, "window_seconds": 1.5, "layout": "features_frames"}
SPECS: dict[str, dict[str, Any]] = {
    **{name: frontends.preset(name) for name in frontends.NAMES},
    "40 MFCC at 22 050 Hz": {**BASE, "features": [{"name": "mfcc", "n_mfcc": 40}]},
    "high-pass and level": {
        **BASE,
        "high_pass": {"cutoff": 80.0},
        "level_dbfs": -26.0,
        "features": [{"name": "mfcc"}],
    },
    "deltas": {
        **BASE,
        "features": [
            {"name": "mfcc", "n_mfcc": 13, "htk": True, "mel_norm": None, "lifter": 22},
            {"name": "delta", "of": "mfcc"},
            {"name": "delta", "of": "mfcc", "order": 2},
        ],
        "normalization": {"mean": [1.0] * 39, "std": [2.0] * 39},
    },
    "python_speech_features": {
        **BASE,
        "sample_rate": RATE,
        "trim": {"top_db": 30.0, "frame_length": 512, "hop_length": 128},
        "features": [{"name": "psf_mfcc", "window": "hamming", "scale": 32768.0}],
        "layout": "frames_features",
    },
}


@pytest.mark.parametrize("entry", SPECS.values(), ids=SPECS.keys())
def test_equals_the_runtime(tmp_path: Path, entry: dict[str, Any]) -> None:
    spec = FrontendSpec.parse(entry)
    # Stereo, at a rate of its own, with silence around: all that loading has to deal with.
    samples = np.pad(voice(1.0, rate=44100), 8000)
    path = tmp_path / "voice.wav"
    soundfile.write(path, np.stack([samples, 0.5 * samples], axis=1), 44100)
    frontend = Frontend(spec)
    ours = frontend(frontend.load(path))
    theirs = librosa_frontend.features_of(path, spec)
    assert theirs.shape == frontend.shape
    assert theirs.dtype == np.float32
    # MFCC reach 1e3 in float32; the tolerance is that of ser_edge.features.mfcc.
    assert ours == pytest.approx(theirs, abs=1e-3)


def test_what_librosa_cannot_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.wav"
    path.write_text("no audio")
    with pytest.raises(AudioError, match=r"text\.wav: librosa cannot read it"):
        librosa_frontend.features_of(path, FrontendSpec.parse(SPECS["seed"]))

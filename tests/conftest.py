"""What many tests share: real speech where it is present, the bundled model, the command."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from ser_edge import Classifier, audio, cli
from ser_edge.convert.corpus.clips import Clip, default_folder, read_index

# Programs, not tests; they import peers that only their readers install.
# Processes that write one cache of numba, librosa's compiler, at once leave it broken.
if "PYTEST_XDIST_WORKER" in os.environ:
    _cache = Path(__file__).parents[1] / ".pytest_cache" / "numba"
    os.environ.setdefault("NUMBA_CACHE_DIR", str(_cache / os.environ["PYTEST_XDIST_WORKER"]))

collect_ignore = ["bench", "convert/data", "pi"]

# Corpora of whole sentences, acted in a studio: what the gate and the bundled models were made for.
SENTENCES = ("crema_d", "ravdess", "emo_db", "nemo")


@pytest.fixture(scope="session")
def corpora() -> list[Clip]:
    """All clips of the labelled corpora; the test is skipped where they are not."""
    index = default_folder() / "index.csv"
    if not index.is_file():
        pytest.skip(f"NO REAL SPEECH TESTED: there is no {index}; set SER_CORPORA")
    return read_index(index)


@pytest.fixture(scope="session")
def speech(corpora: list[Clip]) -> list[Clip]:
    """Every 25th clip of the acted sentences, some 415, and every 500th of all others."""
    sentences = [clip for clip in corpora if clip.corpus in SENTENCES]
    others = [clip for clip in corpora if clip.corpus not in SENTENCES]
    return sentences[::25] + others[::500]


@pytest.fixture(scope="session")
def recordings(speech: list[Clip]) -> dict[str, npt.NDArray[np.float32]]:
    """The samples of `speech` at 16 kHz, by the file's name."""
    return {clip.path.name: audio.load(clip.path, 16_000) for clip in speech}


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    return Classifier.bundled()


@pytest.fixture(scope="session")
def ungated() -> Classifier:
    """The bundled model with every decision but silence and length turned off."""
    return Classifier.bundled(gate="off", threshold=0.0)


class Outcome(NamedTuple):
    code: int  # with which the command left
    out: str  # standard output
    err: str  # standard error


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Runs ``ser-edge`` with these arguments, and standard input where given."""

    def run(*arguments: object, stdin: bytes | None = None) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["ser-edge", *map(str, arguments)])
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        captured = capsys.readouterr()
        return Outcome(exit_.value.code, captured.out, captured.err)

    return run

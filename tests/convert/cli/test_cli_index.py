from __future__ import annotations

import csv
from pathlib import Path, PurePath

import numpy as np
import pytest

from ser_edge.convert.cli import main
from ser_edge.convert.corpus.clips import default_folder, read_index
from tests.helpers.audio import RATE, noise, voice

soundfile = pytest.importorskip("soundfile")


@pytest.mark.slow
def test_index_of_a_corpus_at_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real = default_folder()
    if not (real / "emo_db").is_dir():
        pytest.skip(f"NO REAL CORPUS INDEXED: there is no {real / 'emo_db'}; set SER_CORPORA")
    made = tmp_path / "index.csv"
    assert run("emo_db", real / "emo_db", "-o", made) == 0
    expected = {c.path.name: c for c in read_index(real) if c.corpus == "emo_db"}
    clips = read_index(made)
    assert {(c.path.name, c.speaker, c.gender, c.label) for c in clips} == {
        (c.path.name, c.speaker, c.gender, c.label) for c in expected.values()
    }
    with (real / "index.csv").open(newline="") as file:
        seconds = {PurePath(r["path"]).name: float(r["seconds"]) for r in csv.DictReader(file)}
    with made.open(newline="") as file:
        for row in csv.DictReader(file):
            assert float(row["seconds"]) == pytest.approx(
                seconds[PurePath(row["path"]).name], abs=0.01
            )
    assert "left out" not in capsys.readouterr().err


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["index", *map(str, arguments)])
    assert isinstance(exit_.value.code, int)
    return exit_.value.code


def record(path: Path, *, seconds: float = 0.5, seed: int = 0) -> None:
    """A voice-like tone; other seeds give other sounds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = 0.3 * voice(seconds)
    soundfile.write(path, tone + noise(len(tone), seed=seed, level=0.01), RATE)


@pytest.fixture
def savee(tmp_path: Path) -> Path:
    """Two clips of each of four speakers."""
    folder = tmp_path / "AudioData"
    for number, speaker in enumerate(("DC", "JE", "JK", "KL")):
        record(folder / speaker / "a01.wav", seed=2 * number)
        record(folder / speaker / "sa01.wav", seed=2 * number + 1, seconds=0.75)
    return folder


def test_index_is_what_the_others_read(savee: Path) -> None:
    assert run("savee", savee) == 0
    clips = read_index(savee)
    assert [(c.path.parent.name, c.speaker, c.label) for c in clips] == [
        (speaker, speaker, label)
        for speaker in ("DC", "JE", "JK", "KL")
        for label in ("angry", "sad")
    ]
    assert {clip.corpus for clip in clips} == {"savee"}
    assert {clip.gender for clip in clips} == {"M"}
    with (savee / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[1] == {
        "path": "DC/sa01.wav",
        "corpus": "savee",
        "speaker": "DC",
        "gender": "M",
        "label": "sad",
        "raw_label": "sadness",
        "split": rows[1]["split"],
        "seconds": "0.75",
    }


def test_split_is_a_seeded_share_of_speakers(savee: Path) -> None:
    chosen = set()
    for seed in range(8):
        assert run("savee", savee, "--dev-share", 0.5, "--seed", seed, "--force") == 0
        first = (savee / "index.csv").read_bytes()
        assert run("savee", savee, "--dev-share", 0.5, "--seed", seed, "--force") == 0
        assert (savee / "index.csv").read_bytes() == first
        dev = frozenset(clip.speaker for clip in read_index(savee) if clip.split == "dev")
        assert len(dev) == 2
        chosen.add(dev)
    assert len(chosen) > 1


@pytest.mark.parametrize(("share", "speakers"), [(0, 0), (0.01, 1), (0.2, 1), (1, 4)])
def test_dev_has_a_speaker_unless_none_is_wanted(savee: Path, share: float, speakers: int) -> None:
    assert run("savee", savee, "--dev-share", share) == 0
    assert len({c.speaker for c in read_index(savee) if c.split == "dev"}) == speakers


def test_faults_are_reported_and_left_out(savee: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(savee / "DC" / "practice.wav")
    (savee / "DC" / "d01.wav").write_text("no audio")
    soundfile.write(savee / "JE" / "d01.wav", np.full(RATE, 0.2), RATE)  # an offset is no sound
    record(savee / "JK" / "d01.wav", seed=20)
    record(savee / "JK" / "f01.wav", seed=20)  # the same sound as another emotion
    record(savee / "KL" / "a02.wav", seed=6)  # the same sound as KL/a01
    record(savee / "copy" / "DC" / "a01.wav", seed=21)  # the same name as DC/a01
    record(savee / "KL" / "su01.wav", seed=22)
    assert run("savee", savee) == 0
    paths = [clip.path.relative_to(savee).as_posix() for clip in read_index(savee)]
    assert paths == [f"{s}/{n}01.wav" for s in ("DC", "JE", "JK", "KL") for n in ("a", "sa")]
    err = capsys.readouterr().err
    for line in (
        f"1 left out: the name is not as in DC/a01.wav or DC_a01.wav: {savee}/DC/practice.wav",
        f"1 left out: unreadable: {savee}/DC/d01.wav: not audio",
        f"1 left out: silence (below -60 dBFS): {savee}/JE/d01.wav",
        "1 left out: the same sound under two emotions or speakers: "
        f"{savee}/JK/d01.wav = {savee}/JK/f01.wav",
        f"1 taken once: the same name again: {savee}/copy/DC/a01.wav",
        f"1 taken once: the same sound again: {savee}/KL/a02.wav",
        "left out: other emotions (1 surprise); --other-labels keeps them",
    ):
        assert line in err


def test_other_labels_are_kept_when_wanted(savee: Path) -> None:
    record(savee / "KL" / "su01.wav", seed=22)
    assert run("savee", savee, "--other-labels") == 0
    with (savee / "index.csv").open(newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)].count("surprise") == 1


def test_of_several_formats_the_uncompressed_is_taken(tmp_path: Path) -> None:
    record(tmp_path / "AudioMP3" / "1001_DFA_ANG_XX.mp3")
    record(tmp_path / "AudioWAV" / "1001_DFA_ANG_XX.wav")
    assert run("crema_d", tmp_path) == 0
    assert [clip.path.suffix for clip in read_index(tmp_path)] == [".wav"]


def test_paths_are_relative_to_the_index(savee: Path) -> None:
    elsewhere = savee.parent / "indices"
    elsewhere.mkdir()
    assert run("savee", savee, "-o", elsewhere / "savee.csv") == 0
    assert read_index(elsewhere / "savee.csv")[0].path.samefile(savee / "DC" / "a01.wav")
    assert [path.name for path in elsewhere.iterdir()] == ["savee.csv"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["ravdess", "."], 1, "holds no recording of ravdess that can be used"),
        (["savee", "empty"], 1, "empty: holds no audio files"),
        (["savee", ".", "-o", "gone/index.csv"], 1, "there is no folder gone"),
        (["timit", "."], 2, "'timit' is not one of"),
        (["savee", "gone"], 2, "'gone' does not exist"),
    ],
)
def test_failure_is_one_sentence(
    words: list[str],
    code: int,
    message: str,
    savee: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(savee)
    (savee / "empty").mkdir()
    assert run(*words) == code
    captured = capsys.readouterr()
    assert message in captured.err.splitlines()[-1]
    assert captured.out == ""
    assert not (savee / "index.csv").exists()


def test_an_index_is_not_replaced_unasked(savee: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (savee / "index.csv").write_text("made by hand")
    assert run("savee", savee) == 1
    assert "exists: replace it with --force" in capsys.readouterr().err
    assert (savee / "index.csv").read_text() == "made by hand"

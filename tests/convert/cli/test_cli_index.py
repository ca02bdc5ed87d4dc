"""Speaker and emotion from the names that corpora give their files, and the index made of them."""

from __future__ import annotations

import csv
from pathlib import Path, PurePath

import numpy as np
import pytest

from ser_edge.convert.cli import main
from ser_edge.convert.corpus.clips import default_folder, read_index
from ser_edge.convert.corpus.naming import SCHEMES
from ser_edge.selftest import reference_signal

soundfile = pytest.importorskip("soundfile")

RATE = 16000
REAL = ("crema_d", "ravdess", "emo_db", "nemo")


@pytest.mark.parametrize(
    ("corpus", "path", "speaker", "gender", "label", "raw_label"),
    [
        ("crema_d", "AudioWAV/1001_DFA_ANG_XX.wav", "1001", "", "angry", "ANG/XX"),
        ("crema_d", "1091_IEO_SAD_LO.wav", "1091", "", "sad", "SAD/LO"),
        ("crema_d", "1040_ITH_SAD_X.wav", "1040", "", "sad", "SAD/X"),
        ("ravdess", "Actor_12/03-01-06-01-02-01-12.wav", "12", "F", "fear", "fearful"),
        ("ravdess", "03-01-02-02-01-02-23.wav", "23", "M", "neutral", "calm"),
        ("ravdess", "03-01-08-01-01-01-01.wav", "01", "M", "surprise", "surprised"),
        ("tess", "OAF_Fear/OAF_back_fear.wav", "OA", "F", "fear", "fear"),
        ("tess", "OAF_neutral/OA_bite_neutral.wav", "OA", "F", "neutral", "neutral"),
        ("tess", "YAF_ps/YAF_food_ps.wav", "YA", "F", "surprise", "pleasant surprise"),
        ("savee", "AudioData/DC/a01.wav", "DC", "M", "angry", "anger"),
        ("savee", "ALL/KL_sa15.wav", "KL", "M", "sad", "sadness"),
        ("savee", "JK/su03.wav", "JK", "M", "surprise", "surprise"),
        ("savee", "JE/n30.wav", "JE", "M", "neutral", "neutral"),
        ("jl_corpus", "female1_angry_10a_1.wav", "female1", "F", "angry", "angry"),
        ("jl_corpus", "male2_anxious_3b_2.wav", "male2", "M", "anxious", "anxious"),
        ("emov_db", "bea_Amused/amused_1-15_0001.wav", "bea", "F", "amused", "Amused"),
        ("emov_db", "sam/Angry/anger_1-28_0002.wav", "sam", "M", "angry", "Angry"),
        ("emov_db", "josh_Sleepy/sleepiness_1-28_0003.wav", "josh", "M", "sleepy", "Sleepy"),
        ("emov_db", "jenie_Disgusted/disgust_1-28_0004.wav", "jenie", "F", "disgust", "Disgusted"),
        ("esd", "0011/Angry/0011_000351.wav", "0011", "M", "angry", "Angry"),
        ("esd", "0015/Surprise/train/0015_001402.wav", "0015", "F", "surprise", "Surprise"),
        ("esd", "0004/Happy/0004_000701.wav", "0004", "M", "happy", "Happy"),
        ("asvp_esd", "actor_12/03-01-06-01-02-12-02-01-01-16.wav", "12", "M", "fear", "fearful"),
        ("asvp_esd", "actor_0/03-01-01-01-90-00-01-02-02.wav", "00", "", "boredom", "boredom"),
        ("asvp_esd", "actor_7/03-01-03-02-104-07-02-03-02-66.wav", "07", "F", "happy", "happy"),
        ("emo_db", "wav/03a01Fa.wav", "03", "M", "happy", "F"),
        ("emo_db", "16b10Lb.wav", "16", "F", "boredom", "L"),
        ("emo_db", "08a05Ea.wav", "08", "F", "disgust", "E"),
        ("nemo", "samples/EB0_anger_41.wav", "EB0", "", "angry", "anger"),
        ("nemo", "SK0_surprised_3.wav", "SK0", "", "surprise", "surprised"),
    ],
)
def test_names(
    corpus: str, path: str, speaker: str, gender: str, label: str, raw_label: str
) -> None:
    name = SCHEMES[corpus].parse(PurePath("/somewhere") / path)
    assert name is not None
    assert (name.speaker, name.gender, name.label, name.raw_label) == (
        speaker,
        gender,
        label,
        raw_label,
    )


@pytest.mark.parametrize(
    ("corpus", "path"),
    [
        ("crema_d", "1001_DFA_ANG.wav"),
        ("crema_d", "01001_DFA_ANG_XX.wav"),
        ("ravdess", "03-02-06-01-02-01-12.wav"),  # a song
        ("ravdess", "01-01-06-01-02-01-12.mp4"),  # a film
        ("tess", "OAF_back.wav"),
        ("savee", "DC/info.wav"),
        ("jl_corpus", "female1_angry_10a.wav"),
        ("emov_db", "amused_1-15_0001.wav"),  # whose is it?
        ("esd", "0011/Angry/0012_000351.wav"),  # in another's folder
        ("esd", "0021/Angry/0021_000351.wav"),
        ("asvp_esd", "03-02-06-01-02-12-02-01-01-16.wav"),  # a sound without words
        ("emo_db", "03a01Xa.wav"),
        ("nemo", "EB0_anger.wav"),
    ],
)
def test_names_of_no_scheme(corpus: str, path: str) -> None:
    assert SCHEMES[corpus].parse(PurePath("/somewhere") / path) is None


@pytest.mark.parametrize("corpus", REAL)
def test_names_of_the_corpora_at_hand(corpus: str) -> None:
    index = default_folder() / "index.csv"
    if not index.is_file():
        pytest.skip(f"NO REAL NAMES TESTED: there is no {index}; set SER_CORPORA")
    with index.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["corpus"] == corpus]
    assert len(rows) > 300
    for row in rows:
        name = SCHEMES[corpus].parse(default_folder() / row["path"])
        assert name is not None, row["path"]
        assert (name.speaker, name.gender, name.label, name.raw_label) == (
            row["speaker"],
            row["gender"],
            row["label"],
            row["raw_label"],
        )


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
    noise = np.random.default_rng(seed).normal(scale=0.01, size=round(seconds * RATE))
    soundfile.write(path, 0.3 * reference_signal(RATE, seconds) + noise, RATE)


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


def test_faults_are_told_and_left_out(savee: Path, capsys: pytest.CaptureFixture[str]) -> None:
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

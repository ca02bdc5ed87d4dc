from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_edge.convert.corpus.clips import (
    LABELS,
    Clip,
    choose,
    default_folder,
    find,
    label_indices,
    labels_of,
    read_index,
    sampling_probabilities,
    shares_speakers,
    spread,
)
from ser_edge.errors import AudioError, SerEdgeError

HEADER = "path,corpus,speaker,gender,label,raw_label,split,seconds\n"


def write_index(folder: Path, *rows: str, header: str = HEADER) -> Path:
    for row in rows:
        (folder / row.split(",")[0]).touch()
    index = folder / "index.csv"
    index.write_text(header + "".join(f"{row}\n" for row in rows))
    return index


def test_reads_every_column(tmp_path: Path) -> None:
    index = write_index(tmp_path, "a.wav,here,anna,female,angry,ANG,train,2.0")
    expected = Clip(tmp_path / "a.wav", "here", "anna", "female", "angry", "train")
    assert read_index(index) == [expected]
    assert read_index(tmp_path) == [expected]


def test_gender_is_optional(tmp_path: Path) -> None:
    header = "path,corpus,speaker,label,split\n"
    write_index(tmp_path, "a.wav,here,anna,angry,dev", header=header)
    assert read_index(tmp_path)[0].gender == ""


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.wav,here,anna,,,BOR,train,2.0", "line 2: empty label"),
        ("a.wav,here,anna,,angry,ANG,test,2.0", "line 2: unknown split 'test'"),
        ("a.wav,here,,,angry,ANG,train,2.0", "line 2: empty speaker"),
        ("a.wav,here", "line 2: empty label"),
    ],
)
def test_refuses_bad_rows(tmp_path: Path, row: str, message: str) -> None:
    write_index(tmp_path, row)
    with pytest.raises(SerEdgeError, match=message):
        read_index(tmp_path)


def test_refuses_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text(HEADER + "gone.wav,here,anna,,angry,ANG,train,2.0\n")
    with pytest.raises(SerEdgeError, match=r"line 2: no such file .*gone\.wav"):
        read_index(tmp_path)


def test_refuses_a_missing_index(tmp_path: Path) -> None:
    with pytest.raises(SerEdgeError, match="cannot read the index"):
        read_index(tmp_path)


def test_refuses_an_index_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SerEdgeError, match="cannot read the index"):
        read_index(tmp_path)


def test_refuses_a_missing_column(tmp_path: Path) -> None:
    write_index(tmp_path, header="path,corpus,speaker,split\n")
    with pytest.raises(SerEdgeError, match="lacks the column 'label'"):
        read_index(tmp_path)


def test_refuses_an_empty_index(tmp_path: Path) -> None:
    write_index(tmp_path)
    with pytest.raises(SerEdgeError, match="lists no clips"):
        read_index(tmp_path)


def test_refuses_a_clip_listed_twice(tmp_path: Path) -> None:
    row = "a.wav,here,anna,,angry,ANG,train,2.0"
    write_index(tmp_path, row, row)
    with pytest.raises(SerEdgeError, match="twice"):
        read_index(tmp_path)


def test_refuses_a_speaker_in_both_splits(tmp_path: Path) -> None:
    write_index(
        tmp_path,
        "a.wav,here,anna,,angry,ANG,train,2.0",
        "b.wav,there,anna,,angry,ANG,dev,2.0",
        "c.wav,here,anna,,angry,ANG,dev,2.0",
    )
    with pytest.raises(SerEdgeError, match="speaker anna of here is in both train and dev"):
        read_index(tmp_path)


def test_any_label_and_a_path_are_enough(tmp_path: Path) -> None:
    place = tmp_path / "mine"
    place.mkdir()
    rows = [f"{n}.wav,{label}" for n, label in enumerate(["gelangweilt", "froh"] * 5)]
    write_index(place, *rows, header="path,label\n")
    clips = read_index(place)
    assert {clip.label for clip in clips} == {"gelangweilt", "froh"}
    assert {(clip.corpus, clip.speaker) for clip in clips} == {("mine", "")}
    dev = [clip.label for clip in clips if clip.split == "dev"]
    assert sorted(dev) == ["froh", "gelangweilt"]
    assert read_index(place) == clips
    assert shares_speakers(clips)


def test_a_folder_for_each_label_is_an_index(tmp_path: Path) -> None:
    for name in ("calm/a.wav", "calm/b.wav", "Bored/c.wav"):
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.zeros(100), 8000)
    found = {clip.path.name: clip.label for clip in read_index(tmp_path / "mine")}
    assert found == {"a.wav": "calm", "b.wav": "calm", "c.wav": "bored"}


def test_speakers_are_parted_where_the_index_does_not(tmp_path: Path) -> None:
    rows = [
        f"{speaker}-{label}.wav,{speaker},{label}"
        for speaker in ("anna", "bert", "carl", "dora")
        for label in ("sad", "happy")
    ]
    write_index(tmp_path, *rows, header="path,speaker,label\n")
    clips = read_index(tmp_path)
    dev = {clip.speaker for clip in clips if clip.split == "dev"}
    assert len(dev) == 1
    assert not shares_speakers(clips)


def test_labels_keep_the_bundled_order() -> None:
    clips = [Clip(Path("x"), label=label) for label in ("zen", "sad", "awe", "neutral", "sad")]
    assert labels_of(clips) == ("neutral", "sad", "awe", "zen")


def test_measuring_on_other_corpora_leaves_unknown_labels_out() -> None:
    clips = [
        Clip(Path("x"), "mine", "anna", "", "sad", "train"),
        Clip(Path("y"), "other", "bert", "", "bored", "dev"),
        Clip(Path("z"), "other", "bert", "", "sad", "dev"),
    ]
    assert choose(clips, ["mine"]) == [clips[0], clips[2]]


def test_ordinary_speech_is_chosen_by_corpus_and_measures_all() -> None:
    clips = [
        Clip(Path("x"), "mine", "anna", "", "sad", "train"),
        Clip(Path("v"), "talks", "bert", "", "", "train"),
        Clip(Path("w"), "talks", "cleo", "", "", "dev"),
    ]
    assert choose(clips, ["mine", "talks"]) == clips
    assert choose(clips, ["mine"]) == [clips[0], clips[2]]


def test_training_takes_chosen_corpora_and_measuring_all() -> None:
    clips = [
        Clip(Path("x"), corpus, "anna", "", "sad", split)
        for corpus in ("free", "bound")
        for split in ("train", "dev")
    ]
    assert choose(clips, ["free"]) == [clips[0], clips[1], clips[3]]
    assert choose(clips, []) == clips
    with pytest.raises(SerEdgeError, match=r"a corpus 'fee' \(there are: bound, free\)"):
        choose(clips, ["free", "fee"])


def test_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SER_CORPORA", str(tmp_path))
    assert default_folder() == tmp_path
    monkeypatch.delenv("SER_CORPORA")
    assert default_folder().parts[-2:] == ("shared", "corpora")


def test_corpora_at_hand_are_sound() -> None:
    if not (default_folder() / "index.csv").is_file():
        pytest.skip(f"no corpora in {default_folder()}: set SER_CORPORA")
    clips = read_index()
    assert {clip.split for clip in clips} == {"train", "dev"}
    assert {clip.label for clip in clips} == set(LABELS)


def test_probabilities_level_labels_and_damp_corpora() -> None:
    def clips(corpus: str, label: str, count: int) -> list[Clip]:
        return [Clip(Path("a"), corpus, "anna", "", label, "train")] * count

    chosen = clips("big", "sad", 90) + clips("big", "happy", 10) + clips("small", "sad", 25)
    probabilities = sampling_probabilities(chosen, 0.5)
    big, small = probabilities[:100].sum(), probabilities[100:].sum()
    assert big + small == pytest.approx(1)
    assert big / small == pytest.approx(2)
    assert probabilities[:90].sum() == pytest.approx(probabilities[90:100].sum())
    assert len(set(probabilities[:90])) == 1


def test_labels_that_the_model_does_not_know_are_an_error() -> None:
    clips = [Clip(Path("a"), label=label) for label in LABELS]
    assert label_indices(clips).tolist() == [0, 1, 2, 3, 4, 5]
    assert label_indices(clips[1:3], ["sad", "happy"]).tolist() == [1, 0]
    with pytest.raises(SerEdgeError, match="the label 'angry', which is none of the model's"):
        label_indices(clips, LABELS[:3])


def test_finds_the_recordings_of_an_index(tmp_path: Path) -> None:
    index = tmp_path / "index.csv"
    index.write_text("path,corpus,speaker,label,split\na.wav,c,s,yes,dev\nb.wav,c,t,no,train\n")
    dev = Clip(tmp_path / "a.wav", "c", "s", "", "yes", "dev")
    train = Clip(tmp_path / "b.wav", "c", "t", "", "no", "train")
    assert find(index, labels=("yes", "no")) == [dev, train]
    assert find(tmp_path, labels=("yes", "no"), split="dev") == [dev]


def test_an_index_to_verify_with_needs_paths_alone(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text("path\na.wav\n/b.wav\n")
    found = find(tmp_path, labels=("yes", "no"), split="dev")
    assert found == [Clip(tmp_path / "a.wav"), Clip(Path("/b.wav"))]


def test_finds_audio_in_a_folder(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(8), 8000)
    (tmp_path / "notes.txt").write_text("")
    assert find(tmp_path, labels=("yes", "no")) == [Clip(tmp_path / "a.wav")]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("path,label\na.wav,maybe\n", "has the label 'maybe', which is none of the model's: yes"),
        ("file\na.wav\n", "lacks the column 'path'"),
        ("", "lacks the column 'path'"),
    ],
)
def test_a_wrong_index_to_verify_with_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "index.csv").write_text(text)
    with pytest.raises(SerEdgeError, match=sentence):
        find(tmp_path, labels=("yes", "no"))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="holds no audio files"):
        find(tmp_path, labels=("yes", "no"))


@pytest.mark.parametrize(("count", "expected"), [(1, [0]), (3, [0, 3, 6]), (10, list(range(10)))])
def test_spread(count: int, expected: list[int]) -> None:
    found = [Clip(Path(str(number))) for number in range(10)]
    assert [int(clip.path.name) for clip in spread(found, count)] == expected
    assert len(spread(found, 100)) == 10

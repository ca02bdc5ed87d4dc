from __future__ import annotations

import csv
from pathlib import PurePath

import pytest

from ser_edge.convert.corpus.clips import default_folder
from ser_edge.convert.corpus.naming import SCHEMES

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

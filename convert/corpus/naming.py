"""How corpora name their files: speaker and emotion from a path, by one table.

The schemes are those that the corpora document with their releases.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath


@dataclass(frozen=True)
class Name:
    """What the name of a recording says."""

    speaker: str
    gender: str  # F or M; empty where the name does not say
    label: str  # the emotion in one vocabulary for all corpora
    raw_label: str  # the emotion as the corpus writes it


@dataclass(frozen=True)
class Scheme:
    """The naming scheme of one corpus."""

    # Matched against the end of the path, without its extension and with / between folders; has
    # the groups speaker and emotion, and others that raw_label names.
    pattern: str
    example: str  # what a name looks like, for people
    # Code in the name, in lower case, to the corpus's word; other codes are words themselves.
    words: Mapping[str, str] = field(default_factory=dict)
    raw_label: str = "{word}"  # made of the pattern's groups and `word`
    gender: Callable[[str], str] = lambda speaker: ""  # from the speaker's name

    def parse(self, path: PurePath) -> Name | None:
        """What the path of a recording says; None if it does not fit the scheme.

        Example:
            >>> SCHEMES["emo_db"].parse(PurePath("wav/03a01Fa.wav"))
            Name(speaker='03', gender='M', label='happy', raw_label='F')
        """
        match = re.search(f"(?:^|/)(?:{self.pattern})$", path.with_suffix("").as_posix())
        if match is None:
            return None
        groups = match.groupdict()
        speaker, code = groups["speaker"], groups["emotion"].lower()
        word = self.words.get(code, code)
        return Name(
            speaker=speaker,
            gender=self.gender(speaker),
            label=_SYNONYMS.get(word, word),
            raw_label=self.raw_label.format(word=word, **groups),
        )


def _odd_are(gender: str) -> Callable[[str], str]:
    other = {"F": "M", "M": "F"}[gender]
    return lambda speaker: gender if int(speaker) % 2 else other


def _women(*speakers: str) -> Callable[[str], str]:
    return lambda speaker: "F" if speaker in speakers else "M"


# Words of the corpora that mean one of ours. Calm counts as neutral, as it does in the bundled
# model's training; all words that are not here are emotions of their own.
_SYNONYMS = {
    "anger": "angry",
    "calm": "neutral",
    "disgusted": "disgust",
    "fearful": "fear",
    "happiness": "happy",
    "pleasant surprise": "surprise",
    "sadness": "sad",
    "surprised": "surprise",
}

# By corpus, named as in the column `corpus` of an index.
SCHEMES: dict[str, Scheme] = {
    "crema_d": Scheme(
        # The level of one file is X instead of XX.
        pattern=r"(?P<speaker>\d{4})_[A-Z]{3}_(?P<emotion>ANG|DIS|FEA|HAP|NEU|SAD)"
        r"_(?P<level>HI|LO|MD|XX?)",
        example="1001_DFA_ANG_XX.wav",
        words={"ang": "anger", "dis": "disgust", "fea": "fear", "hap": "happy", "neu": "neutral"},
        raw_label="{emotion}/{level}",
    ),
    "ravdess": Scheme(
        # Modality 03 (audio alone) and vocal channel 01 (speech): videos and songs do not fit.
        pattern=r"03-01-(?P<emotion>0[1-8])-0[12]-0[12]-0[12]-(?P<speaker>\d\d)",
        example="03-01-05-01-02-01-12.wav (speech, audio alone)",
        words={
            "01": "neutral", "02": "calm", "03": "happy", "04": "sad", "05": "angry",
            "06": "fearful", "07": "disgust", "08": "surprised",
        },
        gender=_odd_are("M"),
    ),
    "tess": Scheme(
        # The older or younger actress; one file is called OA_bite_neutral, without the F.
        pattern=r"(?P<speaker>OA|YA)F?_[a-z]+_"
        r"(?P<emotion>angry|disgust|fear|happy|neutral|ps|sad)",
        example="OAF_back_angry.wav",
        words={"ps": "pleasant surprise"},
        gender=lambda speaker: "F",
    ),
    "savee": Scheme(
        pattern=r"(?P<speaker>DC|JE|JK|KL)[/_](?P<emotion>sa|su|a|d|f|h|n)\d\d",
        example="DC/a01.wav or DC_a01.wav",
        words={
            "a": "anger", "d": "disgust", "f": "fear", "h": "happiness", "n": "neutral",
            "sa": "sadness", "su": "surprise",
        },
        gender=lambda speaker: "M",
    ),
    "jl_corpus": Scheme(
        pattern=r"(?P<speaker>(?:fe)?male\d)_(?P<emotion>[a-z]+)_\d+[ab]_\d",
        example="female1_angry_10a_1.wav",
        gender=lambda speaker: speaker[0].upper(),
    ),
    "emov_db": Scheme(
        # The words in the file names vary; those of the folders (and archives) do not.
        pattern=r"(?P<speaker>bea|jenie|josh|sam)[/_]"
        r"(?P<emotion>Amused|Ang(?:er|ry)|Disgust(?:ed)?|Neutral|Sleep(?:y|iness))/[^/]+",
        example="bea_Angry/anger_1-28_0001.wav or bea/Angry/...",
        words={"sleepiness": "sleepy"},
        raw_label="{emotion}",
        gender=_women("bea", "jenie"),
    ),
    "esd": Scheme(
        # Some releases have the folders train, test and evaluation below the emotion's.
        pattern=r"(?P<speaker>00[01]\d|0020)/(?P<emotion>Angry|Happy|Neutral|Sad|Surprise)/"
        r"(?:\w+/)?(?P=speaker)_\d{6}",
        example="0011/Angry/0011_000351.wav",
        raw_label="{emotion}",
        gender=_women(
            "0001", "0002", "0003", "0007", "0009", "0015", "0016", "0017", "0018", "0019"
        ),
    ),
    "asvp_esd": Scheme(
        # Vocal channel 01 (speech): laughter, sobs and other sounds without words do not fit.
        pattern=r"03-01-(?P<emotion>0[1-9]|1[0-3])-\d\d-\d+-(?P<speaker>\d+)(?:-\d+)+",
        example="03-01-06-01-02-12-02-01-01-16.wav (speech)",
        words={
            "01": "boredom", "02": "neutral", "03": "happy", "04": "sad", "05": "angry",
            "06": "fearful", "07": "disgust", "08": "surprised", "09": "excited",
            "10": "pleasure", "11": "pain", "12": "disappointment", "13": "breath",
        },
        # Actor 0 stands for many people.
        gender=lambda speaker: _odd_are("F")(speaker) if int(speaker) else "",
    ),
    "emo_db": Scheme(
        pattern=r"(?P<speaker>\d\d)[ab]\d\d(?P<emotion>[AEFLNTW])[a-f]?",
        example="03a01Fa.wav",
        words={
            "a": "fear", "e": "disgust", "f": "happiness", "l": "boredom", "n": "neutral",
            "t": "sadness", "w": "anger",
        },
        raw_label="{emotion}",
        gender=_women("08", "09", "13", "14", "16"),
    ),
    "nemo": Scheme(
        pattern=r"(?P<speaker>[A-Z]{2}\d)_(?P<emotion>anger|fear|happiness|neutral|sadness|surprise"
        r"d?)_\d+",
        example="EB0_anger_1.wav",
    ),
}  # fmt: skip

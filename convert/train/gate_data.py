"""What the default gate is fitted on: clips of speech and of sounds, each in several places.

Speakers of the split ``dev``, half of the people without such a split and half of the sounds are
held out: nothing is fitted on them, and tests/bench/gate.py measures there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_edge import audio, gate

from ..corpus.sounds import RATE, Samples, band_noise, colored_noise, hum, leveled, synthetic, voice
from ..files import open_table

WINDOW = 4 * RATE
N_FRAMES = 166  # of a window; see gate.frame_features

# Sounds in which there are voices, or that nobody can tell from speech by ear in four seconds:
# nothing is learned from them, nor measured.
WITH_VOICES = (
    "places_library",
    "places_office",
    "places_subway_station",
    "urban_crowd",
    "things_tuning_radio",
)
# Examples of each kind of sound, times the clips of a corpus.
SOUND_EXAMPLES = {"ambience": 6.0, "animals": 0.8, "cry": 0.8}
VOCAL_EXAMPLES = 0.6  # of each kind of vocal sound
SYNTHETIC_EXAMPLES = 6.0
WORD_EXAMPLES = 0.15  # of each corpus of speech: its loudest syllables alone
OF_WORDS = ("turev",)  # corpora of single words, of which twice the clips are used
VOICE_EXAMPLES = 0.8  # of synthetic voices, such as the self-test's signal
MAY_PASS = ("crying", "screaming", "laughing", "moaning", "yawning")  # voices that say nothing


@dataclass(frozen=True)
class Source:
    path: Path
    kind: str  # the corpus, or the kind of sound
    group: str  # the person, or the file: what is never split
    speech: bool
    held_out: bool  # for measuring alone


def fraction(group: str) -> float:
    """A number from 0 to 1 that belongs to a group, by its hash."""
    return int(hashlib.sha256(f"gate/{group}".encode()).hexdigest()[:8], 16) / 2**32


def speech_sources(folder: Path, *, originals: bool = False) -> list[Source]:
    """Clips of the labelled corpora, of their originals, or of ordinary speech."""
    sources = []
    for row in _index(folder):
        # Where speakers are unknown, each file is a group.
        group = f"{row['corpus']}/{row['speaker'] or row['path']}"
        split = row.get("split")
        held_out = split == "dev" if split else fraction(group) < 0.5
        kind = row["corpus"] + (" as recorded" if originals else "")
        sources.append(Source(folder / row["path"], kind, group, True, held_out))
    return sources


def sound_sources(folder: Path) -> list[Source]:
    """Sounds that are no speech; kind is `ambience`, `animals`, `with voices`, `cry`, or the name
    of the vocal sound. Every second person or file is held out, of each label alike."""
    rows = [row for row in _index(folder) if row["kind"] != "room"]
    groups = {row["path"]: _sound_group(row) for row in rows}
    labels: dict[str, str] = {}
    for row in rows:
        labels.setdefault(groups[row["path"]], row["label"])
    order = sorted(labels, key=lambda group: (group.split("/")[0], labels[group], fraction(group)))
    held_out = set(order[1::2])
    sources = []
    for row in rows:
        name, group = Path(row["path"]).stem, groups[row["path"]]
        kind = row["label"] if row["kind"] == "vocal" else row["kind"]
        if row["label"] == "animals":
            kind = "animals"
        elif name in WITH_VOICES:
            kind = "with voices"
        sources.append(Source(folder / row["path"], kind, group, False, group in held_out))
    return sources


def _sound_group(row: dict[str, str]) -> str:
    name = Path(row["path"]).stem
    if row["kind"] == "vocal":
        name = name.split("_")[1]  # the person
    elif row["kind"] == "cry":
        name = "-".join(name.split("_")[-10:-5])  # the telephone that recorded it
    return f"{row['kind']}/{name}"


def rooms(folder: Path) -> list[Path]:
    """Impulse responses to fit with: every second one."""
    return [folder / row["path"] for row in _index(folder) if row["kind"] == "room"][::2]


def _index(folder: Path) -> Iterator[dict[str, str]]:
    index = folder / "index.csv"
    with open_table(index, str(index)) as rows:
        yield from rows


@lru_cache(maxsize=800)
def load(path: Path) -> Samples:
    return audio.load(path, RATE)


# --- the same clip elsewhere --------------------------------------------------------------------


class Places:
    """Changes clips at random: other rooms, noises, bands, places in the window."""

    def __init__(self, ambience: Sequence[Source], responses: Sequence[Path]) -> None:
        self._ambience = ambience
        self._responses = [load(path)[: RATE // 2] for path in responses]

    def ambience(self, rng: np.random.Generator, size: int) -> Samples:
        """Some of an ambience, of level 1."""
        samples = load(self._ambience[rng.integers(len(self._ambience))].path)
        samples = _speed(samples[:], rng.uniform(0.7, 1.4)) if rng.random() < 0.3 else samples
        start = rng.integers(max(1, samples.size - size))
        return leveled(np.resize(samples[start : start + size], size))

    def noise(self, rng: np.random.Generator, size: int) -> Samples:
        """What speech may stand in: mostly steady."""
        if rng.random() < 0.5:
            return self.ambience(rng, size)
        if rng.random() < 0.3:
            return band_noise(rng, size)
        return colored_noise(rng, size, rng.uniform(0, 2))

    def changed(self, samples: Samples, rng: np.random.Generator, *, speech: bool) -> Samples:
        """Another recording of the same: speed, room, place, noise, band, offset, hum."""
        from scipy.signal import fftconvolve

        if rng.random() < (0.3 if speech else 0.6):
            samples = _speed(samples, rng.uniform(0.85, 1.2))
        if rng.random() < 0.25 and self._responses:
            response = self._responses[rng.integers(len(self._responses))]
            samples = fftconvolve(samples, response)[: samples.size].astype(np.float32)
        if samples.size > WINDOW:
            start = rng.integers(samples.size - WINDOW + 1)
            samples = samples[start : start + WINDOW]
        level = _loudness(samples)
        if samples.size < WINDOW and rng.random() < 0.5:  # a place in a longer window
            pad = rng.integers(0, WINDOW - samples.size + 1)
            before = rng.integers(0, pad + 1)
            samples = np.pad(samples, (before, pad - before))
            quiet = level * 10 ** (rng.uniform(-55, -25) / 20)
            samples = samples + quiet * colored_noise(rng, samples.size, rng.uniform(0, 2))
        if rng.random() < 0.45:
            snr = rng.uniform(4, 30) if speech else rng.uniform(10, 40)
            samples = samples + level * 10 ** (-snr / 20) * self.noise(rng, samples.size)
        if rng.random() < 0.15:
            samples = samples + level * 10 ** (rng.uniform(-30, -8) / 20) * hum(rng, samples.size)
        if rng.random() < 0.35:
            samples = _band(samples, rng)
        if rng.random() < 0.1:
            samples = samples + level * rng.uniform(-3, 3)
        return samples.astype(np.float32)


def one_word(samples: Samples, rng: np.random.Generator) -> Samples:
    """The loudest syllable or two of a clip, and silence around."""
    size = int(rng.uniform(0.25, 0.8) * RATE)
    if samples.size <= size:
        return samples
    smooth = np.convolve(samples**2, np.ones(1600) / 1600, mode="same")
    middle = int(smooth.argmax())
    start = int(np.clip(middle - size // 2, 0, samples.size - size))
    excerpt = samples[start : start + size].copy()
    fade = np.linspace(0, 1, 480, dtype=np.float32)
    excerpt[:480] *= fade
    excerpt[-480:] *= fade[::-1]
    return np.pad(excerpt, (int(rng.uniform(0.05, 0.5) * RATE), int(rng.uniform(0.05, 0.5) * RATE)))


def _loudness(samples: Samples) -> np.float32:
    """Level of the louder tenth of 25 ms frames."""
    frames = samples[: samples.size // 400 * 400].reshape(-1, 400)
    return np.float32(
        np.sqrt(np.quantile(np.mean((frames - frames.mean()) ** 2, axis=1), 0.9)) + 1e-6
    )


def _speed(samples: Samples, ratio: float) -> Samples:
    size = int(samples.size / ratio)
    return np.interp(np.arange(size) * ratio, np.arange(samples.size), samples).astype(np.float32)


def _band(samples: Samples, rng: np.random.Generator) -> Samples:
    """Another microphone: a tilt, a ripple, maybe a telephone's band."""
    hertz = np.fft.rfftfreq(samples.size, 1 / RATE)
    octaves = np.log2(np.maximum(hertz, 50.0) / 1000)
    decibels = rng.uniform(-4, 4) * octaves
    decibels = decibels + rng.uniform(0, 6) * np.sin(
        octaves * rng.uniform(0.5, 4) + rng.uniform(0, 6)
    )
    if rng.random() < 0.3:
        low, high = rng.uniform(100, 350), rng.uniform(2600, 4000)
        decibels = decibels - 40 * np.clip(np.log2(low / np.maximum(hertz, 20)), 0, 1.5)
        decibels = decibels - 60 * np.clip(np.log2(np.maximum(hertz, 20) / high), 0, 1)
    shape = 10 ** (decibels / 20)
    return np.fft.irfft(np.fft.rfft(samples) * shape, samples.size).astype(np.float32)


# --- examples -----------------------------------------------------------------------------------


class Examples:
    """Features of clips, padded to one length, and what each is."""

    def __init__(self) -> None:
        self.features: list[NDArray[np.float16]] = []
        self.speech: list[bool] = []
        self.kinds: list[str] = []
        self.groups: list[str] = []
        self.as_recorded: list[bool] = []

    def add(self, samples: Samples, source: Source, *, as_recorded: bool) -> None:
        frames = gate.frame_features(samples[:WINDOW], RATE)
        if frames is None:
            return
        self.features.append(frames.astype(np.float16))
        self.speech.append(source.speech)
        self.kinds.append(source.kind)
        self.groups.append(source.group)
        self.as_recorded.append(as_recorded)

    def matrix(self) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
        """Features padded with their first and last frames, and how many logits are theirs.

        Returns:
            Shapes (n, frames, inputs) and (n,).
        """
        size = N_FRAMES + 2 * gate.CONTEXT
        matrix = np.empty((len(self.features), size, gate.N_INPUTS), np.float16)
        counts = np.empty(len(self.features), np.int64)
        for row, frames in enumerate(self.features):
            after = size - gate.CONTEXT - len(frames)
            matrix[row] = np.pad(frames, ((gate.CONTEXT, after), (0, 0)), mode="edge")
            count = len(frames) + 2 * gate.CONTEXT
            for stride in gate.STRIDES:
                count = (count - gate.KERNEL) // stride + 1
            counts[row] = count
        return matrix, counts


def collect(
    sources: Sequence[Source],
    responses: Sequence[Path],
    *,
    clips: int,
    seed: int,
    say: Callable[[str], object],
) -> Examples:
    """Examples of all sources that are not held out, and of synthetic sounds.

    Args:
        sources: speech and sounds.
        responses: impulse responses of rooms.
        clips: of each corpus of speech at most; each is heard as recorded and changed. The numbers
            of other sounds follow from it.
        seed: of all chance.
        say: told of each kind of source that is done.
    """
    used = [s for s in sources if not s.held_out and s.kind not in ("with voices", *MAY_PASS)]
    places = Places([s for s in used if s.kind == "ambience"], responses)
    examples = Examples()
    kinds: dict[str, list[Source]] = {}
    for source in used:
        kinds.setdefault(source.kind, []).append(source)
    for number, (kind, members) in enumerate(kinds.items()):
        rng = np.random.default_rng((seed, number))
        members = kinds[kind] = [members[i] for i in rng.permutation(len(members))]
        if members[0].speech:
            _add_speech(examples, members[:clips], places, rng)
        else:
            total = int(clips * SOUND_EXAMPLES.get(kind, VOCAL_EXAMPLES))
            _add_sounds(examples, members, total, places, rng)
        say(f"{kind}: {len(members)} clips")
    _add_synthetic(
        examples, int(clips * SYNTHETIC_EXAMPLES), places, np.random.default_rng((seed, len(kinds)))
    )
    _add_voices(
        examples, int(clips * VOICE_EXAMPLES), places, np.random.default_rng((seed, len(kinds) + 1))
    )
    for number, (kind, members) in enumerate(kinds.items()):
        rng = np.random.default_rng((seed, 100 + number))
        if kind in OF_WORDS:
            _add_speech(examples, members[clips : 2 * clips], places, rng)
        elif members[0].speech:
            _add_words(examples, members[: int(clips * WORD_EXAMPLES)], places, rng)
    return examples


def _add_speech(
    examples: Examples, members: Sequence[Source], places: Places, rng: np.random.Generator
) -> None:
    for source in members:
        samples = load(source.path)
        start = rng.integers(max(1, samples.size - WINDOW + 1))
        examples.add(samples[start : start + WINDOW], source, as_recorded=True)
        clip = one_word(samples, rng) if rng.random() < 0.1 else samples
        examples.add(places.changed(clip, rng, speech=True), source, as_recorded=False)


def _add_words(
    examples: Examples, members: Sequence[Source], places: Places, rng: np.random.Generator
) -> None:
    for source in members:
        samples = one_word(load(source.path), rng)
        if rng.random() < 0.5:
            samples = places.changed(samples, rng, speech=True)
        examples.add(samples, source, as_recorded=False)


def _add_sounds(
    examples: Examples,
    members: Sequence[Source],
    total: int,
    places: Places,
    rng: np.random.Generator,
) -> None:
    for number in range(total):
        source = members[number % len(members)]
        samples = load(source.path)
        if samples.size > WINDOW:
            size = WINDOW if rng.random() < 0.7 else int(rng.uniform(0.5, 4) * RATE)
            start = rng.integers(samples.size - size + 1)
            samples = samples[start : start + size]
        as_recorded = number < len(members) or rng.random() < 0.2
        if not as_recorded:
            samples = places.changed(samples, rng, speech=False)
        examples.add(samples, source, as_recorded=as_recorded)


def _add_synthetic(
    examples: Examples, total: int, places: Places, rng: np.random.Generator
) -> None:
    for number in range(total):
        size = WINDOW if rng.random() < 0.7 else int(rng.uniform(0.3, 4) * RATE)
        samples = synthetic(rng, size)
        if rng.random() < 0.25:
            samples = samples + np.float32(rng.uniform(0.1, 1)) * synthetic(rng, size)
        if rng.random() < 0.2:
            samples = places.changed(samples, rng, speech=False)
        source = Source(Path(), "synthetic", f"synthetic/{number}", False, False)
        examples.add(samples, source, as_recorded=False)


def _add_voices(examples: Examples, total: int, places: Places, rng: np.random.Generator) -> None:
    for number in range(total):
        samples = voice(rng, WINDOW if rng.random() < 0.5 else int(rng.uniform(0.6, 4) * RATE))
        if rng.random() < 0.5:
            samples = places.changed(samples, rng, speech=True)
        source = Source(Path(), "synthetic voice", f"voice/{number}", True, False)
        examples.add(samples, source, as_recorded=False)

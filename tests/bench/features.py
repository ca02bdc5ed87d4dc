"""Time of ZCR, RMS and MFCC against librosa, kaldi-native-fbank and python_speech_features.

Run it as ``python -m tests.bench.features``, from the project's root. All run in one process and
one thread, in turn. Times are of the CPU, so that other processes do not count; figures are
medians over rounds, ratios those of two times in the same round.

ser-edge and librosa go the whole way from a recording to the matrix of a 4 s window: trim, pad,
ZCR, RMS, MFCC. The other two compute the MFCC alone, with the same hop, transform and number of
bands, of the recording as it is, without padding. What kaldi-native-fbank's binding takes to read
the samples is left out: the time of a single frame is subtracted.
"""

from __future__ import annotations

# ruff: noqa: E402
import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy is imported

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import kaldi_native_fbank
import librosa
import numpy as np
import python_speech_features

from ser_edge.convert import frontends
from ser_edge.features import FloatArray
from ser_edge.frontend import Frontend, FrontendSpec
from ser_edge.selftest import reference_signal
from tests.bench.report import report

RATE = 16_000
WINDOW = 4 * RATE
HOP = 160
N_MFCC = 20
SECONDS = (4.0, 2.0)
CONFIGURATIONS = ((2048, 128), (512, 40))  # n_fft, mel bands
LIBRARIES = ("ser-edge", "librosa", "kaldi", "psf")
# The highest ratio of ser-edge to librosa for a 4 s window, by n_fft; to kaldi 1.
TARGETS = {2048: 0.85, 512: 0.60}


def recording(seconds: float) -> FloatArray:
    """A voice-like tone in noise that no trimming takes away."""
    signal = reference_signal(RATE, seconds)
    noise = np.random.default_rng(1).uniform(-0.1, 0.1, signal.size)
    return (signal + noise).astype(np.float32)


def contenders(n_fft: int, n_mels: int, y: FloatArray) -> dict[str, Callable[[], Any]]:
    """What is timed, by name."""
    recipe = frontends.preset("seed")
    recipe["steps"][-1]["stack"][2].update(n_mfcc=N_MFCC, n_fft=n_fft, n_mels=n_mels)
    frontend = Frontend(FrontendSpec.parse(recipe))
    samples = y.tolist()  # which kaldi's binding reads faster than an array
    return {
        "ser-edge": lambda: frontend(y),
        "librosa": lambda: librosa_matrix(y, n_fft, n_mels),
        "kaldi": lambda: kaldi_mfcc(samples, n_fft, n_mels, HOP),
        "kaldi, one frame": lambda: kaldi_mfcc(samples, n_fft, n_mels, y.size),
        "psf": lambda: python_speech_features.mfcc(
            y, RATE, n_fft / RATE, HOP / RATE, N_MFCC, n_mels, n_fft
        ),
    }


def librosa_matrix(y: FloatArray, n_fft: int, n_mels: int) -> Any:
    y, _ = librosa.effects.trim(y, top_db=25, frame_length=256, hop_length=64)
    y = np.pad(y[:WINDOW], (0, max(0, WINDOW - y.size)))
    frames = {"hop_length": HOP, "frame_length": 400}
    return np.vstack(
        [
            librosa.feature.zero_crossing_rate(y, **frames),
            librosa.feature.rms(y=y, **frames),
            librosa.feature.mfcc(
                y=y, sr=RATE, n_mfcc=N_MFCC, n_fft=n_fft, hop_length=HOP, n_mels=n_mels
            ),
        ]
    )


def kaldi_mfcc(samples: list[float], n_fft: int, n_mels: int, hop_length: int) -> Any:
    options = kaldi_native_fbank.MfccOptions()
    options.frame_opts.samp_freq = RATE
    options.frame_opts.dither = 0
    options.frame_opts.frame_length_ms = 1000 * n_fft / RATE
    options.frame_opts.frame_shift_ms = 1000 * hop_length / RATE
    options.frame_opts.snip_edges = False
    options.mel_opts.num_bins = n_mels
    options.num_ceps = N_MFCC
    mfcc = kaldi_native_fbank.OnlineMfcc(options)
    mfcc.accept_waveform(RATE, samples)
    mfcc.input_finished()
    return mfcc


def milliseconds(function: Callable[[], Any]) -> float:
    function()  # so that none pays for what the one before left in the caches
    start = time.process_time()
    function()
    return 1000 * (time.process_time() - start)


def measure(rounds: int) -> list[dict[str, Any]]:
    """A row of medians for each configuration: times in ms, and ratios of ser-edge's."""
    rows = []
    for n_fft, n_mels in CONFIGURATIONS:
        timed = {s: contenders(n_fft, n_mels, recording(s)) for s in SECONDS}
        times: list[dict[float, dict[str, float]]] = []
        for _ in range(rounds):
            taken = {s: {k: milliseconds(f) for k, f in timed[s].items()} for s in SECONDS}
            for of in taken.values():
                of["kaldi"] -= of.pop("kaldi, one frame")
            times.append(taken)
        for s in SECONDS:
            row: dict[str, Any] = {"n_fft": n_fft, "n_mels": n_mels, "seconds": s}
            for name in LIBRARIES:
                row[f"{name}_ms"] = statistics.median(t[s][name] for t in times)
            for name in LIBRARIES[1:]:
                row[f"ratio_to_{name}"] = statistics.median(
                    t[s]["ser-edge"] / t[s][name] for t in times
                )
            row["ratio_to_4s"] = statistics.median(
                t[s]["ser-edge"] / t[4.0]["ser-edge"] for t in times
            )
            rows.append(row)
    return rows


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "n_fft  mels  clip  " + "".join(f"{name:>10}" for name in LIBRARIES) + "   ser-edge to"
    for row in rows:
        yield (
            f"{row['n_fft']:5}  {row['n_mels']:4}  {row['seconds']:.0f} s   "
            + "".join(f"{row[f'{name}_ms']:7.2f} ms" for name in LIBRARIES)
            + "   "
            + ", ".join(f"{name} {row[f'ratio_to_{name}']:.2f}" for name in LIBRARIES[1:])
            + f", its 4 s {row['ratio_to_4s']:.2f}"
        )
    limits = ", ".join(f"{limit:.2f} at n_fft {n_fft}" for n_fft, limit in TARGETS.items())
    yield f"targets, 4 s: at most {limits} of librosa; 1.00 of kaldi-native-fbank"


if __name__ == "__main__":
    report(__doc__, "rounds", measure, table)

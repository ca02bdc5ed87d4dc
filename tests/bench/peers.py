"""ser-edge against what one would use instead: librosa with TensorFlow, or with a TFLite runtime.

It needs an environment of its own, with the package installed as its users have it: an editable
installation adds a finder to every start of Python::

    python -m venv /tmp/peers
    /tmp/peers/bin/pip install ".[convert,train]"
    /tmp/peers/bin/python tests/bench/peers.py

It prints a Markdown table.

- *librosa + TensorFlow*: the project that this one started from: its CLSTM as a Keras file, its
  features by librosa. The weights are random, which costs the same.
- *librosa + runtime*: ser-edge's own model in the same TFLite runtime, its features by librosa.
- *ser-edge*.

Contenders take turns, and a ratio is the median of those within one round, so that what else the
machine does slows all of them. Wall time is what a user waits; CPU time, of all cores, is what
the device spends.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

# Little is imported up here, for a child's peak memory counts its parent's.

KERAS, RUNTIME, SER_EDGE = "librosa + TensorFlow", "librosa + runtime", "ser-edge"
CONTENDERS = (KERAS, RUNTIME, SER_EDGE)
PACKAGES = {
    KERAS: ("librosa", "tensorflow"),
    RUNTIME: ("librosa",),  # and the TFLite runtime that is installed
    SER_EDGE: ("ser-edge",),
}
RATE = 16_000  # Hz
COLD_SECONDS = 3.0
WARM_SECONDS = 4.0
# How many times ser-edge must be better: (figure, contender) -> ratio.
TARGETS = {
    ("cold start, wall", KERAS): 40,
    ("peak memory", KERAS): 11,
    ("4 s window, wall", KERAS): 7,
    ("4 s window, CPU", RUNTIME): 1 / 0.85,
}


class Row(NamedTuple):
    """One figure of all contenders."""

    name: str
    unit: str
    values: dict[str, float]
    ratios: dict[str, float]  # how many times ser-edge's


def row(name: str, unit: str, rounds: list[dict[str, float]]) -> Row:
    """Medians over rounds, and medians of the ratios within each."""
    return Row(
        name,
        unit,
        {c: statistics.median(r[c] for r in rounds) for c in CONTENDERS},
        {c: statistics.median(r[c] / r[SER_EDGE] for r in rounds) for c in CONTENDERS[:2]},
    )


def cold(folder: Path, keras: Path, rounds: int) -> list[Row]:
    """A fresh process that classifies one recording."""
    wav = folder / "cold.wav"
    write_wav(wav, COLD_SECONDS)
    # Installed packages are compiled once, by pip or at their first use.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    commands = {
        KERAS: [sys.executable, __file__, "--once", KERAS, keras, wav],
        RUNTIME: [sys.executable, __file__, "--once", RUNTIME, bundled(), wav],
        SER_EDGE: [Path(sys.executable).with_name("ser-edge"), "classify", wav],
    }
    wall, cpu, peak = [], [], []
    for number in range(rounds + 1):
        costs = {name: cost(command) for name, command in commands.items()}
        if number:  # the first round warms the disk's cache and numba's
            wall.append({name: c[0] for name, c in costs.items()})
            cpu.append({name: c[1] for name, c in costs.items()})
            peak.append({name: c[2] for name, c in costs.items()})
    return [
        row("cold start, wall", "s", wall),
        row("cold start, CPU", "s", cpu),
        row("peak memory", "MB", peak),
    ]


def cost(command: list[Any]) -> tuple[float, float, float]:
    """Wall and CPU seconds and peak MB of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    if status:
        raise SystemExit(f"{command} failed")
    wall = time.perf_counter() - start
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3


def warm(folder: Path, keras: Path, rounds: int) -> list[Row]:
    """Decoding, features and inference of one window, everything being loaded."""
    from ser_edge import Classifier, audio

    wav = folder / "warm.wav"
    write_wav(wav, WARM_SECONDS)
    classifier = Classifier.bundled()
    model = classifier.model

    def ser_edge() -> Any:
        return model.predict(model.frontend(audio.load(wav, RATE)))

    functions: dict[str, Callable[[], Any]] = {
        KERAS: keras_contender(keras, wav),
        RUNTIME: runtime_contender(model.path, wav),
        SER_EDGE: ser_edge,
    }
    if max(abs(ser_edge() - functions[RUNTIME]())) > 1e-3:
        raise SystemExit("librosa's features lead to another answer: nothing to compare")
    wall, cpu = [], []
    for _ in range(rounds):
        times = {name: timed(function) for name, function in functions.items()}
        wall.append({name: t[0] for name, t in times.items()})
        cpu.append({name: t[1] for name, t in times.items()})
    return [row("4 s window, wall", "ms", wall), row("4 s window, CPU", "ms", cpu)]


def timed(function: Callable[[], Any]) -> tuple[float, float]:
    time.sleep(0.3)  # for so long threads that the one before woke may wait in a loop
    function()  # so that none pays for what the one before left in the caches
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)


def keras_contender(keras: Path, wav: Path) -> Callable[[], Any]:
    import librosa
    import numpy as np
    import tensorflow as tf

    model = tf.keras.models.load_model(keras, compile=False)
    frames = {"frame_length": 400, "hop_length": 160}

    def classify() -> Any:
        y, _ = librosa.load(wav, sr=RATE)
        y, _ = librosa.effects.trim(y, top_db=25, frame_length=256, hop_length=64)
        y = librosa.util.fix_length(y, size=4 * RATE)
        matrix = np.vstack(
            [
                librosa.feature.zero_crossing_rate(y, **frames),
                librosa.feature.rms(y=y, **frames),
                librosa.feature.mfcc(y=y, sr=RATE, n_mfcc=20, hop_length=160),
            ]
        )
        return model.predict(matrix[np.newaxis], verbose=0)[0]

    return classify


def runtime_contender(model: str, wav: Path) -> Callable[[], Any]:
    import zipfile

    from ser_edge.convert.export.librosa_frontend import features_of
    from ser_edge.metadata import Metadata
    from ser_edge.model_file import METADATA_FILE
    from ser_edge.runtime import find_runtime

    with zipfile.ZipFile(model) as archive:
        metadata = Metadata.parse(archive.read(METADATA_FILE))
    temperature = metadata.decision.temperature
    interpreter = find_runtime()[0](model_path=str(model), num_threads=1)
    interpreter.allocate_tensors()
    inputs, outputs = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def classify() -> Any:
        matrix = features_of(wav, metadata.frontend)
        interpreter.reset_all_variables()
        interpreter.set_tensor(inputs["index"], matrix.reshape(inputs["shape"]))
        interpreter.invoke()
        calibrated = interpreter.get_tensor(outputs["index"])[0] ** (1 / temperature)
        return calibrated / calibrated.sum()

    return classify


def installed() -> Row:
    """MB of all files that the contenders' packages and what they require take."""
    from ser_edge.runtime import find_runtime

    packages = {**PACKAGES, RUNTIME: (*PACKAGES[RUNTIME], find_runtime()[1])}
    values = {name: megabytes(names) for name, names in packages.items()}
    ratios = {c: values[c] / values[SER_EDGE] for c in CONTENDERS[:2]}
    return Row("installed size", "MB", values, ratios)


def megabytes(packages: Iterable[str]) -> float:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    queue, files = list(packages), {}
    while queue:
        name = canonicalize_name(queue.pop())
        if name in files:
            continue
        distribution = importlib.metadata.distribution(name)
        files[name] = [Path(str(distribution.locate_file(f))) for f in distribution.files or []]
        requirements = map(Requirement, distribution.requires or [])
        queue += [r.name for r in requirements if not r.marker or r.marker.evaluate({"extra": ""})]
    paths = {path for paths in files.values() for path in paths if path.is_file()}
    return sum(path.stat().st_size for path in paths) / 1e6


def is_editable() -> bool:
    origin = importlib.metadata.distribution("ser-edge").read_text("direct_url.json") or "{}"
    return bool(json.loads(origin).get("dir_info", {}).get("editable"))


def bundled() -> str:
    from ser_edge.classifier import bundled_path

    return bundled_path()


def write_keras(path: Path) -> None:
    """The original network; any weights will do."""
    from ser_edge.convert.train import architectures

    architectures.build("clstm", (22, 401), 6).save(path, save_format="h5")


def write_wav(path: Path, seconds: float) -> None:
    from ser_edge.selftest import reference_signal

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((reference_signal(RATE, seconds) * 32_767).astype("<i2").tobytes())


def table(rows: list[Row]) -> str:
    lines = [f"| | {' | '.join(CONTENDERS)} |", "|---|---|---|---|"]
    for figure in rows:
        cells = [f"{_digits(figure.values[c])} {figure.unit}" for c in CONTENDERS]
        for place, name in enumerate(CONTENDERS[:2]):
            cells[place] += f" ({_digits(figure.ratios[name])} x)"
        lines.append(f"| {' | '.join([figure.name, *cells])} |")
    return "\n".join(lines)


def missed(rows: list[Row]) -> list[str]:
    """The targets that these figures miss, in words."""
    return [
        f"{figure.name}: {_digits(ratio)} x of {name}, target {_digits(TARGETS[figure.name, name])}"
        for figure in rows
        for name, ratio in figure.ratios.items()
        if ratio < TARGETS.get((figure.name, name), 0)
    ]


def _digits(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cold-rounds", type=int, default=5)
    parser.add_argument("--warm-rounds", type=int, default=25)
    parser.add_argument("--once", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--warm", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--write-keras", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if is_editable():
        parser.error("ser-edge is installed as a link to a checkout; install it as users do")
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")
    if options.once:
        contender, model, wav = options.once
        function = keras_contender if contender == KERAS else runtime_contender
        print(function(model, Path(wav))())
    elif options.write_keras:
        write_keras(options.write_keras)
    elif options.warm:
        folder, keras = map(Path, options.warm)
        print(json.dumps([figure._asdict() for figure in warm(folder, keras, options.warm_rounds)]))
    else:
        compare(options.cold_rounds, options.warm_rounds)


def compare(cold_rounds: int, warm_rounds: int) -> None:
    this = [sys.executable, __file__]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keras = folder / "clstm.h5"
        subprocess.run([*this, "--write-keras", keras], check=True, stderr=subprocess.DEVNULL)
        rows = cold(folder, keras, cold_rounds)
        warm_command = [*this, "--warm-rounds", str(warm_rounds), "--warm", folder, keras]
        output = subprocess.run(warm_command, check=True, stdout=subprocess.PIPE).stdout
        rows += [Row(**figure) for figure in json.loads(output)]
        rows.append(installed())
    print(table(rows))
    print("\n".join(f"MISSED: {words}" for words in missed(rows)) or "all targets met")


if __name__ == "__main__":
    main()

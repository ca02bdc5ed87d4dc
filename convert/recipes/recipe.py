"""A front end as few choices, the way that notebooks differ from each other."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

WHOLE_SECONDS = 10.0  # what a recipe without a duration takes for the whole of a recording

# Steps on samples, by the names that recipes have for them.
SAMPLES: dict[str, dict[str, Any]] = {
    "peak": {"name": "normalize", "by": "clip", "method": "peak"},
    "preemphasis": {"name": "preemphasis", "coef": 0.97, "zi": 0.0},
    "quantize": {"name": "quantize", "bits": 16},
}
# Normalization of the matrix.
NORMALIZATIONS: dict[str, dict[str, Any]] = {
    f"{by} {method}": {"name": "normalize", "by": by, "method": method}
    for by, method in (
        ("frame", "peak"),
        ("frame", "zscore"),
        ("coefficient", "zscore"),
        ("clip", "zscore"),
        ("clip", "minmax"),
    )
}


@dataclass(frozen=True)
class Feature:
    """One function of ``ser_edge.features`` among those that are stacked."""

    name: str
    count: int | None = None  # n_mfcc, n_mels or n_chroma; None: it gives one row
    arguments: tuple[tuple[str, Any], ...] = ()  # others, by name
    statistics: tuple[str, ...] = ()  # over time, where it is pooled

    def entry(self, frames: dict[str, int]) -> dict[str, Any]:
        """As a front end states it."""
        entry: dict[str, Any] = {"name": self.name}
        if self.name == "delta":
            entry["of"] = "mfcc"
        elif self.count is not None:
            entry[_COUNTS[self.name]] = self.count
        entry.update(self.arguments)
        if self.name != "delta":
            entry.update(_framed(self.name, frames))
        if self.statistics:
            entry["statistics"] = list(self.statistics)
        return entry


_COUNTS = {
    "mfcc": "n_mfcc",
    "psf_mfcc": "n_mfcc",
    "speechpy_mfcc": "n_mfcc",
    "tf_mfcc": "n_mfcc",
    "melspectrogram": "n_mels",
    "tf_log_mel": "n_mels",
    "chroma_stft": "n_chroma",
    "spectral_contrast": "n_bands",
}


def _framed(name: str, frames: dict[str, int]) -> dict[str, int]:
    """The lengths of frames, by the names that the function has for them."""
    if name in ("zero_crossing_rate", "rms"):
        return {"frame_length": frames["n_fft"], "hop_length": frames["hop_length"]}
    if name in ("psf_mfcc", "speechpy_mfcc", "tf_mfcc", "tf_log_mel"):
        return dict(frames)
    return {"n_fft": frames["n_fft"], "hop_length": frames["hop_length"]}


@dataclass(frozen=True)
class Recipe:
    """From a recording to a model's input.

    What is not stated here is as the front end's own defaults have it.
    """

    features: tuple[Feature, ...]
    sample_rate: int = 22_050  # Hz
    res_type: str = "soxr_hq"
    offset: float = 0.0  # seconds
    duration: float | None = None  # seconds; None: the whole recording
    trim: float | None = None  # dB below the loudest
    samples: tuple[str, ...] = ()  # of SAMPLES
    size: int | None = None  # samples that are cropped or padded to
    keep: str = "start"  # which of more samples
    at: str = "end"  # where zeros make up for fewer
    n_fft: int = 2048
    hop_length: int = 512
    frame_length: int | None = None  # of psf_mfcc, speechpy_mfcc and tf.signal
    pool: str | None = None  # mean over "time" or "coefficients"
    frames: int | None = None  # that are cropped or padded to
    frames_at: str = "end"
    normalization: str | None = None  # of NORMALIZATIONS
    turned: bool = False  # frames first

    def spec(self) -> dict[str, Any]:
        """As JSON, in the form of a model's metadata."""
        load: dict[str, Any] = {"name": "load", "sample_rate": self.sample_rate}
        if self.duration is None:
            load["duration"] = WHOLE_SECONDS
        else:
            load.update(duration=self.duration, windows="first", offset=self.offset)
        load["res_type"] = self.res_type
        steps = [load]
        if self.trim is not None:
            steps.append({"name": "trim", "top_db": self.trim})
        steps += [dict(SAMPLES[name]) for name in self.samples]
        if self.size is not None:
            steps.append({"name": "crop", "samples": self.size, "keep": self.keep})
            steps.append({"name": "pad", "samples": self.size, "at": self.at})
        lengths = {"n_fft": self.n_fft, "hop_length": self.hop_length}
        if self.frame_length is not None:
            lengths["frame_length"] = self.frame_length
        stack = [feature.entry(lengths) for feature in self.features]
        steps.append({"name": "features", "stack": stack})
        if self.pool == "coefficients":
            steps.append({"name": "pool", "axis": "coefficients", "statistics": ["mean"]})
        if self.normalization is not None:
            steps.append(dict(NORMALIZATIONS[self.normalization]))
        if self.frames is not None:
            steps.append({"name": "crop_frames", "frames": self.frames})
            steps.append({"name": "pad_frames", "frames": self.frames, "at": self.frames_at})
        if self.pool == "time":
            steps.append({"name": "pool", "axis": "time", "statistics": ["mean"]})
        if self.turned:
            steps.append({"name": "layout", "order": "frames_features"})
        return {"steps": steps}

    def describe(self) -> str:
        """In a few words."""
        words = [f"{self.sample_rate / 1000:g} kHz"]
        if self.res_type != "soxr_hq":
            words[0] += f" {self.res_type}"
        if self.duration is not None:
            words.append(f"{self.duration:g} s from {self.offset:g} s")
        if self.trim is not None:
            words.append(f"trim {self.trim:g} dB")
        words += self.samples
        if self.size is not None:
            words.append(f"{self.size / self.sample_rate:g} s, {self.keep}, zeros at {self.at}")
        words.append(" + ".join(_words(feature) for feature in self.features))
        if (self.n_fft, self.hop_length) != (2048, 512):
            words.append(f"frames {self.frame_length or self.n_fft}/{self.hop_length}")
        if self.pool is not None:
            words.append(f"mean over {self.pool}")
        if self.frames is not None:
            words.append(f"{self.frames} frames, zeros at {self.frames_at}")
        if self.normalization is not None:
            words.append(f"{self.normalization} normalization")
        if self.turned:
            words.append("frames first")
        return ", ".join(words)

    def differences(self, other: Recipe) -> int:
        """How many choices differ."""
        mine, theirs = dataclasses.astuple(self), dataclasses.astuple(other)
        return sum(a != b for a, b in zip(mine, theirs))


def _words(feature: Feature) -> str:
    text = feature.name if feature.count is None else f"{feature.count} {feature.name}"
    arguments = dict(feature.arguments)
    if "power_to_db" in arguments:
        text += f" in dB of {arguments['power_to_db']['ref']}"
        del arguments["power_to_db"]
    if arguments:
        text += " (" + ", ".join(f"{name} {value}" for name, value in arguments.items()) + ")"
    return text

"""The recipes that are tried: those that notebooks share, and what they change of each other."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .recipe import NORMALIZATIONS, Feature, Recipe

RATES = (22_050, 16_000, 44_100, 48_000, 8_000)  # Hz
RES_TYPES = ("soxr_hq", "kaiser_fast", "kaiser_best")
# A network on unscaled MFCC can answer anything where the resampler is another: each is tried.
_LOADED = (
    (22_050, RES_TYPES), (44_100, RES_TYPES), (16_000, RES_TYPES), (48_000, RES_TYPES[:1]),
    (8_000, RES_TYPES[:1]),
)  # fmt: skip
# Offset and duration in seconds; None: the whole recording.
SEGMENTS: tuple[tuple[float, float | None], ...] = (
    (0.0, None), (0.5, 3.0), (0.5, 2.5), (0.0, 3.0), (0.0, 2.5), (0.6, 2.5), (0.0, 4.0),
    (0.0, 2.0), (0.0, 5.0), (0.3, 3.0), (0.4, 2.5), (0.5, 2.0), (1.0, 2.0), (0.0, 1.0),
    (0.0, 3.5), (0.0, 6.0), (0.5, 4.0),
)  # fmt: skip
_COMMON_SEGMENTS = SEGMENTS[:7]
DURATIONS = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 10.0)  # of a window
FRAMES = ((2048, 512), (1024, 256), (512, 256), (512, 160), (1024, 512), (2048, 1024), (2048, 256),
          (512, 320), (1024, 160), (2048, 160), (512, 128), (1024, 320))  # fmt: skip
TRIMS = (None, 20.0, 25.0, 30.0, 40.0, 60.0)  # dB
SAMPLES: tuple[tuple[str, ...], ...] = (
    (), ("peak",), ("preemphasis",), ("peak", "preemphasis"), ("preemphasis", "peak"),
    ("quantize",),
)  # fmt: skip
POWER_TO_DB: tuple[Mapping[str, Any] | None, ...] = (None, {"ref": "max"}, {"ref": 1.0})

_MAX_MFCC = 128
_MEL = (20, 26, 30, 32, 40, 48, 60, 64, 80, 90, 96, 100, 120, 128, 160, 200, 224, 256)
_FEW_COEFFICIENTS = (13, 20, 40, 30, 12, 25, 26, 50)  # over which a mean is taken
_MIN_FRAMES = 50  # of a vector that may be frames


def starts(shape: Sequence[int]) -> Iterator[Recipe]:
    """The recipes to begin with, for a model's input; some of them may not fit it.

    Args:
        shape: of the input, without the batch and without axes of length 1.
    """
    if len(shape) == 1:
        yield from _vectors(shape[0])
    elif len(shape) == 2:
        for rows, frames, turned in ((shape[0], shape[1], False), (shape[1], shape[0], True)):
            for recipe in _matrices(rows, frames):
                yield dataclasses.replace(recipe, turned=turned)


def neighbours(recipe: Recipe) -> Iterator[Recipe]:
    """The recipes that differ in one choice; some of them may not fit."""

    def change(**changes: object) -> Recipe:
        return dataclasses.replace(recipe, **changes)  # type: ignore[arg-type]

    for rate in RATES:
        yield change(sample_rate=rate)
    for res_type in RES_TYPES:
        yield change(res_type=res_type)
    for trim in TRIMS:
        yield change(trim=trim)
    for samples in SAMPLES:
        yield change(samples=samples)
    for normalization in (None, *NORMALIZATIONS):
        yield change(normalization=normalization)
    if recipe.frame_length is None:
        for n_fft, hop_length in FRAMES:
            yield change(n_fft=n_fft, hop_length=hop_length)
        for milliseconds in ((25, 10), (20, 10), (32, 16)):
            frame, hop = (recipe.sample_rate * part // 1000 for part in milliseconds)
            yield change(n_fft=frame, hop_length=hop)
    if recipe.size is None:
        for offset, duration in SEGMENTS:
            yield change(offset=offset, duration=duration)
    else:
        for keep, at in itertools.product(("start", "centre", "end"), ("end", "both", "start")):
            yield change(keep=keep, at=at)
    if recipe.frames is not None:
        for at in ("end", "both", "start"):
            yield change(frames_at=at)
    for number, feature in enumerate(recipe.features):
        for other in _variants(feature, recipe.pool):
            features = (*recipe.features[:number], other, *recipe.features[number + 1 :])
            yield change(features=features)


def _vectors(n: int) -> Iterator[Recipe]:
    if n <= _MAX_MFCC:
        for recipe in _segments(Recipe((Feature("mfcc", n),), pool="time"), SEGMENTS):
            yield recipe
        if n % 2 == 0:
            pair = Feature("mfcc", n // 2, statistics=("mean", "std"))
            yield from _segments(Recipe((pair,)), _COMMON_SEGMENTS)
    for features in _stacks(n):
        yield from _segments(Recipe(features, pool="time"), _COMMON_SEGMENTS)
    if n in _MEL:
        for decibels in POWER_TO_DB:
            yield from _segments(Recipe((_mel(n, decibels),), pool="time"), _COMMON_SEGMENTS)
    for recipe in _conventions(n):
        for offset, duration in _COMMON_SEGMENTS:
            yield dataclasses.replace(recipe, offset=offset, duration=duration, pool="time")
    if n >= _MIN_FRAMES:
        yield from _frames_of_means(n)


def _segments(recipe: Recipe, segments: Sequence[tuple[float, float | None]]) -> Iterator[Recipe]:
    """The recipe with the segments, rates and resamplers that are common."""
    for (offset, duration), (rate, res_types) in itertools.product(segments, _LOADED):
        for res_type in res_types:
            yield dataclasses.replace(
                recipe, sample_rate=rate, res_type=res_type, offset=offset, duration=duration
            )


def _frames_of_means(n: int) -> Iterator[Recipe]:
    """Means over the coefficients, one a frame."""
    for rate, (offset, duration) in itertools.product(RATES, SEGMENTS):
        if duration is not None and 1 + int(rate * duration) // 512 == n:
            for count in _FEW_COEFFICIENTS:
                for res_type in RES_TYPES:
                    yield Recipe(
                        (Feature("mfcc", count),),
                        rate,
                        res_type,
                        offset=offset,
                        duration=duration,
                        pool="coefficients",
                        frames=n,
                    )


def _matrices(rows: int, frames: int) -> Iterator[Recipe]:
    for recipe in _rows(rows):
        if recipe.frame_length is not None:
            yield from _sized(recipe, frames, ((recipe.n_fft, recipe.hop_length),))
        else:
            yield from _sized(recipe, frames, FRAMES)
            filled = dataclasses.replace(recipe, frames=frames)
            yield from _segments(filled, _COMMON_SEGMENTS)


def _sized(recipe: Recipe, frames: int, lengths: Sequence[tuple[int, int]]) -> Iterator[Recipe]:
    """Windows of a round duration that give so many frames, or nearly, for they differ by rule."""
    rates = RATES if recipe.frame_length is None else (recipe.sample_rate,)
    for rate, duration in itertools.product(rates, DURATIONS):
        size = int(rate * duration)
        own = ((rate // 40, rate // 100), (rate // 50, rate // 100))
        for n_fft, hop_length in (*lengths, *(own if recipe.frame_length is None else ())):
            if abs(1 + size // hop_length - frames) <= (0 if recipe.frame_length is None else 3):
                sized = dataclasses.replace(
                    recipe, sample_rate=rate, size=size, n_fft=n_fft, hop_length=hop_length
                )
                yield sized
                yield dataclasses.replace(sized, keep="centre", at="both")


def _rows(n: int) -> Iterator[Recipe]:
    """What gives so many rows."""
    if n <= _MAX_MFCC:
        yield Recipe((Feature("mfcc", n),))
    if n % 3 == 0 and n // 3 <= _MAX_MFCC:
        yield Recipe((Feature("mfcc", n // 3), _delta(1), _delta(2)))
    if n % 2 == 0 and n // 2 <= _MAX_MFCC:
        yield Recipe((Feature("mfcc", n // 2), _delta(1)))
    if 12 < n <= _MAX_MFCC:
        yield Recipe((Feature("zero_crossing_rate"), Feature("rms"), Feature("mfcc", n - 2)))
    if n in _MEL:
        for decibels in POWER_TO_DB[1:]:
            yield Recipe((_mel(n, decibels),))
    if n == 12:
        yield Recipe((Feature("chroma_stft", 12),))
    yield from _conventions(n)


def _conventions(n: int) -> Iterator[Recipe]:
    """MFCC and mel bands by other libraries than librosa."""
    if n <= 26:
        yield Recipe((Feature("psf_mfcc", n),), 16_000, n_fft=512, frame_length=400, hop_length=160)
    if n <= 40:
        yield Recipe(
            (Feature("speechpy_mfcc", n, (("scale", 32768.0),)),),
            16_000, samples=("quantize",), n_fft=512, frame_length=320, hop_length=160,
        )  # fmt: skip
    edges = (("fmin", 125.0), ("fmax", 7500.0))
    if n <= 64:
        yield Recipe(
            (Feature("tf_mfcc", n, (("n_mels", 64), *edges)),),
            16_000, n_fft=512, frame_length=400, hop_length=160,
        )  # fmt: skip
    if n in _MEL:
        yield Recipe(
            (Feature("tf_log_mel", n, edges),),
            16_000, n_fft=512, frame_length=400, hop_length=160,
        )  # fmt: skip
    if n <= 80:
        yield Recipe(
            (Feature("tf_mfcc", n),), 16_000, n_fft=1024, frame_length=1024, hop_length=256
        )


def _stacks(n: int) -> Iterator[tuple[Feature, ...]]:
    """Different features together: MFCC, chroma, mel bands and others, each in its usual place."""
    chroma = Feature("chroma_stft", 12, (("power", 1.0),))
    mel = Feature("melspectrogram", 128)
    contrast = Feature("spectral_contrast")
    crossings, level = Feature("zero_crossing_rate"), Feature("rms")
    for count in (40, 20, 13, 30, 50):
        cepstrum = Feature("mfcc", count)
        if n == count + 12 + 128:
            yield cepstrum, chroma, mel
        if n == count + 12 + 128 + 7:
            yield cepstrum, chroma, mel, contrast
        if n == count + 12:
            yield cepstrum, chroma
        if n == count + 12 + 7:
            yield cepstrum, chroma, contrast
        if n == count + 128:
            yield cepstrum, mel
        if n == 1 + 12 + count + 1 + 128:
            yield crossings, chroma, cepstrum, level, mel
        if n == 1 + 1 + count:
            yield crossings, level, cepstrum
        if n == 3 * count:
            yield cepstrum, _delta(1), _delta(2)


def _variants(feature: Feature, pool: str | None) -> Iterator[Feature]:
    """The same number of rows by other arguments."""
    given = dict(feature.arguments)

    def change(**arguments: object) -> Feature:
        merged = {**given, **arguments}
        kept = tuple((name, value) for name, value in merged.items() if value is not None)
        return dataclasses.replace(feature, arguments=kept)

    if feature.name == "mfcc":
        for n_mels in (None, 26, 40, 64):
            yield change(n_mels=n_mels)
        yield change(htk=True)
        if pool == "coefficients":
            for count in _FEW_COEFFICIENTS:
                yield dataclasses.replace(feature, count=count)
    elif feature.name == "melspectrogram":
        for decibels in POWER_TO_DB:
            yield change(power_to_db=None if decibels is None else Frozen(decibels))
        for fmax in (None, 8000.0):
            yield change(fmax=fmax)
    elif feature.name == "chroma_stft":
        for power in (None, 1.0):
            yield change(power=power)
    elif feature.name in ("psf_mfcc", "speechpy_mfcc"):
        for scale in (None, 32768.0):
            yield change(scale=scale)
    elif feature.name == "delta":
        for width in (None, 5, 3):
            yield change(width=width)


class Frozen(dict):  # type: ignore[type-arg]
    """A dictionary that may be a part of what is hashed."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(sorted(self.items())))


def _mel(n: int, decibels: Mapping[str, Any] | None) -> Feature:
    arguments = () if decibels is None else (("power_to_db", Frozen(decibels)),)
    return Feature("melspectrogram", n, arguments)


def _delta(order: int) -> Feature:
    return Feature("delta", None, (("order", order),))

"""Resampling as in training, in one call or in chunks.

The samples equal those of ``librosa.resample(y, orig_sr=..., target_sr=..., res_type=...)``, for a
prediction can flip with the resampler: soxr at quality HQ, librosa's own default, or one of the
older ones. libsoxr is reached through the ``soxr`` package or, where that has no wheel (32-bit
ARM), through the system's library.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ser_edge.errors import AudioError, DependencyError

Samples = np.ndarray[Any, np.dtype[np.float32]]  # NDArray, without the time to load it

# Beyond these no microphone records speech; a rate of 16 is kilohertz given as hertz.
MIN_SAMPLE_RATE = 1_000  # Hz
MAX_SAMPLE_RATE = 768_000  # Hz

RES_TYPES = ("soxr_hq", "kaiser_best", "kaiser_fast")

# By soname first: ctypes.util.find_library needs gcc or ldconfig, which a small system may lack.
_SYSTEM_LIBRARIES = ("libsoxr.so.0", "libsoxr.0.dylib")


class Resampler:
    """Turn mono audio of one rate into another, in chunks of any length.

    The output does not depend, to the bit, on how the input is cut into chunks. It lags behind the
    input by the resampler's filter; ``flush`` hands out the rest. In total there are
    ``ceil(n * (target_rate / source_rate))`` samples for ``n``, librosa's rule, the last one being
    zero where the resampler makes one less. One object serves one recording.

    Args:
        source_rate: rate of the samples pushed, in Hz.
        target_rate: rate of the samples returned, in Hz. Equal rates pass samples through, and
            need no library.
        res_type: one of RES_TYPES, librosa's names: ``soxr_hq``, its default, or ``kaiser_best``,
            its default up to 0.9, or ``kaiser_fast``.

    Raises:
        AudioError: a rate is not between 1 000 and 768 000 Hz, or the rates are too far from each
            other for the older resamplers.
        DependencyError: the rates differ and there is no libsoxr.

    Example:
        >>> resampler = Resampler(48_000, 16_000)
        >>> tone = np.sin(np.arange(48_000, dtype=np.float32))
        >>> chunks = [resampler.push(chunk) for chunk in np.array_split(tone, 10)]
        >>> chunks.append(resampler.flush())
        >>> sum(len(chunk) for chunk in chunks)
        16000
        >>> bool(np.array_equal(np.concatenate(chunks), resample(tone, 48_000, 16_000)))
        True
    """

    def __init__(self, source_rate: int, target_rate: int, res_type: str = "soxr_hq") -> None:
        self.source_rate = check_sample_rate(source_rate)
        self.target_rate = check_sample_rate(target_rate)
        self._stream = None
        if source_rate != target_rate:
            self._stream = _open(source_rate, target_rate, res_type)
        self._received = 0
        self._returned = 0

    def push(self, samples: Samples) -> Samples:
        """Take the next samples, float32 of shape (n,); return those that are ready.

        Raises:
            AudioError: the samples are not float32 of one dimension.
        """
        if samples.dtype != np.float32 or samples.ndim != 1:
            raise AudioError(
                f"mono float32 samples are needed, not {samples.dtype} of shape {samples.shape}"
            )
        if self._stream is None or not len(samples):
            return samples
        ready = self._stream.resample_chunk(np.ascontiguousarray(samples), last=False)
        self._received += len(samples)
        self._returned += len(ready)
        return ready

    def flush(self) -> Samples:
        """End the recording; return the samples still due, float32 of shape (n,)."""
        if self._stream is None:
            return np.zeros(0, np.float32)
        # The floating-point product rounds as librosa's does: 441 samples at 44.1 kHz make 161.
        due = math.ceil(self._received * (self.target_rate / self.source_rate)) - self._returned
        rest = self._stream.resample_chunk(np.zeros(0, np.float32), last=True)[:due]
        return np.pad(rest, (0, due - len(rest)))


def resample(
    samples: Samples, source_rate: int, target_rate: int, res_type: str = "soxr_hq"
) -> Samples:
    """Resample a whole mono recording, float32 of shape (n,); see :class:`Resampler`.

    Example:
        >>> resample(np.zeros(44_100, np.float32), 44_100, 16_000).shape
        (16000,)
    """
    resampler = Resampler(source_rate, target_rate, res_type)
    return np.concatenate([resampler.push(samples), resampler.flush()])


def check_sample_rate(sample_rate: int) -> int:
    """Return the rate (Hz) if it is plausible for audio, or raise AudioError.

    Example:
        >>> check_sample_rate(16)
        Traceback (most recent call last):
        ser_edge.errors.AudioError: a sample rate of 16 Hz is not between 1000 and 768000 Hz
    """
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        raise AudioError(
            f"a sample rate of {sample_rate} Hz is not between "
            f"{MIN_SAMPLE_RATE} and {MAX_SAMPLE_RATE} Hz"
        )
    return sample_rate


if TYPE_CHECKING:
    from typing import Protocol

    class _Stream(Protocol):
        def resample_chunk(self, x: Samples, last: bool) -> Samples: ...


def _open(source_rate: int, target_rate: int, res_type: str) -> _Stream:
    if res_type not in RES_TYPES:
        raise ValueError(f"res_type is {res_type!r}, but must be one of {', '.join(RES_TYPES)}")
    if res_type != "soxr_hq":
        from ser_edge.audio.kaiser import KaiserStream

        return KaiserStream(source_rate, target_rate, res_type)
    try:
        import soxr
    except ImportError:
        return _SystemSoxr(_load_system_library(), source_rate, target_rate)
    stream: _Stream = soxr.ResampleStream(
        source_rate, target_rate, 1, dtype="float32", quality="HQ"
    )
    return stream


def _load_system_library() -> Any:
    import ctypes

    for name in _SYSTEM_LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.soxr_create.restype = ctypes.c_void_p
        library.soxr_process.restype = ctypes.c_char_p
        return library
    raise DependencyError(
        "resampling needs soxr: run `pip install soxr`, or on 32-bit ARM "
        "`sudo apt install libsoxr0`, or give audio at the model's own sample rate"
    )


class _SystemSoxr:
    """``soxr.ResampleStream`` for one channel of float32 at HQ, by libsoxr's C interface."""

    def __init__(self, library: Any, source_rate: int, target_rate: int) -> None:
        import ctypes

        self._handle: ctypes.c_void_p | None = None
        self._library = library
        self._ratio = target_rate / source_rate
        error = ctypes.c_char_p()
        # Null for the three specifications means libsoxr's defaults: float32, HQ, one thread.
        handle = library.soxr_create(
            ctypes.c_double(source_rate),
            ctypes.c_double(target_rate),
            ctypes.c_uint(1),
            ctypes.byref(error),
            None,
            None,
            None,
        )
        if not handle:
            reason = (error.value or b"").decode()
            raise AudioError(f"cannot resample {source_rate} Hz to {target_rate} Hz: {reason}")
        self._handle = ctypes.c_void_p(handle)

    def resample_chunk(self, x: Samples, last: bool) -> Samples:
        ready = [self._process(x)] if len(x) else []
        if last:
            ready.append(self._process(None))
        return np.concatenate(ready)

    def _process(self, x: Samples | None) -> Samples:
        """Push samples, or None for the end, and collect all that comes out."""
        import ctypes

        n = 0 if x is None else len(x)
        out = np.empty(math.ceil(n * self._ratio) + 1024, np.float32)
        taken, made = ctypes.c_size_t(), ctypes.c_size_t()
        outputs = []
        start = 0
        while True:
            error = self._library.soxr_process(
                self._handle,
                None if x is None else ctypes.c_void_p(x.ctypes.data + start * x.itemsize),
                ctypes.c_size_t(n - start),
                ctypes.byref(taken),
                ctypes.c_void_p(out.ctypes.data),
                ctypes.c_size_t(len(out)),
                ctypes.byref(made),
            )
            if error:
                raise AudioError(f"cannot resample: {error.decode()}")
            start += taken.value
            outputs.append(out[: made.value].copy())
            if start == n and made.value < len(out):
                return np.concatenate(outputs)

    def __del__(self) -> None:
        if self._handle is not None:
            self._library.soxr_delete(self._handle)

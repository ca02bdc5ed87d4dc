"""Live audio from a microphone, through sounddevice and PortAudio."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ser_edge.audio.pcm import Format
from ser_edge.errors import AudioError, DependencyError
from ser_edge.live.source import POLL_SECONDS, Chunk, Stop

_BLOCK_SECONDS = 0.1  # of the sound card's callback
# What may wait while the processor is busy. When it is full, the older half goes at once, so that
# there is one gap and not many.
_BACKLOG_BLOCKS = 100
_STALL_SECONDS = 3.0  # without audio: PortAudio does not report a microphone that was unplugged
_RETRY_SECONDS = 1.0  # between two attempts to open it again
# Sound servers offer 32 channels and more, made up from one; hardware may insist on its number.
_MAX_CHANNELS = 8

_NO_MICROPHONE = (
    "there is no microphone: is it listed by arecord -l, is this user in the group audio, "
    "and does PipeWire or PulseAudio run, if the system uses one?"
)


class Block(NamedTuple):
    """What the sound card delivered at once."""

    position: int  # frames from the microphone's opening
    data: bytes  # int16, channels interleaved
    overrun: bool  # whether the sound card lost some before it


class Backlog:
    """Blocks that wait to be classified; when there are too many, the oldest are dropped.

    Example:
        >>> backlog = Backlog(limit=4)
        >>> for number in range(5):
        ...     backlog.put(bytes(2), frames=1)
        >>> [backlog.get(0).position for _ in range(3)]
        [2, 3, 4]
        >>> backlog.get(0) is None
        True
    """

    def __init__(self, limit: int = _BACKLOG_BLOCKS) -> None:
        self._blocks: deque[Block] = deque()
        self._limit = limit
        self._position = 0
        self._changed = threading.Condition()

    def put(self, data: bytes, *, frames: int, overrun: bool = False) -> None:
        """Add a block; for the sound card's thread."""
        with self._changed:
            if len(self._blocks) >= self._limit:
                for _ in range(self._limit // 2):
                    self._blocks.popleft()
            self._blocks.append(Block(self._position, data, overrun))
            self._position += frames
            self._changed.notify()

    def get(self, timeout: float) -> Block | None:
        """The oldest block, or None if none comes in so many seconds."""
        with self._changed:
            if not self._blocks:
                self._changed.wait(timeout)
            return self._blocks.popleft() if self._blocks else None


class Microphone:
    """A capture device, opened at its own rate.

    Args:
        device: its number, or a part of its name that no other has; None for the system's default.
        rate: another rate than the device's own, Hz.
        channel: the channel that will be used, the first being 1.
        stop: ends the audio when requested.
        report: called with a sentence when audio is lost, and when the device goes and comes.

    Raises:
        DependencyError: sounddevice or PortAudio is missing.
        AudioError: there is no such device or none at all, or it cannot be opened.
    """

    def __init__(
        self,
        device: str | None = None,
        *,
        rate: int | None = None,
        channel: int | None = None,
        stop: Stop,
        report: Callable[[str], None],
    ) -> None:
        self._sounddevice = _sounddevice()
        self._device = int(device) if device is not None and device.isdecimal() else device
        self._rate = rate
        self._channel = channel
        self._stop = stop
        self._report = report
        self._began = time.monotonic()
        self._stream: Any = None
        self.lost_seconds = 0.0
        self._open()

    def __iter__(self) -> Iterator[Chunk]:
        """Yield audio until asked to stop; a device that disappears is waited for."""
        try:
            start = None
            while not self._stop.requested:
                yield from self._chunks(start)
                if not self._stop.requested:
                    self._report(f"{self.name} disappeared; waiting for it")
                    start = self._reopen()
        finally:
            self._close()

    def _chunks(self, start: float | None) -> Iterator[Chunk]:
        """Yield the audio until the device stops; `start`: seconds at which it begins."""
        origin = start or 0.0
        expected = 0
        latest = time.monotonic()
        while not self._stop.requested:
            block = self._backlog.get(POLL_SECONDS)
            now = time.monotonic()
            if block is None:
                if now - latest > _STALL_SECONDS:
                    return
                continue
            latest = now
            if block.position != expected:
                lost = (block.position - expected) / self.format.sample_rate
                start = origin + block.position / self.format.sample_rate
                self.lost_seconds += lost
                self._report(
                    f"too slow for live audio: dropped {lost:.1f} s, "
                    f"{self.lost_seconds:.1f} s in all"
                )
            elif block.overrun:
                self._report(f"{self.name} lost some audio before it came here")
            yield Chunk(block.data, self.format, start)
            start = None
            expected = block.position + len(block.data) // (2 * self.format.channels)

    def _open(self) -> None:
        sounddevice = self._sounddevice
        try:
            info = sounddevice.query_devices(self._device, kind="input")
            self.name: str = info["name"]
            available = info["max_input_channels"]
            channels = available if available <= _MAX_CHANNELS else 1
            channels = max(channels, min(self._channel or 1, available))
            self.format = Format(self._rate or round(info["default_samplerate"]), channels, "int16")
            backlog = self._backlog = Backlog()

            def put(data: Any, frames: int, _: Any, status: Any) -> None:
                backlog.put(bytes(data), frames=frames, overrun=bool(status.input_overflow))

            self._stream = sounddevice.RawInputStream(
                device=self._device,
                samplerate=self.format.sample_rate,
                channels=self.format.channels,
                dtype="int16",
                blocksize=round(_BLOCK_SECONDS * self.format.sample_rate),
                callback=put,
            )
            self._stream.start()
        except (sounddevice.PortAudioError, ValueError) as error:
            if not any(_capture_devices(sounddevice)):
                raise AudioError(_NO_MICROPHONE) from None
            name = "the default microphone" if self._device is None else f"device {self._device!r}"
            reason = " ".join(str(error).split())
            raise AudioError(f"cannot listen to {name} ({reason}): see --list-devices") from None

    def _close(self) -> None:
        if self._stream is not None:
            # What is gone cannot be closed in good order.
            self._stream.close(ignore_errors=True)
            self._stream = None  # PortAudio must not see it again

    def _reopen(self) -> float | None:
        """Wait for the device; return the seconds since the beginning at which it is back."""
        retry = time.monotonic()
        while not self._stop.requested:
            time.sleep(POLL_SECONDS)
            if time.monotonic() < retry:
                continue
            retry = time.monotonic() + _RETRY_SECONDS
            # PortAudio looks for devices only when it is initialized.
            self._close()
            self._sounddevice._terminate()
            self._sounddevice._initialize()
            try:
                self._open()
            except AudioError:
                continue
            self._report(f"{self.name} is back")
            return time.monotonic() - self._began
        return None


def devices() -> Iterator[str]:
    """Yield a line for each capture device: number, name, channels, rate.

    Raises:
        DependencyError: sounddevice or PortAudio is missing.
        AudioError: there is no microphone.
    """
    sounddevice = _sounddevice()
    default = sounddevice.default.device[0]
    found = list(_capture_devices(sounddevice))
    if not found:
        raise AudioError(_NO_MICROPHONE)
    for number, info in found:
        mark = "*" if number == default else " "
        yield (
            f"{mark} {number:3}  {info['name']} "
            f"({info['max_input_channels']} channels, {info['default_samplerate']:g} Hz)"
        )


def _capture_devices(sounddevice: Any) -> Iterator[tuple[int, Any]]:
    """Number and description of each device that records."""
    try:
        found = list(sounddevice.query_devices())
    except sounddevice.PortAudioError:
        return
    for number, info in enumerate(found):
        if info["max_input_channels"]:
            yield number, info


def _sounddevice() -> Any:
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise DependencyError(
            "a microphone needs sounddevice and PortAudio: pip install 'ser-edge[mic]' and "
            f"sudo apt install libportaudio2 ({error})"
        ) from None
    return sounddevice

"""How loud live audio is, for a person at a terminal: is the microphone alive, and near enough?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ser_edge.audio.mixing import as_mono_float32, decode
from ser_edge.audio.pcm import Format
from ser_edge.cli.show.progress import StatusLine
from ser_edge.decision import level_dbfs
from ser_edge.errors import AudioError
from ser_edge.live.source import Chunk

_METER_CELLS = 30
_METER_FLOOR_DBFS = -60.0  # where the bar begins
_DIGITAL_SILENCE_DBFS = -150.0  # below the noise of any converter


class LevelMeter:
    """How loud live audio is, in a terminal's last line.

    Args:
        channel: the one that is listened to, the first being 1; None for the loudest.
    """

    def __init__(self, channel: int | None) -> None:
        self._channel = channel
        self._line = StatusLine()
        self._cut = b""  # the bytes of a frame whose others are still to come

    def watch(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """The same chunks, each of which is measured before it is used."""
        for chunk in chunks:
            data = self._cut + chunk.data
            size = len(data) - len(data) % chunk.format.frame_bytes
            self._cut = data[size:]
            if size and self._line.due():
                self._show(data[:size], chunk.format)
            yield chunk

    def clear(self) -> None:
        """Remove the line, before anything else is written."""
        self._line.clear()

    def _show(self, data: bytes, format_: Format) -> None:
        frames = decode(data, format_.sample_format, format_.channels)
        rate = format_.sample_rate
        numbers = range(1, format_.channels + 1) if self._channel is None else [self._channel]
        try:
            level = max(
                level_dbfs(as_mono_float32(frames[:, number - 1], rate), rate) for number in numbers
            )
        except (AudioError, IndexError):  # those who use the audio will tell
            return
        share = min(1.0, max(0.0, 1 - level / _METER_FLOOR_DBFS))
        bar = "#" * round(share * _METER_CELLS)
        shown = f"{level:.0f} dBFS" if level > _DIGITAL_SILENCE_DBFS else "digital silence"
        self._line.show(f"level [{bar:{_METER_CELLS}}] {shown}")

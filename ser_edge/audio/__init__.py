"""Any source of audio becomes mono float32 samples: files, pipes, bytes, arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ser_edge.audio.reader import AudioReader, AudioSource, load, open_audio

__all__ = ["AudioReader", "AudioSource", "load", "open_audio"]


def __getattr__(name: str) -> Any:
    # The command line's options need formats, but neither numpy nor the reader.
    if name in __all__:
        from ser_edge.audio import reader

        return getattr(reader, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

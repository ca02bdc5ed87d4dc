"""Any source of audio becomes mono float32 samples: files, pipes, bytes, arrays."""

from ser_edge.audio.reader import AudioReader, AudioSource, load, open_audio

__all__ = ["AudioReader", "AudioSource", "load", "open_audio"]

"""Decoding through libsndfile: one read after another, in files here and elsewhere."""

from __future__ import annotations

from typing import Any

from ser_edge.errors import AudioError, DependencyError


class Decoder:
    """A file that libsndfile reads."""

    def __init__(self, sound: Any, file: Any, name: str) -> None:
        self._sound = sound
        self._file = file
        self._name = name
        self.sample_rate: int = sound.samplerate
        self.channels: int = sound.channels
        self.duration: float | None = sound.frames / sound.samplerate

    def read(self, frames: int) -> Any:
        import soundfile

        try:
            return self._sound.read(frames, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise AudioError(
                f"{self._name}: is damaged (libsndfile: {error.error_string})"
            ) from None

    def close(self) -> None:
        self._sound.close()
        self._file.close()


class RemoteDecoder(Decoder):
    """A file elsewhere that libsndfile reads."""

    def read(self, frames: int) -> Any:
        try:
            found = super().read(frames)
        finally:
            self._file.check()
        return found


def import_soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise DependencyError(
            "reading audio files needs soundfile and libsndfile: run `pip install soundfile` and "
            f"`sudo apt install libsndfile1` ({error})"
        ) from None
    return soundfile


def sequential(soundfile: Any) -> Any:
    """The class of a file that is read from its start to its end."""

    class SequentialSoundFile(soundfile.SoundFile):  # type: ignore[misc]
        def seekable(self) -> bool:
            # soundfile seeks to where it stands after every read of a seekable file; an MP3
            # decoder then starts anew, and its first frames (bit reservoir) come out wrong.
            return False

    return SequentialSoundFile

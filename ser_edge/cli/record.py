"""The session of ``ser-edge adapt --record``: which emotion, how many to go, what was wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from ser_edge.cli.options import complain
from ser_edge.errors import AudioError
from ser_edge.live.sentences import SENTENCES
from ser_edge.live.source import Stop

if TYPE_CHECKING:
    from ser_edge.classifier import Classifier
    from ser_edge.live.recorder import Take
    from ser_edge.model import Observation

_METER_WIDTH = 30
_METER_FLOOR_DBFS = -60.0

_HELP = (
    "Enter records, p plays the last one, r records it again, s skips the rest of this emotion, "
    "q ends the session."
)
_REMEDIES = {
    "silence": "nothing was heard: is it the right microphone, is it muted?",
    "too_short": "there was too little speech: speak right away, a whole sentence",
    "no_speech": "no speech was heard: come closer, or turn off what is humming",
    "clipped": "it was too loud: move back, or turn the microphone down",
}


class Recorded(NamedTuple):
    """A clip that was accepted."""

    name: str
    label: str
    observation: Observation


class Session:
    """Asks for clips one after another.

    Args:
        classifier: the model, and the gate that tells speech from noise.
        labels: the emotions.
        clips: how many of each.
        seconds: how long each is.
        language: of the sentences that are offered.
        device: the microphone; None for the system's.
        channel: the channel to use, the first being 1; None for the mean of all.
        keep: a folder for the recordings, which are otherwise forgotten.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        labels: Sequence[str],
        clips: int,
        seconds: float,
        language: str,
        device: str | None,
        channel: int | None,
        keep: str | None,
    ) -> None:
        self._classifier = classifier
        self._labels = labels
        self._clips = clips
        self._seconds = seconds
        self._sentences = SENTENCES[language]
        self._device = device
        self._channel = channel
        self._keep = keep
        self._stop = Stop()
        self._last: Take | None = None

    def run(self) -> Iterator[Recorded]:
        """Yield the clips that were accepted; one that was recorded again only once.

        Raises:
            DependencyError: sounddevice or PortAudio is missing.
            AudioError: there is no such microphone.
            OSError: a recording cannot be kept.
        """
        self._say(_HELP)
        for label in self._labels:
            accepted: list[tuple[Take, Observation]] = []
            ended = False
            while len(accepted) < self._clips:
                number = len(accepted)
                sentence = self._sentences[number % len(self._sentences)]
                self._say(f"\n{label}, {number + 1} of {self._clips}")
                self._say(f'say for example: "{sentence}"')
                key = self._key()
                if key in ("q", "s"):
                    ended = key == "q"
                    break
                if key == "p":
                    self._play()
                    continue
                if key == "r" and accepted:
                    accepted.pop()
                found = self._record()
                if found is not None:
                    accepted.append(found)
            for number, (take, observation) in enumerate(accepted, 1):
                name = os.path.join(label, f"{number}.wav")
                if self._keep is not None:
                    _write(os.path.join(self._keep, name), take)
                yield Recorded(name, label, observation)
            if ended:
                return

    def _key(self) -> str:
        """What was typed: a letter, or nothing; the end of input ends the session."""
        click.echo("> ", nl=False, err=True)
        line = sys.stdin.readline()
        return line.strip().lower()[:1] if line else "q"

    def _record(self) -> tuple[Take, Observation] | None:
        from ser_edge.live.recorder import CLIPPED, is_clipped, level_dbfs, record

        self._say(f"speak now, for up to {self._seconds:g} seconds")
        take = record(
            self._seconds,
            device=self._device,
            channel=self._channel,
            stop=self._stop,
            report=complain,
            meter=_meter,
        )
        if sys.stderr.isatty():
            click.echo(err=True)
        self._last = take
        observed = self._classifier.observe_samples(take.samples, take.sample_rate)
        reason = CLIPPED if is_clipped(take.samples) else observed
        if isinstance(reason, str):
            self._say(f"again, please: {_REMEDIES[reason]}")
            return None
        self._say(f"good ({level_dbfs(take.samples):.0f} dB)")
        assert not isinstance(observed, str)
        return take, observed

    def _play(self) -> None:
        if self._last is None:
            self._say("there is nothing to play yet")
            return
        import sounddevice  # it is there: it has recorded

        try:
            sounddevice.play(self._last.samples, self._last.sample_rate, blocking=True)
        except sounddevice.PortAudioError as error:
            complain(f"cannot play it: {' '.join(str(error).split())}")

    @staticmethod
    def _say(text: str) -> None:
        click.echo(text, err=True)


def _meter(level: float) -> None:
    if sys.stderr.isatty():
        filled = round(_METER_WIDTH * max(0.0, 1 - level / _METER_FLOOR_DBFS))
        click.echo(f"\r[{'#' * filled:{_METER_WIDTH}}] {level:4.0f} dB", nl=False, err=True)


def _write(path: str, take: Take) -> None:
    import soundfile

    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        soundfile.write(path, take.samples, take.sample_rate, subtype="PCM_16")
    except soundfile.LibsndfileError as error:
        raise AudioError(f"cannot keep {path}: {error}") from error

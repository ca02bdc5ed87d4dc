"""What classifies for the service: a process of its own, which a damaged recording may crash.

It reads jobs from a socket and answers them one after another. A job is a JSON object and its
bodies: recordings, or samples. It knows nothing of HTTP and opens no file by a client's name.
"""

from __future__ import annotations

import gc
import io
import json
import socket
import sys
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ser_edge.classifier import Classifier
from ser_edge.errors import AudioError, AudioWarning, ModelError, ProfileError, SerEdgeError
from ser_edge.result import result_json
from ser_edge.selftest import TOLERANCE, reference_error
from ser_edge.web.work.channel import PIECE_BYTES, Channel

if TYPE_CHECKING:
    from typing import Protocol

    class Readable(Protocol):
        """A body of a job."""

        def read(self, size: int) -> bytes: ...


# Kinds of errors, as the exit codes of the command line tell them apart.
AUDIO = "audio"  # of a recording or a clip: code 1
USAGE = "usage"  # code 2
UNUSABLE = "unusable"  # the model or the installation: code 3

MAX_WINDOWS = 20_000  # results of one recording: 11 hours at a window every 2 s, 5 MB of JSON
_MAX_PROFILES = 4  # that clients sent, and which are kept ready


class Settings(NamedTuple):
    """How a worker classifies; JSON can hold it."""

    model: str  # path of its file
    threshold: float | None = None
    thresholds: dict[str, float] = {}  # noqa: RUF012  never changed
    gate: str = "speech"
    accept_unfamiliar: bool = False
    num_threads: int = 1
    profiles: dict[str, str] = {}  # noqa: RUF012  contents of the profiles that it knows, by name


class Answer(NamedTuple):
    """What came of a job."""

    error: str | None  # its kind, None where all went well
    payload: bytes  # the answer, or the sentence that says what is wrong

    def message(self) -> bytes:
        """It as one message."""
        return (self.error or "").encode() + b"\n" + self.payload

    @classmethod
    def parse(cls, message: bytes) -> Answer:
        """What :meth:`message` gave."""
        error, _, payload = message.partition(b"\n")
        return cls(error.decode() or None, payload)


class Worker:
    """Does jobs. Belongs to one thread at a time.

    Args:
        settings: which model, and how it decides.

    Raises:
        SerEdgeError: it cannot be loaded.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._plain = Classifier.from_file(
            settings.model,
            num_threads=settings.num_threads,
            threshold=settings.threshold,
            gate=settings.gate,
            accept_unfamiliar=settings.accept_unfamiliar,
        )
        self._known = {
            name: self._adapted(text.encode()) for name, text in settings.profiles.items()
        }
        self._sent: OrderedDict[bytes, Classifier] = OrderedDict()
        self._plain = self._with(None)

    def run(self, job: dict[str, Any], bodies: Sequence[Readable]) -> Answer:
        """Do a job; the bodies are read as far as it needs them."""
        try:
            return Answer(None, _JOBS[job["job"]](self, job, bodies))
        except (AudioError, ProfileError) as error:
            return Answer(AUDIO, str(error).encode("utf-8", "surrogateescape"))
        except SerEdgeError as error:
            return Answer(UNUSABLE, str(error).encode("utf-8", "surrogateescape"))
        except ValueError as error:
            return Answer(USAGE, str(error).encode("utf-8", "surrogateescape"))

    def classifier(self, profile: dict[str, str] | None) -> Classifier:
        """The classifier with a profile.

        Args:
            profile: ``{"name": ...}`` of a known one, ``{"text": ...}`` of another; None for none.

        Raises:
            ProfileError: it is broken, or made for another model.
        """
        if profile is None:
            return self._plain
        if "name" in profile:
            return self._known[profile["name"]]
        text = profile["text"].encode()
        found = self._sent.pop(text, None) or self._adapted(text)
        self._sent[text] = found
        if len(self._sent) > _MAX_PROFILES:
            self._sent.popitem(last=False)
        return found

    def _adapted(self, text: bytes) -> Classifier:
        from ser_edge.adapt.profile import Profile

        try:
            return self._with(Profile.parse(text))
        except ModelError as error:
            raise ProfileError(f"the profile: {error}") from None

    def _with(self, profile: Any) -> Classifier:
        labels = self._plain.model.metadata.labels if profile is None else profile.labels
        thresholds = {k: v for k, v in self._settings.thresholds.items() if k in labels}
        return Classifier(
            self._plain.model,
            threshold=self._settings.threshold,
            thresholds=thresholds,
            gate=self._settings.gate,
            profile=profile,
            accept_unfamiliar=self._settings.accept_unfamiliar,
        )

    def _classify(self, job: dict[str, Any], bodies: Sequence[Readable]) -> bytes:
        """One recording: a line of JSON, or with ``windows`` one for each window."""
        classifier = self.classifier(job.get("profile"))
        source: Any = _Named(bodies[0], job["file"])
        if job.get("windows"):
            results = classifier.windows(source, hop=job.get("hop"), channel=job.get("channel"))
        else:
            results = iter([classifier.classify(source, channel=job.get("channel"))])
        lines: list[str] = []
        for result in results:
            if len(lines) == MAX_WINDOWS:
                raise AudioError(
                    f"{job['file']}: has more than {MAX_WINDOWS} windows: choose a longer hop"
                )
            lines.append(result_json(result, **job["origin"], file=job["file"]))
        return "\n".join(lines).encode()

    def _outcome(self, job: dict[str, Any], bodies: Sequence[Readable]) -> bytes:
        """The probabilities of a window's samples, or the reason why there are none."""
        samples = np.frombuffer(bodies[0].read(-1), np.float32)
        outcome = self.classifier(job.get("profile"))._window.outcome(samples)
        return json.dumps(outcome if isinstance(outcome, str) else outcome.tolist()).encode()

    def _profile(self, job: dict[str, Any], bodies: Sequence[Readable]) -> bytes:
        """A profile from labelled clips, and what they tell of it."""
        from ser_edge.web.work.adapting import make

        clips = [(_Named(body, c["file"]), c["label"]) for body, c in zip(bodies, job["clips"])]
        return json.dumps(make(self._plain, clips)).encode()

    def _reference(self, job: dict[str, Any], bodies: Sequence[Readable]) -> bytes:
        """How far the answer to the reference signal is from the one stored in the model."""
        difference = reference_error(self._plain.model)
        if difference is not None and difference > TOLERANCE:
            raise ModelError(f"the reference answer is off by {difference:.1e}")
        return json.dumps(difference).encode()


_JOBS = {
    "classify": Worker._classify,
    "outcome": Worker._outcome,
    "profile": Worker._profile,
    "reference": Worker._reference,
}


class _Named:
    """A body under the name that error messages begin with."""

    def __init__(self, body: Readable, name: str) -> None:
        self.read = body.read
        self.name = name

    def seekable(self) -> bool:
        return True  # it has an end, which is all that this is asked for


class _Body(io.RawIOBase):
    """A body that comes through the socket in pieces; one that is not full is the last."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._rest = b""
        self._ended = False

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        if not self._rest and not self._ended:
            self._rest = self._channel.receive()
            self._ended = len(self._rest) < PIECE_BYTES
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def _answers(worker: Worker, channel: Channel) -> Iterator[Answer]:
    while True:
        try:
            job = json.loads(channel.receive())
        except (EOFError, OSError):
            return  # the service is gone
        count = job["bodies"]
        # Several are read before the first is used, so that they come in order.
        bodies: list[Readable] = [_Body(channel) for _ in range(min(count, 1))]
        if count > 1:
            bodies = [io.BytesIO(_Body(channel).read()) for _ in range(count)]
        answer = worker.run(job, bodies)
        if count == 1:
            bodies[0].read(-1)  # what the job left over
        yield answer


def main() -> None:
    """The process: its only argument is the number of the socket."""
    warnings.simplefilter("ignore", AudioWarning)
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    settings = Settings(**json.loads(channel.receive()))
    try:
        worker = Worker(settings)
    except (SerEdgeError, ValueError) as error:
        channel.send(Answer(UNUSABLE, str(error).encode("utf-8", "surrogateescape")).message())
        return
    gc.freeze()  # what was loaded stays: no search for garbage goes through it
    channel.send(Answer(None, b"").message())
    for answer in _answers(worker, channel):
        channel.send(answer.message())

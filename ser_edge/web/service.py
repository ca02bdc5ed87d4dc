"""What the service's answers are made from: one object that all routes share."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException

from ser_edge.errors import ModelError
from ser_edge.web.limits import RETRY_AFTER, Budget
from ser_edge.web.live import Followers
from ser_edge.web.metrics import Metrics
from ser_edge.web.security import Guard, printable
from ser_edge.web.work.pool import Busy, Pool, WorkerLost
from ser_edge.web.work.worker import AUDIO, USAGE, Answer, Settings, Worker

if TYPE_CHECKING:
    from ser_edge.classifier import Classifier
    from ser_edge.web.history import History
    from ser_edge.web.live import Listener
    from ser_edge.web.work.worker import Readable

MAX_STREAMS = 16  # of clients' live audio, each with a thread that cuts windows
_MAX_CLIENTS = 4096  # connections that are remembered
NO_PROFILE = "none"  # asks for the model alone, where the service has a profile

# What the exit codes of the command line say, in the words of HTTP.
_STATUS = {AUDIO: 422, USAGE: 400}
_CODES = {AUDIO: 1, USAGE: 2}


class Problem(HTTPException):
    """What a client is told of an error: a sentence, and the exit code of the command line."""

    def __init__(self, status: int, sentence: str, exit_code: int, file: str | None = None) -> None:
        super().__init__(status, sentence)
        self.exit_code = exit_code
        self.file = file


class Service:
    """The model, its workers and all that goes in and out.

    Args:
        settings: how recordings are classified.
        workers: processes that do so; with 0 a thread does.
        profile: name of the profile that is used where a client asks for none.
        guard: who may ask.
        max_body: bytes of a request.
        history: of the device's microphone, where it is kept.
        report: called with sentences for whoever runs the service.

    Raises:
        SerEdgeError: the model cannot be loaded.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        workers: int,
        profile: str | None,
        guard: Guard,
        max_body: int,
        history: History | None,
        report: Any,
    ) -> None:
        self.models = Worker(settings)  # for the windows that are cut here
        self.profiles = tuple(settings.profiles)
        self.default_profile = profile
        self.guard = guard
        self.budget = Budget(max_body)
        self.history = history
        self.followers = Followers()
        self.listener: Listener | None = None
        self.lost_seconds: Any = lambda: 0.0
        self.pool = Pool(settings, workers, report=report)
        self.metrics = Metrics(
            waiting=lambda: self.pool.waiting,
            lost=lambda: self.pool.lost,
            dropped=lambda: self.followers.dropped,
            lost_seconds=lambda: self.lost_seconds(),
        )
        self.threads = ThreadPoolExecutor(MAX_STREAMS, thread_name_prefix="stream")
        self.streams = 0
        self._clients: OrderedDict[Any, bool] = OrderedDict()  # connections that asked already

    def start(self) -> None:
        """Begin, in the event loop: until then nothing may wait."""
        self.loop = asyncio.get_running_loop()
        self.stopping = asyncio.Event()  # set once the service is asked to end

    @property
    def plain(self) -> Classifier:
        """The model alone."""
        return self.models.classifier(None)

    def order_of(self, profile: str | Mapping[str, Any] | None) -> dict[str, str] | None:
        """What a worker is told of a profile.

        Args:
            profile: a name, the text of a profile's file, or None for the service's own.

        Raises:
            Problem: there is none of this name.
        """
        if profile is None:
            return None if self.default_profile is None else {"name": self.default_profile}
        if isinstance(profile, str) and profile.lstrip()[:1] != "{":
            if profile == NO_PROFILE:
                return None
            if profile not in self.profiles:
                known = ", ".join(self.profiles) or "none"
                raise Problem(400, f"there is no profile {printable(profile)}: it knows {known}", 2)
            return {"name": profile}
        return {"text": str(profile)}

    def origin(self, profile: dict[str, str] | None) -> dict[str, str]:
        """What results come from, by the names that they have in JSON."""
        names = {"model": self.plain.model.metadata.name}
        if profile is not None:
            names["profile"] = profile.get("name", "sent")
        return names

    async def ask(
        self, order: dict[str, Any], bodies: Sequence[Readable] = (), client: Any = None
    ) -> Answer:
        """Have a job done.

        Args:
            order, bodies: as for ``Pool.submit``.
            client: whose connection it is. Who asks for the first time need not wait for those who
                ask all the time.

        Raises:
            HTTPException: 503: too many jobs wait already, or the worker was lost.
        """
        try:
            soon = self._is_new(client)
            return await asyncio.wrap_future(self.pool.submit(order, bodies, soon=soon))
        except Busy:
            raise HTTPException(
                503, "too much is waiting already: try again", RETRY_AFTER
            ) from None
        except WorkerLost as error:
            raise Problem(422, str(error), 1) from None

    def _is_new(self, client: Any) -> bool:
        if client is None:
            return False
        known = self._clients.pop(client, False)
        self._clients[client] = True
        if len(self._clients) > _MAX_CLIENTS:
            self._clients.popitem(last=False)
        return not known

    async def close(self) -> None:
        """Finish what was begun."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.pool.close)
        self.threads.shutdown(wait=False)
        if self.history is not None:
            self.history.close()


def checked(answer: Answer, file: str | None = None) -> bytes:
    """What a worker answered.

    Raises:
        Problem: that was an error.
    """
    if answer.error is None:
        return answer.payload
    sentence = answer.payload.decode("utf-8", "replace")
    raise Problem(_STATUS.get(answer.error, 500), sentence, _CODES.get(answer.error, 3), file)


async def health(service: Service) -> float | None:
    """How far the answer to the reference signal is from the one stored in the model.

    Raises:
        ModelError: too far, or there is none.
    """
    answer = await service.ask({"job": "reference"})
    if answer.error is not None:
        raise ModelError(answer.payload.decode("utf-8", "replace"))
    return None if answer.payload == b"null" else float(answer.payload)

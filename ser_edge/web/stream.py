"""``WS /v1/stream``: PCM comes in as binary messages, results go out as they come.

The first message is a JSON object that says what the samples are; ``{"end": true}`` asks for the
last result.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocketDisconnect

from ser_edge.errors import SerEdgeError
from ser_edge.web.live import PooledClassifier, live_json
from ser_edge.web.routes import service_of
from ser_edge.web.service import MAX_STREAMS, Problem
from ser_edge.web.work.pool import WorkerLost

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from ser_edge.result import Result
    from ser_edge.stream import Stream
    from ser_edge.web.service import Service

MAX_MESSAGE = 1 << 20  # bytes
_MIN_HOP = 0.1  # seconds
_FIRST_SECONDS = 10.0  # for the first message
_IDLE_SECONDS = 60.0  # without audio
_SEND_SECONDS = 30.0

# Of RFC 6455, 7.4.1.
NORMAL, GOING_AWAY, UNSUPPORTED, POLICY, FAILED, TRY_LATER = 1000, 1001, 1003, 1008, 1011, 1013

# What the first message may hold, and what the values must be.
_KEYS: dict[str, tuple[type, ...]] = {
    "sample_rate": (int,),
    "format": (str,),
    "channels": (int,),
    "channel": (int, type(None)),
    "hop": (int, float, type(None)),
    "smoothing": (int, float),
    "profile": (str, dict, type(None)),
}


class _Session:
    """One client's live audio."""

    def __init__(self, websocket: WebSocket, service: Service) -> None:
        self._websocket = websocket
        self._service = service
        self._stream: Stream | None = None
        self._heard = 0.0

    async def run(self) -> None:
        """Answer until the client, or the service, ends it."""
        try:
            code = await self._talk()
        except (Problem, SerEdgeError, ValueError, WorkerLost) as error:
            exit_code = getattr(error, "exit_code", 1 if isinstance(error, SerEdgeError) else 2)
            sentence = str(getattr(error, "detail", error))
            await self._send(json.dumps({"error": sentence, "exit_code": exit_code}))
            code = FAILED if isinstance(error, WorkerLost) else POLICY
        except asyncio.TimeoutError:
            code = POLICY  # nothing came for too long, or nothing is read
        await asyncio.wait_for(self._websocket.close(code), _SEND_SECONDS)

    async def _talk(self) -> int:
        message = await self._receive(_FIRST_SECONDS)
        if message is None:
            return GOING_AWAY
        stream = self._open(message.get("text"))
        while (message := await self._receive(_IDLE_SECONDS)) is not None:
            if message["type"] == "websocket.disconnect":
                return NORMAL
            data, text = message.get("bytes"), message.get("text")
            if data is not None:
                await self._tell(await self._beside(stream.push, data))
            elif _object(text or "") == {"end": True}:
                await self._tell(await self._beside(stream.flush))
                return NORMAL
            else:
                raise Problem(400, 'samples are binary messages; the end is {"end": true}', 2)
        await self._tell(await self._beside(stream.flush))
        return GOING_AWAY

    def _open(self, text: str | None) -> Stream:
        """A stream for what the first message says."""
        values = _object(text or "")
        if not isinstance(values, dict) or "sample_rate" not in values:
            raise Problem(400, 'the first message must be JSON such as {"sample_rate": 48000}', 2)
        for key, value in values.items():
            if key not in _KEYS:
                raise Problem(400, f"{key[:40]!r} is none of {', '.join(_KEYS)}", 2)
            if not isinstance(value, _KEYS[key]) or isinstance(value, bool):
                raise Problem(400, f"{key} has the wrong type", 2)
        profile = values.get("profile")
        if isinstance(profile, dict):
            profile = json.dumps(profile)
        service = self._service
        order = service.order_of(profile)
        self._origin = service.origin(order)
        classifier = PooledClassifier(service.models.classifier(order), service.pool, order)
        channels = values.get("channels", 1)
        if not 1 <= channels <= 128:
            raise Problem(400, "channels must be a number from 1 to 128", 2)
        hop = values.get("hop")
        if hop is not None and not _MIN_HOP <= hop <= 3600:
            raise Problem(400, f"hop must be a number from {_MIN_HOP:g} to 3600", 2)
        return classifier.stream(
            values["sample_rate"],
            hop=hop,
            smoothing=values.get("smoothing", 0.0),
            sample_format=values.get("format", "int16"),
            channels=channels,
            channel=values.get("channel"),
        )

    async def _receive(self, seconds: float) -> Any:
        """The next message, or None when the service stops.

        Raises:
            TimeoutError: none came in time.
        """
        if self._service.stopping.is_set():
            return None
        receiving = asyncio.ensure_future(self._websocket.receive())
        stopping = asyncio.ensure_future(self._service.stopping.wait())
        try:
            done, _ = await asyncio.wait(
                {receiving, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if receiving in done:
                return receiving.result()
            if stopping in done:
                return None
            raise asyncio.TimeoutError
        finally:
            for task in (receiving, stopping):
                task.cancel()

    async def _beside(self, work: Any, *arguments: Any) -> list[Result]:
        """Do it in a thread, beside the event loop."""
        loop = asyncio.get_running_loop()
        results: list[Result] = await loop.run_in_executor(self._service.threads, work, *arguments)
        return results

    async def _tell(self, results: list[Result]) -> None:
        for result in results:
            seconds = result.end - max(self._heard, result.start)
            self._service.metrics.window("stream", result, seconds)
            self._heard = result.end
            await self._send(live_json(result, self._origin))

    async def _send(self, text: str) -> None:
        await asyncio.wait_for(self._websocket.send_text(text), _SEND_SECONDS)


async def stream(websocket: WebSocket) -> None:
    """Classify a client's live audio."""
    service = service_of(websocket)
    await websocket.accept()
    if service.streams >= MAX_STREAMS:
        await websocket.close(TRY_LATER, "too many streams")
        return
    service.streams += 1
    service.metrics.streams.inc()
    try:
        await _Session(websocket, service).run()
    except (
        RuntimeError,
        OSError,
        WebSocketDisconnect,
    ):  # the client went away in the middle of an answer
        pass
    finally:
        service.streams -= 1
        service.metrics.streams.dec()


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None

"""How much a client may send, how slowly, and how many may do so at a time."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

import h11
from starlette.exceptions import HTTPException
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from starlette.types import Message, Receive

MAX_CONNECTIONS = 512
HEADER_SECONDS = 10.0  # for a request's head
STALL_SECONDS = 10.0  # without a byte of the body
SEND_SECONDS = 30.0  # in which a client reads nothing of its answer
_GRACE_SECONDS = 10.0  # of a body, before its speed counts
_LEAST_BYTES_PER_SECOND = 4096
_BODIES = 4  # of the greatest size that may be held at a time

RETRY_AFTER = {"retry-after": "2"}


class Budget:
    """Bytes of all bodies that are held, in memory or in unlinked files."""

    def __init__(self, max_body: int) -> None:
        self.max_body = max_body
        self._left = _BODIES * max_body

    def take(self, size: int) -> None:
        """Hold so many more.

        Raises:
            HTTPException: 503: there is no room.
        """
        if size > self._left:
            raise HTTPException(503, "too many recordings at once: try again", RETRY_AFTER)
        self._left -= size

    def give(self, size: int) -> None:
        """Let go of so many."""
        self._left += size


class Body:
    """A request's body, which must be small and quick enough. Its `receive` is that of ASGI."""

    def __init__(self, receive: Receive, headers: dict[str, str], budget: Budget) -> None:
        self._receive = receive
        self._budget = budget
        self._began = time.monotonic()
        self.size = 0
        self.ended = False
        announced = headers.get("content-length", "0")
        if announced.isdecimal() and int(announced[:20]) > budget.max_body:
            raise self._too_large()

    async def receive(self) -> Message:
        """The next piece.

        Raises:
            HTTPException: 408: it comes too slowly; 413: it is too large; 503: see Budget.
        """
        if self.ended:
            return await self._receive()
        try:
            if sys.version_info >= (3, 11):  # which takes less time than a task of its own
                async with asyncio.timeout(STALL_SECONDS):
                    message = await self._receive()
            else:
                message = await asyncio.wait_for(self._receive(), STALL_SECONDS)
        except asyncio.TimeoutError:
            raise self._too_slow() from None
        if message["type"] != "http.request":
            self.ended = True
            return message
        size = len(message.get("body", b""))
        self._budget.take(size)
        self.size += size
        self.ended = not message.get("more_body", False)
        if self.size > self._budget.max_body:
            raise self._too_large()
        seconds = time.monotonic() - self._began - _GRACE_SECONDS
        if not self.ended and self.size < seconds * _LEAST_BYTES_PER_SECOND:
            raise self._too_slow()
        return message

    def close(self) -> None:
        """Let go of it."""
        self._budget.give(self.size)
        self.size = 0

    def _too_large(self) -> HTTPException:
        limit = self._budget.max_body
        return HTTPException(413, f"a request may have {limit / 1e6:g} MB at most")

    def _too_slow(self) -> HTTPException:
        return HTTPException(408, "the recording came too slowly")


class _Connection(h11.Connection):
    """Gives the head of an answer of known length together with its body, to be sent at once.

    Each of the two would take its own system call, and wake the client.
    """

    _head = b""

    def send(self, event: Any) -> Any:
        data = super().send(event)
        if isinstance(event, h11.Response):
            if any(name == b"content-length" for name, _ in event.headers):
                self._head = data or b""
                return b""
        elif self._head and data is not None:
            data, self._head = self._head + data, b""
        return data


class Http(H11Protocol):
    """uvicorn's HTTP, with time limits for the head of a request, and a limit of connections."""

    _timer: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None  # of an answer that the client does not read
    _upgraded = False  # to a WebSocket, which has limits of its own

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.conn = _Connection(h11.SERVER)

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        self._arm()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._disarm()
        elif self._timer is None and not self._upgraded:
            self._arm()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(SEND_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._read()

    def _read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._read()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._upgraded = True
        self._disarm()
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        self._disarm()
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:  # another answer is under way
            self.transport.abort()

    def _arm(self) -> None:
        if not self.transport.is_closing():
            self._timer = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

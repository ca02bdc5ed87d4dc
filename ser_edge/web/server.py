"""The server: uvicorn with our limits, and an end in good order."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import uvicorn

from ser_edge.web.app import make_app
from ser_edge.web.limits import Http
from ser_edge.web.stream import MAX_MESSAGE

if TYPE_CHECKING:
    from ser_edge.web.service import Service

_LAST_SECONDS = 10.0  # for answers that are under way when the service is asked to end
_KEEP_ALIVE_SECONDS = 5
_BACKLOG = 128


class Server(uvicorn.Server):
    """Serves until SIGINT or SIGTERM, then gives the last results; a second signal ends it at once.

    Args:
        service: what answers.
        sock: the socket, bound.
        tls: certificate and key, paths of PEM files; None for plain HTTP.
        on_start: called once it answers.
        on_stop: called when it is asked to end: lets the microphone's audio end.
    """

    def __init__(
        self,
        service: Service,
        sock: socket.socket,
        tls: tuple[str, str] | None,
        on_start: Callable[[], None],
        on_stop: Callable[[], None],
    ) -> None:
        cert, key = tls or (None, None)
        config = uvicorn.Config(
            make_app(service),
            http=Http,
            ws="websockets-sansio",
            loop="asyncio",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=int(_LAST_SECONDS),
            backlog=_BACKLOG,
            ws_max_size=MAX_MESSAGE,
            ws_per_message_deflate=False,  # a small message may become a large one
            ssl_certfile=cert,
            ssl_keyfile=key,
        )
        config.load()
        if config.ssl is not None:
            config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        # What clients send wrong is told to them alone.
        for name in ("python_multipart", "multipart"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        super().__init__(config)
        self._service = service
        self._sock = sock
        self._on_start = on_start
        self._on_stop = on_stop

    def handle_exit(self, sig: int, frame: Any) -> None:
        """A signal: first let streams and the microphone end, then the server."""
        # uvicorn would raise the signal once more when all is done.
        if self.should_exit:
            self.force_exit = True
            return
        self.should_exit = True
        self._on_stop()
        self._service.stopping.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen at the address, and to the microphone."""
        self._service.start()
        await super().startup(sockets)
        gc.freeze()  # what was loaded stays: no search for garbage goes through it
        if self._service.listener is not None:
            self._service.listener.start()
        self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let those go who wait for live results, then everybody."""
        service = self._service
        for server in self.servers:
            server.close()  # nobody new
        loop = asyncio.get_running_loop()
        if service.listener is not None:
            await loop.run_in_executor(None, service.listener.join, _LAST_SECONDS)
        await asyncio.sleep(0)  # what the listener told is told
        service.followers.end()
        deadline = loop.time() + _LAST_SECONDS
        while service.streams and loop.time() < deadline and not self.force_exit:
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)
        await service.close()

    def serve_until_stopped(self) -> None:
        """Serve; returns when it was asked to end."""
        asyncio.run(self.serve(sockets=[self._sock]))


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens at an address, or at all addresses of a name the first.

    Raises:
        OSError: it cannot.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    sock.set_inheritable(False)
    return sock

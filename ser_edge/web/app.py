"""The application: routes, the page's files, and what every request goes through."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import h11
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from ser_edge.web import routes
from ser_edge.web.security import COOKIE, HEADERS, PAGE_HEADERS, Refusal
from ser_edge.web.service import Problem
from ser_edge.web.stream import stream

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ser_edge.web.service import Service

_FOLDER = os.path.join(os.path.dirname(__file__), "static")
_EVERY_ANSWER = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
_PAGE = [(n.encode(), v.encode()) for n, v in {**HEADERS, **PAGE_HEADERS}.items()]
_OPEN_TO_ALL = "/healthz"  # needs no token, and tells nothing
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/manifest+json",
}
# The page's files, by the paths at which they are served: no path of a client reaches the disk.
FILES = {
    ("/" if name == "index.html" else f"/{name}"): os.path.join(_FOLDER, name)
    for name in sorted(os.listdir(_FOLDER))
    if os.path.splitext(name)[1] in _TYPES
}

API = (
    Route("/v1/classify", routes.classify, methods=["POST"]),
    Route("/v1/profile", routes.make_profile, methods=["POST"]),
    Route("/v1/results", routes.results),
    Route("/v1/history", routes.history),
    Route("/v1/model", routes.model),
    Route("/v1/openapi.json", routes.description),
    Route("/healthz", routes.healthz),
    Route("/metrics", routes.metrics),
)
STREAM = WebSocketRoute("/v1/stream", stream)


def make_app(service: Service) -> ASGIApp:
    """The service as an ASGI application."""
    page = [Route(path, _file) for path in FILES]
    app = Starlette(
        routes=[*API, STREAM, *page],
        exception_handlers={
            HTTPException: _problem,
            ClientDisconnect: _gone,
            Exception: _failed,
        },
    )
    app.state.service = service
    return _Gate(app, service)


async def _file(request: Request) -> Response:
    path = FILES[request.url.path]
    kind = _TYPES[os.path.splitext(path)[1]]
    return FileResponse(path, media_type=kind, headers={"cache-control": "no-cache"})


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    content: dict[str, Any] = {"error": _sentence(error)}
    if isinstance(error, Problem):
        content["exit_code"] = error.exit_code
        if error.file is not None:
            content["file"] = error.file
    headers = {**routes.NO_STORE, **(error.headers or {})}
    if error.status_code in (408, 413):
        headers["connection"] = "close"  # what is still to come is not read
    return JSONResponse(content, status_code=error.status_code, headers=headers)


def _sentence(error: HTTPException) -> str:
    known = {404: "there is nothing here", 405: "this path takes other methods"}
    if error.detail in ("Not Found", "Method Not Allowed"):
        return known[error.status_code]
    return error.detail


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # to nobody


async def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "the service failed"}, status_code=500)


class _Gate:
    """What every request goes through: who may ask, headers of the answer, time limits, counts."""

    def __init__(self, app: Starlette, service: Service) -> None:
        self._app = app
        self._service = service
        self._known = {route.path for route in API} | set(FILES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = _headers(scope)
        refusal = (
            Refusal(400, "a request names this service once: Host")
            if sum(name == b"host" for name, _ in scope["headers"]) != 1
            else self._service.guard.refuse(headers, open_to_all=scope["path"] == _OPEN_TO_ALL)
        )
        if scope["type"] == "websocket":
            if refusal is None:
                await self._app(scope, receive, send)
            else:
                await _refuse_websocket(scope, refusal, receive, send)
            return
        began = time.monotonic()
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    *(_PAGE if scope["path"] in FILES else _EVERY_ANSWER),
                    *self._cookie(scope, headers),
                ]
            await send(message)

        try:
            if refusal is None:
                await self._app(scope, receive, send_with_headers)
            else:
                await _refused(refusal)(scope, receive, send_with_headers)
        except h11.LocalProtocolError:
            pass  # what came of the rest of the request was told already
        except Exception as error:  # the answer 500 was sent
            print(f"ser-edge: the service failed: {error!r}", file=sys.stderr)
        finally:
            path = scope["path"] if scope["path"] in self._known else "other"
            self._service.metrics.answered(path, status, time.monotonic() - began)

    def _cookie(self, scope: Scope, headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
        guard = self._service.guard
        # A browser keeps the password for requests, but not for WebSockets.
        if not guard.has_password(headers):
            return []
        secure = "; Secure" if scope["scheme"] == "https" else ""
        cookie = f"{COOKIE}={guard.cookie}; Path=/; HttpOnly; SameSite=Strict{secure}"
        return [(b"set-cookie", cookie.encode())]


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _refused(refusal: Refusal) -> JSONResponse:
    headers = {**routes.NO_STORE, "connection": "close"}
    if refusal.status == 401:
        headers["www-authenticate"] = 'Basic realm="ser-edge", charset="UTF-8"'
    return JSONResponse({"error": refusal.sentence}, refusal.status, headers)


async def _refuse_websocket(scope: Scope, refusal: Refusal, receive: Receive, send: Send) -> None:
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    response = _refused(refusal)
    del response.headers["connection"]
    await send(
        {
            "type": "websocket.http.response.start",
            "status": refusal.status,
            "headers": response.raw_headers,
        }
    )
    await send({"type": "websocket.http.response.body", "body": bytes(response.body)})

"""The answers to requests, but for live audio."""

from __future__ import annotations

import asyncio
import json
import math
import time
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response, StreamingResponse

from ser_edge.errors import SerEdgeError
from ser_edge.web import about, openapi
from ser_edge.web.history import MAX_BINS, HistoryError, parse_time
from ser_edge.web.service import Problem, checked, health
from ser_edge.web.uploads import received

if TYPE_CHECKING:
    from starlette.requests import Request

    from ser_edge.web.service import Service
    from ser_edge.web.uploads import Sent, Upload

JSON_LINES = "application/x-ndjson"
NO_STORE = {"cache-control": "no-store"}

_MIN_HOP, _MAX_HOP = 0.01, 3600.0  # seconds
_HEALTH_SECONDS = 5.0  # for which an answer is believed: everybody may ask
_PROFILE = "profile"  # field of a form
_DAY_SECONDS = 86_400.0


def service_of(request: Any) -> Service:
    """What all routes share."""
    service: Service = request.app.state.service
    return service


async def classify(request: Request) -> Response:
    """``POST /v1/classify``: one recording or several."""
    service = service_of(request)
    query = request.query_params
    windows = _flag(query.get("windows"), "windows")
    hop = number(query.get("hop"), "hop", _MIN_HOP, _MAX_HOP)
    if hop is not None and not windows:
        raise Problem(400, "hop needs windows=1", 2)
    channel = number(query.get("channel"), "channel", 1, 1024)
    async with received(request, service.budget) as sent:
        recordings = [upload for upload in sent.files if upload.field != _PROFILE]
        profile = service.order_of(await _profile_text(sent) or query.get("profile"))
        order = {
            "job": "classify",
            "windows": windows,
            "hop": hop,
            "channel": None if channel is None else int(channel),
            "profile": profile,
            "origin": service.origin(profile),
        }
        if not recordings:
            raise Problem(400, "the form has no recording", 2)
        lines = []
        for upload in recordings:
            try:
                lines += await _lines(service, order, upload, request.client)
            except Problem as problem:
                if len(recordings) == 1 or problem.exit_code != 1:
                    raise
                lines.append(json.dumps({"file": upload.name, "error": problem.detail}))
    one = len(recordings) == 1 and not windows
    return Response(
        "".join(f"{line}\n" for line in lines),
        media_type="application/json" if one else JSON_LINES,
        headers=NO_STORE,
    )


async def _lines(service: Service, order: dict[str, Any], upload: Upload, client: Any) -> list[str]:
    answer = await service.ask({**order, "file": upload.name}, [upload.file], client)
    lines = checked(answer, upload.name).decode().splitlines()
    end = 0.0
    for line in lines:
        result = json.loads(line)
        seconds = result["end"] - max(end, result["start"])
        service.metrics.classified("upload", result["label"], result["reason"], seconds)
        end = result["end"]
    return lines


async def make_profile(request: Request) -> Response:
    """``POST /v1/profile``: a profile from clips, whose fields are named after emotions."""
    service = service_of(request)
    async with received(request, service.budget) as sent:
        clips = []
        for upload in sent.files:
            label = upload.field.strip().lower()
            if not 0 < len(label) <= 100 or not label.isprintable():
                raise Problem(400, "the form's fields must be named after emotions", 2)
            clips.append({"file": upload.name, "label": label})
        order = {"job": "profile", "clips": clips}
        answer = await service.ask(order, [upload.file for upload in sent.files])
    return Response(checked(answer), media_type="application/json", headers=NO_STORE)


async def results(request: Request) -> Response:
    """``GET /v1/results``: server-sent events of the device's microphone."""
    service = service_of(request)
    if service.listener is None:
        raise HTTPException(404, "this device does not listen: see ser-edge serve --listen")
    if service.followers.full:
        raise HTTPException(503, "too many follow already", {"retry-after": "30"})
    headers = {**NO_STORE, "x-accel-buffering": "no"}
    events = service.followers.events()
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


async def history(request: Request) -> Response:
    """``GET /v1/history``: results of the device's microphone, or sums of them."""
    service = service_of(request)
    kept = service.history
    if kept is None:
        raise HTTPException(404, "no history is kept: see ser-edge serve --history")
    query = request.query_params
    try:
        end = parse_time(query["to"]) if "to" in query else time.time()
        start = parse_time(query["from"]) if "from" in query else end - _DAY_SECONDS
    except ValueError as error:
        raise Problem(400, str(error), 2) from None
    width = number(query.get("bin"), "bin", 1, 366 * _DAY_SECONDS)
    answer: dict[str, Any] = {"schema": 1, "from": start, "to": end}
    try:
        if width is None:
            answer["results"] = await asyncio.to_thread(kept.results, start, end)
        elif (end - start) / width > MAX_BINS:
            raise Problem(400, f"more than {MAX_BINS} bins: choose a longer bin", 2)
        else:
            answer["bin"] = width
            answer["bins"] = await asyncio.to_thread(kept.bins, start, end, width)
    except HistoryError as error:
        raise Problem(500, str(error), 1) from None
    return JSONResponse(answer, headers=NO_STORE)


async def model(request: Request) -> Response:
    """``GET /v1/model``: what the model is, and what the service does."""
    return JSONResponse(about.describe(service_of(request)), headers=NO_STORE)


async def healthz(request: Request) -> Response:
    """``GET /healthz``: whether the model gives its reference answer here."""
    state = request.app.state
    known = getattr(state, "health", None)
    if known is None or time.monotonic() - known[0] > _HEALTH_SECONDS:
        known = state.health = (time.monotonic(), asyncio.ensure_future(_health(request)))
    answer, status = await asyncio.shield(known[1])
    return JSONResponse(answer, status_code=status, headers=NO_STORE)


async def _health(request: Request) -> tuple[dict[str, str], int]:
    service = service_of(request)
    if service.listener is not None and not service.listener.running:
        return {"status": "failed", "error": "the microphone is not heard any more"}, 503
    try:
        await health(service)
    except (SerEdgeError, HTTPException) as error:
        return {"status": "failed", "error": str(getattr(error, "detail", error))}, 503
    return {"status": "ok"}, 200


async def metrics(request: Request) -> Response:
    """``GET /metrics``, for Prometheus."""
    return Response(
        service_of(request).metrics.text(),
        media_type="text/plain; version=0.0.4; charset=utf-8",
        headers=NO_STORE,
    )


async def description(request: Request) -> Response:
    """``GET /v1/openapi.json``: this service, for programs that read it."""
    return JSONResponse(openapi.document())


async def _profile_text(sent: Sent) -> str | None:
    """The profile in a form, if there is one."""
    if _PROFILE in sent.fields:
        return str(sent.fields[_PROFILE])
    for upload in sent.files:
        if upload.field == _PROFILE:
            text = str(upload.file.read(1_000_001), "utf-8", "replace")
            # It begins like a profile, or is one that the parser refuses with a sentence.
            return text if text.lstrip()[:1] == "{" else "{" + text
    return None


def number(text: str | None, name: str, low: float, high: float) -> float | None:
    """A number in the query.

    Raises:
        Problem: it is none, or out of range.
    """
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise Problem(400, f"{name} must be a number from {low:g} to {high:g}", 2)
    return value


def _flag(text: str | None, name: str) -> bool:
    if text not in (None, "", "0", "1", "false", "true"):
        raise Problem(400, f"{name} must be 0 or 1", 2)
    return text in ("1", "true", "")

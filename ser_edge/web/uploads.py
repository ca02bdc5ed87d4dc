"""Recordings in a request: its body, or the files of a form. Nothing has a name on disk."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from ser_edge.web.limits import Body, Budget
from ser_edge.web.security import printable

if TYPE_CHECKING:
    from starlette.datastructures import FormData

MAX_FILES = 100
_MAX_FIELDS = 20
_MEMORY_BYTES = 1 << 17  # of a recording; a longer one goes to an unlinked file


class Upload(NamedTuple):
    """A recording that a client sent."""

    field: str  # of the form; empty for a body
    name: str  # as the client calls it
    file: BinaryIO


class Sent(NamedTuple):
    """What a request holds."""

    files: list[Upload]
    fields: dict[str, str]  # of the form that are no files


class _Parser(MultiPartParser):
    spool_max_size = _MEMORY_BYTES


@contextlib.asynccontextmanager
async def received(request: Request, budget: Budget) -> AsyncIterator[Sent]:
    """The recordings of a request, which are gone afterwards.

    Raises:
        HTTPException: 400: the form is broken; 408, 413, 503: as ``limits.Body``.
    """
    body = Body(request.receive, dict(request.headers), budget)
    limited = Request(request.scope, body.receive)
    form: FormData | None = None
    files: list[Upload] = []
    try:
        if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            form = await _form(limited)
            sent = _sorted(form)
            files = sent.files
            if not files:
                raise HTTPException(400, "the form has no file")
        else:
            file: Any = tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES)  # noqa: SIM115
            files = [Upload("", _name(request.query_params.get("file")), file)]
            async for piece in limited.stream():
                file.write(piece)
            file.seek(0)
            sent = Sent(files, {})
        yield sent
    finally:
        for upload in files:
            upload.file.close()
        if form is not None:
            await form.close()
        body.close()


async def _form(request: Request) -> FormData:
    parser = _Parser(request.headers, request.stream(), max_files=MAX_FILES, max_fields=_MAX_FIELDS)
    try:
        return await parser.parse()
    except MultiPartException as error:
        raise HTTPException(400, f"the form is broken: {error.message}") from None
    except HTTPException:
        raise
    except Exception as error:  # python-multipart has errors of many kinds
        raise HTTPException(400, f"the form is broken: {printable(str(error))}") from None


def _sorted(form: FormData) -> Sent:
    """Files and other fields."""
    files, fields = [], {}
    for field, value in form.multi_items():
        if isinstance(value, str):
            fields[field] = value
        else:
            value.file.seek(0)  # of a form that is cut off it stands at its end
            files.append(Upload(field, _name(value.filename), value.file))
    return Sent(files, fields)


def _name(name: str | None) -> str:
    """What a recording is called in answers: one line, and not long."""
    return printable(name) if name else "recording"

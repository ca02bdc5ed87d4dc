"""The service as an OpenAPI document, which tests compare with its routes and answers."""

from __future__ import annotations

from typing import Any

from ser_edge import __version__

_RESULT: dict[str, Any] = {
    "type": "object",
    "description": "The same object as ser-edge classify --json prints.",
    "required": ["schema", "model", "label", "confidence", "scores", "start", "end", "reason"],
    "properties": {
        "schema": {"type": "integer"},
        "model": {"type": "string"},
        "profile": {"type": "string"},
        "file": {"type": "string"},
        "time": {"type": "string", "format": "date-time"},
        "label": {"type": ["string", "null"]},
        "confidence": {"type": ["number", "null"]},
        "scores": {"type": ["object", "null"], "additionalProperties": {"type": "number"}},
        "start": {"type": "number"},
        "end": {"type": "number"},
        "reason": {
            "type": ["string", "null"],
            "enum": [None, "silence", "too_short", "no_speech", "uncertain", "unfamiliar"],
        },
    },
    "additionalProperties": False,
}
_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "string", "description": "One sentence, as the command line tells it."},
        "exit_code": {"type": "integer", "description": "That of the command line."},
        "file": {"type": "string"},
    },
    "additionalProperties": False,
}
_PROBLEMS = {
    400: "Wrong usage: exit code 2 of the command line.",
    401: "A token is needed.",
    403: "Another host name than this device's, or a page of another site.",
    404: "The service was started without this.",
    408: "The recording came too slowly.",
    413: "The request is too large.",
    422: "The recording cannot be read: exit code 1 of the command line.",
    500: "The model or the installation is unusable: exit code 3 of the command line.",
    503: "Too much is waiting: try again after as many seconds as Retry-After says.",
}


def document() -> dict[str, Any]:
    """The document, version 3.1."""
    recordings = _body(
        {
            "multipart/form-data": {
                "type": "object",
                "properties": {
                    "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    "profile": {"type": "string", "description": "A profile's file or its text."},
                },
            },
            "application/octet-stream": {"type": "string", "format": "binary"},
        }
    )
    clips = _body(
        {
            "multipart/form-data": {
                "type": "object",
                "description": "Fields named after emotions, each with recordings.",
                "additionalProperties": {"type": "string", "format": "binary"},
            }
        }
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ser-edge",
            "version": __version__,
            "description": "Speech emotion recognition on this device. Audio is never stored.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "security": [{"token": []}],
        "paths": {
            "/v1/classify": {
                "post": {
                    "operationId": "classify",
                    "summary": "Tell the emotion of recordings, in any format that classify takes.",
                    "parameters": [
                        _query("windows", "A line for every window.", {"enum": ["0", "1"]}),
                        _query("hop", "Seconds from window to window.", {"type": "number"}),
                        _query("channel", "The first is 1.", {"type": "integer"}),
                        _query("profile", "Name of a profile; none for none.", {"type": "string"}),
                        _query("file", "What to call the body.", {"type": "string"}),
                    ],
                    "requestBody": recordings,
                    "responses": _responses(
                        {
                            "application/json": _ref("Result"),
                            "application/x-ndjson": {"type": "string"},
                        },
                        400,
                        408,
                        413,
                        422,
                        500,
                        503,
                    ),
                }
            },
            "/v1/profile": {
                "post": {
                    "operationId": "profile",
                    "summary": "Make a profile from labelled clips; nothing is kept.",
                    "requestBody": clips,
                    "responses": _responses(
                        {"application/json": {"type": "object"}}, 400, 408, 413, 422, 500, 503
                    ),
                }
            },
            "/v1/results": {
                "get": {
                    "operationId": "results",
                    "summary": "Results of the device's microphone, as server-sent events.",
                    "responses": _responses({"text/event-stream": {"type": "string"}}, 404, 503),
                }
            },
            "/v1/history": {
                "get": {
                    "operationId": "history",
                    "summary": "What the device's microphone told.",
                    "parameters": [
                        _query("from", "Unix time or ISO 8601; a day ago.", {"type": "string"}),
                        _query("to", "The same; now.", {"type": "string"}),
                        _query("bin", "Seconds that are summed up.", {"type": "number"}),
                    ],
                    "responses": _responses(
                        {"application/json": {"type": "object"}}, 400, 404, 500
                    ),
                }
            },
            "/v1/model": {
                "get": {
                    "operationId": "model",
                    "summary": "The model, its accuracy, and what the service does.",
                    "responses": _responses({"application/json": {"type": "object"}}),
                }
            },
            "/v1/stream": {
                "get": {
                    "operationId": "stream",
                    "summary": "A WebSocket for live audio: JSON, then PCM as binary messages.",
                    "responses": {"101": {"description": "The WebSocket is open."}, **_errors()},
                }
            },
            "/v1/openapi.json": {
                "get": {
                    "operationId": "openapi",
                    "summary": "This document.",
                    "responses": _responses({"application/json": {"type": "object"}}),
                }
            },
            "/healthz": {
                "get": {
                    "operationId": "healthz",
                    "summary": "Whether the model gives its reference answer. Needs no token.",
                    "security": [],
                    "responses": _responses({"application/json": {"type": "object"}}, 503),
                }
            },
            "/metrics": {
                "get": {
                    "operationId": "metrics",
                    "summary": "Figures for Prometheus.",
                    "responses": _responses({"text/plain": {"type": "string"}}),
                }
            },
        },
        "components": {
            "schemas": {"Result": _RESULT, "Error": _ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _query(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {kind: {"schema": s} for kind, s in content.items()}}


def _responses(content: dict[str, Any], *problems: int) -> dict[str, Any]:
    answers = {kind: {"schema": schema} for kind, schema in content.items()}
    return {"200": {"description": "The answer.", "content": answers}, **_errors(*problems)}


def _errors(*problems: int) -> dict[str, Any]:
    return {
        str(status): {
            "description": _PROBLEMS[status],
            "content": {"application/json": {"schema": _ref("Error")}},
        }
        for status in sorted({401, 403, *problems})
    }

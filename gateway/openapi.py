"""The OpenAPI 3.1 document: routes carry their `Operation`, structs give the schemas."""

import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any, Final

from gateway.errors import CODES, PROBLEM_JSON, FieldError, ProblemView
from gateway.headers import KEY_PATTERN
from gateway.openapi_shapes import Json, Shapes
from gateway.openapi_webhooks import webhooks
from gateway.operation import JSON, Operation
from projections.event_view import EventView

_BODY_CODES: Final = (
    "invalid_request", "card_data_refused", "payload_too_large", "unsupported_media_type",
)  # fmt: skip
_KEY_CODES: Final = (
    "missing_credentials", "invalid_api_key", "invalid_token", "missing_scope", "invalid_request",
)  # fmt: skip
_ENGINE_CODES: Final = ("overloaded", "database_unavailable")
_ONCE_CODES: Final = ("idempotency_key_reused", "idempotency_in_progress", "concurrent_change")

_HEADER_PARAMETERS: Final[dict[str, Json]] = {
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": (
            "Makes a repetition safe for 7 days and more: the same key and body get the first "
            "answer with `Idempotent-Replayed: true`, another body gets 422."
        ),
        "schema": {"type": "string", "pattern": KEY_PATTERN},
        "example": "cart-1042-try-1",
    },
    "Prefer": {
        "name": "Prefer",
        "in": "header",
        "required": False,
        "description": "`wait=N`: seconds to wait for the outcome, 3 unless said, at most 20.",
        "schema": {"type": "string", "minLength": 1},
        "example": "wait=10",
    },
    "X-Loop-Mode": {
        "name": "X-Loop-Mode",
        "in": "header",
        "required": False,
        "description": "Which money, with an access token; a key has a mode, whatever this says.",
        "schema": {"type": "string", "enum": ["test", "live"], "default": "test"},
        "example": "test",
    },
    "X-Correlation-ID": {
        "name": "X-Correlation-ID",
        "in": "header",
        "required": False,
        "description": (
            "Ties together all that this request causes, up to the webhooks. Anything but 1 to "
            "128 visible ASCII characters is replaced."
        ),
        "schema": {"type": "string"},
        "example": "checkout-7f3a",
    },
}
_HEADERS: Final[dict[str, Json]] = {
    "X-Correlation-ID": {"description": "Yours or ours.", "schema": {"type": "string"}},
    "X-Request-ID": {"description": "Of this request.", "schema": {"type": "string"}},
    "Idempotent-Replayed": {
        "description": "`true` when this is the answer of an earlier, equal request.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 0}},
    "RateLimit": {
        "description": "What is left of the limit, and in how many seconds there is more.",
        "schema": {"type": "string"},
        "example": '"key";r=499',
    },
    "RateLimit-Policy": {
        "description": "The limit: `q` requests in `w` seconds.",
        "schema": {"type": "string"},
        "example": '"key";q=500;w=1',
    },
    "WWW-Authenticate": {"description": "The scheme.", "schema": {"type": "string"}},
    "Location": {"description": "Where to go on.", "schema": {"type": "string", "format": "uri"}},
}
_MORE_HEADERS: Final = {
    303: ("Location",),
    401: ("WWW-Authenticate",),
    409: ("Retry-After",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}


def document(routes: Iterable[tuple[str, str, Operation]], *, server: str) -> Json:
    """Return the document of `(method, path, operation)` routes; paths as OpenAPI writes them.

    Tags stand in the order of the routes.
    """
    given = list(routes)
    known = sorted(given, key=lambda route: (route[1], route[0]))
    shapes = Shapes((op for _, _, op in known), ProblemView, FieldError, EventView)
    paths: dict[str, Json] = {}
    for method, path, operation in known:
        paths.setdefault(path, {})[method.lower()] = _operation(path, operation, shapes)
    for _, path, operation in known:
        if operation.gives:
            answer = paths[path]["post"]["responses"][str(operation.status)]
            answer["links"] = dict(_links(known, operation.gives))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Loop",
            "version": "1.0.0",
            "summary": "An event-sourced payment ledger",
            "description": (
                "Amounts are integers in minor units. Unknown fields and parameters are refused. "
                "Errors are problem details (RFC 9457) with a stable `code`. So are those of HTTP "
                "itself, on every path: 400 `invalid_request`, 405 `method_not_allowed`, 408 "
                "`request_timeout`, 414 `uri_too_long`, 431 `headers_too_large`."
            ),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": server}],
        "tags": [{"name": tag} for tag in dict.fromkeys(op.tag for _, _, op in given)],
        "paths": paths,
        "webhooks": webhooks(shapes.of(EventView)),
        "components": {
            "schemas": shapes.components,
            "headers": _HEADERS,
            "securitySchemes": {
                "apiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-API-Key",
                    "description": "`sk_test_…` or `sk_live_…`: the key carries the mode.",
                },
                "accessToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": (
                        "The `token` of a log-in: every scope, for a quarter of an hour; "
                        "`X-Loop-Mode` picks the mode."
                    ),
                },
            },
        },
    }


def codes_of(operation: Operation, *, has_path_parameter: bool) -> tuple[str, ...]:
    """Return every error code that an operation answers with."""
    codes: list[str] = []
    if operation.scope:
        codes += [*_KEY_CODES, *_ENGINE_CODES]
        codes += ["not_found"] if has_path_parameter else []
    if operation.body:
        codes += _BODY_CODES
    if "Idempotency-Key" in operation.headers:
        codes += _ONCE_CODES
    codes += ["rate_limited"] if operation.scope or operation.limited else []
    return tuple(dict.fromkeys([*codes, *operation.codes]))


def _links(known: Iterable[tuple[str, str, Operation]], name: str) -> Iterator[tuple[str, Json]]:
    """Yield what can be done next with the `id` of an answer."""
    for _, path, operation in known:
        if f"{{{name}}}" in path:
            parameters = {name: "$response.body#/id"}
            yield operation.id, {"operationId": operation.id, "parameters": parameters}


def _operation(path: str, operation: Operation, shapes: Shapes) -> Json:
    names = re.findall(r"{(\w+)}", path)
    parameters = [_path_parameter(name) for name in names]
    if operation.query:
        parameters += shapes.parameters(operation.query)
    wanted = (*operation.headers, *(["X-Loop-Mode"] if operation.scope else []), "X-Correlation-ID")
    parameters += [_HEADER_PARAMETERS[name] for name in wanted]
    described: Json = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description or operation.summary,
        "parameters": parameters,
        "security": [{"apiKey": []}, {"accessToken": []}] if operation.scope else [],
        "responses": _responses(operation, shapes, bool(names)),
    }
    if operation.scope:
        described["description"] += f"\n\nNeeds the scope `{operation.scope}`."
    if operation.body:
        media = {"schema": shapes.of(operation.body), "example": operation.body_example}
        described["requestBody"] = {
            "required": operation.body_required,
            "content": {operation.body_media: media},
        }
    return described


def _path_parameter(name: str) -> Json:
    schema: Json = {"type": "string"}
    if name == "order_id":
        schema["pattern"] = "^ord_[0-7][0-9a-hjkmnp-tv-z]{25}$"
    if name == "session_id":
        schema["pattern"] = "^cs_[0-7][0-9a-hjkmnp-tv-z]{25}$"
    if name == "checkout_id":
        schema["pattern"] = "^(ord|cs)_[0-7][0-9a-hjkmnp-tv-z]{25}$"
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _responses(operation: Operation, shapes: Shapes, has_path_parameter: bool) -> Json:  # noqa: FBT001 - an inner detail
    done = {operation.media: _content(operation.answer, operation.example, shapes)}
    empty = {HTTPStatus.NO_CONTENT, HTTPStatus.SEE_OTHER}
    responses: dict[int, Json] = {
        operation.status: _response(
            operation.status,
            "Done.",
            {} if operation.status in empty else done,
            more=_answered_with(operation),
        )
    }
    for status, (shape, example) in operation.also.items():
        content = {JSON: _content(shape, example, shapes)} if shape else {}
        responses[status] = _response(status, "Also possible.", content)
    by_status: dict[int, list[str]] = {}
    for code in codes_of(operation, has_path_parameter=has_path_parameter):
        by_status.setdefault(CODES[code][0], []).append(code)
    for status, codes in by_status.items():
        examples = {code: {"value": problem_example(code)} for code in codes}
        content = {PROBLEM_JSON: {"schema": shapes.of(ProblemView), "examples": examples}}
        text = "; ".join(f"`{code}`: {CODES[code][1]}" for code in codes)
        responses[status] = _response(status, text, content)
    return {str(status): responses[status] for status in sorted(responses)}


def _content(shape: Any, example: Any, shapes: Shapes) -> Json:
    schema = shapes.of(shape) if shape is not None else {"type": "string"}
    return {"schema": schema, "example": example}


def _answered_with(operation: Operation) -> tuple[str, ...]:
    """Return the headers of an operation's own answer, besides those of all answers."""
    limit = ("RateLimit", "RateLimit-Policy") if operation.scope or operation.limited else ()
    return (*limit, "Idempotent-Replayed") if "Idempotency-Key" in operation.headers else limit


def _response(status: int, text: str, content: Json, *, more: tuple[str, ...] = ()) -> Json:
    names = ("X-Correlation-ID", "X-Request-ID", *_MORE_HEADERS.get(status, ()), *more)
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    response: Json = {"description": text, "headers": headers}
    return {**response, "content": content} if content else response


def problem_example(code: str) -> Json:
    """Return an answer with that code, as the documentation shows it."""
    status, message = CODES[code]
    example: Json = {
        "type": f"/schema#{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": message,
        "instance": "/v1/orders",
        "code": code,
        "message": message,
        "requestId": "req_01jd3v8x2sfy3t6q9m4n7p0r5w",
    }
    if code == "invalid_request":
        example["errors"] = [{"field": "amount", "message": "Expected `int` >= 1"}]
    if code == "external_id_exists":
        example["orderId"] = "ord_01jd3v8x2sfy3t6q9m4n7p0r5w"
    if code == "no_processor":
        example["candidates"] = [{"processor": "stripe", "reason": "not configured"}]
    return example

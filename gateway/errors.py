"""Errors as HTTP answers: the only place with HTTP numbers for the families of domain errors."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from msgspec import UNSET, UnsetType

from commands.append import KeyRevoked, VersionTaken
from domain.errors import Conflict, LoopError, NotFound, Rejected, Unavailable
from gateway.edge import ids_of

PROBLEM_JSON: Final = "application/problem+json"
SCHEMES: Final = 'ApiKey realm="loop", Bearer realm="loop"'
_OVER: Final = ', error="invalid_token"'
"""What RFC 6750 says of a token that was given and is not good: get another one."""

_PATH: Final = "/:@!$&'()*+,;=~"
"""What stands in a path as it is; `instance` is a URI reference (RFC 9457, RFC 3986)."""

FAMILIES: Final = ((NotFound, 404), (Conflict, 409), (Rejected, 422), (Unavailable, 503))

CODES: Final[dict[str, tuple[int, str]]] = {
    "invalid_request": (400, "The request is not valid."),
    "idempotency_key_required": (400, "An Idempotency-Key or an externalId is needed."),
    "missing_signature": (400, "The webhook is not signed."),
    "no_config": (400, "There is no signing secret to check this webhook with."),
    "invalid_signature": (400, "The signature does not fit."),
    "card_data_refused": (400, "Card data is refused here: send a processor's token."),
    "email_exists": (400, "There is an account with this e-mail address."),
    "url_not_allowed": (400, "This URL may not be reached."),
    "missing_credentials": (401, "X-API-Key or Authorization: Bearer is needed."),
    "invalid_api_key": (401, "The API key is unknown, expired or revoked."),
    "invalid_token": (401, "The access token is unknown, expired or of a session that has ended."),
    "invalid_credentials": (401, "E-mail address or password are wrong."),
    "invalid_refresh_token": (401, "The refresh token is unknown, used, expired or logged out."),
    "missing_scope": (403, "The API key lacks the scope that this needs."),
    "forbidden": (403, "This address may not read this."),
    "not_found": (404, "There is no such thing."),
    "method_not_allowed": (405, "The path does not know this method."),
    "request_timeout": (408, "The request did not come whole in time."),
    "external_id_exists": (409, "An order with this externalId exists."),
    "idempotency_in_progress": (409, "A request with this Idempotency-Key is being answered."),
    "concurrent_change": (409, "The order changed meanwhile; try again."),
    "payload_too_large": (413, "The body is larger than 256 KiB."),
    "uri_too_long": (414, "The request's target is too long."),
    "unsupported_media_type": (415, "The body has to be application/json in UTF-8."),
    "invalid_status": (422, "The order's status does not allow this."),
    "order_quarantined": (422, "The processor's amount differs; an operator has to look."),
    "capture_exceeds_authorization": (422, "More than the authorization holds."),
    "partial_capture_unsupported": (422, "The processor captures the whole amount only."),
    "amount_not_representable": (422, "The processor cannot express this amount."),
    "refund_exceeds_captured": (422, "More than what is left of the captured amount."),
    "idempotency_key_reused": (422, "This Idempotency-Key was used with another body."),
    "no_processor": (422, "No processor can take this order."),
    "endpoint_disabled": (422, "The webhook endpoint is disabled: enable it first."),
    "endpoint_limit": (422, "There are as many webhook endpoints as there may be."),
    "rate_limited": (429, "Too many requests; Retry-After says when to go on."),
    "headers_too_large": (431, "The request's headers are larger than 64 KiB."),
    "overloaded": (503, "Too much at once; try again."),
    "reconciling": (503, "The log was restored; what processors did since is being listed."),
    "database_unavailable": (503, "The database cannot be reached; try again."),
}
"""Every code that the API answers with, its status, and a message as an example."""

_BY_STATUS: Final = {
    400: "invalid_request",
    401: "invalid_api_key",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    415: "unsupported_media_type",
}

_GONE: Final = "client disconnected prematurely"
"""What the framework says, as a 500, of a body that was broken off."""

log = structlog.get_logger("gateway")


class FieldError(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is wrong with one field, header or query parameter."""

    field: str
    message: str


class Candidate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A processor and why it is, or is no candidate."""

    processor: str
    reason: str


class ProblemView(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """RFC 9457 problem details with the flat `code` and `message`."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    message: str
    requestId: str  # noqa: N815 - the name on the wire
    errors: list[FieldError] | UnsetType = UNSET
    orderId: str | UnsetType = UNSET  # noqa: N815 - as above
    candidates: list[Candidate] | UnsetType = UNSET


class Refused(Exception):
    """The edge itself says no, before any command.

    Attributes:
        code: one of `CODES`.
        errors: what is wrong where, for `invalid_request`.
        headers: of the answer.
    """

    def __init__(
        self,
        code: str,
        message: str | None = None,
        errors: tuple[FieldError, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.status, default = CODES[code]
        self.code = code
        self.message = message or default
        self.errors = errors
        self.headers = headers or {}


def invalid(field: str, message: str) -> Refused:
    """Return the 400 for one field, header or query parameter."""
    return Refused("invalid_request", f"{field}: {message}", (FieldError(field, message),))


def problem(
    *,
    status: int,
    code: str,
    message: str,
    instance: str,
    request_id: str,
    extra: dict[str, Any] | None = None,
) -> bytes:
    """Render problem details; `extra` are further public members."""
    body = {
        "type": f"/schema#{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": message,
        "instance": instance,
        "code": code,
        "message": message,
        "requestId": request_id,
        **(extra or {}),
    }
    return msgspec.json.encode(body)


def _answer(
    request: Request[Any, Any, Any],
    status: int,
    code: str,
    message: str,
    *,
    extra: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> Response[bytes]:
    body = problem(
        status=status,
        code=code,
        message=message,
        instance=quote(request.url.path, safe=_PATH),
        request_id=ids_of(request.scope).request_id,
        extra=extra,
    )
    return Response(body, status_code=status, media_type=PROBLEM_JSON, headers=headers or {})


def on_refused(request: Request[Any, Any, Any], error: Refused) -> Response[bytes]:
    """Answer what the edge refuses."""
    headers = dict(error.headers)
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = SCHEMES + (_OVER if error.code == "invalid_token" else "")
    extra = {"errors": error.errors} if error.errors else None
    return _answer(request, error.status, error.code, error.message, extra=extra, headers=headers)


def on_loop_error(request: Request[Any, Any, Any], error: LoopError) -> Response[bytes]:
    """Answer what the commands say no to."""
    status = next(number for family, number in FAMILIES if isinstance(error, family))
    status = CODES.get(error.code, (status,))[0]
    headers: dict[str, str] = {}
    if isinstance(error, Unavailable):
        headers = {"Retry-After": str(error.retry_after_s)}
    elif error.code == "idempotency_in_progress":
        headers = {"Retry-After": "1"}
    return _answer(request, status, error.code, error.message, extra=error.extra, headers=headers)


def on_key_revoked(request: Request[Any, Any, Any], _: KeyRevoked) -> Response[bytes]:
    """Answer a key or session that was revoked between the check and the commit."""
    code = "invalid_token" if "authorization" in request.headers else "invalid_api_key"
    return on_refused(request, Refused(code))


def on_version_taken(request: Request[Any, Any, Any], _: VersionTaken) -> Response[bytes]:
    """Answer a change that lost against others."""
    return _answer(request, *CODES["concurrent_change"][:1], "concurrent_change", "Try again.")


def on_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer what the framework refuses: unknown paths, other methods, bodies too large."""
    status = error.status_code
    if error.detail == _GONE:
        # Nobody reads this answer, and it is no bug of ours.
        late = "late" in request.scope["state"]
        short = invalid("body", "ended before its end")
        return on_refused(request, Refused("request_timeout") if late else short)
    if status not in _BY_STATUS:
        return on_bug(request, error)
    code = _BY_STATUS[status]
    headers: dict[str, str] = {}
    if code == "method_not_allowed":
        # The framework names the methods of one handler of the path only.
        headers = {"Allow": ", ".join(request.app.state.allow(request.scope["path"]))}
    return _answer(request, status, code, CODES[code][1], headers=headers)


def on_bug(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Log what nobody foresaw; the answer says nothing about it."""
    log.error("unhandled", exc_info=error)
    return _answer(request, 500, "internal_error", "Something went wrong on our side.")


HANDLERS: Final[dict[int | type[Exception], Any]] = {
    Refused: on_refused,
    LoopError: on_loop_error,
    KeyRevoked: on_key_revoked,
    VersionTaken: on_version_taken,
    HTTPException: on_http_error,
    Exception: on_bug,
}

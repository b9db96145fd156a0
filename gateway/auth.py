"""Who is asking: from credentials to a `Caller` with the scopes that the route needs."""

import re
from typing import Any, Final, Literal

import structlog
from litestar import Request

from commands.append import KeyRow
from commands.caller import Caller
from domain.merchant import SCOPES
from domain.metadata import Actor, Mode
from gateway.deps import Deps
from gateway.edge import ids_of
from gateway.errors import Refused, invalid
from gateway.headers import single
from gateway.limits import count_address, count_key

Scope = Literal["payments:write", "payments:read", "webhooks:write", "ledger:read", "account:admin"]

_SHAPE: Final = re.compile(r"sk_(test|live)_[A-Za-z0-9_-]{16,100}")
_BEARER: Final = re.compile(r"bearer +([A-Za-z0-9_.-]{1,1024})", re.IGNORECASE)
_NONE: Final[list[str]] = []


def deps_of(request: Request[Any, Any, Any]) -> Deps:
    """Return what the application was built from."""
    deps: Deps = request.app.state.deps
    return deps


async def authenticated(
    request: Request[Any, Any, Any], scope: Scope, *, cached: bool = False
) -> Caller:
    """Return the caller behind `X-API-Key` or `Authorization: Bearer`, if it may do this.

    `cached` spares a read where the command appends or loads under `caller.key_id`, which probes
    the key; else a key that was revoked a moment ago could still read a list.

    Raises:
        Refused: `invalid_request` for an empty header or both; `missing_credentials`,
            `invalid_api_key`, `invalid_token`, `missing_scope`, `rate_limited`.
        domain.errors.Unavailable: the database cannot be asked.
    """
    deps = deps_of(request)
    try:
        caller = await _caller(request, deps, cached=cached)
    except Refused as refused:
        if refused.status == 401:  # noqa: PLR2004 - HTTP's own number
            count_address(request, deps.limits)
        raise
    assert caller.key_id is not None, "who asks over HTTP has a key or a session"
    if "taken" not in request.scope["state"]:
        count_key(request, deps.limits, caller.key_id)
    if scope not in caller.scopes:
        raise Refused("missing_scope", f"The API key lacks the scope {scope}.")
    structlog.contextvars.bind_contextvars(merchant_id=caller.merchant_id)
    return caller


async def _caller(request: Request[Any, Any, Any], deps: Deps, *, cached: bool) -> Caller:
    mode = _mode(request)
    keys = _given(request, "X-API-Key")
    bearers = _given(request, "Authorization")
    if keys and bearers:
        raise invalid("Authorization", "is given beside X-API-Key: one of them is enough")
    if keys:
        return await _of_key(request, deps, keys, cached=cached)
    if bearers:
        return await _of_token(request, deps, bearers, mode, cached=cached)
    raise Refused("missing_credentials")


def _given(request: Request[Any, Any, Any], name: str) -> list[str]:
    values = request.headers.getall(name, _NONE)
    if values and not all(value.strip(" \t") for value in values):
        raise invalid(name, "is empty")
    return values


async def _of_key(
    request: Request[Any, Any, Any], deps: Deps, given: list[str], *, cached: bool
) -> Caller:
    if len(given) > 1 or not _SHAPE.fullmatch(given[0]):
        raise Refused("invalid_api_key")
    row = await deps.api_keys.find(given[0], cached=cached)
    if row is None or _over(row, deps):
        raise Refused("invalid_api_key")
    actor = Actor(kind="api_key", id=row.key_id)
    return _made(request, row, actor, row.mode, row.scopes)


async def _of_token(
    request: Request[Any, Any, Any], deps: Deps, given: list[str], mode: Mode, *, cached: bool
) -> Caller:
    bearer = _BEARER.fullmatch(given[0].strip(" \t"))
    if len(given) > 1 or bearer is None:
        raise Refused("invalid_token")
    token = deps.tokens.read(bearer[1])
    if token is None:
        raise Refused("invalid_token")
    row = await deps.api_keys.find_session(token.session_id, cached=cached)
    if row is None or row.merchant_id != token.merchant_id or _over(row, deps):
        raise Refused("invalid_token")
    # A merchant has one user, who is called by the merchant's id.
    actor = Actor(kind="user", id=row.merchant_id)
    return _made(request, row, actor, mode, SCOPES)


def reaches(caller: Caller, mode: Mode) -> None:
    """Refuse a test key that would change something of live mode.

    Raises:
        Refused: `missing_scope`.
    """
    if mode == "live" and caller.actor.kind == "api_key" and caller.mode == "test":
        raise Refused("missing_scope", "A test key changes nothing of live mode.")


def _over(row: KeyRow, deps: Deps) -> bool:
    return row.expires_at is not None and row.expires_at <= deps.ports.now()


def _mode(request: Request[Any, Any, Any]) -> Mode:
    """Return the mode that is asked for: test, unless the header says so. A key has its own."""
    match single(request, "X-Loop-Mode"):
        case None | "test":
            return "test"
        case "live":
            return "live"
        case _:
            raise invalid("X-Loop-Mode", "is neither test nor live")


def _made(
    request: Request[Any, Any, Any],
    row: KeyRow,
    actor: Actor,
    mode: Mode,
    scopes: tuple[str, ...],
) -> Caller:
    ids = ids_of(request.scope)
    return Caller(
        actor=actor,
        merchant_id=row.merchant_id,
        mode=mode,
        key_id=row.key_id,
        scopes=scopes,
        correlation_id=ids.correlation_id,
        trace=ids.trace,
    )

"""Who is asking: from credentials to a `Caller` with the scopes that the route needs."""

import re
from typing import Any, Final, Literal

import structlog
from litestar import Request

from commands.caller import Caller
from domain.metadata import Actor
from gateway.deps import Deps
from gateway.edge import ids_of
from gateway.errors import Refused

Scope = Literal["payments:write", "payments:read", "webhooks:write", "ledger:read", "account:admin"]

_SHAPE: Final = re.compile(r"sk_(test|live)_[A-Za-z0-9_-]{16,100}")


def deps_of(request: Request[Any, Any, Any]) -> Deps:
    """Return what the application was built from."""
    deps: Deps = request.app.state.deps
    return deps


async def authenticated(request: Request[Any, Any, Any], scope: Scope) -> Caller:
    """Return the caller behind `X-API-Key`, if it may do what needs this scope.

    Raises:
        Refused: `missing_credentials`, `invalid_api_key`, `missing_scope`.
        domain.errors.Unavailable: the database cannot be asked.
    """
    none: list[str] = []
    given = request.headers.getall("x-api-key", none)
    if not any(given):
        raise Refused("missing_credentials")
    if len(given) > 1 or not _SHAPE.fullmatch(given[0]):
        raise Refused("invalid_api_key")
    deps = deps_of(request)
    row = await deps.api_keys.find(given[0])
    if row is None or (row.expires_at is not None and row.expires_at <= deps.ports.now()):
        raise Refused("invalid_api_key")
    if scope not in row.scopes:
        raise Refused("missing_scope", f"The API key lacks the scope {scope}.")
    ids = ids_of(request.scope)
    structlog.contextvars.bind_contextvars(merchant_id=row.merchant_id)
    return Caller(
        actor=Actor(kind="api_key", id=row.key_id),
        merchant_id=row.merchant_id,
        mode=row.mode,
        key_id=row.key_id,
        scopes=row.scopes,
        correlation_id=ids.correlation_id,
        trace=ids.trace,
    )

"""API keys: list, make, revoke."""

from datetime import UTC, datetime
from typing import Any, Final

from litestar import Request, Response, delete, get, post
from litestar.params import FromPath

from commands.change_merchant import Answered, load_merchant, once_of_merchant
from commands.issue_key import IssuedKey, issue_key, key_of
from commands.revoke_key import revoke_key
from domain.ids import is_id
from gateway import account_views as views
from gateway.account_bodies import ApiKeyRequest
from gateway.auth import authenticated, deps_of, reaches
from gateway.decode import no_query
from gateway.errors import Refused, invalid
from gateway.operation import Operation, answer
from gateway.read_command import read_command

LIST = Operation(
    id="listApiKeys",
    tag="API keys",
    summary="List API keys",
    description="Of both modes, the newest first, without those that were revoked.",
    scope="account:admin",
    answer=list[views.ApiKeyView],
    example=[views.API_KEY],
)
CREATE = Operation(
    id="createApiKey",
    tag="API keys",
    summary="Make an API key",
    description=(
        "The secret is shown once; a repetition with the same `Idempotency-Key` gets `null`. A key "
        "makes keys with its own scopes at most, and a test key makes test keys only."
    ),
    scope="account:admin",
    status=201,
    answer=views.NewApiKeyView,
    example={"apiKey": views.API_KEY, "secret": "sk_test_Zp3vQm8yT1sK5wN7xB2cD4fG6hJ9kL0a"},
    body=ApiKeyRequest,
    body_required=True,
    body_example={"name": "Server"},
    headers=("Idempotency-Key",),
)
REVOKE = Operation(
    id="revokeApiKey",
    tag="API keys",
    summary="Revoke an API key",
    description="At once, in all processes.",
    scope="account:admin",
    status=204,
    codes=("concurrent_change",),
)

_LAST: Final = datetime.max.replace(tzinfo=UTC)
"""A time in a zone to the west may be behind it."""


@get("/api/api-keys", opt={"operation": LIST})
async def list_keys(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer the keys that still work or have expired."""
    caller = await authenticated(request, "account:admin")
    no_query(request)
    deps = deps_of(request)
    merchant = await load_merchant(deps.ports, caller.merchant_id)
    keys = [key for key in reversed(merchant.keys) if not key.revoked]
    used = await deps.api_keys.last_used([key.id for key in keys])
    return answer([views.api_key_view(key, used) for key in keys])


@post("/api/api-keys", opt={"operation": CREATE})
async def create(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Make a key and show its secret, once."""
    caller = await authenticated(request, "account:admin")
    body, once = await read_command(request, caller, ApiKeyRequest, required=True)
    deps = deps_of(request)
    missing = [scope for scope in body.scopes if scope not in caller.scopes]
    if missing:
        raise Refused("missing_scope", f"Who makes a key needs its scopes: {missing[0]}.")
    reaches(caller, body.mode)
    if body.expires_at is not None and body.expires_at <= deps.ports.now():
        raise invalid("expiresAt", "is in the past")
    if body.expires_at is not None and body.expires_at > _LAST:
        raise invalid("expiresAt", "is in a year that cannot be written")

    async def attempt() -> IssuedKey:
        return await issue_key(
            deps.ports,
            caller,
            name=body.name,
            mode=body.mode,
            hash_secret=deps.hash_secret,
            scopes=tuple(dict.fromkeys(body.scopes)),
            expires_at=body.expires_at,
            idempotency=once,
        )

    made = await once_of_merchant(deps.ports, caller, once, attempt)
    if isinstance(made, Answered):
        assert made.subject is not None, "it was about a key"
        key = views.api_key_view(key_of(made.merchant, made.subject), {})
        return answer(views.NewApiKeyView(api_key=key, secret=None), status=201, replayed=True)
    key = views.api_key_view(made.key, {})
    return answer(views.NewApiKeyView(api_key=key, secret=made.secret), status=201)


@delete("/api/api-keys/{key_id:str}", opt={"operation": REVOKE})
async def revoke(request: Request[Any, Any, Any], key_id: FromPath[str]) -> Response[None]:
    """Revoke a key; one that was revoked before stays so."""
    caller = await authenticated(request, "account:admin")
    no_query(request)
    if not is_id(key_id, "key"):
        raise Refused("not_found")
    ports = deps_of(request).ports
    merchant = await load_merchant(ports, caller.merchant_id)
    for key in merchant.keys:
        if key.id == key_id:
            reaches(caller, key.mode)
    await revoke_key(ports, caller, key_id=key_id)
    return Response(None, status_code=204)


ROUTES = (list_keys, create, revoke)

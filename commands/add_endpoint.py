"""The verb: make a webhook endpoint. Its signing secret is returned once, and kept in the vault."""

import base64
import secrets

import msgspec
from msgspec import UNSET, UnsetType

from commands.caller import Caller, Idempotency
from commands.change_merchant import Answered, change_merchant, load_merchant, once_of_merchant
from commands.ports import Ports
from domain.endpoints import API_VERSIONS, FIRST_SECRET, AddEndpoint, Endpoint
from domain.errors import Rejected
from domain.ids import new_id
from domain.metadata import Mode, Sealed

SECRET_BYTES = 24


class NewEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a merchant says of a new endpoint; `events` are types, or `*` for all."""

    url: str
    events: tuple[str, ...] = ("*",)
    description: str | None = None
    mode: Mode = "test"
    api_version: str = API_VERSIONS[-1]


class ShownEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as it is answered: with its secret, None for a repetition, unset for a read."""

    endpoint: Endpoint
    secret: str | UnsetType | None = UNSET
    status: int = 200
    replayed: bool = False

    def __repr__(self) -> str:
        return f"ShownEndpoint({self.endpoint.id}, ***)"


async def add_endpoint(
    ports: Ports, caller: Caller, wanted: NewEndpoint, idempotency: Idempotency | None = None
) -> ShownEndpoint:
    """Keep a fresh secret, then append `merchant.endpoint_added`.

    Raises:
        Rejected: `idempotency_key_reused`, `url_not_allowed`, `endpoint_limit`.
        Conflict: `concurrent_change`.
    """

    async def attempt() -> ShownEndpoint:
        return await _add(ports, caller, wanted, idempotency)

    return answered_endpoint(await once_of_merchant(ports, caller, idempotency, attempt))


def answered_endpoint(done: ShownEndpoint | Answered) -> ShownEndpoint:
    """Return what is shown of an endpoint; a repetition does not tell the secret again."""
    if isinstance(done, ShownEndpoint):
        return done
    endpoint = next(x for x in done.merchant.endpoints if x.id == done.subject)
    return ShownEndpoint(endpoint=endpoint, secret=None, status=done.status, replayed=True)


async def _add(
    ports: Ports, caller: Caller, wanted: NewEndpoint, idempotency: Idempotency | None
) -> ShownEndpoint:
    await check_url(ports, wanted.url)
    endpoint_id = new_id("whe")
    secret = await keep_secret(ports, caller, endpoint_id, FIRST_SECRET)
    command = AddEndpoint(
        endpoint_id=endpoint_id,
        mode=wanted.mode,
        url=await sealed_text(ports, caller, wanted.url),
        events=wanted.events,
        api_version=wanted.api_version,
        description=(
            await sealed_text(ports, caller, wanted.description) if wanted.description else None
        ),
    )
    after = await change_merchant(
        ports, caller, command, idempotency=idempotency, subject=endpoint_id, status=201
    )
    endpoint = next(x for x in after.endpoints if x.id == endpoint_id)
    return ShownEndpoint(endpoint=endpoint, secret=secret, status=201)


async def check_url(ports: Ports, url: str) -> None:
    """Refuse a URL that may not be reached.

    Raises:
        Rejected: `url_not_allowed`.
    """
    reason = await ports.outward.refuses(url)
    if reason is not None:
        raise Rejected("url_not_allowed", f"The URL may not be reached: {reason}.")


async def keep_secret(ports: Ports, caller: Caller, endpoint_id: str, name: str) -> str:
    """Make a signing secret and keep it under a name that nobody has used; return its text."""
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"
    await ports.vault.put_secret(endpoint_id, name, secret.encode(), merchant_id=caller.merchant_id)
    return secret


async def sealed_text(ports: Ports, caller: Caller, text: str) -> Sealed:
    """Seal a text under the key of the merchant's profile."""
    merchant = await load_merchant(ports, caller.merchant_id)
    assert merchant.profile is not None, "a merchant has a profile"
    sealed, row = await ports.vault.seal(
        text,
        merchant_id=merchant.id,
        mode=None,
        owner=merchant.id,
        beside=merchant.profile,
    )
    assert row is None, "the profile's key is there as long as the merchant"
    return sealed

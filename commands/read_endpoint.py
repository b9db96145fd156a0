"""Reads of webhook endpoints: the fold of the merchant's stream, and what the vault keeps."""

import msgspec

from commands.caller import Caller
from commands.change_merchant import load_merchant
from commands.ports import Ports
from domain.endpoints import Endpoint
from domain.errors import NotFound
from domain.ids import is_id


class OpenEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What is sealed of an endpoint; None where it is not there any more."""

    url: str | None
    description: str | None


async def open_endpoint(ports: Ports, endpoint: Endpoint) -> OpenEndpoint:
    """Open an endpoint's URL and description."""
    boxes = [box for box in (endpoint.url, endpoint.description) if box is not None]
    opened = [
        msgspec.json.decode(raw, type=str) if raw else None for raw in await ports.vault.open(boxes)
    ]
    return OpenEndpoint(url=opened[0], description=opened[1] if len(opened) > 1 else None)


def no_endpoint() -> NotFound:
    """Return the one answer for ids that are malformed, unknown, foreign or of the other mode."""
    return NotFound("not_found", "There is no such endpoint.")


async def list_endpoints(ports: Ports, caller: Caller) -> tuple[Endpoint, ...]:
    """Return the endpoints that a caller may see, oldest first.

    A key sees those of its mode, a person who has logged in those of both.
    """
    merchant = await load_merchant(ports, caller.merchant_id)
    return tuple(x for x in merchant.endpoints if may_see(caller, x))


async def read_endpoint(ports: Ports, caller: Caller, endpoint_id: str) -> Endpoint:
    """Return an endpoint.

    Raises:
        NotFound: for any other id.
    """
    if is_id(endpoint_id, "whe"):
        for endpoint in await list_endpoints(ports, caller):
            if endpoint.id == endpoint_id:
                return endpoint
    raise no_endpoint()


def may_see(caller: Caller, endpoint: Endpoint) -> bool:
    """Tell whether an endpoint is in the caller's reach."""
    return endpoint.mode == caller.mode or caller.actor.kind == "user"

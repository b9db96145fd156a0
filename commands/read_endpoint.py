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


async def list_endpoints(ports: Ports, caller: Caller) -> tuple[Endpoint, ...]:
    """Return a merchant's endpoints of both modes, oldest first."""
    return (await load_merchant(ports, caller.merchant_id)).endpoints


async def read_endpoint(ports: Ports, caller: Caller, endpoint_id: str) -> Endpoint:
    """Return an endpoint.

    Raises:
        NotFound: for any id but those of the merchant's endpoints.
    """
    if is_id(endpoint_id, "whe"):
        for endpoint in await list_endpoints(ports, caller):
            if endpoint.id == endpoint_id:
                return endpoint
    raise NotFound("not_found", "There is no such endpoint.")

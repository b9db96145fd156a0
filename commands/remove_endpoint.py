"""The verb: remove a webhook endpoint. What it was sent stays in the log."""

from commands.caller import Caller
from commands.change_merchant import change_merchant
from commands.ports import Ports
from commands.read_endpoint import read_endpoint
from domain.endpoints import RemoveEndpoint


async def remove_endpoint(ports: Ports, caller: Caller, endpoint_id: str) -> None:
    """Append `merchant.endpoint_removed`.

    Raises:
        NotFound: no such endpoint.
        Conflict: `concurrent_change`.
    """
    endpoint = await read_endpoint(ports, caller, endpoint_id)
    await change_merchant(ports, caller, RemoveEndpoint(endpoint_id=endpoint.id))

"""The verb: send a `test.ping` to a webhook endpoint, to see whether it works."""

from commands.add_endpoint import ShownEndpoint, answered_endpoint
from commands.caller import Caller, Idempotency
from commands.change_merchant import change_merchant, once_of_merchant
from commands.ports import Ports
from commands.read_endpoint import read_endpoint
from domain.endpoints import PingEndpoint


async def ping_endpoint(
    ports: Ports, caller: Caller, endpoint_id: str, idempotency: Idempotency | None = None
) -> ShownEndpoint:
    """Append `merchant.endpoint_tested`; the ping is delivered like every other event.

    Raises:
        NotFound: no such endpoint.
        Rejected: `idempotency_key_reused`, `endpoint_disabled`.
        Conflict: `concurrent_change`.
    """
    endpoint = await read_endpoint(ports, caller, endpoint_id)

    async def attempt() -> ShownEndpoint:
        command = PingEndpoint(endpoint_id=endpoint.id)
        await change_merchant(
            ports, caller, command, idempotency=idempotency, subject=endpoint.id, status=202
        )
        return ShownEndpoint(endpoint=endpoint, status=202)

    return answered_endpoint(await once_of_merchant(ports, caller, idempotency, attempt))

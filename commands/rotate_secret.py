"""The verb: sign with a new secret. The old one signs beside it for a day."""

import secrets

from commands.add_endpoint import ShownEndpoint, answered_endpoint, keep_secret
from commands.caller import Caller, Idempotency
from commands.change_merchant import change_merchant, once_of_merchant
from commands.ports import Ports
from commands.read_endpoint import read_endpoint
from domain.endpoints import RotateSecret


async def rotate_secret(
    ports: Ports, caller: Caller, endpoint_id: str, idempotency: Idempotency | None = None
) -> ShownEndpoint:
    """Keep a fresh secret, then append `merchant.endpoint_secret_rotated`.

    Raises:
        NotFound: no such endpoint.
        Rejected: `idempotency_key_reused`.
        Conflict: `concurrent_change`.
    """
    endpoint = await read_endpoint(ports, caller, endpoint_id)

    async def attempt() -> ShownEndpoint:
        name = secrets.token_hex(8)
        secret = await keep_secret(ports, caller, endpoint.id, name)
        command = RotateSecret(endpoint_id=endpoint.id, secret_id=name)
        after = await change_merchant(
            ports, caller, command, idempotency=idempotency, subject=endpoint.id, status=200
        )
        rotated = next(x for x in after.endpoints if x.id == endpoint.id)
        return ShownEndpoint(endpoint=rotated, secret=secret)

    return answered_endpoint(await once_of_merchant(ports, caller, idempotency, attempt))

"""The verb: revoke an API key, at once in all processes."""

from commands.caller import Caller
from commands.change_merchant import change_merchant
from commands.ports import Ports
from domain.merchant import RevokeKey


async def revoke_key(ports: Ports, caller: Caller, *, key_id: str) -> None:
    """Append `merchant.key_revoked` and mark the row that requests are checked against.

    Raises:
        NotFound: the merchant has no such key.
    """
    await change_merchant(ports, caller, RevokeKey(key_id=key_id), revoked_keys=(key_id,))

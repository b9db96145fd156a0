"""The verb: issue an API key. The secret is returned once and stored nowhere."""

from collections.abc import Callable
from datetime import datetime

import msgspec

from commands.caller import Caller
from commands.change_merchant import change_merchant
from commands.ports import KeyRow, Ports
from domain.ids import new_api_key, new_id
from domain.merchant import DEFAULT_SCOPES, IssueKey
from domain.metadata import Mode

PREFIX_LENGTH = 12


class IssuedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A fresh key; `secret` is shown to nobody again."""

    key_id: str
    secret: str
    mode: Mode
    scopes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"IssuedKey({self.key_id}, ***)"


async def issue_key(
    ports: Ports,
    caller: Caller,
    *,
    name: str,
    mode: Mode,
    hash_secret: Callable[[str], bytes],
    scopes: tuple[str, ...] = DEFAULT_SCOPES,
    expires_at: datetime | None = None,
) -> IssuedKey:
    """Append `merchant.key_issued` with the row that requests are checked against.

    Raises:
        NotFound: no such merchant.
        Rejected: `unknown_scope`.
    """
    secret, key_id = new_api_key(mode), new_id("key")
    command = IssueKey(
        key_id=key_id,
        name=name,
        prefix=secret[:PREFIX_LENGTH],
        mode=mode,
        scopes=scopes,
        expires_at=expires_at,
    )
    row = KeyRow(
        key_hash=hash_secret(secret),
        key_id=key_id,
        merchant_id=caller.merchant_id,
        mode=mode,
        scopes=scopes,
        expires_at=expires_at,
    )
    await change_merchant(ports, caller, command, key_rows=(row,))
    return IssuedKey(key_id=key_id, secret=secret, mode=mode, scopes=scopes)

"""The verb: issue an API key. The secret is returned once and stored nowhere."""

from collections.abc import Callable
from datetime import datetime

import msgspec

from commands.append import KeyRow
from commands.caller import Caller, Idempotency
from commands.change_merchant import change_merchant
from commands.ports import Ports
from domain.ids import new_api_key, new_id
from domain.merchant import DEFAULT_SCOPES, ApiKey, IssueKey, Merchant
from domain.metadata import Mode

PREFIX_LENGTH = 12


class IssuedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A fresh key; `secret` is shown to nobody again."""

    key_id: str
    secret: str
    mode: Mode
    scopes: tuple[str, ...]
    key: ApiKey

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
    idempotency: Idempotency | None = None,
) -> IssuedKey:
    """Append `merchant.key_issued` with the row that requests are checked against.

    Raises:
        NotFound: no such merchant.
        Rejected: `unknown_scope`.
        commands.append.AlreadyAnswered: the idempotency key was used before.
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
    after = await change_merchant(
        ports, caller, command, key_rows=(row,), idempotency=idempotency, subject=key_id
    )
    return IssuedKey(
        key_id=key_id, secret=secret, mode=mode, scopes=scopes, key=key_of(after, key_id)
    )


def key_of(merchant: Merchant, key_id: str) -> ApiKey:
    """Return a key that the merchant has, or had."""
    return next(key for key in merchant.keys if key.id == key_id)

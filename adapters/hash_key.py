"""The key of the hashes under which API keys, customers and log-ins are found: made once, kept."""

from typing import Any, Final

from psycopg import AsyncConnection

from adapters.vault import MasterKeys

_PLACE: Final = ("", "vault", "hash_key")
_BOUND_TO: Final = "secret::vault:hash_key"
_GET: Final = "SELECT box FROM secrets WHERE merchant_id = %s AND owner = %s AND field = %s"
_ADD: Final = (
    "INSERT INTO secrets (merchant_id, owner, field, box) VALUES (%s, %s, %s, %s) "
    "ON CONFLICT DO NOTHING"
)


async def with_kept_hash_key(db: AsyncConnection[Any], master_keys: MasterKeys) -> MasterKeys:
    """Return the master keys with this database's hash key, which is kept at the first call.

    It is derived from the oldest master key and wrapped by the newest one, so it outlives them all.

    Raises:
        MasterKeyError: the master key that wraps it is not configured.
    """
    while True:
        row = await (await db.execute(_GET, _PLACE)).fetchone()
        if row is not None:
            return master_keys.with_hash_key(master_keys.unwrap(bytes(row[0]), _BOUND_TO))
        box = master_keys.wrap(master_keys.first_hash_key(), _BOUND_TO)
        await db.execute(_ADD, (*_PLACE, box))

"""API keys in Postgres: found by a keyed hash; what is cached is checked again at every commit."""

import asyncio
import logging
import time
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from adapters.coalesce import Coalesced
from adapters.vault import MasterKeys
from commands.ports import KeyRow

log = logging.getLogger(__name__)

CACHE_S: Final = 5.0
"""For how long a found key is not read again; appends and reads probe the row all the same."""
CACHE_MAX: Final = 10_000
USED_EVERY_S: Final = 60.0
"""Last use is written at most this often per key."""

_FIND: Final = (
    "SELECT key_hash, key_id, merchant_id, mode, scopes, expires_at FROM api_keys "
    "WHERE key_hash = ANY(%s::bytea[]) AND revoked_at IS NULL "
    "AND coalesce(expires_at > clock_timestamp(), true)"
)
_USED: Final = "UPDATE api_keys SET last_used_at = clock_timestamp() WHERE key_id = %s"


def key_hash(master_keys: MasterKeys, secret: str) -> bytes:
    """Return the only trace that a secret API key leaves, 32 bytes."""
    return master_keys.keyed_hash("api_key", secret)


class PostgresApiKeys:
    """Finds working API keys. Start it with `run`, which ends after `close`."""

    def __init__(
        self, database_url: str, pool: AsyncConnectionPool, master_keys: MasterKeys
    ) -> None:
        self._pool = pool
        self._master = master_keys
        self._rows: Coalesced[bytes, KeyRow | None] = Coalesced(database_url, _load)
        self._cache: dict[bytes, tuple[float, KeyRow]] = {}
        self._used: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until `close`; what is still to be written about uses is written."""
        await self._rows.run()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def close(self) -> None:
        """Take nothing more."""
        self._rows.close()

    async def find(self, secret: str) -> KeyRow | None:
        """Return the row of a working key, None for any other text."""
        hashed = key_hash(self._master, secret)
        now = time.monotonic()
        cached = self._cache.get(hashed)
        if cached is not None and now - cached[0] < CACHE_S:
            return cached[1]
        row = await self._rows.get(hashed)
        if row is None:
            self._cache.pop(hashed, None)
            return None
        if len(self._cache) >= CACHE_MAX:
            self._cache.clear()
        self._cache[hashed] = (now, row)
        self._note_use(row.key_id, now)
        return row

    def _note_use(self, key_id: str, now: float) -> None:
        if now - self._used.get(key_id, -USED_EVERY_S) < USED_EVERY_S:
            return
        if len(self._used) >= CACHE_MAX:
            self._used.clear()
        self._used[key_id] = now
        task = asyncio.create_task(self._write_use(key_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write_use(self, key_id: str) -> None:
        try:
            async with self._pool.connection() as connection:
                await connection.execute(_USED, (key_id,))
        except psycopg.Error as error:
            log.warning("last use of an API key was not written: %s", type(error).__name__)


async def _load(connection: AsyncConnection[Any], asked: list[bytes]) -> dict[bytes, KeyRow | None]:
    found: dict[bytes, KeyRow | None] = dict.fromkeys(asked)
    for row in await (await connection.execute(_FIND, (asked,))).fetchall():
        hashed, key_id, merchant_id, mode, scopes, expires_at = row
        found[bytes(hashed)] = KeyRow(
            key_hash=bytes(hashed),
            key_id=key_id,
            merchant_id=merchant_id,
            mode=mode,
            scopes=tuple(scopes),
            expires_at=expires_at,
        )
    return found

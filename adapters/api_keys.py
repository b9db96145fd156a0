"""API keys and sessions in Postgres, found by a keyed hash; what is cached is probed again."""

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from adapters.coalesce import Coalesced
from adapters.connect import borrowed
from adapters.logins import session_hash
from adapters.vault import MasterKeys
from commands.append import KeyRow

log = logging.getLogger(__name__)

CACHE_S: Final = 5.0
"""For how long a found key is not read again; appends and reads probe the row all the same."""
CACHE_MAX: Final = 10_000
USED_EVERY_S: Final = 60.0
"""Last use is written at most this often per key, by all processes together."""

_FIND: Final = (
    "SELECT key_hash, key_id, merchant_id, mode, scopes, expires_at FROM api_keys "
    "WHERE key_hash = ANY(%s::bytea[]) AND revoked_at IS NULL "
    "AND coalesce(expires_at > clock_timestamp(), true)"
)
_USED: Final = (
    "UPDATE api_keys SET last_used_at = clock_timestamp() WHERE key_id = %s "
    "AND coalesce(last_used_at < clock_timestamp() - make_interval(secs => %s), true)"
)
_LAST_USED: Final = (
    "SELECT key_id, last_used_at FROM api_keys WHERE key_id = ANY(%s::text[]) "
    "AND last_used_at IS NOT NULL"
)


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

    async def find(self, secret: str, *, cached: bool = False) -> KeyRow | None:
        """Return the row of a working key, None for any other text.

        `cached` is for who probes the key again, where it reads or appends.
        """
        row = await self._find(key_hash(self._master, secret), cached=cached)
        if row is not None:
            self._note_use(row.key_id, time.monotonic())
        return row

    async def find_session(self, session_id: str, *, cached: bool = False) -> KeyRow | None:
        """Return the row of a session that has not ended; `cached` as above."""
        return await self._find(session_hash(self._master, session_id), cached=cached)

    async def last_used(self, key_ids: Sequence[str]) -> dict[str, datetime]:
        """Return when each key was last used, without those that never were.

        Raises:
            Unavailable: `database_unavailable`.
        """
        async with borrowed(self._pool) as connection:
            rows = await (await connection.execute(_LAST_USED, (list(key_ids),))).fetchall()
        return dict(rows)

    async def _find(self, hashed: bytes, *, cached: bool) -> KeyRow | None:
        now = time.monotonic()
        known = self._cache.get(hashed)
        if cached and known is not None and now - known[0] < CACHE_S:
            return known[1]
        row = await self._rows.get(hashed)
        if row is None:
            self._cache.pop(hashed, None)
            return None
        if len(self._cache) >= CACHE_MAX:
            self._cache.clear()
        self._cache[hashed] = (now, row)
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
                await connection.execute(_USED, (key_id, USED_EVERY_S))
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

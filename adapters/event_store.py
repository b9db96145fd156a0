"""The event store: appends by group commit, coalesced reads of streams, pages of the whole log."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from adapters.coalesce import Coalesced
from adapters.connect import borrowed
from adapters.group_commit import GroupCommit, Refused
from adapters.streams import Streams, recorded
from commands.append import (
    AlreadyAnswered,
    Append,
    Claim,
    ClaimTaken,
    IdempotencyRecord,
    KeyRevoked,
)
from domain.errors import Unavailable
from domain.events import Recorded

_WORKING_KEYS: Final = (
    "SELECT key_id FROM api_keys WHERE key_id = ANY(%s::text[]) AND revoked_at IS NULL "
    "AND coalesce(expires_at > clock_timestamp(), true)"
)
_ANSWERED: Final = (
    "SELECT t.scope, t.key, t.fingerprint, t.status, t.stream_id, t.version, t.subject "
    "FROM idempotency t JOIN unnest(%s::text[], %s::text[]) AS k (scope, key) "
    "ON t.scope = k.scope AND t.key = k.key"
)
_PAGE: Final = (
    "SELECT originator_id, originator_version, topic, state, notification_id, recorded_at "
    "FROM events WHERE notification_id > %s ORDER BY notification_id LIMIT %s"
)
_CLAIMED: Final = (
    "SELECT kind, scope, value, owner FROM claims "
    "WHERE (kind, scope, value) IN (SELECT * FROM unnest(%s::text[], %s::text[], %s::text[]))"
)
_REFUSALS_MAX: Final = 8
"""Refusals of one append whose reason had gone when it was read."""

_Key = tuple[str, str]


class PostgresEventStore:
    """The log in PostgreSQL. Start it with `run`, which ends after `close`."""

    def __init__(self, database_url: str, pool: AsyncConnectionPool) -> None:
        self._pool = pool
        self._writer = GroupCommit(database_url)
        self._known = Streams()
        self._streams: Coalesced[_Key, Any] = Coalesced(database_url, self._load)
        self._answers: Coalesced[_Key, IdempotencyRecord | None] = Coalesced(
            database_url, _load_answers
        )

    async def run(self) -> None:
        """Serve until `close`; appends that are queued by then are still written."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._writer.run())
            tasks.create_task(self._streams.run())
            tasks.create_task(self._answers.run())

    def close(self) -> None:
        """Take nothing more."""
        self._writer.close()
        self._streams.close()
        self._answers.close()

    async def append(self, append: Append) -> tuple[Recorded, ...]:
        """See `commands.ports.EventStore.append`."""
        for _ in range(_REFUSALS_MAX):
            try:
                return await self._writer.append(append)
            except Refused as refused:
                reason = refused.reason
            if reason == "answered":
                assert append.idempotency is not None, "only a key is answered"
                record = await self.answered(append.idempotency.scope, append.idempotency.key)
                if record is not None:
                    raise AlreadyAnswered(record)
            elif reason == "claimed":
                claim, owner = await self._other_owner(append)
                if claim is not None:
                    raise ClaimTaken(claim, owner)
            else:
                raise AssertionError(f"unknown reason {reason!r}")
            # What stood in the way has gone since (an expired key): the append may go in now.
        raise Unavailable("overloaded", "What stands in the way comes and goes; try again.")

    async def load(
        self, stream_ids: Sequence[str], *, caller_key: str | None = None
    ) -> dict[str, tuple[Recorded, ...]]:
        """See `commands.ports.EventStore.load`."""
        asked: list[_Key] = [("stream", stream_id) for stream_id in stream_ids]
        if caller_key is not None:
            asked.append(("key", caller_key))
        found = await asyncio.gather(*(self._streams.get(key) for key in asked))
        if caller_key is not None and not found[-1]:
            raise KeyRevoked("the API key does not work any more")
        for rows in found:
            if isinstance(rows, Exception):
                raise Unavailable(
                    "stream_unreadable", "A newer version has to read this."
                ) from rows
        return {key[1]: rows for key, rows in zip(asked, found, strict=True) if key[0] == "stream"}

    async def answered(self, scope: str, key: str) -> IdempotencyRecord | None:
        """See `commands.ports.EventStore.answered`."""
        return await self._answers.get((scope, key))

    async def read(self, after: int, limit: int) -> tuple[Recorded, ...]:
        """See `commands.ports.EventStore.read`.

        Raises:
            UnknownTag, CorruptEvent: a row that this version cannot read.
            Unavailable: `database_unavailable`.
        """
        async with borrowed(self._pool) as connection:
            cursor = await connection.execute(_PAGE, (after, limit), binary=True)
            return tuple(recorded(row) for row in await cursor.fetchall())

    async def _load(self, connection: AsyncConnection[Any], asked: list[_Key]) -> dict[_Key, Any]:
        """Load streams and probe keys; a stream that cannot be decoded fails only its readers."""
        found: dict[_Key, Any] = dict.fromkeys(asked, False)
        streams = [key[1] for key in asked if key[0] == "stream"]
        if streams:
            loaded = await self._known.load(connection, streams)
            found |= {("stream", stream_id): rows for stream_id, rows in loaded.items()}
        keys = [key[1] for key in asked if key[0] == "key"]
        if keys:
            cursor = await connection.execute(_WORKING_KEYS, (keys,))
            found |= {("key", key_id): True for (key_id,) in await cursor.fetchall()}
        return found

    async def _other_owner(self, append: Append) -> tuple[Claim | None, str]:
        claims = append.claims
        arguments = (
            [c.kind for c in claims],
            [c.scope for c in claims],
            [c.value for c in claims],
        )
        async with borrowed(self._pool) as connection:
            rows = await (await connection.execute(_CLAIMED, arguments)).fetchall()
        owners = {(row[0], row[1], row[2]): row[3] for row in rows}
        for claim in claims:
            owner = owners.get((claim.kind, claim.scope, claim.value))
            if owner is not None and claim.owner is not None and owner != claim.owner:
                return claim, owner
        return None, ""


async def _load_answers(
    connection: AsyncConnection[Any], asked: list[_Key]
) -> dict[_Key, IdempotencyRecord | None]:
    found: dict[_Key, IdempotencyRecord | None] = dict.fromkeys(asked)
    arguments = ([scope for scope, _ in asked], [key for _, key in asked])
    cursor = await connection.execute(_ANSWERED, arguments)
    for scope, key, fingerprint, status, stream_id, version, subject in await cursor.fetchall():
        found[scope, key] = IdempotencyRecord(
            scope=scope,
            key=key,
            fingerprint=bytes(fingerprint),
            status=status,
            stream_id=stream_id,
            version=version,
            subject=subject,
        )
    return found

"""The saga's work list in Postgres: claimed with leases, reclaimed as soon as a worker is gone."""

import asyncio
import random
from collections.abc import Collection
from typing import Any, Final, LiteralString

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from adapters.connect import borrowed, connect
from commands.ports import DueRow

LEASE_CLASS: Final = 716_031
"""First key of the advisory lock that a worker holds as long as its connection lives."""

# A lease ends with its time or with its worker: whose connection is gone holds no lock any more.
# A worker that lives may hold rows that it does not know of: then they are its own to take again.
_CLAIM: Final = """
    WITH alive AS MATERIALIZED (
        SELECT objid::bigint::int AS worker FROM pg_locks
        WHERE locktype = 'advisory' AND classid = %(class)s AND granted
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ), ready AS (
        SELECT order_id, subject FROM due
        WHERE due_at <= clock_timestamp()
          AND (lease_until IS NULL OR lease_until < clock_timestamp()
               OR worker NOT IN (SELECT worker FROM alive)
               OR worker = %(forgets)s AND NOT EXISTS (
                   SELECT FROM unnest(%(orders)s::text[], %(subjects)s::text[]) AS a (id, subject)
                   WHERE a.id = due.order_id AND a.subject = due.subject))
        ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    )
    UPDATE due SET tries = tries + 1, worker = %(worker)s, news = false,
                   lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
    FROM ready WHERE due.order_id = ready.order_id AND due.subject = ready.subject
    RETURNING due.order_id, due.subject, due.operation, due.tries
"""
_AGAIN: Final = """
    UPDATE due SET worker = NULL, lease_until = NULL,
                   due_at = CASE WHEN operation = %(operation)s AND NOT news
                            THEN clock_timestamp() + make_interval(secs => %(in_s)s)
                            ELSE due_at END
    WHERE order_id = %(order_id)s AND subject = %(subject)s AND worker = %(worker)s
"""
_DROP: Final = """
    DELETE FROM due WHERE order_id = %(order_id)s AND subject = %(subject)s
        AND operation = %(operation)s AND worker = %(worker)s AND NOT news
"""
_HINT: Final = """
    UPDATE due SET due_at = clock_timestamp(), news = true WHERE order_id = %s AND subject = %s
"""
_NEXT: Final = """
    SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 FROM due
    WHERE lease_until IS NULL
"""


class PostgresDueRows:
    """The due rows as one worker sees them.

    It holds the connection whose lock shows that we are alive from its first claim on.
    """

    def __init__(self, database_url: str, pool: AsyncConnectionPool, *, lease_s: float) -> None:
        self._url = database_url
        self._pool = pool
        self._lease_s = lease_s
        self._alive: AsyncConnection[Any] | None = None
        self._entering = asyncio.Lock()
        self.worker = random.SystemRandom().randrange(1, 2**31)

    async def _shown_alive(self) -> AsyncConnection[Any]:
        """Return the connection whose lock shows that we are alive."""
        async with self._entering:
            if self._alive is None or self._alive.closed:
                # Kept before it has the lock: what fails closes it, and then it is made anew.
                self._alive = await connect(self._url, name="loop-due")
                try:
                    await self._alive.execute(
                        "SELECT pg_advisory_lock_shared(%s, %s)", [LEASE_CLASS, self.worker]
                    )
                except BaseException:
                    await self._alive.close()
                    raise
            return self._alive

    async def close(self) -> None:
        """Stop showing that we are alive: whatever we still hold is free for others."""
        if self._alive is not None:
            await self._alive.close()

    async def claim(self, *, limit: int, acting: Collection[DueRow] | None = None) -> list[DueRow]:
        """See `commands.ports.DueRows.claim`.

        Raises:
            psycopg.OperationalError: the database is gone; leases that we hold may be taken by
                others until the next claim that succeeds.
        """
        arguments = {
            "class": LEASE_CLASS,
            "limit": limit,
            "worker": self.worker,
            "lease_s": self._lease_s,
            "forgets": None if acting is None else self.worker,
            "orders": [row.order_id for row in acting or ()],
            "subjects": [row.subject for row in acting or ()],
        }
        # On that same connection: without its lock we must not hold leases.
        connection = await self._shown_alive()
        rows = await (await connection.execute(_CLAIM, arguments)).fetchall()
        return [
            DueRow(order_id=order_id, subject=subject, operation=operation, tries=tries)
            for order_id, subject, operation, tries in rows
        ]

    async def again(self, row: DueRow, *, in_s: float) -> None:
        """See `commands.ports.DueRows.again`."""
        await self._execute(_AGAIN, self._arguments(row) | {"in_s": in_s})

    async def drop(self, row: DueRow) -> None:
        """See `commands.ports.DueRows.drop`."""
        if not await self._execute(_DROP, self._arguments(row)):
            # Ours no more, or there is news: then it is due, and nobody holds it.
            await self._execute(_AGAIN, self._arguments(row) | {"in_s": 0.0})

    async def hint(self, order_id: str, subject: str) -> None:
        """See `commands.ports.DueRows.hint`; raises Unavailable without a database."""
        async with borrowed(self._pool) as connection:
            await connection.execute(_HINT, (order_id, subject))
            await connection.execute("NOTIFY loop_due")

    async def next_due_s(self) -> float | None:
        """See `commands.ports.DueRows.next_due_s`."""
        connection = await self._shown_alive()
        row = await (await connection.execute(_NEXT)).fetchone()
        return None if row is None or row[0] is None else max(0.0, row[0])

    def _arguments(self, row: DueRow) -> dict[str, Any]:
        return {
            "order_id": row.order_id,
            "subject": row.subject,
            "operation": row.operation,
            "worker": self.worker,
        }

    async def _execute(self, statement: LiteralString, arguments: dict[str, Any]) -> int:
        async with self._pool.connection() as connection:
            return (await connection.execute(statement, arguments)).rowcount

"""The saga's work list in Postgres: claimed with leases, reclaimed as soon as a worker is gone."""

import asyncio
import random
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from adapters.migrations import OPTIONS
from commands.ports import DueRow

LEASE_CLASS: Final = 716_031
"""First key of the advisory lock that a worker holds as long as its connection lives."""

# A lease ends with its time or with its worker: whose connection is gone holds no lock any more.
_CLAIM: Final = """
    WITH alive AS MATERIALIZED (
        SELECT objid::bigint::int AS worker FROM pg_locks
        WHERE locktype = 'advisory' AND classid = %(class)s AND granted
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ), ready AS (
        SELECT order_id, subject FROM due
        WHERE due_at <= clock_timestamp()
          AND (lease_until IS NULL OR lease_until < clock_timestamp()
               OR worker NOT IN (SELECT worker FROM alive))
        ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    )
    UPDATE due SET tries = tries + 1, worker = %(worker)s,
                   lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
    FROM ready WHERE due.order_id = ready.order_id AND due.subject = ready.subject
    RETURNING due.order_id, due.subject, due.operation, due.tries
"""
_AGAIN: Final = """
    UPDATE due SET worker = NULL, lease_until = NULL,
                   due_at = CASE WHEN operation = %(operation)s
                            THEN clock_timestamp() + make_interval(secs => %(in_s)s)
                            ELSE due_at END
    WHERE order_id = %(order_id)s AND subject = %(subject)s AND worker = %(worker)s
"""
_DROP: Final = """
    DELETE FROM due WHERE order_id = %(order_id)s AND subject = %(subject)s
        AND operation = %(operation)s AND worker = %(worker)s
"""
_HINT: Final = """
    UPDATE due SET due_at = clock_timestamp() WHERE order_id = %s AND subject = %s
"""
_NEXT: Final = """
    SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 FROM due
    WHERE lease_until IS NULL
"""


class PostgresDueRows:
    """The due rows as one worker sees them.

    Enter it before the first claim: it holds the connection whose lock shows that we are alive.
    """

    def __init__(self, database_url: str, pool: AsyncConnectionPool, *, lease_s: float) -> None:
        self._url = database_url
        self._pool = pool
        self._lease_s = lease_s
        self._alive: AsyncConnection[Any] | None = None
        self._entering = asyncio.Lock()
        self.worker = random.SystemRandom().randrange(1, 2**31)

    async def _show_alive(self) -> None:
        async with self._entering:
            if self._alive is not None and not self._alive.closed:
                return
            connection = await AsyncConnection.connect(
                self._url, autocommit=True, connect_timeout=5, options=OPTIONS
            )
            await connection.execute(
                "SELECT pg_advisory_lock_shared(%s, %s)", [LEASE_CLASS, self.worker]
            )
            self._alive = connection

    async def close(self) -> None:
        """Stop showing that we are alive: whatever we still hold is free for others."""
        if self._alive is not None:
            await self._alive.close()

    async def claim(self, *, limit: int) -> list[DueRow]:
        """See `commands.ports.DueRows.claim`."""
        await self._show_alive()
        arguments = {
            "class": LEASE_CLASS,
            "limit": limit,
            "worker": self.worker,
            "lease_s": self._lease_s,
        }
        async with self._pool.connection() as connection:
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
        await self._execute(_DROP, self._arguments(row))

    async def hint(self, order_id: str, subject: str) -> None:
        """See `commands.ports.DueRows.hint`."""
        async with self._pool.connection() as connection:
            await connection.execute(_HINT, (order_id, subject))
            await connection.execute("NOTIFY loop_due")

    async def next_due_s(self) -> float | None:
        """See `commands.ports.DueRows.next_due_s`."""
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_NEXT)).fetchone()
        return None if row is None or row[0] is None else max(0.0, row[0])

    def _arguments(self, row: DueRow) -> dict[str, Any]:
        return {
            "order_id": row.order_id,
            "subject": row.subject,
            "operation": row.operation,
            "worker": self.worker,
        }

    async def _execute(self, statement: str, arguments: dict[str, Any]) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(statement, arguments)

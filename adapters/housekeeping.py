"""What is thrown away after its time."""

from datetime import UTC, datetime, timedelta
from typing import Final

from psycopg_pool import AsyncConnectionPool

from adapters.log import position_at

BATCH: Final = 1000

DEAD_TIMES: Final = 3
"""How many times as long a dead delivery is kept: it still has to be missed by somebody."""

_EXPIRE: Final = """
    DELETE FROM idempotency WHERE (scope, key) IN (
        SELECT scope, key FROM idempotency
        WHERE created_at < clock_timestamp() - make_interval(days => %s)
        ORDER BY created_at LIMIT %s FOR UPDATE SKIP LOCKED)
"""


async def expire_idempotency(
    pool: AsyncConnectionPool, older_than_days: int = 7, *, batch: int = BATCH
) -> int:
    """Delete idempotency records older than that, `batch` rows a commit; return how many.

    Any number of processes may call it at once.

    Raises:
        psycopg.Error: what was deleted until then stays deleted.
    """
    deleted = 0
    while True:
        async with pool.connection() as connection:
            cursor = await connection.execute(_EXPIRE, (older_than_days, batch))
        deleted += cursor.rowcount
        if cursor.rowcount < batch:
            return deleted


_EXPIRE_DELIVERIES: Final = """
WITH RECURSIVE endpoints AS (
    (SELECT endpoint_id FROM webhook_deliveries ORDER BY endpoint_id LIMIT 1)
    UNION ALL
    SELECT (SELECT d.endpoint_id FROM webhook_deliveries d WHERE d.endpoint_id > e.endpoint_id
            ORDER BY d.endpoint_id LIMIT 1)
    FROM endpoints e WHERE e.endpoint_id IS NOT NULL
), old AS MATERIALIZED (
    SELECT w.endpoint_id, w.position FROM endpoints e CROSS JOIN LATERAL (
        SELECT d.endpoint_id, d.position FROM webhook_deliveries d
        WHERE d.endpoint_id = e.endpoint_id AND d.position <= %(upto)s AND d.status = %(status)s
          AND coalesce(d.last_at, d.created_at) < %(before)s
        ORDER BY d.position LIMIT %(batch)s FOR UPDATE SKIP LOCKED
    ) AS w LIMIT %(batch)s
)
DELETE FROM webhook_deliveries d USING old
WHERE d.endpoint_id = old.endpoint_id AND d.position = old.position
"""


async def expire_deliveries(pool: AsyncConnectionPool, days: int, *, batch: int = BATCH) -> int:
    """Delete webhooks that were delivered longer ago than that, and dead ones after three times it.

    What is still to be sent stays, however old, and so do the events. Returns how many were
    deleted, `batch` rows a commit. Any number of processes may call it at once.

    Args:
        pool: of the database.
        days: at least `domain.endpoints.MISSED_DAYS`, so that nothing is taken for missed
            that was delivered and deleted.
        batch: rows a commit.

    Raises:
        psycopg.Error: what was deleted until then stays deleted.
    """
    return sum(
        [
            await _expire_deliveries(pool, "delivered", days, batch),
            await _expire_deliveries(pool, "dead", days * DEAD_TIMES, batch),
        ]
    )


async def _expire_deliveries(pool: AsyncConnectionPool, status: str, days: int, batch: int) -> int:
    before = datetime.now(UTC) - timedelta(days=days)
    async with pool.connection() as connection:
        # The primary key leads to old ones; behind this position none can be.
        try:
            upto = await position_at(connection, before)
        except LookupError:
            return 0  # a log with holes is the auditor's matter
    values = {"status": status, "before": before, "upto": upto, "batch": batch}
    deleted = 0
    while True:
        async with pool.connection() as connection:
            cursor = await connection.execute(_EXPIRE_DELIVERIES, values)
        deleted += cursor.rowcount
        if cursor.rowcount < batch:
            return deleted

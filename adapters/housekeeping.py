"""What is thrown away after its time."""

from typing import Final

from psycopg_pool import AsyncConnectionPool

BATCH: Final = 1000

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

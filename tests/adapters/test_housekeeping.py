from psycopg_pool import AsyncConnectionPool

from adapters.event_store import PostgresEventStore
from adapters.housekeeping import expire_idempotency
from domain.ids import new_id
from tests.appends import append_of, outcomes, record, sql


async def test_only_old_idempotency_records_expire(
    store: PostgresEventStore, pool: AsyncConnectionPool
) -> None:
    orders = [new_id("ord") for _ in range(25)]
    await outcomes(*(store.append(append_of(o, idempotency=record(o, o))) for o in orders))
    await sql(
        pool,
        "UPDATE idempotency SET created_at = now() - '7 days 1 s'::interval"
        " WHERE key IN (SELECT key FROM idempotency ORDER BY key LIMIT 20)",
    )
    assert await expire_idempotency(pool, batch=6) == 20
    assert await expire_idempotency(pool) == 0
    assert len(await sql(pool, "SELECT 1 FROM idempotency")) == 5
    expired = min(orders)
    await store.append(append_of(new_id("ord"), idempotency=record(expired, expired)))

"""What waits for people is found by an index of the log, not by reading all of it."""

from psycopg_pool import AsyncConnectionPool

from adapters.desk import _FOR_PEOPLE, orders_for_people, waiting_by_operation


async def test_orders_for_people_are_found_by_the_index_of_rare_events(
    pool: AsyncConnectionPool,
) -> None:
    async with pool.connection() as db, db.transaction():
        await db.execute("SET LOCAL enable_seqscan = off")
        found = await db.execute("EXPLAIN " + _FOR_PEOPLE, {"tries": 10, "limit": 10})
        plan = "\n".join(line for (line,) in await found.fetchall())
    assert "events_for_people" in plan
    assert "Filter" not in plan.partition("due")[0]


async def test_an_empty_log_waits_for_nothing(pool: AsyncConnectionPool) -> None:
    assert await orders_for_people(pool) == []
    assert await waiting_by_operation(pool) == []

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from adapters.due_rows import PostgresDueRows
from adapters.event_store import PostgresEventStore
from commands.append import DueChange
from commands.ports import DueRow
from domain.ids import new_id
from tests.adapters.cutting_proxy import CuttingProxy
from tests.appends import append_of, opened, sql
from tests.waiting import until


@asynccontextmanager
async def worker(
    url: str, pool: AsyncConnectionPool, lease_s: float = 60.0
) -> AsyncIterator[PostgresDueRows]:
    due = PostgresDueRows(url, pool, lease_s=lease_s)
    try:
        yield due
    finally:
        await due.close()


@pytest.fixture
async def due(database_url: str, pool: AsyncConnectionPool) -> AsyncIterator[PostgresDueRows]:
    async with worker(database_url, pool) as due:
        yield due


@pytest.fixture
async def other(database_url: str, pool: AsyncConnectionPool) -> AsyncIterator[PostgresDueRows]:
    async with worker(database_url, pool) as other:
        yield other


async def plant(pool: AsyncConnectionPool, *orders: str, at: str = "-1 s") -> None:
    await sql(
        pool,
        "INSERT INTO due (order_id, subject, operation, due_at)"
        " SELECT o, o, 'authorize', clock_timestamp() + %s::interval FROM unnest(%s::text[]) AS o",
        at,
        list(orders),
    )


async def test_one_row_is_never_given_to_two_workers(
    database_url: str, pool: AsyncConnectionPool
) -> None:
    orders = [new_id("ord") for _ in range(300)]
    await plant(pool, *orders)
    claimed: Counter[str] = Counter()

    async def work() -> None:
        async with worker(database_url, pool) as due:
            while rows := await due.claim(limit=5):
                claimed.update(row.order_id for row in rows)
            await done.wait()

    done = asyncio.Barrier(8)
    await asyncio.gather(*(work() for _ in range(8)))
    assert claimed == Counter(orders)


async def test_rows_are_claimed_when_they_are_due_and_counted(
    due: PostgresDueRows, other: PostgresDueRows, pool: AsyncConnectionPool
) -> None:
    assert await due.claim(limit=10) == []
    assert await due.next_due_s() is None
    now, later = new_id("ord"), new_id("ord")
    await plant(pool, now)
    await plant(pool, later, at="100 s")
    expected = DueRow(order_id=now, subject=now, operation="authorize", tries=1)
    assert await due.claim(limit=10) == [expected]
    assert await other.claim(limit=10) == []
    next_s = await due.next_due_s()
    assert next_s is not None
    assert 90 < next_s <= 100
    await due.again(expected, in_s=0.0)
    assert [row.tries for row in await other.claim(limit=10)] == [2]


async def test_a_dead_workers_lease_is_free_at_once(
    due: PostgresDueRows, other: PostgresDueRows, pool: AsyncConnectionPool
) -> None:
    await plant(pool, new_id("ord"))
    assert len(await due.claim(limit=1)) == 1
    assert await other.claim(limit=1) == []
    await due.close()
    await until(lambda: other.claim(limit=1))


async def test_a_lease_ends_with_its_time_and_the_late_holder_changes_nothing(
    database_url: str, pool: AsyncConnectionPool, other: PostgresDueRows
) -> None:
    order = new_id("ord")
    await plant(pool, order)
    async with worker(database_url, pool, lease_s=0.001) as slow:
        (lost,) = await slow.claim(limit=1)
        rows: list[DueRow] = []

        async def claimed() -> list[DueRow]:
            rows.extend(await other.claim(limit=1))
            return rows

        await until(claimed)
        await slow.again(lost, in_s=500.0)
        await slow.drop(lost)
        held = "SELECT worker, due_at < now() FROM due"
        assert await sql(pool, held) == [(other.worker, True)]
        await other.drop(rows[0])
        assert await sql(pool, held) == []


async def test_a_worker_whose_connection_broke_shows_itself_alive_again(
    due: PostgresDueRows, other: PostgresDueRows, pool: AsyncConnectionPool
) -> None:
    await plant(pool, new_id("ord"))
    assert await due.claim(limit=0) == []
    await sql(
        pool,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'loop-due' AND datname = current_database()",
    )
    with pytest.raises(psycopg.OperationalError):
        await due.claim(limit=1)
    assert len(await due.claim(limit=1)) == 1
    assert await other.claim(limit=1) == []


async def test_news_that_come_while_a_row_is_held_are_not_put_off(
    due: PostgresDueRows, other: PostgresDueRows, pool: AsyncConnectionPool
) -> None:
    order = new_id("ord")
    await plant(pool, order)
    (row,) = await due.claim(limit=1)
    await other.hint(order, order)
    await due.again(row, in_s=500.0)
    (row,) = await other.claim(limit=1)
    assert row.tries == 2
    await due.hint(order, order)
    await other.drop(row)
    (row,) = await due.claim(limit=1)
    await due.again(row, in_s=500.0)
    assert await due.claim(limit=1) == []
    await due.hint(order, order)
    assert len(await due.claim(limit=1)) == 1


async def test_an_operation_that_a_commit_put_in_meanwhile_is_neither_dropped_nor_put_off(
    database_url: str, pool: AsyncConnectionPool, due: PostgresDueRows
) -> None:
    order = new_id("ord")
    await plant(pool, order)
    (row,) = await due.claim(limit=1)
    async with opened(PostgresEventStore(database_url, pool)) as store:
        same = DueChange(order_id=order, subject=order, operation="authorize")
        await store.append(append_of(order, due=(same,)))
        await due.drop(row)
        (row,) = await due.claim(limit=1)
        changed = DueChange(order_id=order, subject=order, operation="void")
        await store.append(append_of(order, expected=1, due=(changed,)))
        await due.again(row, in_s=500.0)
        (row,) = await due.claim(limit=1)
        assert (row.operation, row.tries) == ("void", 1)
        gone = DueChange(order_id=order, subject=order, operation=None)
        await store.append(append_of(order, expected=2, due=(gone,), worker=due.worker))
    assert await sql(pool, "SELECT 1 FROM due") == []


async def test_a_row_whose_claim_was_never_answered_is_taken_again_at_once(
    database_url: str, pool: AsyncConnectionPool, other: PostgresDueRows
) -> None:
    await plant(pool, new_id("ord"), new_id("ord"))
    async with (
        CuttingProxy(database_url).serving() as proxy,
        worker(proxy.url, pool) as due,
    ):
        (known,) = await due.claim(limit=1, acting=())
        proxy.arm("response", 0)
        with pytest.raises(psycopg.OperationalError):
            await due.claim(limit=1, acting=[known])
        assert await sql(pool, "SELECT count(*) FROM due WHERE worker = %s", due.worker) == [(2,)]

        (lost,) = await due.claim(limit=2, acting=[known])
        assert (lost.order_id != known.order_id, lost.tries) == (True, 2)
        assert await due.claim(limit=2, acting=[known, lost]) == []
        assert await other.claim(limit=2, acting=()) == []

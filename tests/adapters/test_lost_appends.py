import asyncio
from collections.abc import AsyncIterator

import pytest
from psycopg_pool import AsyncConnectionPool

from adapters.event_store import PostgresEventStore
from commands.append import AlreadyAnswered, Append, VersionTaken
from domain.ids import new_id
from tests.adapters.cutting_proxy import CuttingProxy, What
from tests.appends import append_of, opened, record, write_of

CUTS: list[tuple[What, int]] = [
    ("request", 0),
    ("request", 1),
    ("request", 1500),
    ("response", 0),
    ("response", 1),
    ("response", 60),
    ("response", -1),
    ("late", 0),
]


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[CuttingProxy]:
    async with CuttingProxy(database_url).serving() as proxy:
        yield proxy


@pytest.mark.parametrize(("what", "after"), CUTS)
async def test_whatever_is_cut_every_append_is_there_once_and_every_caller_told_right(
    proxy: CuttingProxy, pool: AsyncConnectionPool, what: What, after: int
) -> None:
    old, orders = new_id("ord"), [new_id("ord") for _ in range(20)]
    async with opened(PostgresEventStore(proxy.url, pool)) as store:
        await store.append(append_of(old, idempotency=record(old, "old")))
        proxy.arm(what, after)
        appends = [append_of(o, events=2, idempotency=record(o, o)) for o in orders]
        stale = append_of(old)
        repeated = append_of(new_id("ord"), idempotency=record(old, "old"))
        answer = Append(writes=(write_of(old, 1, 0),), idempotency=record(old, "answer"))
        done = await asyncio.gather(
            *(store.append(a) for a in (*appends, stale, repeated, answer)), return_exceptions=True
        )
        assert proxy.cuts == 1
        assert [type(one) for one in done[20:]] == [VersionTaken, AlreadyAnswered, tuple]
        loaded = await store.load(orders)
        assert [loaded[order] for order in orders] == done[:20]
        log = await store.read(0, 1000)
        assert [row.position for row in log] == list(range(1, 42))
        kept = await asyncio.gather(*(store.answered(record(o, o).scope, o) for o in orders))
        assert kept == [record(o, o) for o in orders]


async def test_a_read_whose_answer_is_lost_is_asked_again(
    proxy: CuttingProxy, pool: AsyncConnectionPool
) -> None:
    order = new_id("ord")
    async with opened(PostgresEventStore(proxy.url, pool)) as store:
        rows = await store.append(append_of(order))
        assert await store.load([order]) == {order: rows}
        proxy.arm("response", 3)
        assert await store.load([order]) == {order: rows}
        assert proxy.cuts == 1


async def test_an_append_without_event_and_answer_is_repeated_when_it_was_lost(
    proxy: CuttingProxy, pool: AsyncConnectionPool
) -> None:
    async with opened(PostgresEventStore(proxy.url, pool)) as store:
        await store.append(append_of(new_id("ord")))
        claims = append_of(new_id("ord"), events=0)
        proxy.arm("request", 0)
        assert await store.append(claims) == ()
        assert proxy.cuts == 1

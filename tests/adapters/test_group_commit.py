import asyncio
from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool

from adapters import coalesce, group_commit
from adapters.event_store import PostgresEventStore
from commands.append import Claim, DueChange, VersionTaken
from domain.errors import Rejected, Unavailable
from domain.ids import new_id
from tests.appends import (
    MERCHANT,
    append_of,
    key_row,
    opened,
    outcomes,
    record,
    sql,
    ticks_until,
)


@pytest.mark.parametrize("half", ["\x00", "\ud800"])
async def test_text_that_cannot_be_stored_fails_alone(store: PostgresEventStore, half: str) -> None:
    orders = [new_id("ord") for _ in range(30)]
    appends = [append_of(order) for order in orders]
    bad = (Claim(kind="email", scope="", value=f"a{half}b", owner=orders[7]),)
    appends[7] = append_of(orders[7], claims=bad)
    done = await outcomes(*(store.append(a) for a in appends))
    assert isinstance(done.pop(7), Rejected)
    assert all(isinstance(one, tuple) for one in done)
    reads = await outcomes(*(store.answered("scope", f"{half}{n}" * (n == 7)) for n in range(20)))
    assert isinstance(reads.pop(7), Rejected)
    assert reads == [None] * 19


async def test_an_append_that_breaks_a_constraint_fails_alone(store: PostgresEventStore) -> None:
    await store.append(append_of(MERCHANT, key_rows=(key_row("key_1"),)))
    orders = [new_id("ord") for _ in range(10)]
    appends = [append_of(order) for order in orders]
    appends[3] = append_of(orders[3], key_rows=(key_row("key_1"),))
    done = await outcomes(*(store.append(a) for a in appends))
    assert isinstance(done.pop(3), group_commit.UnwritableAppend)
    assert all(isinstance(one, tuple) for one in done)
    assert (await store.load([orders[3]]))[orders[3]] == ()


async def test_a_caller_that_goes_away_does_not_disturb_its_batch(
    store: PostgresEventStore,
) -> None:
    orders = [new_id("ord") for _ in range(20)]
    tasks = [asyncio.create_task(store.append(append_of(order))) for order in orders]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in done[::2])
    assert all(isinstance(one, tuple) for one in done[1::2])
    assert all(len(rows) == 1 for rows in (await store.load(orders)).values())


async def test_a_full_queue_refuses_at_once(
    database_url: str, pool: AsyncConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "QUEUE_MAX", 5)
    monkeypatch.setattr(coalesce, "WAITING_MAX", 5)
    store = PostgresEventStore(database_url, pool)
    waiting = [asyncio.create_task(store.append(append_of(new_id("ord")))) for _ in range(5)]
    reading = [asyncio.create_task(store.answered("s", str(n))) for n in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as raised:
        await store.append(append_of(new_id("ord")))
    assert raised.value.code == "overloaded"
    with pytest.raises(Unavailable):
        await store.answered("s", "6")
    async with opened(store):
        assert len(await asyncio.gather(*waiting)) == 5
        assert await asyncio.gather(*reading) == [None] * 5


async def test_whoever_waits_at_the_close_is_answered_and_later_ones_are_refused(
    database_url: str, pool: AsyncConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "EVENTS_MAX", 7)
    async with opened(PostgresEventStore(database_url, pool)) as store:
        order = new_id("ord")
        tasks = [asyncio.create_task(store.append(append_of(new_id("ord")))) for _ in range(50)]
        reads = [asyncio.create_task(store.load([order])) for _ in range(5)]
        await ticks_until(lambda: store._writer._queue and store._streams._waiting)
        store.close()
    assert sorted(rows[0].position for rows in await asyncio.gather(*tasks)) == list(range(1, 51))
    assert await asyncio.gather(*reads) == [{order: ()}] * 5
    with pytest.raises(Unavailable):
        await store.append(append_of(order))
    with pytest.raises(Unavailable):
        await store.load([order])


async def test_when_the_writer_dies_nobody_is_left_waiting(
    database_url: str, pool: AsyncConnectionPool
) -> None:
    store = PostgresEventStore(database_url, pool)
    tasks = [asyncio.create_task(store.append(append_of(new_id("ord")))) for _ in range(3)]
    reads = [asyncio.create_task(store.load([new_id("ord")])) for _ in range(3)]
    await ticks_until(lambda: store._writer._queue and store._streams._waiting)
    running = asyncio.create_task(store.run())
    await ticks_until(lambda: not store._writer._queue)
    late = asyncio.create_task(store.append(append_of(new_id("ord"))))
    await asyncio.sleep(0)
    running.cancel()
    async with asyncio.timeout(60):
        done = await outcomes(*tasks, late, *reads)
        with pytest.raises(asyncio.CancelledError):
            await running
    assert all(isinstance(one, Unavailable) for one in done)


async def test_a_busy_stream_does_not_hold_up_the_others(store: PostgresEventStore) -> None:
    busy = new_id("ord")
    crowd = [asyncio.create_task(store.append(append_of(busy))) for _ in range(1200)]
    other = await store.append(append_of(new_id("ord")))
    done = await asyncio.gather(*crowd, return_exceptions=True)
    assert [type(one) for one in done].count(tuple) == 1
    assert {type(one) for one in done} == {tuple, VersionTaken}
    assert len(other) == 1


async def test_tables_are_read_by_index_however_small_they_were_when_plans_were_made(
    database_url: str, pool: AsyncConnectionPool, store: PostgresEventStore
) -> None:
    scans = (
        "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname IN"
        " ('events', 'idempotency', 'claims', 'due', 'api_keys', 'data_keys') ORDER BY relname"
    )
    key = new_id("key")
    await store.append(append_of(MERCHANT, key_rows=(key_row(key),)))
    await sql(pool, "ANALYZE")
    before = await sql(pool, scans)
    async with opened(PostgresEventStore(database_url, pool)) as busy:
        for n in range(8):
            order = new_id("ord")
            claim = Claim(kind="external_id", scope="s", value=str(n), owner=order)
            due = DueChange(order_id=order, subject=order, operation="authorize")
            answer = record(order, order)
            more: dict[str, Any] = {"claims": (claim,), "due": (due,), "idempotency": answer}
            await busy.append(append_of(order, caller_key=key, **more))
            await busy.load([order], caller_key=key)
            assert await busy.answered(answer.scope, order) == answer
    # The counts of a connection are there once it is closed.
    assert await sql(pool, scans) == before

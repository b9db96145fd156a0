"""The inbox's rows: each event once, one worker at a time, thrown away after their time."""

import pytest
from msgspec.structs import replace
from psycopg_pool import AsyncConnectionPool

from adapters.inbox import PostgresInbox, expire_inbox
from commands.ports import Arrival
from commands.processor import Hint

ARRIVAL = Arrival(
    processor="stripe",
    merchant_id="mer_1",
    accounts=("test:a", "test:b"),
    digest=b"\0" * 32,
    hint=Hint(reference="pi_1", attempt_id=None, event_id="evt_1", kind="charge.updated"),
)


@pytest.fixture
def inbox(pool: AsyncConnectionPool) -> PostgresInbox:
    return PostgresInbox(pool, lease_s=60)


def event(name: str) -> Arrival:
    return replace(ARRIVAL, hint=replace(ARRIVAL.hint, event_id=name))


async def count(pool: AsyncConnectionPool) -> int:
    async with pool.connection() as db:
        row = await (await db.execute("SELECT count(*) FROM inbox")).fetchone()
    assert row is not None
    return int(row[0])


async def test_an_event_is_kept_once_per_merchant_and_account(
    inbox: PostgresInbox, pool: AsyncConnectionPool
) -> None:
    other_merchant = replace(ARRIVAL, merchant_id="mer_2")
    other_account = replace(ARRIVAL, accounts=("live:a",))
    for arrivals in ([ARRIVAL, ARRIVAL], [ARRIVAL], [other_merchant], [other_account]):
        await inbox.receive(arrivals)
    assert await count(pool) == 3


async def test_a_claimed_row_is_nobody_elses_until_its_lease_ends(
    inbox: PostgresInbox, pool: AsyncConnectionPool
) -> None:
    await inbox.receive([event("evt_1"), event("evt_2")])
    (first,) = await inbox.claim(1)
    (second,) = await inbox.claim(5)
    assert {first.hint.event_id, second.hint.event_id} == {"evt_1", "evt_2"}
    assert (first.accounts, first.tries) == (ARRIVAL.accounts, 1)
    assert await inbox.claim(5) == []
    async with pool.connection() as db:
        await db.execute("UPDATE inbox SET lease_until = clock_timestamp()")
    again = await inbox.claim(5)
    assert [row.tries for row in again] == [2, 2]


async def test_a_parked_row_waits_and_a_settled_one_is_done(inbox: PostgresInbox) -> None:
    await inbox.receive([event("evt_1"), event("evt_2")])
    first, second = await inbox.claim(5)
    await inbox.park([first], "why", in_s=3600)
    await inbox.settle([second], "applied", None)
    assert await inbox.claim(5) == []
    wait_s = await inbox.next_due_s()
    assert wait_s is not None
    assert wait_s > 1800
    # Only what was left open is woken when it is sent again.
    await inbox.receive([event("evt_1"), event("evt_2")])
    (woken,) = await inbox.claim(5)
    assert (woken.id, woken.tries) == (first.id, 1)


async def test_old_rows_are_deleted_whatever_became_of_them(
    inbox: PostgresInbox, pool: AsyncConnectionPool
) -> None:
    await inbox.receive([event("evt_old"), event("evt_new")])
    async with pool.connection() as db:
        await db.execute(
            "UPDATE inbox SET received_at = received_at - interval '46 days'"
            " WHERE event = 'evt_old'"
        )
    assert await expire_inbox(pool) == 1
    assert await count(pool) == 1


async def test_an_object_that_the_log_does_not_name_has_no_order(inbox: PostgresInbox) -> None:
    assert await inbox.orders_of("pi_1") == []


async def test_orders_are_found_by_an_index_of_the_log(pool: AsyncConnectionPool) -> None:
    async with pool.connection() as db:
        await db.execute("SET enable_seqscan = off")
        plan = await db.execute(
            "EXPLAIN SELECT DISTINCT originator_id FROM events"
            " WHERE processor_object(state) = 'pi_1'"
            " AND topic IN ('order.processor_referenced.v1', 'order.authorized.v1',"
            " 'order.stray_payment_found.v1')"
        )
        text = str(await plan.fetchall())
    assert "events_by_processor_object" in text

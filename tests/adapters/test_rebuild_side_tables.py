import asyncio
import tracemalloc
from datetime import UTC, datetime

import pytest
from psycopg_pool import AsyncConnectionPool

from adapters import rebuild_side_tables
from adapters.event_store import PostgresEventStore
from adapters.rebuild_side_tables import TRIES_UNKNOWN, Difference, check_side_tables
from commands.append import Append, Claim, NewEvent, Write
from commands.execute import due_changes
from domain.events import OrderCreated
from domain.ids import new_id, sibling
from domain.money import Money
from domain.order.evolve import evolve
from tests.appends import MERCHANT, metadata, sql
from tests.history import History, life

SCOPE = f"{MERCHANT}:test"
EXPIRES = datetime(2031, 1, 1, tzinfo=UTC)


async def create(store: PostgresEventStore, external_id: str) -> str:
    """Create an order that waits for its session to expire, as the command does."""
    order_id = new_id("ord")
    amount = Money(1000, "USD")
    session_id = sibling(order_id, "cs")
    data = OrderCreated(
        amount=amount,
        external_id=external_id,
        checkout_session_id=session_id,
        expires_at=EXPIRES,
    )
    event = NewEvent(metadata=metadata(), data=data)
    order = evolve(None, event.data, event.metadata, stream_id=order_id)
    await store.append(
        Append(
            writes=(Write(stream_id=order_id, expected_version=0, events=(event,)),),
            claims=(
                Claim(kind="external_id", scope=SCOPE, value=external_id, owner=order_id),
                Claim(kind="checkout_session", scope=SCOPE, value=session_id, owner=order_id),
            ),
            due=due_changes(None, order),
        )
    )
    return order_id


async def test_what_commands_wrote_is_what_the_log_says(
    store: PostgresEventStore, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild_side_tables, "_PAGE", 2)
    await asyncio.gather(*(create(store, f"x-{n}") for n in range(7)))
    report = await check_side_tables(database_url, repair=True)
    assert (report.orders, report.differences, report.repaired) == (7, {}, 0)


async def test_every_difference_is_named_and_only_what_is_missing_is_repaired(
    store: PostgresEventStore, database_url: str, pool: AsyncConnectionPool
) -> None:
    missing, different, unclaimed, unreadable = [await create(store, f"x-{n}") for n in range(4)]
    await sql(pool, "DELETE FROM due WHERE order_id IN (%s, %s)", missing, unreadable)
    await sql(pool, "UPDATE due SET operation = 'void' WHERE order_id = %s", different)
    await sql(pool, "DELETE FROM claims WHERE owner = %s", unclaimed)
    await sql(pool, "INSERT INTO due VALUES ('ord_none', 's', 'capture', now())")
    await sql(pool, "INSERT INTO events SELECT %s, 2, 'order.v99', '', 5, now()", unreadable)
    report = await check_side_tables(database_url, repair=True)
    of = {"order_id": missing, "key": missing, "expected": "expire_session"}
    assert sorted(report.examples, key=lambda d: (d.table, d.problem)) == [
        *(
            Difference(
                table="claims",
                problem="missing",
                order_id=unclaimed,
                key=key,
                expected=unclaimed,
            )
            for key in (
                f"checkout_session {SCOPE} {sibling(unclaimed, 'cs')}",
                f"external_id {SCOPE} x-2",
            )
        ),
        Difference(
            table="due",
            problem="different",
            order_id=different,
            key=different,
            expected="expire_session",
            found="void",
        ),
        Difference(table="due", problem="extra", order_id="ord_none", key="s", found="capture"),
        Difference(table="due", problem="missing", **of),
        Difference(table="events", problem="unreadable", order_id=unreadable, key=""),
    ]
    assert report.repaired == 3
    assert await sql(pool, "SELECT due_at, tries FROM due WHERE order_id = %s", missing) == [
        (EXPIRES, TRIES_UNKNOWN)
    ]
    again = await check_side_tables(database_url)
    assert again.differences == {"due.different": 1, "due.extra": 1, "events.unreadable": 1}


def test_memory_does_not_grow_with_the_log(database_url: str) -> None:
    history = History(database_url)
    peaks: list[int] = []
    for orders in (400, 1600):
        history.append([fact for _ in range(orders) for fact in life()])
        tracemalloc.start()
        report = asyncio.run(check_side_tables(database_url))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert report.orders == history.head // 7
    history.close()
    assert peaks[1] < 1.3 * peaks[0]

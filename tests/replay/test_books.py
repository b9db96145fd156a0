"""The audit of the books: right books pass at every moment, wrong ones are named."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from msgspec.structs import replace

from adapters.codec import encode
from adapters.log import Connection, connect
from adapters.read_models import install
from domain import events as e
from domain.errors import NotFound, Rejected
from domain.money import Money
from projections.ledger import LedgerView
from replay.books import audit_books
from tests.history import History
from tests.ledgers import SHOPS, random_log
from tests.ledgers import Fold as Plain

VIEW = LedgerView()


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Connection]:
    async with await connect(database_url, "test") as db:
        yield db


def stored(history: History, log: list[e.Recorded]) -> None:
    history.append_raw([(r.stream_id, e.tag_of(r.data), encode(r.metadata, r.data)) for r in log])


async def posted(db: Connection, database_url: str, log: list[e.Recorded]) -> None:
    """Fill the ledger as its projector would."""
    await install(database_url, [VIEW])
    await VIEW.apply(db, 1, log)
    await db.execute("UPDATE projection_positions SET position = %s", (log[-1].position,))


async def test_right_books_pass_at_every_position(
    database_url: str, history: History, db: Connection
) -> None:
    log, plain = random_log(5, orders=12, length=12), Plain()
    stored(history, log)
    await posted(db, database_url, log)
    for row in log:
        plain.see(row)
        found = await audit_books(database_url, as_of=row.position)
        assert found.ok, found
        assert (found.position, found.compared_at, found.events) == (row.position,) * 3
        sums = {
            (t.mode, t.currency, line.account): line.balance
            for t in found.trial_balances
            for line in t.lines
        }
        for merchant, mode in SHOPS:
            for (currency, account), minor in plain.of(merchant, mode).items():
                sums[mode, currency, account.removesuffix(f":{merchant}")] -= minor  # type: ignore[index]
        assert not any(sums.values())
        assert all(t.difference == 0 for t in found.trial_balances)


async def test_a_time_is_its_position_and_the_end_is_the_default(
    database_url: str, history: History, db: Connection
) -> None:
    log = random_log(6, orders=6)
    stored(history, log[:40])
    stored(history, log[40:])
    await posted(db, database_url, log)
    cursor = await db.execute("SELECT recorded_at FROM events WHERE notification_id = 40")
    row = await cursor.fetchone()
    assert row is not None
    assert (await audit_books(database_url, as_of=row[0])).position == 40
    assert (await audit_books(database_url, as_of=row[0] - timedelta(days=1))).position == 0
    whole = await audit_books(database_url)
    assert whole.position == len(log)
    assert whole == await audit_books(database_url, as_of=len(log))
    with pytest.raises(NotFound, match=f"ends with event {len(log)}"):
        await audit_books(database_url, as_of=len(log) + 1)


async def test_a_ledger_that_is_behind_is_compared_where_it_is(
    database_url: str, history: History, db: Connection
) -> None:
    log = random_log(7, orders=8)
    stored(history, log)
    assert (await audit_books(database_url)).compared_at is None
    await posted(db, database_url, log[:50])
    found = await audit_books(database_url)
    assert (found.ok, found.position, found.compared_at) == (True, len(log), 50)
    assert (await audit_books(database_url, as_of=20)).compared_at == 20


async def test_accounts_that_show_something_else_are_named(
    database_url: str, history: History, db: Connection
) -> None:
    log = random_log(8, orders=20)
    stored(history, log)
    await posted(db, database_url, log)
    cursor = await db.execute(
        "SELECT account_id, mode, account, currency FROM ledger"
        " WHERE account LIKE 'payable:%' ORDER BY 1 LIMIT 2"
    )
    (changed, *first), (gone, *second) = await cursor.fetchall()
    await db.execute(
        "UPDATE ledger_entries_v1 SET credits = credits + 1 WHERE account_id = %s", (changed,)
    )
    await db.execute("DELETE FROM ledger_v1 WHERE account_id = %s", (gone,))
    await db.execute(
        "INSERT INTO ledger_v1 VALUES (7, 'mer_x', 'live', 'payable:mer_x', 'USD', 0, 5, now(), 9)"
    )
    await db.execute(
        "INSERT INTO ledger_entries_v1 VALUES (7, 9, 0, 'e', 'o', false, 5, 0, 5, now())"
    )
    found = await audit_books(database_url)
    assert (found.ok, found.difference_count) == (False, 3)
    by_account = {(d.mode, d.account, d.currency): d for d in found.differences}
    one = by_account[tuple(first)]
    assert one.log is not None
    assert one.shown == one.log + 1
    assert by_account[tuple(second)].shown is None
    invented = by_account["live", "payable:mer_x", "USD"]
    assert (invented.log, invented.shown) == (None, 5)


async def test_a_hold_below_zero_is_named_with_its_event(
    database_url: str, history: History
) -> None:
    log = random_log(9, orders=1, length=3)
    voided = e.OrderVoided(attempt_id="att", processor="stripe", amount=Money(5, "USD"))
    metadata = replace(log[0].metadata, merchant_id="mer_z")
    stored(history, [*log, replace(log[-1], metadata=metadata, data=voided)])
    found = await audit_books(database_url)
    assert not found.ok
    assert [(o.position, o.account, o.balance) for o in found.overdrawn] == [
        (len(log) + 1, "holds_contra:stripe:mer_z", -5),
        (len(log) + 1, "holds:mer_z", -5),
    ]
    assert all(t.difference == 0 for t in found.trial_balances)


async def test_an_event_that_cannot_be_read_is_named(database_url: str, history: History) -> None:
    log = random_log(10, orders=1, length=3)
    stored(history, log)
    history.append_raw([("ord_0000", "order.teleported.v9", b"{}")])
    with pytest.raises(Rejected, match=f"event {len(log) + 1} cannot be read"):
        await audit_books(database_url)


@pytest.mark.parametrize("gone", [1, 4, 7])
async def test_an_event_that_is_missing_is_named(
    database_url: str, history: History, gone: int
) -> None:
    stored(history, random_log(10, orders=3)[:9])
    history.db.execute("ALTER TABLE events DISABLE TRIGGER ALL")
    history.db.execute("DELETE FROM events WHERE notification_id = %s", [gone])
    with pytest.raises(Rejected, match=f"event {gone} is missing"):
        await audit_books(database_url)
    with pytest.raises(Rejected, match=f"event {gone} is missing"):
        await audit_books(database_url, as_of=gone)
    found = history.db.execute("SELECT max(recorded_at) FROM events").fetchone()
    assert found is not None
    with pytest.raises(Rejected, match="missing"):
        await audit_books(database_url, as_of=found[0])

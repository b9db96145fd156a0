"""How long the delivery log is kept, and that what is forgotten is not sent again."""

from datetime import UTC, datetime, timedelta

import pytest

from adapters.delivery_lists import recover
from adapters.housekeeping import expire_deliveries
from adapters.settings import SettingError, load_settings
from domain.endpoints import MISSED_DAYS
from projections import PROJECTIONS
from projections.webhook_deliveries import deliver
from replay.compare import compare
from tests.receiver import Receiver
from tests.waiting import running
from tests.webhooks.conftest import Told

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
MONTH = timedelta(days=MISSED_DAYS, seconds=1)


def later(told: Told, time: timedelta) -> None:
    """Let that much time have gone by since everything that has happened."""
    db = told.history.db
    with db.transaction():
        db.execute("ALTER TABLE events DISABLE TRIGGER events_are_immutable")
        db.execute("UPDATE events SET recorded_at = recorded_at - %s", [time])
        db.execute("ALTER TABLE events ENABLE TRIGGER events_are_immutable")
        db.execute(
            "UPDATE webhook_deliveries SET created_at = created_at - %(time)s,"
            " last_at = last_at - %(time)s, delivered_at = delivered_at - %(time)s",
            {"time": time},
        )


def becomes(told: Told, position: int, status: str) -> None:
    told.history.db.execute(
        "UPDATE webhook_deliveries SET status = %s WHERE position ="
        " (SELECT position FROM webhook_deliveries ORDER BY position OFFSET %s LIMIT 1)",
        (status, position),
    )


async def test_what_was_delivered_is_forgotten_and_what_was_not_is_kept(
    idle: Told, receiver: Receiver, database_url: str
) -> None:
    async with running(*idle.workers()):
        await idle.endpoint(receiver.url)
        idle.order()
        await idle.over(6)
        later(idle, MONTH)
        idle.order()
        await idle.over(12)
    becomes(idle, 1, "dead")
    becomes(idle, 3, "pending")
    pool = idle.app.pool
    assert await expire_deliveries(pool, 31) == 0
    assert await expire_deliveries(pool, MISSED_DAYS, batch=2) == 4
    assert idle.statuses() == ["dead", "pending", *["delivered"] * 6]
    assert await expire_deliveries(pool, MISSED_DAYS) == 0
    later(idle, MONTH * 2)
    assert await expire_deliveries(pool, MISSED_DAYS) == 7
    assert idle.statuses() == ["pending"]
    # What is told by pulling, and the read model, know of no forgetting.
    assert idle.column("SELECT count(*) FROM webhook_events") == [12]
    assert (await compare(database_url, PROJECTIONS["webhooks"])).differences == ()


async def test_what_was_forgotten_is_not_recovered_but_what_is_dead_is(
    idle: Told, receiver: Receiver
) -> None:
    async with running(*idle.workers()):
        made = await idle.endpoint(receiver.url)
        idle.order()
        await idle.over(6)
        later(idle, MONTH)
        becomes(idle, 1, "dead")
        assert await expire_deliveries(idle.app.pool, MISSED_DAYS) == 5
        async with idle.app.pool.connection() as db:
            scheduled = await recover(
                db, idle.caller.merchant_id, made.endpoint, since=LONG_AGO, until=None
            )
        assert scheduled == 1
        await idle.over(1)
    assert len(receiver.received) == 7


@pytest.mark.parametrize(("gone_by", "made"), [(timedelta(), 6), (MONTH, 0)])
async def test_a_stream_that_is_taken_up_again_sends_what_was_missed_lately(
    idle: Told, receiver: Receiver, gone_by: timedelta, made: int
) -> None:
    async with running(*idle.workers()):
        await idle.endpoint(receiver.url)
        order_id = idle.order()
        await idle.over(6)
    later(idle, gone_by)
    idle.history.db.execute("DELETE FROM webhook_deliveries")
    idle.history.db.execute(
        "INSERT INTO parked (projection, version, stream_id, position, error)"
        " VALUES ('webhooks', 1, %s, 1, 'of a test')",
        [order_id],
    )
    rows = (await idle.app.ports.store.load([order_id]))[order_id]
    async with idle.app.pool.connection() as db, db.transaction():
        await deliver(db, 1, rows)
    assert len(idle.statuses()) == made


def test_the_log_is_kept_for_as_long_as_something_may_be_missed() -> None:
    named = {
        "database_url": "postgresql:///x",
        "nats_url": "nats://x",
        "master_keys": "k1:" + "0" * 64,
    }
    assert load_settings({}, home="x", **named).webhook_log_days == MISSED_DAYS
    with pytest.raises(SettingError, match="LOOP_WEBHOOK_LOG_DAYS is not usable: a number of days"):
        load_settings({}, home="x", webhook_log_days="29", **named)

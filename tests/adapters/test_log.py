"""Times and positions of the log."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from adapters.log import Connection, connect, position_at, recorded_at
from tests.history import START, History, created


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Connection]:
    async with await connect(database_url, "test") as db:
        yield db


@pytest.mark.parametrize("length", [0, 1, 2, 3, 7, 8, 33])
async def test_a_time_names_the_last_position_recorded_by_then(
    history: History, db: Connection, length: int
) -> None:
    if length:
        history.append([(f"ord_{n}", created()) for n in range(length)])
    # Rows of one commit share their time; the next commit may share it too.
    history.db.execute("ALTER TABLE events DISABLE TRIGGER ALL")
    history.db.execute(
        "UPDATE events SET recorded_at = %s + notification_id / 3 * interval '1 second'", [START]
    )
    found = await db.execute("SELECT notification_id, recorded_at FROM events")
    times = dict(await found.fetchall())
    tick = timedelta(microseconds=1)
    for at in {START - tick, START, *times.values(), *(t - tick for t in times.values())}:
        by_then = max((p for p, recorded in times.items() if recorded <= at), default=0)
        assert await position_at(db, at) == by_then
    assert await position_at(db, START + timedelta(days=1)) == length
    assert [await recorded_at(db, p) for p in times] == list(times.values())
    assert await recorded_at(db, length + 1) is None


async def test_a_time_is_found_with_a_probe_per_doubling_of_the_log(
    history: History, db: Connection
) -> None:
    history.append([("ord_a", created()) for _ in range(4000)])
    await db.execute("ANALYZE events")
    before = await (await db.execute(_READS)).fetchone()
    assert await position_at(db, START + timedelta(days=36_500)) == 4000
    await db.execute("SELECT pg_stat_force_next_flush()")
    after = await (await db.execute(_READS)).fetchone()
    assert before is not None
    assert after is not None
    assert after[0] - before[0] == 0, "no scan"
    assert 10 < after[1] - before[1] < 40


_READS = """
SELECT coalesce(seq_tup_read, 0), coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables
WHERE relname = 'events'
"""

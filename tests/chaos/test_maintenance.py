"""Maintenance of the log's table while it is written: appends come through in the middle of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from adapters.event_store import PostgresEventStore
from adapters.migrations import OPTIONS
from domain.ids import new_id
from tests.appends import append_of, opened
from tests.waiting import until

ROWS: Final = 20_000
APPENDS: Final = 20
_FILL: Final = """
    INSERT INTO events SELECT 'old_' || n, 1, 'old', repeat('x', 200)::bytea, n, clock_timestamp()
    FROM generate_series(1, %s) AS n
"""
SLOW: Final = "-c vacuum_cost_delay=100 -c vacuum_cost_limit=1"
"""One sleep per page: the command lasts for minutes, unless it is cancelled."""

Connection = psycopg.AsyncConnection[Any]


@pytest.fixture
async def store(database_url: str, pool: AsyncConnectionPool) -> AsyncIterator[PostgresEventStore]:
    async with pool.connection() as connection:
        await connection.execute(_FILL, [ROWS])
    async with opened(PostgresEventStore(database_url, pool)) as store:
        yield store


async def connect(url: str, options: str = "") -> Connection:
    return await Connection.connect(url, autocommit=True, options=f"{OPTIONS} {options}")


async def one(watch: Connection, query: str, pid: int) -> Any:
    """Return the first column of the first row, None without rows."""
    row = await (await watch.execute(query.encode(), [pid])).fetchone()
    return row and row[0]


@asynccontextmanager
async def under_way(url: str, command: str, options: str = "") -> AsyncIterator[int]:
    """Run a command beside the block; it must still be running at the block's end."""
    async with await connect(url, options) as working, await connect(url) as watch:
        task = asyncio.ensure_future(working.execute(command.encode()))
        try:
            yield working.info.backend_pid
            running = "SELECT query FROM pg_stat_activity WHERE pid = %s AND state = 'active'"
            assert await one(watch, running, working.info.backend_pid) == command
            assert not task.done()
        finally:
            working.cancel()
            with pytest.raises(psycopg.errors.QueryCanceled):
                await task


async def appends_come_through(store: PostgresEventStore) -> None:
    """Append to new streams and to one that grows; all of it has to be acknowledged."""
    grows = new_id("ord")
    for version in range(APPENDS):
        (row,) = await store.append(append_of(grows, expected=version))
        await asyncio.gather(*(store.append(append_of(new_id("ord"))) for _ in range(4)))
        assert row.version == version + 1


@pytest.mark.parametrize(
    ("command", "scanned"),
    [
        (
            "VACUUM (FREEZE, DISABLE_PAGE_SKIPPING) events",
            "SELECT heap_blks_scanned > 1 FROM pg_stat_progress_vacuum WHERE pid = %s",
        ),
        (
            "ANALYZE events",
            "SELECT sample_blks_scanned > 1 FROM pg_stat_progress_analyze WHERE pid = %s",
        ),
    ],
)
async def test_appends_are_acknowledged_while_the_log_is_vacuumed_and_analyzed(
    store: PostgresEventStore, database_url: str, command: str, scanned: str
) -> None:
    async with (
        under_way(database_url, command, SLOW) as pid,
        await connect(database_url) as watch,
    ):
        await until(lambda: one(watch, scanned, pid))
        await appends_come_through(store)


@pytest.mark.parametrize(
    ("obstacle", "phase"),
    [
        ("LOCK TABLE events IN ROW EXCLUSIVE MODE", "waiting for writers before build"),
        ("SELECT count(*) FROM due", "waiting for old snapshots"),
    ],
)
async def test_appends_are_acknowledged_while_an_index_is_built_concurrently(
    store: PostgresEventStore, database_url: str, obstacle: str, phase: str
) -> None:
    command = "CREATE INDEX CONCURRENTLY events_by_topic ON events (topic)"
    in_phase = "SELECT phase FROM pg_stat_progress_create_index WHERE pid = %s"
    async with (
        await connect(database_url) as watch,
        await connect(database_url) as holder,
        holder.transaction(force_rollback=True),
    ):
        await holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await holder.execute(obstacle.encode())
        async with under_way(database_url, command) as pid:

            async def waits() -> bool:
                return await one(watch, in_phase, pid) == phase

            await until(waits)
            await appends_come_through(store)
            assert await waits()


async def test_a_reader_that_holds_a_snapshot_for_long_holds_no_append_up(
    store: PostgresEventStore, database_url: str
) -> None:
    async with await connect(database_url) as reader, reader.transaction():
        await reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        count = "SELECT count(*) FROM events WHERE %s > 0"
        before = await one(reader, count, 1)
        await appends_come_through(store)
        assert await one(reader, count, 1) == before == ROWS

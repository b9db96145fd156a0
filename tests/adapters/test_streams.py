"""Streams are remembered, and never shown older than the log."""

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from adapters import streams
from adapters.connect import connect
from adapters.event_store import PostgresEventStore
from adapters.streams import Streams
from domain.ids import new_id
from tests.appends import append_of, opened


async def test_what_other_processes_append_is_read_on_top_of_what_is_remembered(
    store: PostgresEventStore, database_url: str, pool: AsyncConnectionPool
) -> None:
    order = new_id("ord")
    first = await store.append(append_of(order, events=2))
    assert (await store.load([order]))[order] == first
    async with opened(PostgresEventStore(database_url, pool)) as other:
        second = await other.append(append_of(order, expected=2))
        assert (await store.load([order]))[order] == first + second
        third = await other.append(append_of(order, expected=3))
        assert (await other.load([order]))[order] == first + second + third
    assert (await store.load([order]))[order] == first + second + third


async def test_a_log_that_is_not_as_remembered_is_read_whole(
    store: PostgresEventStore, database_url: str
) -> None:
    order, gone = new_id("ord"), new_id("ord")
    rows = await store.append(append_of(order, events=3))
    await store.append(append_of(gone))
    assert set(await store.load([order, gone])) == {order, gone}
    with psycopg.connect(database_url, options="-c search_path=loop") as db:
        db.execute("ALTER TABLE events DISABLE TRIGGER USER")
        db.execute("DELETE FROM events WHERE originator_id = %s OR originator_version > 2", [gone])
    assert await store.load([order, gone]) == {order: rows[:2], gone: ()}


async def test_only_so_many_rows_are_remembered(
    store: PostgresEventStore, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = [new_id("ord") for _ in range(4)]
    written = {order: await store.append(append_of(order, events=2)) for order in orders}
    monkeypatch.setattr(streams, "ROWS_MAX", 5)
    known = Streams()
    async with await connect(database_url, name="test") as db:
        for _ in range(2):
            assert await known.load(db, orders) == written
            assert list(known._known) == orders[2:]
            assert known._rows == 4

"""A process that appends until it is killed, and says on stdout what was acknowledged.

A line is an order's id once its three events are acknowledged, `hot` and an event's id for an
append to the stream that all writers share, or `!` and an error that no caller should get.
"""

import asyncio
import os
import sys

import psycopg
from psycopg_pool import AsyncConnectionPool

from adapters.event_store import PostgresEventStore
from adapters.migrations import OPTIONS
from commands.append import VersionTaken
from domain.errors import Unavailable
from domain.ids import new_id
from tests.appends import append_of, record

HOT = "ord_hot"
UNSEEN = """
    INSERT INTO events SELECT 'never_' || n, 1, 'never', '', n, clock_timestamp() FROM (
        SELECT coalesce(max(notification_id), 0) + 1 AS n FROM events) AS next
"""


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


async def orders(store: PostgresEventStore) -> None:
    while True:
        order = new_id("ord")
        try:
            await store.append(append_of(order, events=2, idempotency=record(order, order)))
            await store.append(append_of(order, expected=2))
            say(order)
        except Unavailable:
            await asyncio.sleep(0.02)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
            say(f"! {error!r}")


async def hot(store: PostgresEventStore) -> None:
    while True:
        try:
            version = len((await store.load([HOT]))[HOT])
            (row,) = await store.append(append_of(HOT, expected=version))
            say(f"hot {row.metadata.event_id}")
        except VersionTaken:
            continue
        except Unavailable:
            await asyncio.sleep(0.02)
        except Exception as error:  # noqa: BLE001 - as above
            say(f"! {error!r}")


async def roll_back(url: str) -> None:
    """Write with the lock held and take it back, again and again."""
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(url, options=OPTIONS) as db:
                await db.execute("SELECT pg_advisory_xact_lock(hashtextextended('loop.events', 0))")
                await db.execute(UNSEEN)
                await db.rollback()
        except psycopg.Error:
            pass
        await asyncio.sleep(0.02)


async def main(url: str) -> None:
    pool = AsyncConnectionPool(url, min_size=0, max_size=2, open=False, kwargs={"options": OPTIONS})
    store = PostgresEventStore(url, pool)
    async with pool, asyncio.TaskGroup() as tasks:
        tasks.create_task(store.run())
        tasks.create_task(roll_back(url))
        for _ in range(2):
            tasks.create_task(hot(store))
        for _ in range(16):
            tasks.create_task(orders(store))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

"""Appends per second: our event store, the library's default recorder, a plain psycopg insert.

    python -m tests.benchmarks.bench_append --pairs 7 --seconds 1

All in one process on one embedded PostgreSQL with fsync, one event per append, interleaved: in
each round every subject runs once at each number of writers. Ours appends through the public
interface (encoding, answer rows); the library maps nothing, it is given bytes of the same size.
Prints JSON: medians in appends/s, and of ours to the others the median of the rounds' ratios with
its 95 % interval (order statistics).
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import uvloop
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool

from adapters.embedded.postgres import EmbeddedPostgres
from adapters.event_store import PostgresEventStore
from adapters.migrations import migrate
from domain.ids import new_id
from tests.appends import append_of, opened

STATE = b"x" * 300
PLAIN = (
    "CREATE TABLE IF NOT EXISTS plain (id text, version bigint, topic text, state bytea,"
    " position bigserial, PRIMARY KEY (id, version))"
)


async def ours(url: str, writers: int, seconds: float) -> float:
    pool = AsyncConnectionPool(url, min_size=0, max_size=2, open=False)
    async with pool, opened(PostgresEventStore(url, pool)) as store:
        await store.append(append_of(new_id("ord")))

        async def once() -> None:
            await store.append(append_of(new_id("ord")))

        return await _rate_async([once] * writers, seconds)


async def plain(url: str, writers: int, seconds: float) -> float:
    connections = [
        await psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=0)
        for _ in range(writers)
    ]

    def inserting(connection: psycopg.AsyncConnection[Any]) -> Callable[[], Awaitable[None]]:
        async def once() -> None:
            await connection.execute(
                "INSERT INTO plain (id, version, topic, state) VALUES (%s, 1, 'topic', %b)",
                (new_id("ord"), STATE),
            )

        return once

    try:
        return await _rate_async([inserting(c) for c in connections], seconds)
    finally:
        for connection in connections:
            await connection.close()


async def _rate_async(tasks: list[Callable[[], Awaitable[None]]], seconds: float) -> float:
    done = 0
    start = time.perf_counter()
    end = start + seconds

    async def work(once: Callable[[], Awaitable[None]]) -> None:
        nonlocal done
        while time.perf_counter() < end:
            await once()
            done += 1

    await asyncio.gather(*(work(once) for once in tasks))
    return done / (time.perf_counter() - start)


def library(url: str, writers: int, seconds: float) -> float:
    parts = conninfo_to_dict(url)
    datastore = PostgresDatastore(
        dbname=str(parts["dbname"]),
        host=str(parts["host"]),
        port=str(parts["port"]),
        user=str(parts["user"]),
        password=str(parts["password"]),
        pool_size=writers,
        connect_timeout=60,
    )
    with datastore:
        recorder = PostgresApplicationRecorder(datastore, events_table_name="library_events")
        recorder.create_table()
        counts = [0] * writers
        start = time.perf_counter()
        end = start + seconds

        def work(n: int) -> None:
            while time.perf_counter() < end:
                recorder.insert_events([StoredEvent(_uuid(), 1, "topic", STATE)])
                counts[n] += 1

        threads = [threading.Thread(target=work, args=(n,)) for n in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.perf_counter() - start)


def _uuid() -> UUID:
    """Return a UUID that begins with the time, so that the library's index grows at one end."""
    return UUID(int=(time.time_ns() << 64) | (uuid4().int & ((1 << 64) - 1)))


def measure(url: str, writers: list[int], pairs: int, seconds: float) -> dict[str, Any]:
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(PLAIN)
    figures: dict[str, dict[int, list[float]]] = {
        name: {n: [] for n in writers} for name in ("ours", "library", "plain")
    }
    for turn in range(pairs):
        for n in writers:
            figures["ours"][n].append(uvloop.run(ours(url, n, seconds)))
            figures["library"][n].append(library(url, n, seconds))
            figures["plain"][n].append(uvloop.run(plain(url, n, seconds)))
        print(f"round {turn + 1} of {pairs}", file=sys.stderr)
    return {str(n): {name: by[n] for name, by in figures.items()} for n in writers}


def summary(figures: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    report: dict[str, Any] = {}
    for writers, by_name in figures.items():
        line: dict[str, Any] = {
            name: round(statistics.median(rates)) for name, rates in by_name.items()
        }
        for other in ("library", "plain"):
            pairs = zip(by_name["ours"], by_name[other], strict=True)
            line[f"ours/{other}"] = _interval([a / b for a, b in pairs])
        report[writers] = line
    return report


def _interval(ratios: list[float]) -> dict[str, float]:
    """Return the median and its interval: for seven pairs, lowest to highest is 98 %."""
    ordered = sorted(ratios)
    cut = max(0, int((len(ordered) - 1.96 * len(ordered) ** 0.5) / 2) - 1)
    return {
        "median": round(statistics.median(ordered), 2),
        "low": round(ordered[cut], 2),
        "high": round(ordered[-1 - cut], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writers", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="loop-bench-") as data,
        EmbeddedPostgres(Path(data), settings={"max_connections": "300"}) as server,
    ):
        migrate(server.url)
        figures = measure(server.url, options.writers, options.pairs, options.seconds)
    print(json.dumps({"appendsPerSecond": summary(figures)}, indent=2))


if __name__ == "__main__":
    main()

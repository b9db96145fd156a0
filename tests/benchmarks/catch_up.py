"""Catching up: the relay, and each projection against a plain psycopg loop that writes its rows.

The log holds whole lives of five events. The plain loop reads pages of 1 000 events and writes the
very rows that the projection wrote, each once; they are computed beforehand, so it neither decodes
nor folds nor updates. A rebuild is a new generation of tables beside the live ones, filled by a
projector without the bus.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Any

import psycopg
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError
from psycopg import sql

from adapters.log import connect
from adapters.nats import STREAM, Bus
from adapters.projector import Projector
from adapters.read_models import create, install
from adapters.relay import Relay
from projections import PROJECTIONS
from projections.base import Projection
from tests.benchmarks import history
from tests.benchmarks.measure import Bar, Outcome, Result, Size, absolute, compared, interleaved
from tests.benchmarks.memory import sampled
from tests.benchmarks.stack import Servers, level, shops, until, working

PAGE = 1000
OPTIONS = "-c search_path=loop"
WARM = 0.5
"""Share of the samples after which a process's memory should not grow any more."""


@dataclass
class Rebuild:
    """Fills one projection again and again."""

    url: str
    projection: Projection
    head: int
    generation: int = 1

    async def projector(self) -> float:
        """Build the next generation with our projector; return events/s."""
        self.generation += 1
        n = self.generation
        async with await connect(self.url, "bench") as db:
            await create(db, self.projection, n, live=False)
            stop = asyncio.Event()
            start = time.perf_counter()
            projector = Projector(self.url, None, self.projection, version=n)
            running = asyncio.create_task(projector.run(stop))
            query = "SELECT position FROM projection_positions WHERE name = %s AND version = %s"

            async def level() -> bool:
                found = await db.execute(query, (self.projection.name, n))
                return await found.fetchone() == (self.head,)

            await until(level)
            seconds = time.perf_counter() - start
            stop.set()
            await running
        return self.head / seconds

    async def plain(self) -> float:
        """Write the same rows with the plain loop; return events/s."""
        return await asyncio.to_thread(self._plain)

    def _plain(self) -> float:
        with psycopg.connect(self.url, options=OPTIONS) as db:
            writes = [self._copied(db, table) for table in self.projection.tables]
            db.commit()
            return self._loop(db, writes)

    def _copied(
        self, db: psycopg.Connection, table: str
    ) -> tuple[sql.Composed, list[tuple[Any, ...]]]:
        """Make an empty table like a filled one; return its INSERT and the rows to write."""
        copy = sql.Identifier(f"plain_{table}")
        source = sql.Identifier(f"{table}_v{self.generation}")
        db.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(copy))
        db.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(copy, source))
        found = db.execute(sql.SQL("SELECT * FROM {}").format(source))
        values = sql.SQL(", ").join([sql.Placeholder()] * len(found.description or ()))
        return sql.SQL("INSERT INTO {} VALUES ({})").format(copy, values), found.fetchall()

    def _loop(
        self, db: psycopg.Connection, writes: list[tuple[sql.Composed, list[tuple[Any, ...]]]]
    ) -> float:
        start = time.perf_counter()
        position = 0
        while position < self.head:
            page = db.execute(
                "SELECT originator_id, originator_version, topic, state, notification_id"
                " FROM events WHERE notification_id > %s ORDER BY notification_id LIMIT %s",
                (position, PAGE),
            ).fetchall()
            before, position = position, page[-1][4]
            with db.cursor() as cursor:
                for insert, rows in writes:
                    begin, end = (len(rows) * at // self.head for at in (before, position))
                    cursor.executemany(insert, rows[begin:end])
            db.commit()
        return self.head / (time.perf_counter() - start)


async def _relay(servers: Servers, url: str, head: int, runs: int) -> Result:
    """Publish the log into an empty stream, again and again."""
    rates: list[float] = []
    async with Bus(servers.nats.url, name="bench") as bus:
        stream = (await bus.client()).jetstream()
        for _ in range(runs):
            with contextlib.suppress(NotFoundError):
                await stream.delete_stream(STREAM)
            stop = asyncio.Event()
            start = time.perf_counter()
            running = asyncio.create_task(Relay(url, bus, kept=head).run(stop))
            await until(lambda: _holds(stream, head))
            rates.append(head / (time.perf_counter() - start))
            stop.set()
            await running
    return absolute("relay catch-up into an empty stream", rates, "events/s")


async def _holds(stream: JetStreamContext, head: int) -> bool:
    with contextlib.suppress(NotFoundError):
        return (await stream.stream_info(STREAM)).state.last_seq == head
    return False


async def run(servers: Servers, size: Size) -> Outcome:
    """Measure the relay, then each projection, then the memory of a worker that catches up."""
    settings = servers.settings()
    url = settings.database_url
    async with shops(settings, 1) as (app, made):
        head = await history.lives(app, made[0], size.events)
    await install(url)
    results = [await _relay(servers, url, head, size.pairs)]
    async with working(settings, "projections") as pid, sampled(pid) as memory:
        await level(url)
    warm = memory[int(len(memory) * WARM) :]
    for projection in PROJECTIONS.values():
        rebuild = Rebuild(url, projection, head)
        await rebuild.projector()
        ours, plain = await interleaved(size.pairs, rebuild.projector, rebuild.plain)
        results.append(
            compared(
                f"rebuild of `{projection.name}`",
                ours,
                "events/s",
                f"plain psycopg loop over pages of {PAGE}",
                plain,
                Bar(kind="minimum", limit=0.2),
            )
        )
    what = f"PSS of a worker that catches up with {head:,} events, its largest to that at half way"
    grown = max(warm) / warm[0]
    results.append(absolute(what, [grown], "x", Bar(kind="maximum", limit=1.1)))
    return Outcome(results=results)

"""The relay: committed events, in position order, from Postgres to the stream `LOOP`.

The stream is its own checkpoint: its sequence is the log's position, and every message names the
sequence that it follows. So there is nothing to store, several relays do no harm, and whatever
NATS forgot is published again. On any doubt the relay looks at the stream anew.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import psycopg
import structlog
from nats.errors import Error as NatsError
from prometheus_client import Counter, Gauge

from adapters import log as events
from adapters.log import PAGE, Connection
from adapters.nats import MAX_BYTES, Bus, Disconnected
from adapters.stream import Doubt, LogStream
from adapters.waiting import end, set_within

POLL_S: Final = 0.5
LEASE_S: Final = 2.0
"""How often a relay that does not hold the lease asks for it."""

LOOK_S: Final = 5.0
"""How often an idle relay looks whether the stream is still there."""

BACKOFF_MAX_S: Final = 5.0
KEPT: Final = 100_000
"""How many of the last events a stream that is made anew gets."""

lag_events = Gauge(
    "relay_lag_events",
    "Committed events that are not on the bus yet",
    multiprocess_mode="livemostrecent",
)
doubts_total = Counter("relay_doubts_total", "Times that the relay looked anew", ["cause"])

log = structlog.get_logger(__name__)

_TROUBLE: Final = (Doubt, Disconnected, NatsError, psycopg.Error, OSError, TimeoutError)


class Relay:
    """Publishes the log of one database; see the module.

    Args:
        database_url: where the log is.
        bus: where it goes.
        kept: how many of the last events a stream that is made anew gets.
        max_bytes: size limit of a stream that is made anew.
        lease: work only while no other relay does; saves work, nothing depends on it.
    """

    def __init__(
        self,
        database_url: str,
        bus: Bus,
        *,
        kept: int = KEPT,
        max_bytes: int = MAX_BYTES,
        lease: bool = True,
    ) -> None:
        self._url = database_url
        self._bus = bus
        self._kept = kept
        self._max_bytes = max_bytes
        self._lease = lease
        self._poke = asyncio.Event()
        self._failures = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until `stop` is set; outages of either side are waited out."""
        ender = asyncio.create_task(self._end(stop))
        try:
            while not stop.is_set():
                try:
                    if not await self._session(stop):
                        await set_within(stop, LEASE_S)
                except _TROUBLE as error:
                    await self._back_off(error, stop)
        finally:
            ender.cancel()

    async def _end(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._poke.set()

    async def _back_off(self, error: Exception, stop: asyncio.Event) -> None:
        cause = type(error).__name__
        doubts_total.labels(cause=cause).inc()
        if self._failures:
            log.warning("relay_looks_again", cause=cause, detail=str(error))
        pause_s = min(BACKOFF_MAX_S, 0.02 * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        await set_within(stop, pause_s)

    async def _session(self, stop: asyncio.Event) -> bool:
        """Work with one pair of connections until something is in doubt; False without a lease."""
        client = await self._bus.client()
        async with self._listening(), await events.connect(self._url, "loop-relay") as db:
            if self._lease and not await events.try_lock(db, "loop.relay"):
                return False
            jetstream = client.jetstream(timeout=2)
            stream = LogStream(client, jetstream, db, await events.log_id(db))
            async with stream.opened():
                while not stop.is_set():
                    position = await stream.settle(kept=self._kept, max_bytes=self._max_bytes)
                    await self._follow(db, stream, position, stop)
        return True

    async def _follow(
        self, db: Connection, stream: LogStream, position: int, stop: asyncio.Event
    ) -> None:
        """Publish what comes after `position`; return when nothing came for a while."""
        idle_s = 0.0
        ahead = asyncio.create_task(events.read_page(db, position))
        try:
            while not stop.is_set() and idle_s < LOOK_S:
                self._poke.clear()
                if not (page := await ahead):
                    await stream.flush()
                    lag_events.set(0)
                    idle_s += POLL_S
                    await set_within(self._poke, POLL_S)
                    ahead = asyncio.create_task(events.read_page(db, position))
                    continue
                idle_s, position = 0.0, page[-1].position
                behind = await events.head(db) - position if len(page) == PAGE else 0
                lag_events.set(behind + len(page))
                ahead = asyncio.create_task(events.read_page(db, position))
                await stream.publish(page)
                self._failures = 0
        finally:
            await end(ahead)

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        """Set the poke at every commit, as far as notifications arrive: they are only a hint."""
        async with await events.connect(self._url, "loop-relay-listen") as connection:
            await connection.execute("LISTEN loop_events")
            task = asyncio.create_task(self._listen(connection))
            try:
                yield
            finally:
                await end(task)

    async def _listen(self, connection: Connection) -> None:
        async for _ in connection.notifies():
            self._poke.set()

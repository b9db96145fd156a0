"""One pull consumer for all projectors of a process: fast copies of rows, so that they look sooner.

Nothing depends on it: what it does not bring, brings late, twice or out of order is read from the
log. So it acknowledges nothing and keeps no place at the server. The library's `fetch` is not used
because it waits for a full batch or its whole time-out.
"""

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Final

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from adapters.log import PAGE, Row
from adapters.nats import LOG_ID, STREAM, Bus, Disconnected, row_of
from adapters.waiting import set_within

BATCH: Final = 500
BUFFERED_MAX: Final = 4 * PAGE
"""Rows that are kept for the slowest reader; what it finds gone it reads from the log."""

EXPIRES_S: Final = 10.0
AGAIN_S: Final = 1.0
LINGER_S: Final = 0.02
"""How long what has arrived waits for more: a batch costs six round trips, however small it is,
and every reader pays them."""

LINGER_BUSY_S: Final = 0.2
BUSY_PER_S: Final = 200.0
"""From this rate on it waits longer: five times a second every reader gets all there is."""

JUMP: Final = 5_000
"""When the readers are this far ahead, the consumer is made anew at their position."""

_NOTHING: Final = {"404", "408"}
"""Statuses of a pull that ended without its messages; every other one is trouble."""

log = structlog.get_logger(__name__)


class Feed:
    """Rows from the bus for any number of readers; there is no consumer while there are none."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._rows: deque[tuple[str | None, Row]] = deque(maxlen=BUFFERED_MAX)
        self._total = 0
        self._readers: set[Reader] = set()
        self._wanted = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._lingers_s = LINGER_S
        self._arrived = 0
        self._pulled = 0
        self._sequence = 0
        self._trouble: str | None = None

    @contextlib.contextmanager
    def reader(self, log_id: str, position: int) -> Iterator["Reader"]:
        """Read the rows of one log that arrive from now on; `position` is where the reader is."""
        reader = Reader(self, log_id, position)
        self._readers.add(reader)
        self._wanted.set()
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            self._wanted.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Bring rows as long as somebody reads, until `stop`; trouble with NATS is waited out."""
        ender = asyncio.ensure_future(self._end(stop))
        try:
            while not stop.is_set():
                pause_s = AGAIN_S
                if self._readers:
                    try:
                        await self._session(stop)
                    except (Disconnected, NatsError, OSError, TimeoutError) as error:
                        log.debug("feed_pauses", cause=type(error).__name__)
                else:
                    self._wanted.clear()
                    await self._wanted.wait()
                    pause_s = 0
                await set_within(stop, pause_s)
        finally:
            ender.cancel()
            if self._timer is not None:
                self._timer.cancel()

    async def _end(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wanted.set()

    def since(self, seen: int) -> tuple[list[tuple[str | None, Row]], int]:
        """Return what arrived after the first `seen` rows, a page at most, and how many that is."""
        first = max(seen, self._total - len(self._rows))
        skipped = first - (self._total - len(self._rows))
        rows = list(islice(self._rows, skipped, skipped + PAGE))
        return rows, first + len(rows)

    @property
    def total(self) -> int:
        """How many rows have arrived so far."""
        return self._total

    async def _session(self, stop: asyncio.Event) -> None:
        """Make a consumer at the readers' position and pull from it until there is trouble."""
        client = await self._bus.client()
        jetstream = client.jetstream(timeout=2)
        self._trouble, self._pulled = None, 0
        consumer = (await jetstream.add_consumer(STREAM, self._config())).name
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=self._on_message)
        try:
            await self._pull(client, inbox, consumer, stop)
        finally:
            with contextlib.suppress(NatsError, OSError, TimeoutError):
                await subscription.unsubscribe()
                await jetstream.delete_consumer(STREAM, consumer)

    def _config(self) -> ConsumerConfig:
        return ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self._furthest() + 1,
            ack_policy=AckPolicy.NONE,
            inactive_threshold=60,
            mem_storage=True,
        )

    def _furthest(self) -> int:
        return max((reader.position for reader in self._readers), default=0)

    async def _pull(self, client: Client, inbox: str, consumer: str, stop: asyncio.Event) -> None:
        """Keep one request open as long as somebody reads."""
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{consumer}"
        request = json.dumps({"batch": BATCH, "expires": int(EXPIRES_S * 1e9)}).encode()
        while self._trouble is None and self._readers and not stop.is_set():
            self._wanted.clear()
            if self._pulled <= 0:
                self._pulled = BATCH
                await client.publish(subject, request, reply=inbox)
            if not await set_within(self._wanted, EXPIRES_S + 1):
                self._pulled = 0

    async def _on_message(self, message: Msg) -> None:
        headers = message.headers or {}
        status = headers.get("Status")
        if status is not None:
            self._pulled = 0
            if status not in _NOTHING:
                self._trouble = f"{status} {headers.get('Description', '')}"
            self._wanted.set()
            return
        self._pulled -= 1
        if self._pulled <= 0:
            self._wanted.set()
        sequence = message.metadata.sequence.stream
        with contextlib.suppress(KeyError, ValueError):
            self._rows.append((headers.get(LOG_ID), row_of(sequence, headers, message.data)))
            self._total += 1
        self._arrived += 1
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._lingers_s, self._flush)
        self._sequence = sequence

    def _flush(self) -> None:
        """Wake all readers at once; the busier it is, the longer the next time lasts."""
        busy = self._arrived / self._lingers_s > BUSY_PER_S
        self._lingers_s = LINGER_BUSY_S if busy else LINGER_S
        self._timer, self._arrived = None, 0
        for reader in self._readers:
            reader.arrived.set()
        if self._furthest() - self._sequence > JUMP:
            self._trouble = "the readers are far ahead"
            self._wanted.set()


class Reader:
    """One projector's view of the feed; `position` is how far it is, whatever brought it there."""

    def __init__(self, feed: Feed, log_id: str, position: int) -> None:
        self.position = position
        self.arrived = asyncio.Event()
        self._feed = feed
        self._log_id = log_id
        self._seen = feed.total

    async def get(self, timeout_s: float) -> list[Row]:
        """Return a page of what has arrived, oldest first; empty when nothing did in that time."""
        while await set_within(self.arrived, timeout_s):
            rows, self._seen = self._feed.since(self._seen)
            if self._seen == self._feed.total:
                self.arrived.clear()
            if found := [row for log_id, row in rows if log_id == self._log_id]:
                return found
        return []

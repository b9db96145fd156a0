"""Group commit: all concurrent appends of a process go to Postgres in one call, one transaction."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

import psycopg
from prometheus_client import Counter, Histogram
from psycopg import AsyncConnection

from adapters.append_call import CALL, Pending, Refused, arguments, pending, settle
from adapters.connect import connect
from adapters.lost_appends import committed, wait_for_lost_call
from commands.append import Append
from domain.errors import Rejected, Unavailable
from domain.events import Recorded

__all__ = ["EVENTS_MAX", "QUEUE_MAX", "GroupCommit", "Refused", "UnwritableAppend"]

log = logging.getLogger(__name__)

EVENTS_MAX: Final = 512
"""Events in one batch; more wait for the next."""
QUEUE_MAX: Final = 8192
"""Appends that may wait; the next one is refused with 503."""
PASSED_OVER_MAX: Final = 512
"""Appends of busy streams that are passed over to fill one batch."""
RECOVERY_TRIES_MAX: Final = 12
"""Look-ups after a lost acknowledgement, about 16 s."""
LOST_MAX: Final = 5
"""Times that one append may be lost before its caller is told that nothing is known."""
_ROLLED_BACK: Final = {"40001", "40P01", "53100", "53200", "53400", "55P03", "57014"}
"""Errors after which nothing was committed: no need to look (deadlock, disk full, timeout, …)."""

APPENDED: Final = Counter("events_appended_total", "Events committed to the log")
BATCH: Final = Histogram(
    "append_batch_size", "Appends in one commit", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
)
WAIT: Final = Histogram(
    "append_wait_seconds",
    "From the call of append to its durable commit",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5),
)


class UnwritableAppend(Exception):
    """The database refuses this append's rows, and would again: a bug of whoever built it."""


class GroupCommit:
    """The writer of one process: a bounded queue, one connection, one task."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._queue: deque[Pending] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._connection: AsyncConnection[Any] | None = None

    async def append(self, append: Append) -> tuple[Recorded, ...]:
        """Commit one append together with all others that are waiting.

        Raises:
            Refused, VersionTaken, KeyRevoked: nothing of this append was written.
            Rejected: `unstorable_value`, a text that Postgres cannot hold.
            UnwritableAppend: it breaks a constraint that the checks do not know.
            Unavailable: `overloaded`, nothing was written; `database_unavailable`, not known.
        """
        if self._closing or len(self._queue) >= QUEUE_MAX:
            raise Unavailable("overloaded", "Too much is being written; try again.")
        try:
            waiting = pending(append)
        except UnicodeEncodeError as error:
            raise _unstorable() from error
        self._queue.append(waiting)
        self._wake.set()
        with WAIT.time():
            # A caller that goes away does not take its append back: it is decided either way.
            return await waiting.done

    async def run(self) -> None:
        """Write until `close`; everything that was queued by then is still written.

        However it ends, nobody is left waiting.
        """
        batch: list[Pending] = []
        try:
            while not (self._closing and not self._queue):
                if not self._queue:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                batch = self._next_batch()
                try:
                    await self._commit(batch)
                except Exception as error:
                    log.exception("append batch failed", exc_info=error)
                    self._fail(batch)
                    await self._disconnect()
        finally:
            self._closing = True
            self._fail([*batch, *self._queue])
            self._queue.clear()
            await self._disconnect()

    def close(self) -> None:
        """Take no more appends and let `run` end when the queue is empty."""
        self._closing = True
        self._wake.set()

    def _next_batch(self) -> list[Pending]:
        """Take appends that do not touch each other, in order; the others wait for the next."""
        batch: list[Pending] = []
        later: list[Pending] = []
        keys: set[tuple[str, ...]] = set()
        size = 0
        while self._queue and size < EVENTS_MAX and len(later) < PASSED_OVER_MAX:
            waiting = self._queue.popleft()
            if keys.isdisjoint(waiting.keys):
                batch.append(waiting)
                size += max(1, waiting.events)
            else:
                later.append(waiting)
            keys |= waiting.keys
        self._queue.extendleft(reversed(later))
        return batch

    async def _commit(self, batch: list[Pending]) -> None:
        connection = self._connection
        try:
            if connection is None or connection.closed:
                connection = self._connection = await connect(self._url, name="loop-append")
            cursor = await connection.execute(CALL, arguments(batch))
            rows = await cursor.fetchall()
            # What was lost and then refused may stand in its own way: it was late, not lost.
            refused = [batch[n] for n, outcome, *_ in rows if outcome != "ok" and batch[n].lost]
            found = await committed(connection, refused) if refused else {}
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            if error.sqlstate in _ROLLED_BACK:
                raise
            await self._recover(batch, error)
        except (psycopg.DatabaseError, ValueError) as error:
            await self._bisect(batch, error)
        else:
            BATCH.observe(len(batch))
            for n, outcome, position, at in rows:
                if outcome == "ok" or _told(batch[n], found):
                    APPENDED.inc(batch[n].events)
                settle(batch[n], outcome, position, at)

    async def _bisect(self, batch: list[Pending], error: Exception) -> None:
        """One append holds what Postgres does not take: find it, write the others."""
        if len(batch) > 1:
            half = len(batch) // 2
            await self._commit(batch[:half])
            await self._commit(batch[half:])
        elif isinstance(error, psycopg.DataError | UnicodeEncodeError):
            batch[0].fail(_unstorable())
        elif isinstance(error, psycopg.IntegrityError | psycopg.ProgrammingError | ValueError):
            log.error("an append cannot be written", exc_info=error)
            batch[0].fail(UnwritableAppend(type(error).__name__))
        else:
            raise error

    async def _recover(self, batch: list[Pending], error: Exception) -> None:
        """The outcome is unknown: look, and queue again only what is proven not to be there."""
        log.warning("append outcome unknown, looking it up: %s", type(error).__name__)
        for attempt in range(RECOVERY_TRIES_MAX):
            try:
                found = await self._look_up(batch)
                break
            except (psycopg.OperationalError, psycopg.InterfaceError):
                await asyncio.sleep(min(2.0, 0.05 * 2**attempt))
        else:
            # Those in the queue would wait as long, one batch after the other.
            self._fail([*batch, *self._queue])
            self._queue.clear()
            return
        for waiting in reversed(batch):
            waiting.lost += 1
            if _told(waiting, found):
                APPENDED.inc(waiting.events)
            elif waiting.lost >= LOST_MAX:
                self._fail([waiting])
            else:
                self._queue.appendleft(waiting)

    async def _look_up(self, batch: list[Pending]) -> dict[int, tuple[Recorded, ...]]:
        await self._disconnect()
        self._connection = await connect(self._url, name="loop-append")
        await wait_for_lost_call(self._connection)
        return await committed(self._connection, batch)

    async def _disconnect(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    @staticmethod
    def _fail(batch: Iterable[Pending]) -> None:
        for waiting in batch:
            waiting.fail(Unavailable("database_unavailable", "The log cannot be written."))


def _told(waiting: Pending, found: dict[int, tuple[Recorded, ...]]) -> bool:
    """Tell the caller of a lost append that it is in the log after all, if it is."""
    rows = found.get(id(waiting))
    if rows is None:
        return False
    waiting.succeed(rows)
    return True


def _unstorable() -> Rejected:
    return Rejected("unstorable_value", "The request has a character that cannot be stored.")

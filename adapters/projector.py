"""The projector: applies the log to one read model, in position order, exactly once.

Rows and position are written in one database transaction, so a crash repeats nothing and loses
nothing. Messages of the bus are only a faster way to the same rows: those that follow directly on
the position and are the log's own are taken, everything else is read from Postgres.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Final

import psycopg
import structlog
from prometheus_client import Gauge

from adapters import log as events
from adapters import read_models
from adapters.applier import Applier, Overtaken, Paused, Stopped
from adapters.feed import Feed, Reader
from adapters.log import PAGE, Connection, Row
from adapters.read_models import describe, install
from adapters.waiting import set_within
from projections.base import Projection

POLL_S: Final = 0.5
LEASE_S: Final = 2.0
"""How often a projector that does not hold the lease asks for it."""

BACKOFF_MAX_S: Final = 5.0
MEASURE_S: Final = 1.0

lag_events = Gauge(
    "projection_lag_events",
    "Events that are not in the rows",
    ["projection"],
    multiprocess_mode="livemostrecent",
)
lag_seconds = Gauge(
    "projection_lag_seconds",
    "Age of the first of them",
    ["projection"],
    multiprocess_mode="livemostrecent",
)
paused = Gauge(
    "projection_paused",
    "Whether an operator has it stand still",
    ["projection"],
    multiprocess_mode="livemostrecent",
)
log = structlog.get_logger(__name__)


_TROUBLE: Final = (Overtaken, Stopped, psycopg.Error, OSError, TimeoutError)


_MEASURE: Final = """
SELECT greatest(h.head - p.position, 0),
       coalesce(extract(epoch FROM clock_timestamp() - e.recorded_at), 0),
       p.live AND p.paused_at IS NOT NULL
FROM projection_positions p
CROSS JOIN (SELECT coalesce(max(notification_id), 0) AS head FROM events) h
LEFT JOIN events e ON e.notification_id = p.position + 1
WHERE p.name = %s AND p.version = %s
"""


class Projector:
    """Keeps one projection level with the log; several may run, one at a time works.

    `version` picks the tables, `{name}_v{version}`; None is the live ones,
    or the newest where the live ones are of other code; a swap is followed.
    `feed` is shared by the projectors of a process; without it only Postgres is asked, every
    `POLL_S`.
    """

    def __init__(
        self,
        database_url: str,
        feed: Feed | None,
        projection: Projection,
        *,
        version: int | None = None,
    ) -> None:
        self._url = database_url
        self._feed = feed
        self._projection = projection
        self._version = version
        self._failures = 0
        self._measured_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Apply until `stop` is set; outages are waited out."""
        while not stop.is_set():
            pause_s = LEASE_S
            try:
                await self._session(stop)
            except _TROUBLE as error:
                pause_s = min(BACKOFF_MAX_S, 0.05 * 2**self._failures)
                self._failures = min(self._failures + 1, 10)
                name = self._projection.name
                log.warning("projector_begins_again", projection=name, cause=describe(error))
            await set_within(stop, pause_s)

    async def _session(self, stop: asyncio.Event) -> None:
        """Work with one connection; return when the lease is somebody else's."""
        await install(self._url, [self._projection])
        async with await events.connect(self._url, f"loop-projector-{self._projection.name}") as db:
            # A commit that is lost in a crash takes rows and position with it: both are made again.
            await db.execute("SET synchronous_commit = off")
            n = self._version or await read_models.generation(db, self._projection)
            assert n is not None, "install made the tables"
            if not await events.try_lock(db, f"loop.projector {self._projection.name} {n}"):
                return
            await read_models.retry(db, self._projection, n)
            while not stop.is_set():
                try:
                    await _Run(self, db, n).follow(stop)
                except Paused:
                    await self._rest(db, n, stop)

    async def _rest(self, db: Connection, n: int, stop: asyncio.Event) -> None:
        """Stand still until the operator resumes; keep telling how far behind it is."""
        while not stop.is_set():
            with contextlib.suppress(Paused):
                self._measured_at = 0.0
                await self.measure(db, n)
                return
            await set_within(stop, POLL_S)

    def reader(
        self, log_id: str, position: int
    ) -> contextlib.AbstractContextManager[Reader | None]:
        """Follow the feed behind `position`, if there is one."""
        if self._feed is None:
            return contextlib.nullcontext()
        return self._feed.reader(log_id, position)

    async def measure(self, db: Connection, n: int) -> None:
        """Set the gauges and see whether `n` is still to be filled, at most once in `MEASURE_S`.

        Raises:
            Overtaken: other tables were made the live ones, or these were dropped.
            Paused: the tables are live, and are to stand still.
        """
        self._failures = 0
        if time.monotonic() - self._measured_at < MEASURE_S:
            return
        self._measured_at = time.monotonic()
        name = self._projection.name
        if self._version is None and await read_models.generation(db, self._projection) != n:
            raise Overtaken("other tables are live now")
        cursor = await db.execute(_MEASURE, (name, n))
        row = await cursor.fetchone()
        if row is None:
            raise Overtaken("the tables were dropped")
        lag_events.labels(projection=name).set(float(row[0]))
        lag_seconds.labels(projection=name).set(float(row[1]))
        paused.labels(projection=name).set(float(row[2]))
        if row[2]:
            raise Paused

    @property
    def projection(self) -> Projection:
        """The read model that this projector fills."""
        return self._projection


class _Run:
    """One projector with its connection and lease."""

    def __init__(self, projector: Projector, db: Connection, n: int) -> None:
        self._projector = projector
        self._projection = projector.projection
        self._db = db
        self._n = n
        self._position = 0
        self._applier = Applier(db, self._projection, n)

    async def follow(self, stop: asyncio.Event) -> None:
        """Catch up from Postgres, then go on with what the bus brings and Postgres completes."""
        self._position = await self._stored_position()
        while not stop.is_set() and await self._from_log() == PAGE:
            pass
        log_id = await events.log_id(self._db)
        with self._projector.reader(log_id, self._position) as reader:
            while not stop.is_set():
                if reader is None:
                    if await self._from_log() == 0:
                        await set_within(stop, POLL_S)
                    continue
                rows = following(await reader.get(POLL_S), self._position)
                if rows is None:
                    while await self._from_log() == PAGE and not stop.is_set():
                        pass
                elif rows:
                    self._position = await self._applier.commit(rows, source="bus")
                reader.position = self._position
                await self._projector.measure(self._db, self._n)

    async def _stored_position(self) -> int:
        cursor = await self._db.execute(
            "SELECT position FROM projection_positions WHERE name = %s AND version = %s",
            (self._projection.name, self._n),
        )
        row = await cursor.fetchone()
        assert row is not None, "install made the position"
        return int(row[0])

    async def _from_log(self) -> int:
        """Apply the next page of the log; return its length."""
        rows = await events.read_page(self._db, self._position)
        if rows:
            self._position = await self._applier.commit(rows, source="log")
        await self._projector.measure(self._db, self._n)
        return len(rows)


def following(rows: Sequence[Row], position: int) -> list[Row] | None:
    """Return the rows that continue a position without a gap.

    None means that the log has to be asked: nothing came, or what came begins later. Rows behind
    the position are duplicates and dropped; an empty list means that there were only those.
    """
    if not rows:
        return None
    kept: list[Row] = []
    for row in rows:
        if row.position == position + len(kept) + 1:
            kept.append(row)
        elif row.position > position + len(kept):
            return kept or None
    return kept[:PAGE]

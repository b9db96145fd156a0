"""One batch of the log into one read model: rows and position in one database transaction.

A batch that is refused is applied around what is to blame: a stream of a projection with rows per
stream is parked, any other projection stops in front of the event.
"""

from collections.abc import Sequence

import msgspec
import structlog
from prometheus_client import Counter, Gauge

from adapters.log import Connection, Row
from adapters.read_models import blames_events, decoded, describe, park
from projections.base import PerStream, Projection

stopped = Gauge(
    "projection_stopped",
    "Whether an event cannot be applied",
    ["projection"],
    multiprocess_mode="livemostrecent",
)
parked_total = Counter("projection_parked_total", "Streams that were parked", ["projection"])
applied_total = Counter(
    "projection_events_total", "Events that were applied", ["projection", "source"]
)

log = structlog.get_logger(__name__)


class Overtaken(Exception):
    """Another projector moved the position: begin again from what stands there."""


class Stopped(Exception):
    """A projection that cannot park a stream met an event that it cannot apply."""


class Paused(Exception):
    """An operator has the live tables stand still."""


class Applier:
    """Writes to generation `n` of one projection; the connection is its own."""

    def __init__(self, db: Connection, projection: Projection, n: int) -> None:
        self._db = db
        self._projection = projection
        self._n = n
        self._live = False
        stopped.labels(projection=projection.name).set(0)

    async def commit(self, rows: Sequence[Row], *, source: str) -> int:
        """Apply rows that follow on the stored position; return the new one.

        Args:
            rows: in position order, without gaps.
            source: `bus` or `log`; what the bus brought is checked against the log.

        Raises:
            Overtaken: the rows do not follow, or the bus brought another log's.
            Paused: the tables are live, and are to stand still.
            Stopped: the first row cannot be applied and nothing can be parked.
            psycopg.Error: the database has a problem; nothing was written.
        """
        assert [row.position for row in rows] == [*range(rows[0].position, rows[-1].position + 1)]
        try:
            async with self._db.transaction():
                position = await self._apply(rows, source)
        except (Overtaken, Paused):
            raise
        except Exception as error:
            if not blames_events(error):
                raise
            cause = describe(error)
            log.warning("batch_refused", projection=self._projection.name, cause=cause)
            position = await self._commit_apart(rows, source)
        applied = position - rows[0].position + 1
        applied_total.labels(projection=self._projection.name, source=source).inc(applied)
        return position

    async def _commit_apart(self, rows: Sequence[Row], source: str) -> int:
        try:
            async with self._db.transaction():
                return await self._apply_apart(rows, source)
        except Stopped as error:
            stopped.labels(projection=self._projection.name).set(1)
            await self._db.execute(
                "UPDATE projection_positions SET error = %s WHERE name = %s AND version = %s",
                (str(error), self._projection.name, self._n),
            )
            raise

    async def _apply(self, rows: Sequence[Row], source: str) -> int:
        """Apply all rows at once and move the position behind them."""
        parked = await self._lock(rows, source)
        batch = [decoded(row) for row in self._mine(rows) if row.stream_id not in parked]
        if batch:
            await self._projection.apply(self._db, self._n, batch)
        return await self._move(rows[-1].position)

    async def _apply_apart(self, rows: Sequence[Row], source: str) -> int:
        """Find out which event is to blame: park its stream, or stop in front of it.

        Raises:
            Stopped: already the first row cannot be applied, and nothing can be parked.
        """
        parked = await self._lock(rows, source)
        if not isinstance(self._projection, PerStream):
            return await self._apply_upto(rows)
        streams: dict[str, list[Row]] = {}
        for row in self._mine(rows):
            if row.stream_id not in parked:
                streams.setdefault(row.stream_id, []).append(row)
        for stream in streams.values():
            if not await self._tried(stream):
                await self._apply_stream(self._projection, stream)
        return await self._move(rows[-1].position)

    async def _apply_stream(self, projection: PerStream, rows: Sequence[Row]) -> None:
        """Apply rows of one stream, one by one, up to the one that is to blame; park it there."""
        for row in rows:
            if (error := await self._try([row])) is not None:
                await self._park(projection, row, error)
                return

    async def _apply_upto(self, rows: Sequence[Row]) -> int:
        for row in rows:
            if self._mine([row]) and (error := await self._try([row])) is not None:
                if row is rows[0]:
                    raise Stopped(describe(error)) from error
                return await self._move(row.position - 1)
        return await self._move(rows[-1].position)

    async def _tried(self, rows: Sequence[Row]) -> bool:
        return await self._try(rows) is None

    async def _try(self, rows: Sequence[Row]) -> Exception | None:
        """Apply rows inside a savepoint; return what refused them."""
        try:
            async with self._db.transaction():
                batch = [decoded(row) for row in rows]
                await self._projection.apply(self._db, self._n, batch)
        except Exception as error:
            if not blames_events(error):
                raise
            return error
        return None

    async def _park(self, projection: PerStream, row: Row, error: Exception) -> None:
        cause = describe(error)
        await park(
            self._db,
            projection,
            self._n,
            stream_id=row.stream_id,
            position=row.position,
            error=cause,
        )
        parked_total.labels(projection=self._projection.name).inc()
        log.error("stream_parked", projection=projection.name, position=row.position, cause=cause)

    def _mine(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows of the streams that the projection reads."""
        return [row for row in rows if row.stream_id.startswith(self._projection.streams)]

    async def _lock(self, rows: Sequence[Row], source: str) -> set[str]:
        """Lock the position and check that the rows follow on it; return the parked streams.

        Raises:
            Overtaken: another projector moved the position, the bus brought another log's rows, or
                the tables were live when this began and are not any more.
            Paused: the tables are live, and are to stand still.
        """
        key = (self._projection.name, self._n)
        # One round trip, three statements: what is parked is read once the position is locked.
        async with self._db.pipeline():
            place = await self._db.execute(
                "SELECT position, live, live AND paused_at IS NOT NULL FROM projection_positions"
                " WHERE name = %s AND version = %s FOR UPDATE",
                key,
            )
            held = await self._db.execute(
                "SELECT FROM events WHERE notification_id = %(position)s"
                " AND originator_id = %(stream_id)s AND originator_version = %(version)s"
                " AND topic = %(tag)s AND state = %(state)b AND recorded_at = %(recorded_at)s",
                msgspec.structs.asdict(rows[-1]),
            )
            parked = await self._db.execute(
                "SELECT stream_id FROM parked WHERE projection = %s AND version = %s", key
            )
        position, live, paused = await place.fetchone() or (None, False, False)
        if position != rows[0].position - 1:
            raise Overtaken("the position is not where this projector left it")
        if self._live and not live:
            raise Overtaken("other tables are live now")
        if paused:
            raise Paused
        self._live = live
        if source == "bus" and held.rowcount != 1:
            raise Overtaken("the bus does not carry this log")
        return {stream_id for (stream_id,) in await parked.fetchall()}

    async def _move(self, position: int) -> int:
        """Write the position that the rows now show."""
        await self._db.execute(
            "UPDATE projection_positions SET position = %s, error = NULL,"
            " updated_at = clock_timestamp() WHERE name = %s AND version = %s",
            (position, self._projection.name, self._n),
        )
        return position

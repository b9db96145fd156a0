"""The tables of the projections: made, counted, parked and taken up again."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final, Literal

import msgspec
import psycopg
from psycopg.rows import class_row

from adapters.codec import decode_row
from adapters.log import PAGE, Connection, Row, connect
from adapters.views import show
from domain.events import Recorded
from projections import PROJECTIONS
from projections.base import PerStream, Projection

ERROR_MAX: Final = 300


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How far a projection is.

    Attributes:
        version: of the tables, `{name}_v{version}`.
        code: of the code that fills them.
        live: whether the views show these tables.
        role: `live`; `building` are newer tables, `kept` are those that were live before.
        head: position of the log's last event.
        lag_events: how many events are not in the rows.
        lag_seconds: age of the first of them, 0.0 when level.
        parked: streams that are left alone until they are retried.
        error: why it stands still, None when it moves.
        paused_at: since when an operator has it stand still, None when it may move.
    """

    name: str
    version: int
    code: int
    live: bool
    role: Literal["live", "building", "kept"]
    position: int
    head: int
    lag_events: int
    lag_seconds: float
    parked: int
    error: str | None
    paused_at: datetime | None
    updated_at: datetime


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a parked stream; `error` None means that its rows are up to date again."""

    stream_id: str
    error: str | None


async def install(
    database_url: str, projections: Iterable[Projection] | None = None
) -> list[tuple[str, int]]:
    """Make the tables of every projection that has none for its code; return (name, version).

    The first tables of a name become the live ones at once. Several processes may call it.
    """
    made: list[tuple[str, int]] = []
    async with await connect(database_url, "loop-install") as db, db.transaction():
        await db.execute("SELECT pg_advisory_xact_lock(hashtextextended('loop.projections', 0))")
        await db.execute("SET LOCAL client_min_messages = warning")
        for projection in PROJECTIONS.values() if projections is None else projections:
            found = await _generations(db, projection.name)
            if projection.version not in {code for _, code in found}:
                n = 1 + max((n for n, _ in found), default=0)
                await create(db, projection, n, live=not found)
                made.append((projection.name, n))
    return made


async def _generations(db: Connection, name: str) -> list[tuple[int, int]]:
    """Return (version, code) of every set of tables of a projection."""
    cursor = await db.execute(
        "SELECT version, code FROM projection_positions WHERE name = %s ORDER BY version", (name,)
    )
    return [(int(n), int(code)) for n, code in await cursor.fetchall()]


async def create(db: Connection, projection: Projection, n: int, *, live: bool) -> None:
    """Make the tables of generation `n`, at position 0, and the views on them if it is live."""
    await db.execute(projection.schema(n))
    await db.execute(
        "INSERT INTO projection_positions (name, version, code, position, live, tables)"
        " VALUES (%s, %s, %s, 0, %s, %s)",
        (projection.name, n, projection.version, live, list(projection.tables)),
    )
    if live:
        await show(db, projection.tables, n)


async def generation(db: Connection, projection: Projection) -> int | None:
    """Return the tables that this code fills: the live ones, else the newest, None without any."""
    cursor = await db.execute(
        "SELECT version FROM projection_positions WHERE name = %s AND code = %s"
        " ORDER BY live DESC, version DESC LIMIT 1",
        (projection.name, projection.version),
    )
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


_STATUS: Final = """
SELECT p.name, p.version, p.code, p.live, p.position, h.head,
       CASE WHEN p.live THEN 'live' WHEN p.version > l.version THEN 'building' ELSE 'kept' END
           AS role,
       greatest(h.head - p.position, 0) AS lag_events,
       coalesce(extract(epoch FROM clock_timestamp() - e.recorded_at), 0)::float8 AS lag_seconds,
       (SELECT count(*) FROM parked k WHERE k.projection = p.name AND k.version = p.version)
           AS parked,
       p.error, p.paused_at, p.updated_at
FROM projection_positions p
LEFT JOIN projection_positions l ON l.name = p.name AND l.live
CROSS JOIN (SELECT coalesce(max(notification_id), 0) AS head FROM events) h
LEFT JOIN events e ON e.notification_id = p.position + 1
ORDER BY p.name, p.version
"""


async def projections_status(database_url: str) -> list[Status]:
    """Return how far every projection is, by name and version; none before `install`.

    Raises:
        psycopg.OperationalError: the database cannot be reached.
    """
    async with await connect(database_url, "loop-status") as db:
        return await status(db)


async def status(db: Connection) -> list[Status]:
    """Return what `projections_status` does, on a connection that is there already."""
    async with db.cursor(row_factory=class_row(Status)) as cursor:
        try:
            await cursor.execute(_STATUS)
        except psycopg.errors.UndefinedTable:
            return []
        return await cursor.fetchall()


def outdated(found: Iterable[Status]) -> list[Status]:
    """Return the live tables that code of another version filled: they stand still until a swap.

    Beside them those of this version are filled; what is shown stays as old as the last worker of
    the other version, and whole.
    """
    return [
        one
        for one in found
        if one.live and one.name in PROJECTIONS and one.code != PROJECTIONS[one.name].version
    ]


def advice(one: Status) -> str:
    """Return what an operator is told of live tables of another version."""
    return (
        f"{one.name} shows the tables of an older version, as they were at event {one.position}:"
        f" new ones are filled beside them, `loop projections swap {one.name} --accept` shows them"
    )


def blames_events(error: Exception) -> bool:
    """Tell whether an error is about what was applied, and not about the database's health."""
    if isinstance(error, psycopg.Error):
        return isinstance(error, psycopg.DataError | psycopg.IntegrityError)
    return not isinstance(error, OSError | TimeoutError | MemoryError)


def describe(error: Exception) -> str:
    """Return an error as it may be stored: its kind and the first line, without values of rows."""
    if isinstance(error, psycopg.Error):
        return f"{type(error).__name__} {error.sqlstate or ''}".strip()
    first = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first}"[:ERROR_MAX]


async def park(
    db: Connection, projection: PerStream, n: int, *, stream_id: str, position: int, error: str
) -> None:
    """Leave a stream alone from `position` on."""
    await db.execute(
        "INSERT INTO parked (projection, version, stream_id, position, error)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (projection.name, n, stream_id, position, error),
    )
    await projection.mark_stale(db, n, stream_id, position)


async def retry_parked(
    database_url: str, projection: Projection, *, streams: Sequence[str] | None = None
) -> list[Retried]:
    """Fold parked streams again from their first event; those that still fail stay parked.

    Args:
        database_url: where the log and the tables are.
        projection: whose streams; in the tables that `generation` names.
        streams: only these, None for all.
    """
    async with await connect(database_url, "loop-retry") as db:
        n = await generation(db, projection)
        return [] if n is None else await retry(db, projection, n, streams=streams)


async def retry(
    db: Connection, projection: Projection, n: int, *, streams: Sequence[str] | None = None
) -> list[Retried]:
    """Do what `retry_parked` does, on a connection that is there already."""
    if not isinstance(projection, PerStream):
        return []
    key = (projection.name, n)
    cursor = await db.execute(
        "SELECT stream_id FROM parked WHERE projection = %s AND version = %s ORDER BY 1", key
    )
    parked = [stream_id for (stream_id,) in await cursor.fetchall()]
    return [
        await _take_up(db, projection, n, stream_id)
        for stream_id in parked
        if streams is None or stream_id in streams
    ]


async def _take_up(db: Connection, projection: PerStream, n: int, stream_id: str) -> Retried:
    """Fold one stream anew up to the projection's position, which is locked meanwhile."""
    try:
        async with db.transaction():
            cursor = await db.execute(
                "SELECT position FROM projection_positions WHERE name = %s AND version = %s"
                " FOR UPDATE",
                (projection.name, n),
            )
            found = await cursor.fetchone()
            assert found is not None, "a generation has a position"
            rows = await _stream(db, stream_id, int(found[0]))
            await projection.forget(db, n, stream_id)
            await projection.apply(db, n, rows)
            await db.execute(
                "DELETE FROM parked WHERE projection = %s AND version = %s AND stream_id = %s",
                (projection.name, n, stream_id),
            )
    except Exception as error:
        if not blames_events(error):
            raise
        return Retried(stream_id=stream_id, error=describe(error))
    return Retried(stream_id=stream_id, error=None)


async def _stream(db: Connection, stream_id: str, upto: int) -> list[Recorded]:
    cursor = await db.execute(
        "SELECT originator_id, originator_version, topic, state, notification_id, recorded_at"
        " FROM events WHERE originator_id = %s AND notification_id <= %s"
        " ORDER BY originator_version",
        (stream_id, upto),
        binary=True,
    )
    return [
        decode_row(stream_id=s, version=v, topic=t, state=b, position=p, recorded_at=at)
        for s, v, t, b, p, at in await cursor.fetchall()
    ]


@lru_cache(maxsize=2 * PAGE)
def decoded(row: Row) -> Recorded:
    """Return a row as the domain reads it; raises as `adapters.codec.decode_row`.

    The projectors of a process get the same rows at about the same time.
    """
    return decode_row(
        stream_id=row.stream_id,
        version=row.version,
        topic=row.tag,
        state=row.state,
        position=row.position,
        recorded_at=row.recorded_at,
    )

"""Reading the log's rows as they are stored, and the connections that do it."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final, TypeAlias

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

Connection: TypeAlias = AsyncConnection[TupleRow]

PAGE: Final = 1000
_OPTIONS: Final = "-c search_path=loop -c timezone=UTC -c idle_in_transaction_session_timeout=60s"


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of `loop.events`, undecoded; `state` is what was hashed."""

    stream_id: str
    version: int
    tag: str
    state: bytes
    position: int
    recorded_at: datetime


async def connect(database_url: str, name: str, *, autocommit: bool = True) -> Connection:
    """Open a connection whose search path is the schema `loop`; `name` shows in pg_stat_activity.

    Raises:
        psycopg.OperationalError: the database cannot be reached within 5 s.
    """
    return await AsyncConnection.connect(
        database_url,
        autocommit=autocommit,
        application_name=name,
        options=_OPTIONS,
        connect_timeout=5,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
    )


async def read_page(connection: Connection, after: int, limit: int = PAGE) -> list[Row]:
    """Return the rows at positions `after` + 1 and following, at most `limit`."""
    cursor = await connection.execute(
        "SELECT originator_id, originator_version, topic, state, notification_id, recorded_at"
        " FROM events WHERE notification_id > %s ORDER BY notification_id LIMIT %s",
        (after, limit),
        binary=True,
    )
    rows = await cursor.fetchall()
    return [
        Row(stream_id=s, version=v, tag=t, state=b, position=p, recorded_at=at)
        for s, v, t, b, p, at in rows
    ]


async def pages(
    connection: Connection, after: int = 0, upto: int | None = None
) -> AsyncIterator[list[Row]]:
    """Give the whole log from `after` + 1 in pages, to its end or to the position `upto`."""
    while page := await read_page(connection, after):
        if upto is not None and page[-1].position >= upto:
            if rest := [row for row in page if row.position <= upto]:
                yield rest
            return
        yield page
        after = page[-1].position


async def head(connection: Connection) -> int:
    """Return the position of the last row, 0 in an empty log."""
    cursor = await connection.execute("SELECT coalesce(max(notification_id), 0) FROM events")
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


_POSITION_AT: Final = """
WITH RECURSIVE halved (low, high) AS (
    SELECT 0::bigint, (SELECT coalesce(max(notification_id), 0) FROM events)
    UNION ALL
    SELECT CASE WHEN e.recorded_at <= %(at)s THEN e.notification_id ELSE low END,
           CASE WHEN e.recorded_at <= %(at)s THEN high ELSE e.notification_id - 1 END
    FROM halved JOIN events e ON e.notification_id = (low + high + 1) / 2
    WHERE low < high
)
SELECT low FROM halved WHERE low = high
"""


async def position_at(connection: Connection, at: datetime) -> int:
    """Return the last position that was recorded by then, 0 before the first.

    `recorded_at` never goes back, so the position is found by halving: one probe of the index on
    positions per doubling of the log, and the log needs no index of times.

    Raises:
        LookupError: events are missing, as never happens in a log that nobody tampered with.
    """
    cursor = await connection.execute(_POSITION_AT, {"at": at})
    row = await cursor.fetchone()
    if row is None:
        raise LookupError("events are missing from the log")
    return int(row[0])


async def recorded_at(connection: Connection, position: int) -> datetime | None:
    """Return when the event at a position was committed, None where there is none."""
    cursor = await connection.execute(
        "SELECT recorded_at FROM events WHERE notification_id = %s", (position,)
    )
    row = await cursor.fetchone()
    return row[0] if row else None


async def log_id(connection: Connection) -> str:
    """Return the name of this log, which changes with every restore."""
    cursor = await connection.execute("SELECT log_id FROM log_identity")
    row = await cursor.fetchone()
    assert row is not None, "the migrations name the log"
    return str(row[0])


async def try_lock(connection: Connection, name: str) -> bool:
    """Take the lease of that name unless another session has it; it ends with the connection."""
    cursor = await connection.execute(
        "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (name,)
    )
    return await cursor.fetchone() == (True,)

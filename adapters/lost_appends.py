"""What became of appends whose acknowledgement was lost: read from the log, never guessed."""

from datetime import datetime
from typing import Any, Final

from psycopg import AsyncConnection

from adapters.append_call import Pending
from commands.append import IdempotencyRecord
from domain.events import Recorded

_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('loop.events', 0))"
_EVENTS: Final = (
    "SELECT e.originator_id, e.originator_version, e.state, e.notification_id, e.recorded_at "
    "FROM events e JOIN unnest(%s::text[], %s::bigint[]) AS k (id, version) "
    "ON e.originator_id = k.id AND e.originator_version = k.version"
)
_ANSWERS: Final = (
    "SELECT t.scope, t.key, t.fingerprint, t.stream_id, t.version FROM idempotency t "
    "JOIN unnest(%s::text[], %s::text[]) AS k (scope, key) "
    "ON t.scope = k.scope AND t.key = k.key"
)


async def wait_for_lost_call(connection: AsyncConnection[Any]) -> None:
    """Return when no call that the server is executing now can commit unseen any more.

    A call that has not reached the server yet may still come after this; it finds its versions
    taken, or makes its repetition find them taken: then `committed` tells whose they are.

    Raises:
        psycopg.OperationalError: the database cannot be reached, or the lock not be had in time.
    """
    await connection.execute(_LOCK)


async def committed(
    connection: AsyncConnection[Any], batch: list[Pending]
) -> dict[int, tuple[Recorded, ...]]:
    """Return the rows of those appends that are in the log, by the `id()` of the `Pending`.

    Every event has an id of its own in its bytes, so equal bytes are this append's. An append
    without events is known by its idempotency record; without that it is never found, and may be
    repeated.

    Raises:
        psycopg.OperationalError: the database cannot be reached.
    """
    wanted = [(write.stream_id, version) for p in batch for write, _, version, _ in p.rows()]
    places = ([stream_id for stream_id, _ in wanted], [version for _, version in wanted])
    cursor = await connection.execute(_EVENTS, places)
    rows = {(r[0], r[1]): (bytes(r[2]), r[3], r[4]) for r in await cursor.fetchall()}
    records = [p.append.idempotency for p in batch if p.append.idempotency]
    cursor = await connection.execute(
        _ANSWERS, ([r.scope for r in records], [r.key for r in records])
    )
    answers = {(r[0], r[1], bytes(r[2]), r[3], r[4]) for r in await cursor.fetchall()}
    found = {id(p): _found(p, rows, answers) for p in batch}
    return {key: value for key, value in found.items() if value is not None}


def _found(
    pending: Pending,
    rows: dict[tuple[str, int], tuple[bytes, int, datetime]],
    answers: set[tuple[Any, ...]],
) -> tuple[Recorded, ...] | None:
    recorded: list[Recorded] = []
    for write, n, version, state in pending.rows():
        row = rows.get((write.stream_id, version))
        if row is None or row[0] != state:
            return None
        recorded.append(
            Recorded(
                stream_id=write.stream_id,
                version=version,
                position=row[1],
                recorded_at=row[2],
                metadata=write.events[n].metadata,
                data=write.events[n].data,
            )
        )
    if recorded:
        return tuple(recorded)
    record = pending.append.idempotency
    return () if record is not None and _key(record) in answers else None


def _key(record: IdempotencyRecord) -> tuple[Any, ...]:
    return (record.scope, record.key, record.fingerprint, record.stream_id, record.version)

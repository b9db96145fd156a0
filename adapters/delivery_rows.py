"""Deliveries in Postgres as a dispatcher sees them: claimed with leases, finished in batches."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from domain.metadata import Mode
from domain.public_events import EventType

LEASE_CLASS: Final = 716_032
"""First key of the advisory lock that a dispatcher holds as long as its connection lives."""

LEASE_S: Final = 60.0
"""Four times what an attempt may take."""

# A lease ends with its time or with its dispatcher, whose lock is gone then. Every endpoint gets
# its own share, so that none is behind another's queue.
_CLAIM: Final = """
WITH RECURSIVE alive AS MATERIALIZED (
    SELECT objid::bigint::int AS worker FROM pg_locks
    WHERE locktype = 'advisory' AND classid = %(class)s AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
), owed AS (
    (SELECT endpoint_id FROM webhook_deliveries WHERE due_at IS NOT NULL
     ORDER BY endpoint_id LIMIT 1)
    UNION ALL
    SELECT (SELECT d.endpoint_id FROM webhook_deliveries d
            WHERE d.due_at IS NOT NULL AND d.endpoint_id > o.endpoint_id
            ORDER BY d.endpoint_id LIMIT 1)
    FROM owed o WHERE o.endpoint_id IS NOT NULL
), rooms AS MATERIALIZED (
    SELECT o.endpoint_id, coalesce(b.room, %(room)s) AS room
    FROM owed o LEFT JOIN unnest(%(busy)s::text[], %(rooms)s::int[]) AS b (endpoint_id, room)
        ON b.endpoint_id = o.endpoint_id
    WHERE o.endpoint_id IS NOT NULL AND coalesce(b.room, %(room)s) > 0
    ORDER BY (o.endpoint_id <= %(after)s), o.endpoint_id
), ready AS (
    SELECT w.endpoint_id, w.position FROM rooms r CROSS JOIN LATERAL (
        SELECT d.endpoint_id, d.position FROM webhook_deliveries d
        WHERE d.endpoint_id = r.endpoint_id AND d.due_at <= statement_timestamp()
          AND (d.lease_until IS NULL OR d.lease_until < statement_timestamp()
               OR d.worker NOT IN (SELECT worker FROM alive))
          AND NOT EXISTS (
              SELECT FROM webhook_deliveries o
              WHERE o.endpoint_id = d.endpoint_id AND o.lane = d.lane
                AND o.status IN ('pending', 'failed')
                AND (o.position < d.position OR o.position > d.position AND o.worker IS NOT NULL))
        ORDER BY d.due_at LIMIT r.room FOR UPDATE SKIP LOCKED
    ) AS w LIMIT %(limit)s
)
UPDATE webhook_deliveries d
SET worker = %(worker)s,
    lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
FROM ready WHERE d.endpoint_id = ready.endpoint_id AND d.position = ready.position
RETURNING d.endpoint_id, d.position, d.event_id, d.event_type, d.merchant_id, d.mode, d.stream_id,
          d.version, d.sequence, d.tries,
          extract(epoch FROM clock_timestamp() - d.created_at)::float8
"""

_OUTCOMES: Final = """
SELECT endpoint, failing_s, failed_attempts FROM webhook_outcomes(
    %s, %b::text[], %b::bigint[], %b::text[], %b::float8[], %b::jsonb[])
"""

# Nothing should need it: whoever finishes a delivery frees the next one.
_FREE: Final = """
UPDATE webhook_deliveries d SET due_at = clock_timestamp()
WHERE d.status IN ('pending', 'failed') AND d.due_at IS NULL AND NOT EXISTS (
    SELECT FROM webhook_deliveries o
    WHERE o.endpoint_id = d.endpoint_id AND o.lane = d.lane
      AND o.status IN ('pending', 'failed') AND o.position < d.position)
"""

_DEPTH: Final = """
SELECT count(*) FROM (
    SELECT FROM webhook_deliveries WHERE status IN ('pending', 'failed') LIMIT 100000) AS open
"""


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that is ours to attempt, until the lease runs out.

    Attributes:
        tries: attempts of its schedule that were made before.
        age_s: seconds since it was made.
    """

    endpoint_id: str
    position: int
    event_id: str
    event_type: EventType
    merchant_id: str
    mode: Mode
    stream_id: str
    version: int
    sequence: int | None
    tries: int
    age_s: float


class Attempt(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One attempt as it is kept. `at` is ISO 8601; `status` None means that nobody answered."""

    at: str
    status: int | None
    duration_ms: int
    error: str | None = None
    response_prefix: str | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a claimed delivery came to.

    Attributes:
        status: `failed` and `pending` are tried again after `wait_s`, the others are over.
        attempt: None where nothing was sent.
    """

    endpoint_id: str
    position: int
    status: str
    wait_s: float | None = None
    attempt: Attempt | None = None


class Failing(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint of which nothing but failures came for that long; None: it works again."""

    endpoint_id: str
    failing_s: float | None
    attempts: int


async def show_alive(db: AsyncConnection[Any], worker: int) -> None:
    """Say that this dispatcher lives, as long as the connection does."""
    await db.execute("SELECT pg_advisory_lock(%s, %s)", (LEASE_CLASS, worker))


async def claim(
    db: AsyncConnection[Any],
    worker: int,
    *,
    limit: int,
    room: int,
    rooms: Mapping[str, int],
    after: str,
) -> list[Claimed]:
    """Take deliveries that are due, at most `limit`.

    Args:
        db: the connection that shows that we are alive.
        worker: our number.
        limit: of all endpoints together.
        room: how many of one endpoint.
        rooms: how many of the endpoints that we are busy with.
        after: the endpoint that was served last; those behind it come first.
    """
    values = {
        "class": LEASE_CLASS,
        "worker": worker,
        "lease_s": LEASE_S,
        "limit": limit,
        "room": room,
        "busy": list(rooms),
        "rooms": list(rooms.values()),
        "after": after,
    }
    rows = await (await db.execute(_CLAIM, values)).fetchall()
    names = Claimed.__struct_fields__
    return [Claimed(**dict(zip(names, row, strict=True))) for row in rows]


async def finish(
    db: AsyncConnection[Any], worker: int, outcomes: Sequence[Outcome]
) -> list[Failing]:
    """Write what deliveries came to; return which endpoints fail, and which did."""
    # In one order everywhere, so that two dispatchers never wait for each other.
    ordered = sorted(outcomes, key=lambda o: (o.endpoint_id, o.position))
    columns = (
        [o.endpoint_id for o in ordered],
        [o.position for o in ordered],
        [o.status for o in ordered],
        [o.wait_s for o in ordered],
        [Jsonb(o.attempt, dumps=msgspec.json.encode) if o.attempt else None for o in ordered],
    )
    rows = await (await db.execute(_OUTCOMES, (worker, *columns))).fetchall()
    return [Failing(endpoint_id=e, failing_s=s, attempts=n) for e, s, n in rows]


async def free(db: AsyncConnection[Any]) -> int:
    """Let go what is held back by nothing; return how many."""
    return (await db.execute(_FREE)).rowcount


async def depth(db: AsyncConnection[Any]) -> int:
    """Return how many deliveries are open, at most 100 000."""
    row = await (await db.execute(_DEPTH)).fetchone()
    assert row is not None, "an aggregate has one row"
    return int(row[0])

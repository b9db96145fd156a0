"""Deliveries and public events as merchants and operators read them, and sending them again."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Final, Literal

import msgspec
from psycopg import AsyncConnection, sql
from psycopg.rows import class_row

from domain.endpoints import MISSED_DAYS, Endpoint
from domain.metadata import Mode
from domain.public_events import EventType
from projections.webhook_deliveries import DELIVER, delivery_columns

DeliveryStatus = Literal["pending", "delivered", "failed", "dead"]

RECOVER_PAGE: Final = 1000
RECOVER_PAGES_MAX: Final = 100

_COLUMNS: Final = sql.SQL(
    "d.endpoint_id, d.position, d.delivery_id, d.event_id, d.event_type, d.merchant_id, d.mode,"
    " d.stream_id, d.sequence, d.status, d.due_at, d.attempts, d.last_at, d.delivered_at,"
    " d.created_at"
)


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery. `due_at` is None where it is over, or held back by an earlier one."""

    endpoint_id: str
    position: int
    delivery_id: str
    event_id: str
    event_type: EventType
    merchant_id: str
    mode: Mode
    stream_id: str
    sequence: int | None
    status: DeliveryStatus
    due_at: datetime | None
    attempts: list[dict[str, Any]]
    last_at: datetime | None
    delivered_at: datetime | None
    created_at: datetime

    @property
    def order_id(self) -> str | None:
        """The order that it is about, if it is about one."""
        return self.stream_id if self.sequence is not None else None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A public event in the read model."""

    position: int
    event_id: str
    stream_id: str
    version: int
    type: EventType
    sequence: int | None


async def find(
    db: AsyncConnection[Any], merchant_id: str, mode: Mode | None, delivery_id: str
) -> Delivery | None:
    """Return a delivery of a merchant; None of the mode means both."""
    statement = sql.SQL(
        "SELECT {} FROM webhook_deliveries d WHERE d.delivery_id = %(id)s"
        " AND d.merchant_id = %(merchant)s AND (%(mode)s::text IS NULL OR d.mode = %(mode)s)"
    ).format(_COLUMNS)
    values = {"id": delivery_id, "merchant": merchant_id, "mode": mode}
    async with db.cursor(row_factory=class_row(Delivery)) as cursor:
        return await (await cursor.execute(statement, values)).fetchone()


async def of_endpoint(
    db: AsyncConnection[Any],
    endpoint_id: str,
    *,
    status: DeliveryStatus | None,
    after: int | None,
    before: int | None,
    limit: int,
) -> list[Delivery]:
    """Return an endpoint's deliveries, newest first; older than `after`, or just newer than it.

    With `before` alone, the next newer ones, the oldest of them last.
    """
    rising = before is not None and after is None
    statement = sql.SQL(
        "SELECT {} FROM webhook_deliveries d WHERE d.endpoint_id = %(endpoint)s"
        " AND (%(status)s::text IS NULL OR d.status = %(status)s)"
        " AND (%(after)s::bigint IS NULL OR d.position < %(after)s)"
        " AND (%(before)s::bigint IS NULL OR d.position > %(before)s)"
        " ORDER BY d.position {} LIMIT %(limit)s"
    ).format(_COLUMNS, sql.SQL("ASC" if rising else "DESC"))
    values = {
        "endpoint": endpoint_id,
        "status": status,
        "after": after,
        "before": before,
        "limit": limit,
    }
    async with db.cursor(row_factory=class_row(Delivery)) as cursor:
        return await (await cursor.execute(statement, values)).fetchall()


class Narrowed(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries a numbered list shows; None does not narrow."""

    merchant_id: str | None = None
    mode: Mode | None = None
    endpoint_id: str | None = None
    order_id: str | None = None
    status: DeliveryStatus | None = None


_NARROWED: Final = {
    "merchant_id": sql.SQL("d.merchant_id = %(merchant_id)s"),
    "mode": sql.SQL("d.mode = %(mode)s"),
    "endpoint_id": sql.SQL("d.endpoint_id = %(endpoint_id)s"),
    "order_id": sql.SQL("d.stream_id = %(order_id)s"),
    "status": sql.SQL("d.status = %(status)s"),
}


async def numbered(
    db: AsyncConnection[Any], narrowed: Narrowed, *, limit: int, offset: int = 0
) -> tuple[list[Delivery], int]:
    """Return a page, newest first, and how many there are in all."""
    values = {k: v for k, v in msgspec.structs.asdict(narrowed).items() if v is not None}
    where = sql.SQL(" AND ").join([sql.SQL("true"), *(_NARROWED[name] for name in values)])
    page = sql.SQL(
        "SELECT {} FROM webhook_deliveries d WHERE {}"
        " ORDER BY d.position DESC, d.endpoint_id LIMIT %(limit)s OFFSET %(offset)s"
    ).format(_COLUMNS, where)
    async with db.cursor(row_factory=class_row(Delivery)) as cursor:
        await cursor.execute(page, values | {"limit": limit, "offset": offset})
        rows = await cursor.fetchall()
    count = sql.SQL("SELECT count(*) FROM webhook_deliveries d WHERE {}").format(where)
    row = await (await db.execute(count, values)).fetchone()
    assert row is not None, "an aggregate has one row"
    return rows, int(row[0])


_AGAIN: Final = """
UPDATE webhook_deliveries SET
    status = 'pending', tries = 0, due_at = clock_timestamp(), worker = NULL, lease_until = NULL
WHERE delivery_id = %s AND (lease_until IS NULL OR lease_until < clock_timestamp())
"""


async def send_again(db: AsyncConnection[Any], delivery_id: str) -> bool:
    """Send a delivery from the beginning of its schedule; False while it is being sent anyway."""
    done = await db.execute(_AGAIN, (delivery_id,))
    await db.execute("NOTIFY loop_webhooks")
    return done.rowcount == 1


_MISSED: Final = """
SELECT %(endpoint)s, v.position, v.event_id, v.type, v.merchant_id, v.mode, v.stream_id, v.version,
       v.sequence
FROM webhook_events v
WHERE v.merchant_id = %(merchant)s AND v.mode = %(mode)s AND v.position > %(after)s
  AND v.created_at >= %(since)s AND (%(until)s::timestamptz IS NULL OR v.created_at < %(until)s)
  AND (v.target = %(endpoint)s
       OR v.target IS NULL AND ('*' = ANY(%(types)s::text[]) OR v.type = ANY(%(types)s::text[])))
  AND NOT EXISTS (
      SELECT FROM webhook_deliveries d WHERE d.endpoint_id = %(endpoint)s
         AND d.position = v.position AND d.status IN ('delivered', 'pending'))
  AND (EXISTS (
          SELECT FROM webhook_deliveries d WHERE d.endpoint_id = %(endpoint)s
             AND d.position = v.position)
       OR EXISTS (
          SELECT FROM events l WHERE l.notification_id = v.position
             AND l.recorded_at > clock_timestamp() - make_interval(days => %(missed_days)s)))
ORDER BY v.position LIMIT %(limit)s
"""

_REOPEN: Final = """
UPDATE webhook_deliveries d SET
    status = 'pending', tries = 0, worker = NULL, lease_until = NULL,
    due_at = CASE WHEN n.first THEN clock_timestamp() END
FROM (
    SELECT w.position,
           row_number() OVER (PARTITION BY w.lane ORDER BY w.position) = 1 AND NOT EXISTS (
               SELECT FROM webhook_deliveries o
               WHERE o.endpoint_id = w.endpoint_id AND o.lane = w.lane
                 AND o.status IN ('pending', 'failed') AND o.position < w.position) AS first
    FROM webhook_deliveries w
    WHERE w.endpoint_id = %(endpoint)s AND w.position = ANY(%(positions)s)
) AS n
WHERE d.endpoint_id = %(endpoint)s AND d.position = n.position
  AND d.status IN ('dead', 'failed')
  AND (d.lease_until IS NULL OR d.lease_until < clock_timestamp())
"""


async def recover(
    db: AsyncConnection[Any],
    merchant_id: str,
    endpoint: Endpoint,
    *,
    since: datetime,
    until: datetime | None,
    done: Callable[[int], Awaitable[None]] | None = None,
) -> int:
    """Send an endpoint what it wants of a time and has not got; return how many deliveries.

    Those are dead and failed ones, and events of the last 30 days of which there was none, because
    it was disabled or did not exist. `until` is exclusive. At most 100 000 at once; the next call
    goes on. `done` is told how many in the database transaction of the last ones.
    """
    scheduled, after = 0, 0
    for page in range(1, RECOVER_PAGES_MAX + 1):
        async with db.transaction():
            values = {
                "merchant": merchant_id,
                "mode": endpoint.mode,
                "endpoint": endpoint.id,
                "types": list(endpoint.events),
                "since": since,
                "until": until,
                "after": after,
                "limit": RECOVER_PAGE,
                "missed_days": MISSED_DAYS,
            }
            missed = await (await db.execute(_MISSED, values)).fetchall()
            if missed:
                scheduled += await _reopened(db, endpoint.id, missed)
                after = missed[-1][1]
            last = len(missed) < RECOVER_PAGE or page == RECOVER_PAGES_MAX
            if last and done is not None:
                await done(scheduled)
        if last:
            break
    await db.execute("NOTIFY loop_webhooks")
    return scheduled


async def _reopened(
    db: AsyncConnection[Any], endpoint_id: str, missed: Sequence[tuple[Any, ...]]
) -> int:
    values = {"endpoint": endpoint_id, "positions": [row[1] for row in missed]}
    again = await db.execute(_REOPEN, values)
    made = await db.execute(DELIVER, delivery_columns(missed))
    return again.rowcount + made.rowcount


_EVENTS: Final = """
SELECT position, event_id, stream_id, version, type, sequence FROM webhook_events
WHERE merchant_id = %s AND mode = %s AND position > %s ORDER BY position LIMIT %s
"""


async def events_after(
    db: AsyncConnection[Any], merchant_id: str, mode: Mode, *, after: int, limit: int
) -> list[Event]:
    """Return public events in the order of the log."""
    async with db.cursor(row_factory=class_row(Event)) as cursor:
        await cursor.execute(_EVENTS, (merchant_id, mode, after, limit))
        return await cursor.fetchall()


async def position_of(
    db: AsyncConnection[Any], merchant_id: str, mode: Mode, event_id: str
) -> int | None:
    """Return where a public event stands in the log, None for any other id."""
    cursor = await db.execute(
        "SELECT position FROM webhook_events"
        " WHERE event_id = %s AND merchant_id = %s AND mode = %s",
        (event_id, merchant_id, mode),
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else None


async def by_id(db: AsyncConnection[Any], delivery_id: str) -> Delivery | None:
    """Return a delivery, whosever it is."""
    statement = sql.SQL("SELECT {} FROM webhook_deliveries d WHERE d.delivery_id = %s")
    async with db.cursor(row_factory=class_row(Delivery)) as cursor:
        return await (await cursor.execute(statement.format(_COLUMNS), (delivery_id,))).fetchone()


async def merchant_of(db: AsyncConnection[Any], endpoint_id: str) -> str | None:
    """Return whose endpoint it is, or was."""
    cursor = await db.execute(
        "SELECT merchant_id FROM webhook_endpoints WHERE endpoint_id = %s LIMIT 1", (endpoint_id,)
    )
    row = await cursor.fetchone()
    return str(row[0]) if row else None

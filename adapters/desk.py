"""What the sagas wait for, from the due rows and the log: for operators and for the metrics."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, LiteralString

import msgspec
from prometheus_client import Gauge
from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

from domain.order.people import STUCK_TRIES

OVERDUE_S: Final = 60
"""Due for so long, and nobody at it: workers are away, or too few."""
ORDERS_MAX: Final = 10_000

_WAITING: Final[LiteralString] = (
    "SELECT operation, count(*) AS waiting, count(*) FILTER (WHERE"
    " due_at < clock_timestamp() - make_interval(secs => %(overdue_s)s)"
    " AND (lease_until IS NULL OR lease_until < clock_timestamp())) AS overdue,"
    " max(tries) AS tries, min(due_at) AS next_at FROM due GROUP BY operation ORDER BY operation"
)
_FOR_PEOPLE: Final[LiteralString] = (
    # Written as the index `events_for_people` is.
    "SELECT originator_id FROM events WHERE topic IN ('order.outcome_unknown.v1',"
    " 'order.discrepancy_found.v1', 'order.dispute_opened.v1', 'order.stray_payment_found.v1')"
    " UNION SELECT order_id FROM due WHERE tries >= %(tries)s ORDER BY 1 DESC LIMIT %(limit)s"
)

waiting = Gauge(
    "saga_waiting", "Steps that orders wait for", ["state"], multiprocess_mode="livemostrecent"
)
overdue = Gauge(
    "saga_overdue", "Steps that are due and that nobody is at", multiprocess_mode="livemostrecent"
)


class Waiting(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How many steps of one operation there are.

    Attributes:
        tries: of the one that was tried most.
        next_at: when the first of them is due.
    """

    operation: str
    waiting: int
    overdue: int
    tries: int
    next_at: datetime


class DueStep(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One due row; `leased` while a worker is at it."""

    order_id: str
    subject: str
    operation: str
    due_at: datetime
    tries: int
    leased: bool


class Quarantined(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A verified webhook that fits no order of whoever signed it."""

    id: int
    processor: str
    merchant_id: str
    kind: str
    reference: str
    order_id: str | None
    reason: str | None
    received_at: datetime


async def waiting_by_operation(pool: AsyncConnectionPool) -> list[Waiting]:
    """Return what is waited for, by operation."""
    async with pool.connection() as db, db.cursor(row_factory=class_row(Waiting)) as cursor:
        await cursor.execute(_WAITING, {"overdue_s": OVERDUE_S})
        return await cursor.fetchall()


async def orders_for_people(pool: AsyncConnectionPool) -> list[str]:
    """Return the orders about which a person may have to do something, the newest first."""
    async with pool.connection() as db:
        found = await db.execute(_FOR_PEOPLE, {"tries": STUCK_TRIES, "limit": ORDERS_MAX})
        return [order_id for (order_id,) in await found.fetchall()]


async def due_steps(pool: AsyncConnectionPool, order_ids: Sequence[str]) -> list[DueStep]:
    """Return the due rows of orders."""
    async with pool.connection() as db, db.cursor(row_factory=class_row(DueStep)) as cursor:
        await cursor.execute(
            "SELECT order_id, subject, operation, due_at, tries,"
            " coalesce(lease_until > clock_timestamp(), false) AS leased FROM due"
            " WHERE order_id = ANY(%s) ORDER BY order_id, due_at, subject",
            (list(order_ids),),
        )
        return await cursor.fetchall()


async def quarantined(pool: AsyncConnectionPool, *, limit: int = 100) -> list[Quarantined]:
    """Return webhooks that touched nothing because they are not of whom they name, newest first."""
    async with pool.connection() as db, db.cursor(row_factory=class_row(Quarantined)) as cursor:
        await cursor.execute(
            "SELECT id, processor, merchant_id, kind, reference, order_id, reason, received_at"
            " FROM inbox WHERE state = 'quarantined' ORDER BY received_at DESC LIMIT %s",
            (limit,),
        )
        return await cursor.fetchall()


async def measure(db: AsyncConnection[Any]) -> None:
    """Set the metrics to what the due rows say now."""
    cursor = await db.execute(_WAITING, {"overdue_s": OVERDUE_S})
    rows = await cursor.fetchall()
    waiting.clear()
    for operation, count, *_ in rows:
        waiting.labels(operation).set(count)
    overdue.set(sum(row[2] for row in rows))

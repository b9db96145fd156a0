"""Statistics: how many orders, and how much money, per merchant, mode, currency, day and so on.

An order counts at the UTC day of its creation, with the status and processor that it has now. Sums
of several currencies do not exist. Groups that nobody is in have no row, so that a rebuild gives
the same rows however the log was cut into batches.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date
from typing import Any, Final

import msgspec
from psycopg import sql

from domain.events import Recorded
from domain.metadata import Mode
from domain.order.state import Order, OrderStatus
from projections.base import Connection, columns, fold_streams, named
from projections.order_state import encode_state, fold_row, load_states

_SCHEMA: Final = """
CREATE TABLE {statistics} (
    merchant_id    text COLLATE "C" NOT NULL,
    mode           text COLLATE "C" NOT NULL,
    currency       text COLLATE "C" NOT NULL,
    day            date             NOT NULL,  -- UTC, of the order's creation
    processor      text COLLATE "C" NOT NULL,  -- of the newest attempt, empty before the first
    status         text COLLATE "C" NOT NULL,
    orders         bigint           NOT NULL,
    paid           bigint           NOT NULL,  -- orders with captured money
    captured_minor bigint           NOT NULL,
    PRIMARY KEY (merchant_id, mode, currency, day, processor, status)
) WITH (fillfactor = 80);
CREATE TABLE {statistics_orders} (
    order_id text COLLATE "C" PRIMARY KEY,
    state    bytea NOT NULL  -- JSON of domain.order.state.Order
) WITH (fillfactor = 80);
"""

_LOAD: Final = "SELECT order_id, state FROM {statistics_orders} WHERE order_id = ANY(%s)"

_SAVE: Final = """
INSERT INTO {statistics_orders} (order_id, state)
SELECT * FROM unnest(%b::text[], %b::bytea[])
ON CONFLICT (order_id) DO UPDATE SET state = excluded.state
"""

_ADD: Final = """
INSERT INTO {statistics} AS s (
    merchant_id, mode, currency, day, processor, status, orders, paid, captured_minor
)
SELECT * FROM unnest(
    %b::text[], %b::text[], %b::text[], %b::date[], %b::text[], %b::text[],
    %b::bigint[], %b::bigint[], %b::bigint[]
)
ON CONFLICT (merchant_id, mode, currency, day, processor, status) DO UPDATE SET
    orders = s.orders + excluded.orders,
    paid = s.paid + excluded.paid,
    captured_minor = s.captured_minor + excluded.captured_minor
"""

_CLEAN: Final = """
DELETE FROM {statistics} s
USING unnest(%b::text[], %b::text[], %b::text[], %b::date[], %b::text[], %b::text[])
    AS k (merchant_id, mode, currency, day, processor, status)
WHERE s.orders = 0 AND (s.merchant_id, s.mode, s.currency, s.day, s.processor, s.status)
    = (k.merchant_id, k.mode, k.currency, k.day, k.processor, k.status)
"""

_NAMES: Final = {"statistics": "statistics", "statistics_orders": "statistics_orders"}

Group = tuple[str, str, str, date, str, str]
"""Merchant, mode, currency, day, processor, status."""


class StatisticsView:
    """The projection `statistics`; see `projections.base.Projection`."""

    name = "statistics"
    version = 1
    tables = ("statistics", "statistics_orders")
    streams = ("ord_",)

    def schema(self, n: int) -> sql.Composed:
        """Return the DDL of generation `n`."""
        return named(_SCHEMA, n, **_NAMES)

    async def apply(self, db: Connection, n: int, batch: Sequence[Recorded]) -> None:
        """Move the batch's orders from the groups they were in to those they are in now.

        Raises:
            AssertionError: a row does not follow on the order's version.
        """
        before = await load_states(db, named(_LOAD, n, **_NAMES), batch)
        after = [order for order, _ in fold_streams(before, batch, fold_row).values()]
        states = [(order.id, encode_state(order)) for order in after]
        await db.execute(named(_SAVE, n, **_NAMES), columns(states))
        changes = _changes(before.values(), after)
        if not changes:
            return
        await db.execute(named(_ADD, n, **_NAMES), columns(changes))
        left = [change[:6] for change in changes if change[6] < 0]
        if left:
            await db.execute(named(_CLEAN, n, **_NAMES), columns(left))


def _changes(before: Iterable[Order], after: Iterable[Order]) -> list[tuple[Any, ...]]:
    """Return each group that changes, with what is added to its counts, in one fixed order."""
    orders, paid, captured = Counter[Group](), Counter[Group](), Counter[Group]()
    for sign, states in ((-1, before), (1, after)):
        for order in states:
            group = _group(order)
            orders[group] += sign
            paid[group] += sign * (order.amount_captured > 0)
            captured[group] += sign * order.amount_captured
    return [
        (*group, orders[group], paid[group], captured[group])
        for group in sorted(orders)
        if orders[group] or paid[group] or captured[group]
    ]


def _group(order: Order) -> Group:
    live = order.live
    day = order.created_at.astimezone(UTC).date()
    processor = live.processor if live else ""
    return order.merchant_id, order.mode, order.amount.currency, day, processor, order.status


class DayCount(msgspec.Struct, frozen=True, kw_only=True):
    """One group of one currency, without merchant and mode; `processor` is empty before routing."""

    currency: str
    day: date
    processor: str
    status: OrderStatus
    orders: int
    paid: int
    captured_minor: int


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """The groups of a merchant, ordered by currency, day, processor and status."""

    rows: tuple[DayCount, ...]
    as_of_position: int


_READ: Final = """
SELECT at.position, s.currency, s.day, s.processor, s.status, s.orders, s.paid, s.captured_minor
FROM (SELECT position FROM projection_positions WHERE name = 'statistics' AND live) AS at
LEFT JOIN statistics s ON s.merchant_id = %(merchant_id)s AND s.mode = %(mode)s
    AND s.day BETWEEN coalesce(%(first)s::date, '-infinity')
    AND coalesce(%(last)s::date, 'infinity')
ORDER BY s.currency, s.day, s.processor, s.status
"""


async def read(
    db: Connection,
    *,
    merchant_id: str,
    mode: Mode,
    first: date | None = None,
    last: date | None = None,
) -> Statistics:
    """Return the groups of the days from `first` to `last`, both included, from one snapshot."""
    found = await db.execute(
        _READ, {"merchant_id": merchant_id, "mode": mode, "first": first, "last": last}
    )
    fetched = await found.fetchall()
    rows = [
        DayCount(
            currency=currency,
            day=day,
            processor=processor,
            status=status,
            orders=orders,
            paid=paid,
            captured_minor=int(captured),
        )
        for _, currency, day, processor, status, orders, paid, captured in fetched
        if currency is not None
    ]
    return Statistics(rows=tuple(rows), as_of_position=fetched[0][0] if fetched else 0)

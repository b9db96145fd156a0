"""One row per order: what lists show and filter by, and the folded state that it comes from."""

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import msgspec
from psycopg import sql

from domain.events import Recorded
from domain.metadata import Mode
from domain.order.state import Order, OrderStatus
from projections.base import Connection, Page, columns, fold_streams, named
from projections.order_state import decode_state, encode_state, fold_row, load_states

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_SCHEMA: Final = """
CREATE TABLE {orders} (
    order_id           text COLLATE "C" PRIMARY KEY,
    merchant_id        text COLLATE "C" NOT NULL,
    mode               text COLLATE "C" NOT NULL,
    status             text COLLATE "C" NOT NULL,
    amount_minor       bigint           NOT NULL,
    currency           text COLLATE "C" NOT NULL,
    external_id        text COLLATE "C",
    processor          text COLLATE "C",   -- of the newest attempt
    processor_order_id text COLLATE "C",   -- the processor's object of the newest attempt
    capture_method     text COLLATE "C" NOT NULL,
    authorized_minor   bigint           NOT NULL,
    captured_minor     bigint           NOT NULL,
    refunded_minor     bigint           NOT NULL,
    capture_before     timestamptz,
    failure_code       text COLLATE "C",
    created_at         timestamptz      NOT NULL,
    updated_at         timestamptz      NOT NULL,
    version            bigint           NOT NULL,
    position           bigint           NOT NULL,  -- of the last event that is in this row
    personal_key       text COLLATE "C",           -- Sealed, as it stands in order.created
    personal_box       bytea,
    state              bytea            NOT NULL,  -- JSON of domain.order.state.Order
    stale_from         bigint                      -- first position that is missing, if parked
) WITH (fillfactor = 80);
CREATE INDEX ON {orders} (merchant_id, mode, created_at DESC, order_id DESC);
CREATE INDEX ON {orders} (merchant_id, mode, status, created_at DESC, order_id DESC);
CREATE INDEX ON {orders} (merchant_id, mode, external_id) WHERE external_id IS NOT NULL;
"""

_LOAD: Final = "SELECT order_id, state FROM {orders} WHERE order_id = ANY(%s)"

_SAVE: Final = """
INSERT INTO {orders} (
    order_id, merchant_id, mode, status, amount_minor, currency, external_id, processor,
    processor_order_id, capture_method, authorized_minor, captured_minor, refunded_minor,
    capture_before, failure_code, created_at, updated_at, version, position,
    personal_key, personal_box, state
)
SELECT * FROM unnest(
    %b::text[], %b::text[], %b::text[], %b::text[], %b::bigint[], %b::text[], %b::text[],
    %b::text[], %b::text[], %b::text[], %b::bigint[], %b::bigint[], %b::bigint[],
    %b::timestamptz[], %b::text[], %b::timestamptz[], %b::timestamptz[], %b::bigint[],
    %b::bigint[], %b::text[], %b::bytea[], %b::bytea[]
)
ON CONFLICT (order_id) DO UPDATE SET
    status = excluded.status,
    processor = excluded.processor,
    processor_order_id = excluded.processor_order_id,
    authorized_minor = excluded.authorized_minor,
    captured_minor = excluded.captured_minor,
    refunded_minor = excluded.refunded_minor,
    capture_before = excluded.capture_before,
    failure_code = excluded.failure_code,
    updated_at = excluded.updated_at,
    version = excluded.version,
    position = excluded.position,
    state = excluded.state
"""


class OrdersView:
    """The projection `orders`; see `projections.base.PerStream`."""

    name = "orders"
    version = 1
    tables = ("orders",)
    streams = ("ord_",)

    def schema(self, n: int) -> sql.Composed:
        """Return the DDL of generation `n`."""
        return named(_SCHEMA, n, orders="orders")

    async def apply(self, db: Connection, n: int, batch: Sequence[Recorded]) -> None:
        """Fold the rows into the orders that they belong to.

        Raises:
            AssertionError: a row does not follow on the order's version.
        """
        before = await load_states(db, named(_LOAD, n, orders="orders"), batch)
        after = fold_streams(before, batch, fold_row)
        rows = columns(columns_of(*kept) for kept in after.values())
        await db.execute(named(_SAVE, n, orders="orders"), rows)

    async def mark_stale(self, db: Connection, n: int, stream_id: str, position: int) -> None:
        """Note in the order's row that it is not up to date."""
        statement = "UPDATE {orders} SET stale_from = %s WHERE order_id = %s"
        await db.execute(named(statement, n, orders="orders"), (position, stream_id))

    async def forget(self, db: Connection, n: int, stream_id: str) -> None:
        """Remove the order's row."""
        statement = "DELETE FROM {orders} WHERE order_id = %s"
        await db.execute(named(statement, n, orders="orders"), (stream_id,))


def columns_of(order: Order, position: int) -> tuple[Any, ...]:
    """Return the row of an order, in the order of the columns, without `stale_from`."""
    live = order.live
    personal = order.personal
    return (
        order.id,
        order.merchant_id,
        order.mode,
        order.status,
        order.amount.minor,
        order.amount.currency,
        order.external_id,
        live.processor if live else None,
        live.reference if live else None,
        order.capture_method,
        order.amount_authorized,
        order.amount_captured,
        order.amount_refunded,
        live.capture_before if live else None,
        order.failure.code if order.failure else None,
        order.created_at,
        order.updated_at,
        order.version,
        position,
        personal.key if personal else None,
        personal.box if personal else None,
        encode_state(order),
    )


class Cursor(msgspec.Struct, frozen=True):
    """A place in a list that is ordered by time of creation and id."""

    created_at: datetime
    order_id: str

    def text(self) -> str:
        """Return the opaque text that a client sends back."""
        plain = f"{(self.created_at - _EPOCH) // _MICROSECOND}.{self.order_id}"
        return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Read what `text` made.

        Raises:
            ValueError: it was not made by `text`.
        """
        try:
            plain = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
            micros, order_id = plain.split(".", 1)
            return cls(_EPOCH + int(micros) * _MICROSECOND, order_id)
        except (binascii.Error, OverflowError, UnicodeDecodeError) as error:
            raise ValueError("not a cursor") from error


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of orders is narrowed to; None does not narrow.

    Attributes:
        created_from: inclusive.
        created_to: exclusive.
        paid: only orders that were tried to be paid.
        search: an order's id, external id or processor's id, whole.
    """

    status: OrderStatus | None = None
    processor: str | None = None
    currency: str | None = None
    external_id: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    search: str | None = None
    paid: bool = False


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    """An order in a list; `stale_from` is set while its newer events cannot be shown."""

    order: Order
    position: int
    stale_from: int | None

    @property
    def cursor(self) -> Cursor:
        """The order's place in its list."""
        return Cursor(self.order.created_at, self.order.id)


_WHERE: Final[dict[str, sql.SQL]] = {
    "status": sql.SQL("status = %(status)s"),
    "processor": sql.SQL("processor = %(processor)s"),
    "currency": sql.SQL("currency = %(currency)s"),
    "external_id": sql.SQL("external_id = %(external_id)s"),
    "created_from": sql.SQL("created_at >= %(created_from)s"),
    "created_to": sql.SQL("created_at < %(created_to)s"),
    "paid": sql.SQL("processor IS NOT NULL"),
    "search": sql.SQL(
        "(order_id = %(search)s OR external_id = %(search)s OR processor_order_id = %(search)s)"
    ),
    "after": sql.SQL("(created_at, order_id) < (%(at)s, %(id)s)"),
    "before": sql.SQL("(created_at, order_id) > (%(at)s, %(id)s)"),
}

_PAGE: Final = """
SELECT at.position, o.state, o.position, o.stale_from
FROM (SELECT position FROM projection_positions WHERE name = 'orders' AND live) AS at
LEFT JOIN LATERAL (
    SELECT state, position, stale_from, created_at, order_id FROM orders
    WHERE merchant_id = %(merchant_id)s AND mode = %(mode)s {where}
    ORDER BY created_at {direction}, order_id {direction} LIMIT %(limit)s OFFSET %(offset)s
) AS o ON true
ORDER BY o.created_at {direction}, o.order_id {direction}
"""

_COUNT: Final = """
SELECT count(*) FROM orders WHERE merchant_id = %(merchant_id)s AND mode = %(mode)s {where}
"""


async def page(
    db: Connection,
    *,
    merchant_id: str,
    mode: Mode,
    filters: Filters = Filters(),  # noqa: B008 - frozen
    after: Cursor | None = None,
    before: Cursor | None = None,
    limit: int = 25,
    offset: int = 0,
) -> Page[OrderRow]:
    """Return orders, newest first, with the position that they show, from one snapshot.

    `after` gives those older than a cursor, `before` the next newer ones; `offset` skips rows.
    """
    assert after is None or before is None, "one direction at a time"
    side: Literal["after", "before"] | None = "after" if after else "before" if before else None
    where, params = _narrowed(merchant_id, mode, filters, side)
    cursor = after or before
    params |= {"at": cursor.created_at, "id": cursor.order_id} if cursor else {}
    direction = sql.SQL("ASC" if side == "before" else "DESC")
    statement = sql.SQL(_PAGE).format(where=where, direction=direction)
    found = await db.execute(statement, params | {"limit": limit + 1, "offset": offset})
    fetched = await found.fetchall()
    rows = [
        OrderRow(order=decode_state(state), position=position, stale_from=stale)
        for _, state, position, stale in fetched
        if state is not None
    ]
    kept = rows[:limit]
    return Page(
        rows=tuple(reversed(kept) if side == "before" else kept),
        has_more=len(rows) > limit,
        as_of_position=fetched[0][0] if fetched else 0,
    )


async def count(db: Connection, *, merchant_id: str, mode: Mode, filters: Filters) -> int:
    """Return how many orders there are, for lists with numbered pages."""
    where, params = _narrowed(merchant_id, mode, filters, None)
    found = await db.execute(sql.SQL(_COUNT).format(where=where), params)
    row = await found.fetchone()
    return row[0] if row else 0


def _narrowed(
    merchant_id: str, mode: Mode, filters: Filters, side: str | None
) -> tuple[sql.Composable, dict[str, Any]]:
    """Return the further conditions of a list, each begun with AND, and their values."""
    values = {name: value for name, value in msgspec.structs.asdict(filters).items() if value}
    conditions = [_WHERE[name] for name in (*values, *([side] if side else []))]
    where = sql.Composed([part for c in conditions for part in (sql.SQL(" AND "), c)])
    return where, {"merchant_id": merchant_id, "mode": mode, **values}


async def as_of_position(db: Connection) -> int:
    """Return the position of the log that the live rows show; 0 before there are any."""
    found = await db.execute(
        "SELECT position FROM projection_positions WHERE name = 'orders' AND live"
    )
    row = await found.fetchone()
    return row[0] if row else 0

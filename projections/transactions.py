"""One row per movement of an order: authorization, capture, refund, void, dispute."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from psycopg import sql

from domain.events import Recorded
from domain.order.state import Order
from projections.base import Connection, columns, named
from projections.movements import Transaction, movements
from projections.order_state import encode_state, fold_row, load_states

_SCHEMA: Final = """
CREATE TABLE {transactions} (
    order_id                 text COLLATE "C" NOT NULL,
    id                       text COLLATE "C" NOT NULL,
    merchant_id              text COLLATE "C" NOT NULL,
    mode                     text COLLATE "C" NOT NULL,
    type                     text COLLATE "C" NOT NULL,
    amount_minor             bigint           NOT NULL,
    currency                 text COLLATE "C" NOT NULL,
    status                   text COLLATE "C" NOT NULL,
    processor                text COLLATE "C" NOT NULL,
    processor_transaction_id text COLLATE "C",
    error_code               text COLLATE "C",
    error_message            text,
    created_at               timestamptz      NOT NULL,
    updated_at               timestamptz      NOT NULL,
    position                 bigint           NOT NULL,  -- of the last event that changed the row
    stale_from               bigint,                     -- first position that is missing
    PRIMARY KEY (order_id, id)
) WITH (fillfactor = 80);
CREATE INDEX ON {transactions} (merchant_id, mode, created_at DESC, order_id DESC, id DESC);
CREATE TABLE {transactions_state} (
    order_id   text COLLATE "C" PRIMARY KEY,
    state      bytea NOT NULL,  -- JSON of domain.order.state.Order
    stale_from bigint
) WITH (fillfactor = 80);
"""

_LOAD: Final = "SELECT order_id, state FROM {transactions_state} WHERE order_id = ANY(%s)"

_SAVE_STATES: Final = """
INSERT INTO {transactions_state} (order_id, state)
SELECT * FROM unnest(%b::text[], %b::bytea[])
ON CONFLICT (order_id) DO UPDATE SET state = excluded.state
"""

_SAVE: Final = """
INSERT INTO {transactions} (
    order_id, id, merchant_id, mode, type, amount_minor, currency, status, processor,
    processor_transaction_id, error_code, error_message, created_at, updated_at, position
)
SELECT * FROM unnest(
    %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::bigint[], %b::text[],
    %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::timestamptz[],
    %b::timestamptz[], %b::bigint[]
)
ON CONFLICT (order_id, id) DO UPDATE SET
    amount_minor = excluded.amount_minor,
    currency = excluded.currency,
    status = excluded.status,
    processor = excluded.processor,
    processor_transaction_id = excluded.processor_transaction_id,
    error_code = excluded.error_code,
    error_message = excluded.error_message,
    updated_at = excluded.updated_at,
    position = excluded.position
"""

_NAMES: Final = {"transactions": "transactions", "transactions_state": "transactions_state"}


class TransactionsView:
    """The projection `transactions`; see `projections.base.PerStream`."""

    name = "transactions"
    version = 2
    tables = ("transactions", "transactions_state")
    streams = ("ord_",)

    def schema(self, n: int) -> sql.Composed:
        """Return the DDL of generation `n`."""
        return named(_SCHEMA, n, **_NAMES)

    async def apply(self, db: Connection, n: int, batch: Sequence[Recorded]) -> None:
        """Fold the rows into their orders and write the movements that changed.

        Raises:
            AssertionError: a row does not follow on the order's version.
        """
        orders = await load_states(db, named(_LOAD, n, **_NAMES), batch)
        touched, changed = changes(orders, batch)
        states = [list(touched), [encode_state(order) for order in touched.values()]]
        await db.execute(named(_SAVE_STATES, n, **_NAMES), states)
        if changed:
            rows = columns(columns_of(*kept) for kept in changed.values())
            await db.execute(named(_SAVE, n, **_NAMES), rows)

    async def mark_stale(self, db: Connection, n: int, stream_id: str, position: int) -> None:
        """Note in the order's rows that they are not up to date."""
        for statement in (
            "UPDATE {transactions} SET stale_from = %s WHERE order_id = %s",
            "UPDATE {transactions_state} SET stale_from = %s WHERE order_id = %s",
        ):
            await db.execute(named(statement, n, **_NAMES), (position, stream_id))

    async def forget(self, db: Connection, n: int, stream_id: str) -> None:
        """Remove the order's rows."""
        for statement in (
            "DELETE FROM {transactions} WHERE order_id = %s",
            "DELETE FROM {transactions_state} WHERE order_id = %s",
        ):
            await db.execute(named(statement, n, **_NAMES), (stream_id,))


Changed = dict[tuple[str, str], tuple[Transaction, int]]
"""By order and movement: the movement as it is now, and the position that changed it last."""


def changes(
    before: Mapping[str, Order], batch: Sequence[Recorded]
) -> tuple[dict[str, Order], Changed]:
    """Return the orders after a batch, and each movement that changed with its last position.

    Compared is after every event, so that the positions do not depend on how events are batched.
    """
    orders: dict[str, Order] = {}
    shown: dict[str, dict[str, Transaction]] = {}
    changed: Changed = {}
    for row in batch:
        stream_id = row.stream_id
        order = orders.get(stream_id) or before.get(stream_id)
        if stream_id not in shown:
            shown[stream_id] = {t.id: t for t in movements(order)} if order else {}
        order = orders[stream_id] = fold_row(order, row)
        earlier = shown[stream_id]
        for movement in movements(order):
            if earlier.get(movement.id) != movement:
                earlier[movement.id] = movement
                changed[stream_id, movement.id] = (movement, row.position)
    return orders, changed


def columns_of(movement: Transaction, position: int) -> tuple[Any, ...]:
    """Return the row of a movement, in the order of the columns, without `stale_from`."""
    return (
        movement.order_id,
        movement.id,
        movement.merchant_id,
        movement.mode,
        movement.type,
        movement.amount_minor,
        movement.currency,
        movement.status,
        movement.processor,
        movement.processor_transaction_id,
        movement.error_code,
        movement.error_message,
        movement.created_at,
        movement.updated_at,
        position,
    )

"""One row per movement of an order: authorization, capture, refund, void, dispute."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

import msgspec
from psycopg import sql
from psycopg.rows import class_row

from domain.events import Recorded
from domain.metadata import Mode
from domain.money import Money
from domain.order.parts import Attempt, Capture, Dispute, Refund, Release
from domain.order.state import Order
from projections.base import Connection, columns, named
from projections.order_state import encode_state, fold_row, load_states

TransactionType = Literal["authorization", "capture", "refund", "void", "dispute"]
TransactionStatus = Literal["pending", "success", "failed"]


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """One movement, as the merchant sees it.

    Attributes:
        id: of the attempt, capture, refund or dispute; a void's is made from its attempt's.
        processor_transaction_id: the processor's id of it, once there is one.
    """

    id: str
    order_id: str
    merchant_id: str
    mode: Mode
    type: TransactionType
    amount_minor: int
    currency: str
    status: TransactionStatus
    processor: str
    created_at: datetime
    updated_at: datetime
    processor_transaction_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None


def transactions(order: Order) -> list[Transaction]:
    """Return the movements of an order, newest first; strays and their refunds are not shown."""
    return sorted(_movements(order), key=lambda t: t.created_at, reverse=True)


def _movements(order: Order) -> list[Transaction]:
    found = [_authorization(order, attempt) for attempt in order.attempts]
    found.extend(_capture(order, capture) for capture in order.captures)
    found.extend(_refund(order, refund) for refund in order.refunds if refund.kind == "merchant")
    found.extend(_voids(order))
    found.extend(_dispute(order, dispute) for dispute in order.disputes)
    return found


def _of(order: Order, kind: TransactionType, **fields: Any) -> Transaction:
    fields.setdefault("currency", order.amount.currency)
    return Transaction(
        order_id=order.id, merchant_id=order.merchant_id, mode=order.mode, type=kind, **fields
    )


def _authorization(order: Order, attempt: Attempt) -> Transaction:
    """An attempt that was authorized once stays a success, whatever became of the hold."""
    failed = attempt.status in {"declined", "fenced"}
    failure = attempt.failure
    status = "success" if attempt.authorized else "failed" if failed else "pending"
    return _of(
        order,
        "authorization",
        id=attempt.id,
        amount_minor=(attempt.authorized or order.amount).minor,
        status=status,
        processor=attempt.processor,
        processor_transaction_id=attempt.payment_id,
        error_code=failure.code if failure else attempt.proof if status == "failed" else None,
        error_message=failure.message if failure else None,
        created_at=attempt.created_at,
        updated_at=attempt.updated_at,
    )


_STATUS: Final[Mapping[str, TransactionStatus]] = {
    "pending": "pending",
    "unknown": "pending",
    "succeeded": "success",
    "failed": "failed",
}


def _capture(order: Order, part: Capture) -> Transaction:
    return _moved(order, "capture", part)


def _refund(order: Order, part: Refund) -> Transaction:
    return _moved(order, "refund", part)


def _moved(order: Order, kind: TransactionType, part: Capture | Refund) -> Transaction:
    return _of(
        order,
        kind,
        id=part.id,
        amount_minor=part.amount.minor,
        currency=part.amount.currency,
        status=_STATUS[part.status],
        processor=part.processor,
        processor_transaction_id=part.processor_id,
        error_code=part.error_code,
        error_message=part.error_message,
        created_at=part.created_at,
        updated_at=part.updated_at,
    )


def _voids(order: Order) -> list[Transaction]:
    """Return one movement per release of held money, numbered where an attempt has several."""
    found: list[Transaction] = []
    for release in (*order.releases, *_left(order)):
        if release.amount.minor == 0:
            continue
        stem = "void_" + release.attempt_id.removeprefix("att_")
        number = 1 + sum(1 for earlier in found if earlier.id.split(".")[0] == stem)
        attempt = order.attempt(release.attempt_id)
        void = _of(
            order,
            "void",
            id=stem if number == 1 else f"{stem}.{number}",
            amount_minor=release.amount.minor,
            status="success",
            processor=release.processor,
            processor_transaction_id=attempt.payment_id if attempt else None,
            created_at=release.created_at,
            updated_at=release.created_at,
        )
        found.append(void)
    return found


def _left(order: Order) -> Iterator[Release]:
    """Give what final captures left of a hold: it went back with them, nobody asked for a void."""
    for attempt in order.attempts:
        captures = [
            part
            for part in order.captures
            if part.attempt_id == attempt.id and part.status == "succeeded"
        ]
        if attempt.authorized is None or not captures:
            continue
        gone = sum(r.amount.minor for r in order.releases if r.attempt_id == attempt.id)
        taken = sum(part.amount.minor for part in captures)
        held = attempt.held.minor if attempt.held else 0
        left = attempt.authorized.minor - taken - gone - held
        if left > 0:
            yield Release(
                attempt_id=attempt.id,
                processor=attempt.processor,
                amount=Money(left, attempt.authorized.currency),
                created_at=captures[-1].updated_at,
                cause="voided",
            )


def _dispute(order: Order, dispute: Dispute) -> Transaction:
    """A dispute succeeds when the cardholder's bank gets the money."""
    outcome: dict[str, TransactionStatus] = {"open": "pending", "lost": "success"}
    return _of(
        order,
        "dispute",
        id=dispute.id,
        amount_minor=dispute.amount.minor,
        currency=dispute.amount.currency,
        status=outcome.get(dispute.status, "failed"),
        processor=dispute.processor,
        processor_transaction_id=dispute.processor_id,
        created_at=dispute.created_at,
        updated_at=dispute.updated_at,
    )


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
            shown[stream_id] = {t.id: t for t in _movements(order)} if order else {}
        order = orders[stream_id] = fold_row(order, row)
        earlier = shown[stream_id]
        for movement in _movements(order):
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


_NEWEST: Final = """
SELECT id, order_id, merchant_id, mode, type, amount_minor, currency, status, processor,
       processor_transaction_id, error_code, error_message, created_at, updated_at
FROM transactions WHERE merchant_id = %s AND mode = %s
ORDER BY created_at DESC, order_id DESC, id DESC LIMIT %s OFFSET %s
"""


async def newest(
    db: Connection, *, merchant_id: str, mode: Mode, limit: int = 25, offset: int = 0
) -> list[Transaction]:
    """Return a merchant's movements, newest first."""
    async with db.cursor(row_factory=class_row(Transaction)) as cursor:
        await cursor.execute(_NEWEST, (merchant_id, mode, limit, offset))
        return await cursor.fetchall()

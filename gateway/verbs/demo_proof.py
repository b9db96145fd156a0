"""What `loop demo` proves at the end: log, read model and the bank's own books say the same."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from adapters.read_models import status
from domain.events import Recorded
from domain.order.evolve import fold
from domain.order.state import Order
from projections.order_state import decode_state

if TYPE_CHECKING:
    from adapters.sandbox.books import Books
    from adapters.wiring import Application

LEVEL_S: Final = 30.0
_ROWS: Final = """
SELECT order_id, state, version, status, amount_minor, currency, authorized_minor, captured_minor,
       refunded_minor
FROM orders WHERE order_id = ANY(%s)
"""


class ReadRow(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of the read model `orders` that a list shows."""

    version: int
    status: str
    amount_minor: int
    currency: str
    authorized_minor: int
    captured_minor: int
    refunded_minor: int


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison of three independent accounts of the same orders.

    Attributes:
        histories: the rows of each order's stream.
        read_rows: what the read model shows of each.
        read_model_differs: orders whose row is not the fold of their stream.
        bank_differs: orders of which the bank took or gave back another amount.
        bank: what the books of the sandbox and of the in-process bank say was captured and
            refunded of each, in minor units.
        violations: what the bank's books call impossible, in words.
        events: rows of the whole log.
    """

    histories: dict[str, tuple[Recorded, ...]]
    read_rows: dict[str, ReadRow]
    read_model_differs: tuple[str, ...]
    bank_differs: tuple[str, ...]
    bank: dict[str, tuple[int, int]]
    violations: tuple[str, ...]
    events: int

    @property
    def ok(self) -> bool:
        """Whether all three say the same."""
        return not (self.read_model_differs or self.bank_differs or self.violations)


async def prove(app: "Application", order_ids: Sequence[str], vendors: Callable[[], Any]) -> Proof:
    """Wait until the read models are level with the log, then compare.

    A read model that does not become level in `LEVEL_S` is compared as it is. `vendors` reads the
    books of the sandbox that plays Stripe and Razorpay.
    """
    head = await _level(app)
    histories = await app.ports.store.load(order_ids)
    folded = {order_id: _folded(rows) for order_id, rows in histories.items()}
    async with app.pool.connection() as db:
        found = await (await db.execute(_ROWS, (list(order_ids),))).fetchall()
    states = {row[0]: decode_state(row[1]) for row in found}
    rows = {row[0]: _read_row(row[2:]) for row in found}
    books = await asyncio.to_thread(app.sandbox.bank.books)
    theirs = await asyncio.to_thread(vendors)
    bank = {order_id: _at_banks(books, theirs, order_id) for order_id in order_ids}
    violations = [f"{v.kind} of {v.order_id}" for v in books.violations]
    violations += [f"{v['kind']} of {v['order_ref']}" for v in theirs["violations"]]
    return Proof(
        histories=histories,
        read_rows=rows,
        read_model_differs=tuple(
            order_id
            for order_id, order in folded.items()
            if states.get(order_id) != order or rows.get(order_id) != row_of(order)
        ),
        bank_differs=tuple(o.id for o in folded.values() if bank[o.id] != taken(o)),
        bank=bank,
        violations=tuple(violations),
        events=head,
    )


async def _level(app: "Application") -> int:
    """Return the log's last position once every live read model has it."""
    deadline = time.monotonic() + LEVEL_S
    while True:
        async with app.pool.connection() as db:
            live = [one for one in await status(db) if one.live]
        if live and (all(not one.lag_events for one in live) or time.monotonic() > deadline):
            return live[0].head
        await asyncio.sleep(0.05)


def _folded(rows: tuple[Recorded, ...]) -> Order:
    order = fold(rows)
    assert order is not None, "the order was created over HTTP"
    return order


def _read_row(values: Sequence[Any]) -> ReadRow:
    return ReadRow(**dict(zip(ReadRow.__struct_fields__, values, strict=True)))


def row_of(order: Order) -> ReadRow:
    """Return the columns that an order's fold amounts to."""
    return ReadRow(
        version=order.version,
        status=order.status,
        amount_minor=order.amount.minor,
        currency=order.amount.currency,
        authorized_minor=order.amount_authorized,
        captured_minor=order.amount_captured,
        refunded_minor=order.amount_refunded,
    )


def _at_banks(books: "Books", vendors: Any, order_id: str) -> tuple[int, int]:
    """Return what all banks took and gave back; an order that one never saw has nothing there."""
    book, other = books.orders.get(order_id), vendors["orders"].get(order_id)
    ours = (book.captured, book.refunded) if book else (0, 0)
    theirs = (other["captured"], other["refunded"]) if other else (0, 0)
    return ours[0] + theirs[0], ours[1] + theirs[1]


def taken(order: Order) -> tuple[int, int]:
    """Return what the log says was captured and refunded, in minor units."""
    return order.amount_captured, order.amount_refunded

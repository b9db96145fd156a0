"""The bank's books: what was authorized, captured and refunded, and what must never be.

The totals are added up from the rows alone, not by the rules that wrote them.
"""

import sqlite3
from typing import Literal

import msgspec

ViolationKind = Literal[
    "captured_twice",
    "captured_above_amount",
    "refunded_above_captured",
    "captured_after_void",
    "no_order_reference",
]


class PaymentBook(msgspec.Struct, frozen=True, kw_only=True):
    """One payment's totals in minor units; refunds that failed do not count."""

    reference: str
    order_id: str | None
    merchant: str
    mode: str
    currency: str
    status: str
    amount: int
    authorized: int
    held: int
    captured: int
    refunded: int
    captured_last_us: int | None
    cancelled_us: int | None


class OrderBook(msgspec.Struct, frozen=True, kw_only=True):
    """One order's totals over all its payments."""

    order_id: str | None
    authorized: int
    held: int
    captured: int
    refunded: int
    payments: tuple[PaymentBook, ...]


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """Something that must never be, with the payments that show it."""

    kind: ViolationKind
    order_id: str | None
    references: tuple[str, ...]


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """All orders by id; payments that name none stand under None."""

    orders: dict[str | None, OrderBook]
    violations: tuple[Violation, ...]


class RequestCount(msgspec.Struct, frozen=True, kw_only=True):
    """How often one operation was answered in one way; `replayed` from memory."""

    operation: str
    result: str
    code: str | None
    replayed: bool
    count: int


def read_books(db: sqlite3.Connection) -> Books:
    """Add up all payments, in one read."""
    rows = db.execute(
        "SELECT reference, order_id, merchant, mode, currency, status, amount, authorized, held, "
        "cancelled_us, "
        "(SELECT coalesce(sum(c.amount), 0) FROM captures c WHERE c.reference = p.reference) "
        "AS captured, "
        "(SELECT max(c.at_us) FROM captures c WHERE c.reference = p.reference) "
        "AS captured_last_us, "
        "(SELECT coalesce(sum(r.amount), 0) FROM refunds r "
        " WHERE r.reference = p.reference AND r.status <> 'failed') AS refunded "
        "FROM payments p ORDER BY p.rowid"
    )
    by_order: dict[str | None, list[PaymentBook]] = {}
    for row in rows:
        payment = msgspec.convert(dict(row), PaymentBook)
        by_order.setdefault(payment.order_id, []).append(payment)
    orders = {order_id: _order(order_id, payments) for order_id, payments in by_order.items()}
    violations = (violation for order in orders.values() for violation in _violations(order))
    return Books(orders=orders, violations=tuple(violations))


def read_requests(db: sqlite3.Connection) -> tuple[RequestCount, ...]:
    """Count the journal."""
    rows = db.execute(
        "SELECT operation, result, code, replayed, count(*) AS count FROM requests "
        "GROUP BY operation, result, code, replayed ORDER BY operation, result, code, replayed"
    )
    return tuple(msgspec.convert(dict(row), RequestCount, strict=False) for row in rows)


def _order(order_id: str | None, payments: list[PaymentBook]) -> OrderBook:
    return OrderBook(
        order_id=order_id,
        authorized=sum(payment.authorized for payment in payments),
        held=sum(payment.held for payment in payments),
        captured=sum(payment.captured for payment in payments),
        refunded=sum(payment.refunded for payment in payments),
        payments=tuple(payments),
    )


def _violations(order: OrderBook) -> list[Violation]:
    found: list[Violation] = []
    taken = tuple(payment.reference for payment in order.payments if payment.captured)
    if order.order_id and len(taken) > 1:
        found.append(Violation(kind="captured_twice", order_id=order.order_id, references=taken))
    found.extend(
        Violation(kind=kind, order_id=order.order_id, references=(payment.reference,))
        for payment in order.payments
        for kind in _wrong_with(payment)
    )
    return found


def _wrong_with(payment: PaymentBook) -> list[ViolationKind]:
    found: list[ViolationKind] = []
    if payment.captured > payment.amount:
        found.append("captured_above_amount")
    if payment.refunded > payment.captured:
        found.append("refunded_above_captured")
    taken_us, cancelled_us = payment.captured_last_us, payment.cancelled_us
    if taken_us is not None and cancelled_us is not None and taken_us > cancelled_us:
        found.append("captured_after_void")
    if not payment.order_id:
        found.append("no_order_reference")
    return found

"""The sandbox's books over both dialects: the oracle that says what must never be.

They are added up from the movements of money alone, not from the objects that the rules change.
"""

import sqlite3
from typing import Final

import msgspec

from adapters.sandbox_server.store import Store
from adapters.sandbox_server.wire import Json

_SUMS: Final = {
    "authorized": ("authorized", 1),
    "captured": ("captured", 1),
    "refunded": ("refunded", 1),
    "refund_failed": ("refunded", -1),
    "released": ("released", 1),
    "withdrawn": ("disputed", 1),
    "reinstated": ("disputed", -1),
}
_CLOSING: Final = ("voided", "fenced")


class PaymentBook(msgspec.Struct, kw_only=True):
    """One payment's totals in minor units.

    Attributes:
        held: authorized and neither captured nor released.
        refunded: without refunds that came back.
        closed: it was voided or fenced at least once.
        captured_after_closing: how much was captured after that.
    """

    payment: str
    dialect: str
    order_ref: str | None
    currency: str
    amount: int = 0
    authorized: int = 0
    captured: int = 0
    refunded: int = 0
    released: int = 0
    disputed: int = 0
    held: int = 0
    closed: bool = False
    captured_after_closing: int = 0


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """Something that must never be, with the payments that show it."""

    kind: str
    order_ref: str | None
    payments: tuple[str, ...]
    detail: str


def read(store: Store, order_ref: str | None = None) -> Json:
    """Give every order with its payments and totals, and all violations; or of one order."""
    payments = _payments(
        store.db.execute("SELECT * FROM money ORDER BY n")
        if order_ref is None
        else store.db.execute("SELECT * FROM money WHERE order_ref = ? ORDER BY n", (order_ref,))
    )
    orders: dict[str, list[PaymentBook]] = {}
    for payment in payments:
        orders.setdefault(payment.order_ref or "", []).append(payment)
    violations = [
        violation for ref, found in orders.items() for violation in _violations(ref, found)
    ]
    return {
        "orders": {ref: _order(found) for ref, found in orders.items()},
        "totals": _totals(payments),
        "violations": violations,
    }


def _payments(rows: sqlite3.Cursor) -> list[PaymentBook]:
    books: dict[str, PaymentBook] = {}
    for row in rows:
        book = books.get(row["payment"])
        if book is None:
            book = books[row["payment"]] = PaymentBook(
                payment=row["payment"],
                dialect=row["dialect"],
                order_ref=None,
                currency=row["currency"],
            )
        book.order_ref = row["order_ref"] or book.order_ref
        _enter(book, row["op"], row["amount"])
    return list(books.values())


def _enter(book: PaymentBook, op: str, amount: int) -> None:
    if op == "opened":
        book.amount = amount
    if op in _CLOSING:
        book.closed = True
    if op in _SUMS:
        name, sign = _SUMS[op]
        setattr(book, name, getattr(book, name) + sign * amount)
    if op == "captured" and book.closed:
        book.captured_after_closing += amount
    book.held = max(0, book.authorized - book.captured - book.released)


def _order(payments: list[PaymentBook]) -> Json:
    names = ("authorized", "held", "captured", "refunded", "disputed")
    return {
        "payments": payments,
        **{name: sum(getattr(payment, name) for payment in payments) for name in names},
    }


def _totals(payments: list[PaymentBook]) -> Json:
    totals: dict[str, dict[str, int]] = {}
    for payment in payments:
        of = totals.setdefault(payment.currency, {"captured": 0, "refunded": 0, "held": 0})
        for name in of:
            of[name] += getattr(payment, name)
    return totals


def _violations(ref: str, payments: list[PaymentBook]) -> list[Violation]:
    found: list[Violation] = []
    taken = [payment for payment in payments if payment.captured]
    order_ref = ref or None
    if ref:
        names = tuple(payment.payment for payment in taken)
        if len(taken) > 1:
            found.append(_violation("captured_twice", order_ref, names, "of one order"))
        amount = max(payment.amount for payment in payments)
        captured = sum(payment.captured for payment in taken)
        if captured > amount:
            detail = f"{captured} captured of {amount}"
            found.append(_violation("captured_above_amount", order_ref, names, detail))
    for payment in payments:
        found.extend(_wrong_with(payment, alone=not ref))
    return found


def _wrong_with(payment: PaymentBook, *, alone: bool) -> list[Violation]:
    found: list[Violation] = []
    named = (payment.payment,)
    if alone and payment.captured > payment.amount:
        detail = f"{payment.captured} captured of {payment.amount}"
        found.append(_violation("captured_above_amount", None, named, detail))
    if payment.refunded > payment.captured:
        detail = f"{payment.refunded} refunded of {payment.captured}"
        found.append(_violation("refunded_above_captured", payment.order_ref, named, detail))
    if payment.captured_after_closing:
        detail = f"{payment.captured_after_closing} captured after a void or fence"
        found.append(_violation("captured_after_closing", payment.order_ref, named, detail))
    if alone:
        found.append(_violation("no_order_reference", None, named, "nobody can place it"))
    return found


def _violation(
    kind: str, order_ref: str | None, payments: tuple[str, ...], detail: str
) -> Violation:
    return Violation(kind=kind, order_ref=order_ref, payments=payments, detail=detail)

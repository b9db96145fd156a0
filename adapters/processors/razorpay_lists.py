"""Razorpay's list of orders with their payments: what is asked for, what a page says. Pure."""

from datetime import UTC, datetime
from typing import Final

from adapters.processors import razorpay_answers as answers
from adapters.processors.razorpay_answers import Json
from commands.observed import Listed, ListedPage, ListedPayment
from commands.processor import Window

COUNT: Final = 100


def query(window: Window) -> Json:
    """Return the parameters of one page; `after` is how many are skipped."""
    return {
        "count": COUNT,
        "skip": int(window.after or 0),
        "from": int(window.since.timestamp()),
        "to": int(window.until.timestamp()),
        "expand[]": "payments",
    }


def page(found: Json, window: Window) -> ListedPage:
    """Return what a page shows.

    Raises:
        ValueError, LookupError, TypeError: it is not what Razorpay documents.
    """
    items = found["items"]
    skipped = int(window.after or 0)
    after = str(skipped + len(items)) if len(items) >= COUNT else None
    return ListedPage(items=tuple(map(_listed, items)), after=after)


def _listed(order: Json) -> Listed:
    notes = order.get("notes") or {}
    ours = notes if isinstance(notes, dict) else {}
    payments = order.get("payments") or {}
    return Listed(
        reference=order["id"],
        at=datetime.fromtimestamp(order["created_at"], UTC),
        merchant_id=ours.get("merchant_id"),
        order_id=ours.get("order_id"),
        attempt_id=ours.get("attempt_id") or order.get("receipt"),
        payments=tuple(map(_payment, filter(_moved, payments.get("items") or ()))),
    )


def _moved(payment: Json) -> bool:
    return payment["status"] == "authorized" or answers.taken(payment)


def _payment(payment: Json) -> ListedPayment:
    taken = answers.taken(payment)
    return ListedPayment(
        payment_id=payment["id"],
        held=not taken,
        captured_minor=payment["amount"] if taken else 0,
        refunded_minor=payment.get("amount_refunded") or 0 if taken else 0,
    )

"""Stripe's list of PaymentIntents: what is asked for, and what a page of it says. Pure."""

from datetime import UTC, datetime
from typing import Any, Final

from adapters.processors import stripe_charges as charges
from adapters.processors.stripe_money import from_stripe
from adapters.processors.stripe_problems import Json
from commands.observed import Listed, ListedPage, ListedPayment
from commands.processor import Window

LIMIT: Final = 100


def query(window: Window) -> Any:
    """Return the parameters of one page; seconds are all that Stripe knows of time."""
    params: Json = {
        "limit": LIMIT,
        "created": {
            "gte": int(window.since.timestamp()),
            "lte": int(window.until.timestamp()),
        },
        "expand": ["data.latest_charge"],
    }
    if window.after is not None:
        params["starting_after"] = window.after
    return params


def page(found: Json) -> ListedPage:
    """Return what a page shows.

    Raises:
        ValueError, LookupError, TypeError: it is not what Stripe documents.
    """
    items = tuple(map(_listed, found["data"]))
    more = bool(items) and found.get("has_more")
    return ListedPage(items=items, after=items[-1].reference if more else None)


def _listed(pi: Json) -> Listed:
    ours = charges.metadata_of(pi)
    return Listed(
        reference=pi["id"],
        at=datetime.fromtimestamp(pi["created"], UTC),
        merchant_id=ours.get("merchant_id"),
        order_id=ours.get("order_id"),
        attempt_id=ours.get("attempt_id"),
        payments=tuple(_payments(pi)),
    )


def _payments(pi: Json) -> list[ListedPayment]:
    held, captured = pi["status"] == "requires_capture", charges.received(pi)
    if not held and not captured:
        return []
    charge = charges.charge_of(pi)
    # What comes back of a hold is no refund.
    refunded = charge["amount_refunded"] if captured else 0
    currency = pi["currency"]
    money = ListedPayment(
        payment_id=charge["id"],
        held=held,
        captured_minor=from_stripe(captured, currency).minor,
        refunded_minor=from_stripe(refunded, currency).minor,
    )
    return [money]

"""What a charge of Stripe's says: what it holds and took, until when, and at what fee. Pure."""

from datetime import UTC, datetime
from typing import Any

from adapters.processors.stripe_money import from_stripe
from domain.money import Money

from adapters.processors.stripe_problems import Json


def holds(charge: Json) -> bool:
    """Whether the charge was authorized at all; a refused try leaves one that was not."""
    return charge.get("status") == "succeeded"


def authorized(charge: Json) -> int:
    """Return what was authorized, in Stripe's unit."""
    amount: int | None = _card(charge).get("amount_authorized")
    return charge["amount"] if amount is None else amount


def _card(charge: Json) -> Json:
    return (charge.get("payment_method_details") or {}).get("card") or {}


def capture_before(charge: Json) -> datetime | None:
    """Return when the hold ends; None where Stripe does not say."""
    at = _card(charge).get("capture_before")
    return None if at is None else utc(at)


def captured_at(charge: Json) -> datetime:
    """Return when the money was taken: the balance moved then."""
    moved = charge.get("balance_transaction")
    return utc(moved["created"] if isinstance(moved, dict) else charge["created"])


def fee_of(movement: Any) -> Money | None:
    """Return a movement's fee, in the currency of the account; None while there is no movement."""
    if not isinstance(movement, dict):
        return None
    try:
        return from_stripe(movement["fee"], movement["currency"])
    except (ValueError, LookupError, TypeError):
        # A fee that is not understood is no reason to doubt the payment.
        return None


def utc(seconds: int) -> datetime:
    """Return a time of Stripe's."""
    return datetime.fromtimestamp(seconds, UTC)

"""What a PaymentIntent and its charge say of money: held, taken, until when, at what fee. Pure.

What is left out is made up for where the rest says it; otherwise it is an error, and so a doubt.
"""

from datetime import UTC, datetime
from typing import Any

from adapters.processors.stripe_money import from_stripe
from adapters.processors.stripe_problems import Json
from domain.money import Money


def charge_of(pi: Json) -> Json:
    """Return a PaymentIntent's newest charge; nothing where there is none.

    Raises:
        TypeError: only its id came.
    """
    charge = pi.get("latest_charge") or {}
    if not isinstance(charge, dict):
        raise TypeError("the charge is not whole")
    return charge


def metadata_of(thing: Json) -> Json:
    """Return an object's metadata."""
    found = thing.get("metadata")
    return found if isinstance(found, dict) else {}


def received(pi: Json, *, just_now: bool = False) -> int:
    """Return what was taken, in Stripe's unit; `just_now` nothing was refunded since.

    Raises:
        LookupError: it is not said.
    """
    amount: int | None = pi.get("amount_received")
    if amount is not None or pi["status"] != "succeeded":
        return amount or 0
    charge = charge_of(pi)
    amount = charge.get("amount_captured")
    if amount is not None:
        return amount
    back: int = charge["amount_refunded"]
    if not charge["captured"] or (back and not just_now):
        # What a capture released counts as refunded there, too.
        raise LookupError("amount_received")
    return authorized(charge) - back


def held(pi: Json) -> int:
    """Return what is held and not taken, in Stripe's unit."""
    amount: int | None = pi.get("amount_capturable")
    if amount is None and pi["status"] == "requires_capture":
        return authorized(charge_of(pi))
    return amount or 0


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

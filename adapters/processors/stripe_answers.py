"""What Stripe's answers to our calls mean: PaymentIntents and refunds to outcomes. Pure."""

from typing import Final

from adapters.processors import stripe_charges as charges
from adapters.processors.stripe_money import from_stripe
from adapters.processors.stripe_problems import Json, decline
from commands.outcomes import (
    Challenged,
    Declined,
    Fact,
    Outcome,
    Pending,
    Referenced,
    Succeeded,
    Unknown,
)
from commands.processor import Described

LOOK_AGAIN_S: Final = 2.0
REPLAYED: Final = "_replayed"
"""Added to an answer: it is what was answered when the idempotency key was new."""
COLLECT: Final = "collect"
"""Metadata of a PaymentIntent whose card the customer gives on a page."""


def described(card: Json) -> Described:
    """Return a card's brand and country, where Stripe names them."""
    brand, country = card.get("brand"), card.get("country")
    return Described(
        brand=brand.lower() if isinstance(brand, str) and brand != "unknown" else None,
        country=country.upper() if isinstance(country, str) and country else None,
    )


def made(pi: Json) -> Referenced:
    """Return a new PaymentIntent's id.

    Raises:
        LookupError: it has none.
    """
    return Referenced(reference=pi["id"])


def collects(pi: Json) -> bool:
    """Whether the customer gives the card on a page, another one after a refusal."""
    return charges.metadata_of(pi).get("card") == COLLECT


def confirmed(pi: Json, publishable_key: str | None) -> Outcome:
    """Classify a PaymentIntent after its confirmation."""
    match pi.get("status"):
        case "requires_capture" | "succeeded":
            return Succeeded(fact=authorization(pi))
        case "processing":
            return Pending(look_again_s=LOOK_AGAIN_S)
        case "requires_action":
            return challenge(pi, publishable_key)
        case "requires_payment_method" if collects(pi):
            return challenge(pi, publishable_key)
        case "requires_payment_method" if pi.get("last_payment_error"):
            return decline(pi["last_payment_error"])
        case status:
            return Unknown(cause=f"confirmed, and the status is {status}")


def challenge(pi: Json, publishable_key: str | None) -> Challenged:
    """Return what the customer has to do: authenticate, or give a card."""
    redirect = (pi.get("next_action") or {}).get("redirect_to_url") or {}
    collects = pi["status"] == "requires_payment_method"
    return Challenged(
        kind="collect_payment_method" if collects else "redirect",
        redirect_url=redirect.get("url"),
        client_secret=pi.get("client_secret"),
        publishable_key=publishable_key,
    )


def authorization(pi: Json) -> Fact:
    """Return the hold of a PaymentIntent that has one.

    Raises:
        ValueError, LookupError, TypeError: it is not what Stripe documents.
    """
    charge = charges.charge_of(pi)
    held = from_stripe(charges.authorized(charge), pi["currency"])
    return Fact(
        payment_id=charge["id"],
        processor_id=charge["id"],
        amount_minor=held.minor,
        currency=held.currency,
        at=charges.utc(charge["created"]),
        capture_before=charges.capture_before(charge),
    )


def capture(pi: Json) -> Fact:
    """Return the capture of a PaymentIntent; it has one at most."""
    charge = charges.charge_of(pi)
    taken = from_stripe(charges.received(pi, just_now=True), pi["currency"])
    return Fact(
        payment_id=charge["id"],
        processor_id=charge["id"],
        amount_minor=taken.minor,
        currency=taken.currency,
        at=charges.captured_at(charge),
        fee_expected=True,
        fee=charges.fee_of(charge.get("balance_transaction")),
    )


def release(pi: Json) -> Fact:
    """Return what a cancelled PaymentIntent gave back; nothing where nothing was held."""
    charge = charges.charge_of(pi)
    held = (
        charges.authorized(charge) - (charge.get("amount_captured") or 0)
        if charges.holds(charge)
        else 0
    )
    amount = from_stripe(held, pi["currency"])
    return Fact(
        payment_id=charge["id"] if charges.holds(charge) else pi["id"],
        processor_id=pi["id"],
        amount_minor=amount.minor,
        currency=amount.currency,
        at=charges.utc(pi.get("canceled_at") or pi["created"]),
    )


def refunded(refund: Json, payment_id: str) -> Outcome:
    """Classify a refund."""
    amount = from_stripe(refund["amount"], refund["currency"])
    match refund.get("status"):
        case "succeeded":
            fact = Fact(
                payment_id=payment_id,
                processor_id=refund["id"],
                amount_minor=amount.minor,
                currency=amount.currency,
                at=charges.utc(refund["created"]),
            )
            return Succeeded(fact=fact)
        case "pending" | "requires_action":
            return Pending(look_again_s=LOOK_AGAIN_S)
        case "failed" | "canceled":
            return Declined(code=refund.get("failure_reason") or "refund_failed",
                            retry_class="stop")  # fmt: skip
        case status:
            return Unknown(cause=f"the refund's status is {status}")

"""What Stripe has for a PaymentIntent, whole: money, refunds and disputes. Pure."""

from collections.abc import Sequence
from typing import Literal

from adapters.processors import stripe_charges as charges
from adapters.processors.stripe_answers import challenge, collects
from adapters.processors.stripe_money import from_stripe
from adapters.processors.stripe_problems import Json, decline
from commands.observed import (
    Observed,
    ObservedCapture,
    ObservedDispute,
    ObservedRefund,
    PaymentStatus,
)
from commands.outcomes import Unknown


def observed(
    pi: Json,
    refunds: Sequence[Json],
    publishable_key: str | None,
    disputes: Sequence[Json] = (),
) -> Observed | Unknown:
    """Return what Stripe has for a PaymentIntent, charge and balance transaction expanded.

    Raises:
        ValueError, LookupError, TypeError: it is not what Stripe documents.
    """
    status = _status(pi)
    if status is None:
        return Unknown(cause=f"the status is {pi.get('status')}")
    charge = charges.charge_of(pi)
    if status in {"authorized", "captured"} and not charges.holds(charge):
        return Unknown(cause=f"{status}, and no charge holds anything")
    currency = pi["currency"]
    authorized = from_stripe(charges.authorized(charge) if charges.holds(charge) else 0, currency)
    times = [pi["created"], pi.get("canceled_at"), charge.get("created")]
    return Observed(
        reference=pi["id"],
        status=status,
        at=charges.utc(max(time for time in times if time)),
        currency=authorized.currency,
        payment_id=charge["id"] if charges.holds(charge) else None,
        authorized_minor=authorized.minor,
        held_minor=from_stripe(charges.held(pi), currency).minor,
        capture_before=charges.capture_before(charge) if charges.holds(charge) else None,
        captures=_captures(pi, charge),
        refunds=tuple(_refund(refund) for refund in reversed(refunds)),
        decline=decline(pi["last_payment_error"]) if pi.get("last_payment_error") else None,
        challenge=challenge(pi, publishable_key) if status == "challenged" else None,
        disputes=tuple(_dispute(dispute) for dispute in reversed(disputes)),
    )


def _status(pi: Json) -> PaymentStatus | None:
    match pi.get("status"):
        case "requires_payment_method":
            if collects(pi):
                return "challenged"
            return "declined" if pi.get("last_payment_error") else "open"
        case "requires_confirmation":
            return "open"
        case "requires_action":
            return "challenged"
        case "processing":
            return "processing"
        case "requires_capture":
            return "authorized"
        case "succeeded":
            return "captured"
        case "canceled":
            lapsed = pi.get("cancellation_reason") in {"automatic", "expired"}
            held = charges.holds(charges.charge_of(pi))
            return "expired" if lapsed and held else "cancelled"
        case _:
            return None


def _captures(pi: Json, charge: Json) -> tuple[ObservedCapture, ...]:
    taken = charges.received(pi)
    if not taken:
        return ()
    captured = ObservedCapture(
        processor_id=charge["id"],
        amount_minor=from_stripe(taken, pi["currency"]).minor,
        at=charges.captured_at(charge),
        capture_id=charges.metadata_of(pi).get("capture_id"),
        fee_expected=True,
        fee=charges.fee_of(charge.get("balance_transaction")),
    )
    return (captured,)


def _refund(refund: Json) -> ObservedRefund:
    statuses: dict[str, Literal["pending", "succeeded", "failed"]] = {
        "succeeded": "succeeded",
        "failed": "failed",
        "canceled": "failed",
    }
    return ObservedRefund(
        processor_id=refund["id"],
        amount_minor=from_stripe(refund["amount"], refund["currency"]).minor,
        status=statuses.get(refund["status"], "pending"),
        at=charges.utc(refund["created"]),
        refund_id=charges.metadata_of(refund).get("refund_id"),
        code=refund.get("failure_reason"),
    )


def _dispute(dispute: Json) -> ObservedDispute:
    """Return a dispute. Its movements are in the settlement's currency: only their signs count."""
    outcomes: dict[str, Literal["won", "lost", "withdrawn"]] = {
        "won": "won",
        "lost": "lost",
        "warning_closed": "withdrawn",
        "prevented": "withdrawn",
    }
    amount = from_stripe(dispute["amount"], dispute["currency"]).minor
    movements = dispute.get("balance_transactions") or ()
    moved = [movement["amount"] for movement in movements]
    taken = sum(-1 if minor > 0 else 1 for minor in moved if minor)
    charged = [movement for movement in movements if movement["amount"] < 0]
    given_back = [movement for movement in movements if movement["amount"] > 0]
    return ObservedDispute(
        processor_id=dispute["id"],
        amount_minor=amount,
        withdrawn_minor=amount if taken > 0 else 0,
        reinstated_minor=amount * len(given_back),
        reason=dispute.get("reason") or "general",
        outcome=outcomes.get(dispute["status"], "open"),
        fee=charges.fee_of(charged[0]) if charged else None,
        fee_reversed=charges.fee_of(given_back[0]) if given_back else None,
    )

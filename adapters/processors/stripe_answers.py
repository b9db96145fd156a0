"""What Stripe's answers mean: errors to outcomes, PaymentIntents to what is observed. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

import msgspec

from adapters.processors.stripe_money import from_stripe
from commands.observed import (
    Observed,
    ObservedCapture,
    ObservedDispute,
    ObservedRefund,
    PaymentStatus,
)
from commands.outcomes import (
    Challenged,
    Declined,
    Fact,
    NotSent,
    Outcome,
    Pending,
    Succeeded,
    Unknown,
)
from commands.processor import Described
from domain.money import Money
from domain.routing import RetryClass

Json: TypeAlias = dict[str, Any]

LOOK_AGAIN_S: Final = 2.0
REPLAYED: Final = "_replayed"
"""Added to an answer: it is what was answered when the idempotency key was new."""
COLLECT: Final = "collect"
"""Metadata of a PaymentIntent whose card the customer gives on a page."""

CLASSES: Final[dict[RetryClass, str]] = {
    "stop": (
        "lost_card stolen_card pickup_card fraudulent merchant_blacklist restricted_card "
        "security_violation stop_payment_order revocation_of_authorization "
        "revocation_of_all_authorizations invalid_account do_not_try_again testmode_decline"
    ),
    "fix_input": (
        "incorrect_number invalid_number incorrect_cvc invalid_cvc invalid_expiry_month "
        "invalid_expiry_year expired_card incorrect_zip incorrect_address incorrect_pin"
    ),
    "authenticate": "authentication_required payment_intent_authentication_failure",
    "later": "insufficient_funds card_velocity_exceeded withdrawal_count_limit_exceeded",
    "failover": (
        "processing_error issuer_not_available reenter_transaction try_again_later "
        "no_action_taken approve_with_id generic_decline card_declined do_not_honor call_issuer "
        "card_not_supported currency_not_supported service_not_allowed not_permitted "
        "transaction_not_allowed"
    ),
    "check_first": "duplicate_transaction",
}
_CLASS_OF: Final = {code: kind for kind, codes in CLASSES.items() for code in codes.split()}
_ADVICE: Final[dict[str, RetryClass]] = {
    "do_not_try_again": "stop",
    "confirm_card_data": "fix_input",
}
_RENAMED: Final = {
    "payment_intent_authentication_failure": "authentication_failed",
    "charge_already_refunded": "already_refunded",
    "charge_already_captured": "already_captured",
    "resource_missing": "invalid_token",
}
_DISCREET: Final = "The card was declined."
"""Why a card is lost, stolen or suspected is not for the customer."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is not the object asked for.

    Attributes:
        sent: False is proof that nothing reached Stripe.
        status: HTTP status; None when there was no whole answer.
        cause: in words that hold no secret and no personal data.
        error: Stripe's error object.
    """

    cause: str
    sent: bool = True
    status: int | None = None
    error: Json = {}

    @property
    def kind(self) -> str | None:
        """Stripe's type of error."""
        return self.error.get("type")

    @property
    def code(self) -> str | None:
        """Stripe's code of the error."""
        return self.error.get("code")

    @property
    def intent(self) -> Json:
        """The PaymentIntent that came with the error."""
        return self.error.get("payment_intent") or {}

    @property
    def throttled(self) -> bool:
        """Whether a limiter turned the call away before it did anything."""
        return self.status == 429 and self.code != "lock_timeout"  # noqa: PLR2004 - HTTP

    @property
    def unexpected_state(self) -> bool:
        """Whether the PaymentIntent is in no state for this call."""
        return self.status == 400 and bool(self.intent.get("status")) and not self.is_decline  # noqa: PLR2004 - HTTP

    @property
    def is_decline(self) -> bool:
        """Whether the card was refused."""
        return self.status == 402  # noqa: PLR2004 - HTTP


def open_question(problem: Problem) -> NotSent | Unknown | None:
    """Return what an error leaves open; None when it is a definite no. The default is doubt."""
    if not problem.sent:
        return NotSent(cause=problem.cause)
    if problem.code == "lock_timeout" or problem.kind == "idempotency_error":
        return Unknown(cause=problem.cause)
    match problem.status:
        case 401 | 403 | 429:
            return NotSent(cause=problem.cause)
        case 402:
            return None
        case 400 if problem.kind == "invalid_request_error":
            return None
        case _:
            return Unknown(cause=problem.cause)


def decline(error: Json) -> Declined:
    """Normalise a refused card: an error, or the last error of a PaymentIntent."""
    theirs = error.get("decline_code") or error.get("code") or "generic_decline"
    advised = _ADVICE.get(error.get("advice_code") or "")
    retry_class = advised or _CLASS_OF.get(theirs, "later")
    return Declined(
        code=_RENAMED.get(theirs, theirs),
        retry_class=retry_class,
        processor_code=error.get("network_decline_code") or theirs,
        message=_DISCREET if retry_class == "stop" else error.get("message"),
    )


def refusal(problem: Problem, default: str, *, retry_class: RetryClass = "stop") -> Declined:
    """Return the definite no to a call that is wrong, or comes at the wrong time."""
    status = problem.intent.get("status")
    code = _RENAMED.get(problem.code or "", problem.code) or default
    if problem.unexpected_state:
        code = {"canceled": "payment_cancelled", "succeeded": "already_captured"}.get(
            str(status), "not_authorized"
        )
    return Declined(
        code=code,
        retry_class=retry_class,
        processor_code=problem.code,
        message=problem.error.get("message"),
        expired=status == "canceled",
    )


def described(card: Json) -> Described:
    """Return a card's brand and country, where Stripe names them."""
    brand, country = card.get("brand"), card.get("country")
    return Described(
        brand=brand.lower() if isinstance(brand, str) and brand != "unknown" else None,
        country=country.upper() if isinstance(country, str) and country else None,
    )


def confirmed(pi: Json, publishable_key: str | None) -> Outcome:
    """Classify a PaymentIntent after its confirmation."""
    match pi.get("status"):
        case "requires_capture" | "succeeded":
            return Succeeded(fact=authorization(pi))
        case "processing":
            return Pending(look_again_s=LOOK_AGAIN_S)
        case "requires_action":
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
    charge = pi["latest_charge"]
    held = from_stripe(_authorized(charge), pi["currency"])
    return Fact(
        payment_id=charge["id"],
        processor_id=charge["id"],
        amount_minor=held.minor,
        currency=held.currency,
        at=_utc(charge["created"]),
        capture_before=_capture_before(charge),
    )


def capture(pi: Json) -> Fact:
    """Return the capture of a PaymentIntent; it has one at most."""
    charge = pi["latest_charge"]
    taken = from_stripe(pi["amount_received"], pi["currency"])
    return Fact(
        payment_id=charge["id"],
        processor_id=charge["id"],
        amount_minor=taken.minor,
        currency=taken.currency,
        at=_captured_at(charge),
        fee_expected=True,
        fee=_fee(charge.get("balance_transaction")),
    )


def release(pi: Json) -> Fact:
    """Return what a cancelled PaymentIntent gave back; nothing where nothing was held."""
    charge = pi.get("latest_charge") or {}
    held = _authorized(charge) - (charge.get("amount_captured") or 0) if _holds(charge) else 0
    amount = from_stripe(held, pi["currency"])
    return Fact(
        payment_id=charge["id"] if _holds(charge) else pi["id"],
        processor_id=pi["id"],
        amount_minor=amount.minor,
        currency=amount.currency,
        at=_utc(pi.get("canceled_at") or pi["created"]),
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
                at=_utc(refund["created"]),
            )
            return Succeeded(fact=fact)
        case "pending" | "requires_action":
            return Pending(look_again_s=LOOK_AGAIN_S)
        case "failed" | "canceled":
            return Declined(code=refund.get("failure_reason") or "refund_failed",
                            retry_class="stop")  # fmt: skip
        case status:
            return Unknown(cause=f"the refund's status is {status}")


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
    charge = pi.get("latest_charge") or {}
    currency = pi["currency"]
    authorized = from_stripe(_authorized(charge) if _holds(charge) else 0, currency)
    times = [pi["created"], pi.get("canceled_at"), charge.get("created")]
    return Observed(
        reference=pi["id"],
        status=status,
        at=_utc(max(time for time in times if time)),
        currency=authorized.currency,
        payment_id=charge["id"] if _holds(charge) else None,
        authorized_minor=authorized.minor,
        held_minor=from_stripe(pi.get("amount_capturable") or 0, currency).minor,
        capture_before=_capture_before(charge) if _holds(charge) else None,
        captures=_captures(pi, charge),
        refunds=tuple(_refund(refund) for refund in reversed(refunds)),
        decline=decline(pi["last_payment_error"]) if pi.get("last_payment_error") else None,
        challenge=challenge(pi, publishable_key) if status == "challenged" else None,
        disputes=tuple(_dispute(dispute) for dispute in reversed(disputes)),
    )


def _status(pi: Json) -> PaymentStatus | None:
    match pi.get("status"):
        case "requires_payment_method":
            collects = pi["metadata"].get("card") == COLLECT
            # A card that is refused on the page does not end it: the customer takes another.
            return "challenged" if collects else "declined" if pi["last_payment_error"] else "open"
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
            return "expired" if lapsed and _holds(pi.get("latest_charge") or {}) else "cancelled"
        case _:
            return None


def _captures(pi: Json, charge: Json) -> tuple[ObservedCapture, ...]:
    if not pi.get("amount_received"):
        return ()
    captured = ObservedCapture(
        processor_id=charge["id"],
        amount_minor=from_stripe(pi["amount_received"], pi["currency"]).minor,
        at=_captured_at(charge),
        capture_id=pi["metadata"].get("capture_id"),
        fee_expected=True,
        fee=_fee(charge.get("balance_transaction")),
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
        at=_utc(refund["created"]),
        refund_id=(refund.get("metadata") or {}).get("refund_id"),
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
        fee=_fee(charged[0]) if charged else None,
        fee_reversed=_fee(given_back[0]) if given_back else None,
    )


def _holds(charge: Json) -> bool:
    """Whether the charge was authorized at all; a refused try leaves one that was not."""
    return charge.get("status") == "succeeded"


def _authorized(charge: Json) -> int:
    authorized: int | None = _card(charge).get("amount_authorized")
    return charge["amount"] if authorized is None else authorized


def _card(charge: Json) -> Json:
    return (charge.get("payment_method_details") or {}).get("card") or {}


def _capture_before(charge: Json) -> datetime | None:
    at = _card(charge).get("capture_before")
    return None if at is None else _utc(at)


def _captured_at(charge: Json) -> datetime:
    """Return when the money was taken: the balance moved then."""
    moved = charge.get("balance_transaction")
    return _utc(moved["created"] if isinstance(moved, dict) else charge["created"])


def _fee(movement: Any) -> Money | None:
    """Return a movement's fee, in the currency of the account; None while there is no movement."""
    if not isinstance(movement, dict):
        return None
    try:
        return from_stripe(movement["fee"], movement["currency"])
    except (ValueError, LookupError, TypeError):
        # A fee that is not understood is no reason to doubt the payment.
        return None


def _utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

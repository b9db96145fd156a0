"""What Razorpay's answers mean: errors to outcomes, an order's payments to facts. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

import msgspec

from commands.observed import (
    Observed,
    ObservedCapture,
    ObservedDispute,
    ObservedPayment,
    ObservedRefund,
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
from domain.money import Money
from domain.routing import RetryClass

Json: TypeAlias = dict[str, Any]

LOOK_AGAIN_S: Final = 5.0
HOLD: Final = timedelta(minutes=7200)
"""How long Razorpay waits for our capture before it sends the money back: the longest it allows."""

REASONS: Final[dict[str, tuple[str, RetryClass]]] = {
    "payment_risk_check_failed": ("fraudulent", "stop"),
    "debit_instrument_blocked": ("restricted_card", "stop"),
    "card_number_invalid": ("incorrect_number", "fix_input"),
    "incorrect_cvv": ("incorrect_cvc", "fix_input"),
    "card_expired": ("expired_card", "fix_input"),
    "authentication_failed": ("authentication_failed", "authenticate"),
    "invalid_otp": ("authentication_failed", "authenticate"),
    "insufficient_funds": ("insufficient_funds", "later"),
    "insufficient_fund": ("insufficient_funds", "later"),
    "transaction_limit_exceeded": ("card_velocity_exceeded", "later"),
    "card_declined": ("generic_decline", "failover"),
    "card_disabled_for_online_payments": ("card_not_supported", "failover"),
}
"""Only an issuer's or customer's no is one: what timed out may be authorized days later."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is not the object asked for.

    Attributes:
        sent: False is proof that nothing reached Razorpay.
        status: HTTP status; None when there was no whole answer.
        cause: in words that hold no secret and no personal data.
        error: Razorpay's error object, as it came over the wire; the SDK loses it.
    """

    cause: str
    sent: bool = True
    status: int | None = None
    error: Json = {}

    @property
    def text(self) -> str:
        """Razorpay's description, in lower case; nothing else tells its refusals apart."""
        return str(self.error.get("description") or "").lower()

    @property
    def missing(self) -> bool:
        """Whether there is no such object."""
        return self.status == 404 or (self.status == 400 and "does not exist" in self.text)  # noqa: PLR2004 - HTTP

    @property
    def throttled(self) -> bool:
        """Whether a limiter turned the call away before it did anything."""
        return self.status == 429  # noqa: PLR2004 - HTTP


def open_question(problem: Problem) -> NotSent | Unknown | None:
    """Return what an error leaves open; None when it is a definite no. The default is doubt."""
    if not problem.sent:
        return NotSent(cause=problem.cause)
    if problem.missing or "idempoten" in problem.text:
        return Unknown(cause=problem.cause)
    match problem.status:
        case 401 | 403 | 429:
            return NotSent(cause=problem.cause)
        case 400 if problem.error.get("code") == "BAD_REQUEST_ERROR":
            return None
        case _:
            return Unknown(cause=problem.cause)


def refusal(problem: Problem, default: str, *, retry_class: RetryClass = "stop") -> Declined:
    """Return the definite no to a call that is wrong, or comes at the wrong time."""
    known = {
        "already been captured": "already_captured",
        "fully refunded": "already_refunded",
        "equal to the amount authorized": "amount_mismatch",
    }
    code = next((ours for theirs, ours in known.items() if theirs in problem.text), default)
    return Declined(
        code=code,
        retry_class=retry_class,
        processor_code=problem.error.get("reason") or problem.error.get("code"),
        message=problem.error.get("description"),
    )


def decline(payment: Json) -> Declined | None:
    """Normalise a failed payment; None where its failure is not definite."""
    reason = payment.get("error_reason") or ""
    if payment.get("status") != "failed" or reason not in REASONS:
        return None
    code, retry_class = REASONS[reason]
    return Declined(
        code=code,
        retry_class=retry_class,
        processor_code=reason,
        message=payment.get("error_description"),
    )


def challenge(key_id: str | None) -> Challenged:
    """Return what the customer has to do: pay on Razorpay's checkout."""
    return Challenged(kind="razorpay_checkout", key_id=key_id)


def is_payment(thing: Any) -> bool:
    """Whether it says of itself what a payment must: its id, status and time."""
    said = thing if isinstance(thing, dict) else {}
    texts = (said.get("id"), said.get("status"))
    return all(isinstance(t, str) for t in texts) and isinstance(said.get("created_at"), int)


def has_money(payment: Json) -> bool:
    """Whether a payment holds or held money."""
    return payment.get("status") in {"authorized", "captured", "refunded"}


def chosen(payments: Sequence[Json]) -> list[Json]:
    """Return the payments with money, what was taken first, then what is held, then the oldest."""
    found = [payment for payment in payments if has_money(payment)]
    return sorted(found, key=lambda p: (_rank(p), p["created_at"], p["id"]))


def _rank(payment: Json) -> int:
    return 0 if taken(payment) else 1 if payment["status"] == "authorized" else 2


def taken(payment: Json) -> bool:
    """Whether a payment was captured; Razorpay gives back by itself what never was."""
    return payment["status"] == "captured" or bool(payment.get("captured"))


def authorized(payments: Sequence[Json], key_id: str | None) -> Outcome:
    """Return whether the customer has paid an order, or is to."""
    found = chosen(payments)
    if not found:
        return challenge(key_id)
    if found[0]["status"] == "refunded":
        return Unknown(cause="the payment was sent back")
    payment = found[0]
    return Succeeded(
        fact=Fact(
            payment_id=payment["id"],
            processor_id=payment["id"],
            amount_minor=payment["amount"],
            currency=payment["currency"].upper(),
            at=_utc(payment["created_at"]),
            capture_before=_utc(payment["created_at"]) + HOLD,
        )
    )


def captured(payment: Json) -> Outcome:
    """Classify a payment after its capture.

    Razorpay does not say when it was: its time is the payment's.
    """
    if not taken(payment):
        return Unknown(cause=f"answered, and the status is {payment.get('status')}")
    return Succeeded(
        fact=Fact(
            payment_id=payment["id"],
            processor_id=payment["id"],
            amount_minor=payment["amount"],
            currency=payment["currency"].upper(),
            at=_utc(payment["created_at"]),
            fee_expected=_settles(payment),
            fee=_fee(payment),
        )
    )


def refunded(refund: Json) -> Outcome:
    """Classify a refund."""
    match refund.get("status"):
        case "processed":
            fact = Fact(
                payment_id=refund["payment_id"],
                processor_id=refund["id"],
                amount_minor=refund["amount"],
                currency=refund["currency"].upper(),
                at=_utc(refund["created_at"]),
            )
            return Succeeded(fact=fact)
        case "pending":
            return Pending(look_again_s=LOOK_AGAIN_S)
        case "failed":
            return Declined(code="refund_failed", retry_class="stop")
        case status:
            return Unknown(cause=f"the refund's status is {status}")


def observed(
    order: Json,
    payments: Sequence[Json],
    refunds: Mapping[str, Sequence[Json]],
    key_id: str | None,
    disputes: Sequence[Json] = (),
) -> Observed:
    """Return what Razorpay has for an order.

    Args:
        order: the order, or as much of it as `id` and `currency`.
        payments: all of the order.
        refunds: by payment.
        key_id: of the account, for the checkout.
        disputes: of these payments, the newest first.

    Raises:
        ValueError, LookupError, TypeError: it is not what Razorpay documents.
    """
    found = [_payment(payment, refunds.get(payment["id"], ())) for payment in chosen(payments)]
    if not found:
        noes = [no for no in map(decline, payments) if no is not None]
        made = max((p["created_at"] for p in payments), default=order.get("created_at", 0))
        return Observed(
            reference=order["id"],
            status="challenged",
            at=_utc(made),
            currency=order["currency"].upper(),
            decline=noes[-1] if noes else None,
            challenge=challenge(key_id),
        )
    first, *others = found
    return Observed(
        reference=order["id"],
        **msgspec.structs.asdict(first),
        others=tuple(others),
        disputes=tuple(
            _dispute(dispute)
            for dispute in reversed(disputes)
            if dispute["payment_id"] == first.payment_id
        ),
    )


def _dispute(dispute: Json) -> ObservedDispute:
    """Return a dispute; its money goes when Razorpay deducts it, and stays where it was won."""
    outcomes: dict[str, Literal["won", "lost", "withdrawn"]] = {
        "won": "won",
        "lost": "lost",
        "closed": "withdrawn",
    }
    outcome: Literal["open", "won", "lost", "withdrawn"] = outcomes.get(dispute["status"], "open")
    return ObservedDispute(
        processor_id=dispute["id"],
        amount_minor=dispute["amount"],
        withdrawn_minor=0 if outcome == "won" else dispute.get("amount_deducted") or 0,
        reason=dispute.get("reason_code") or "general",
        outcome=outcome,
    )


def _payment(payment: Json, refunds: Sequence[Json]) -> ObservedPayment:
    at = _utc(payment["created_at"])
    paid, held = taken(payment), payment["status"] == "authorized"
    capture = ObservedCapture(
        processor_id=payment["id"],
        amount_minor=payment["amount"],
        at=at,
        fee_expected=_settles(payment),
        fee=_fee(payment),
    )
    return ObservedPayment(
        payment_id=payment["id"],
        status="captured" if paid else "authorized" if held else "cancelled",
        at=at,
        currency=payment["currency"].upper(),
        authorized_minor=payment["amount"],
        held_minor=payment["amount"] if held and not paid else 0,
        capture_before=at + HOLD,
        captures=(capture,) if paid else (),
        # What comes back of a payment that was never captured is no refund: its hold ended.
        refunds=tuple(map(_refund, reversed(refunds))) if paid else (),
    )


def _refund(refund: Json) -> ObservedRefund:
    statuses: dict[str, Literal["pending", "succeeded", "failed"]] = {
        "processed": "succeeded",
        "failed": "failed",
    }
    notes = refund.get("notes") or {}
    ours = refund.get("receipt") or (notes.get("refund_id") if isinstance(notes, dict) else None)
    return ObservedRefund(
        processor_id=refund["id"],
        amount_minor=refund["amount"],
        status=statuses.get(refund["status"], "pending"),
        at=_utc(refund["created_at"]),
        refund_id=ours,
    )


def _settles(payment: Json) -> bool:
    """Whether a payment will name its fee in the currency that it is settled in.

    Razorpay settles in rupees: of a payment in another currency the report says the fee.
    """
    return bool(payment["currency"].upper() == "INR")


def _fee(payment: Json) -> Money | None:
    """Return Razorpay's fee with the tax on it; None while it is not known."""
    fee = payment.get("fee")
    return Money(fee, "INR") if type(fee) is int and _settles(payment) else None


def _utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

"""What the bank's answers mean: outcomes, and what is observed. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Final

from adapters.sandbox.objects import Answer, View
from commands.observed import Listed, ListedPayment, Observed, ObservedCapture, ObservedRefund
from commands.outcomes import Challenged, Declined, Fact, Outcome, Pending, Succeeded, Unknown
from domain.routing import RetryClass

LOOK_AGAIN_S: Final = 1.0

CODES: Final[dict[str, RetryClass]] = {
    "generic_decline": "failover",
    "processing_error": "failover",
    "insufficient_funds": "later",
    "lost_card": "stop",
    "expired_card": "fix_input",
    "invalid_token": "fix_input",
    "authentication_failed": "authenticate",
    "payment_cancelled": "stop",
    "payment_expired": "stop",
}
"""The declines of an authorization: the bank's code and its class."""

REFUSALS: Final = {
    "already_captured",
    "already_refunded",
    "amount_too_large",
    "capture_declined",
    "currency_mismatch",
    "hold_lapsed",
    "hold_released",
    "invalid_amount",
    "not_authorized",
    "not_captured",
    "payment_cancelled",
    "payment_expired",
    "refund_declined",
    "refund_exceeds_captured",
    "void_declined",
}
"""The definite noes to captures, voids and refunds; all of class `stop`."""


def outcome(answer: Answer | Outcome) -> Outcome:
    """Classify the answer to a capture, void or refund."""
    if not isinstance(answer, Answer):
        return answer
    match answer.result:
        case "ok":
            return Succeeded(fact=fact(answer))
        case "pending":
            return Pending(look_again_s=LOOK_AGAIN_S)
        case "refused" if answer.code in REFUSALS:
            return Declined(
                code=answer.code,
                retry_class="stop",
                processor_code=answer.code,
                expired=answer.hold_gone,
            )
        case _:
            return Unknown(cause=cause(answer))


def declined(code: str | None) -> Declined | None:
    """Classify the refusal of an authorization; None is not a decline that we know."""
    retry_class = CODES.get(code or "")
    if code is None or retry_class is None:
        return None
    return Declined(code=code, retry_class=retry_class, processor_code=code)


def fact(answer: Answer) -> Fact:
    """Return what happened, as the bank says."""
    assert answer.reference is not None, "what happened, happened to a payment"
    return Fact(
        payment_id=answer.reference,
        processor_id=answer.object_id or answer.reference,
        amount_minor=answer.amount,
        currency=answer.currency,
        at=_utc(answer.at_us),
        capture_before=_utc_or_none(answer.capture_before_us),
    )


def cause(answer: Answer) -> str:
    """Return an answer in words."""
    return f"{answer.result}: {answer.code}" if answer.code else answer.result


def observed(view: View, challenge: Challenged) -> Observed | Unknown:
    """Return what the bank has; `challenge` is what the customer does where he is asked."""
    payment = view.payment
    decline = declined(payment.decline_code) if payment.status == "declined" else None
    if payment.status == "declined" and decline is None:
        return Unknown(cause=f"unclassified decline {payment.decline_code}")
    challenged = payment.status == "challenged"
    return Observed(
        reference=payment.reference,
        status=payment.status,
        at=_utc(payment.changed_us),
        currency=payment.currency,
        payment_id=payment.reference if payment.authorized else None,
        authorized_minor=payment.authorized,
        held_minor=payment.held,
        capture_before=_utc_or_none(payment.capture_before_us),
        captures=tuple(
            ObservedCapture(
                processor_id=capture.id,
                amount_minor=capture.amount,
                at=_utc(capture.at_us),
                capture_id=capture.subject,
            )
            for capture in view.captures
        ),
        refunds=tuple(
            ObservedRefund(
                processor_id=refund.id,
                amount_minor=refund.amount,
                status=refund.status,
                at=_utc(refund.at_us),
                refund_id=refund.subject,
                code=refund.code,
            )
            for refund in view.refunds
        ),
        decline=decline,
        challenge=challenge if challenged else None,
    )


def listed(view: View) -> Listed:
    """Return a payment as a list shows it."""
    payment = view.payment
    captured = sum(capture.amount for capture in view.captures)
    refunded = sum(refund.amount for refund in view.refunds if refund.status != "failed")
    money = ListedPayment(
        payment_id=payment.reference,
        held=payment.held > 0,
        captured_minor=captured,
        refunded_minor=refunded,
    )
    return Listed(
        reference=payment.reference,
        at=_utc(payment.changed_us),
        merchant_id=payment.merchant,
        order_id=payment.order_id,
        attempt_id=payment.attempt_id,
        payments=(money,) if payment.held or captured else (),
    )


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _utc(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)


def us(at: datetime) -> int:
    """Return a time as the bank counts it."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def _utc_or_none(us: int | None) -> datetime | None:
    return None if us is None else _utc(us)

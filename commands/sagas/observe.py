"""What a processor says it has, turned into facts for the order. Pure, but for new ids."""

from collections.abc import Iterator
from datetime import datetime

from commands.observed import Observed, ObservedPayment
from commands.outcomes import Challenged
from domain.events import FeeOf
from domain.ids import new_id
from domain.money import Money
from domain.order import commands as c
from domain.order.parts import Attempt
from domain.order.state import Order
from domain.routing import Failover


def facts(
    order: Order, attempt: Attempt, seen: Observed, *, failover: Failover, deadline: datetime
) -> list[c.OrderCommand]:
    """Return the facts in the order in which they have to be recorded.

    Facts that the order knows already are among them: `decide` drops those. `deadline` is for a
    challenge that is open at the processor and not yet known here.
    """
    seen = seen.about(attempt.payment_id)
    return [
        *_of_payment(attempt, seen, failover, deadline),
        *_of_captures(attempt, seen, seen.payment_id or seen.reference),
        *_of_refunds(order, attempt, seen),
        *_of_disputes(attempt, seen),
        *_of_fees(attempt, seen),
        *_of_ends(attempt, seen, failover),
        *_of_others(order, attempt, seen),
    ]


def _of_payment(
    attempt: Attempt, seen: Observed, failover: Failover, deadline: datetime
) -> Iterator[c.OrderCommand]:
    if seen.payment_id is not None and seen.authorized_minor > 0 and not seen.captures:
        yield _authorized(attempt, seen, seen.payment_id)
    if seen.status == "declined" and seen.decline is not None:
        yield c.RecordDeclined(
            attempt_id=attempt.id,
            code=seen.decline.code,
            retry_class=seen.decline.retry_class,
            closed=False,
            failover=failover,
            processor_code=seen.decline.processor_code,
            message=seen.decline.message,
        )
    if seen.status == "challenged":
        challenge = seen.challenge or Challenged(kind="redirect")
        yield c.RecordChallenge(attempt_id=attempt.id, kind=challenge.kind, deadline=deadline)


def _authorized(
    attempt: Attempt, seen: Observed | ObservedPayment, payment_id: str
) -> c.RecordAuthorized:
    return c.RecordAuthorized(
        attempt_id=attempt.id,
        payment_id=payment_id,
        amount_minor=seen.authorized_minor,
        currency=seen.currency,
        capture_id=new_id("cap"),
        capture_before=seen.capture_before,
    )


def _of_others(order: Order, attempt: Attempt, seen: Observed) -> Iterator[c.OrderCommand]:
    """Return what is known of further payments of the customer: their money is stray."""
    for other in seen.others:
        if other.captures:
            yield from _of_captures(attempt, other, other.payment_id)
            yield from _of_refunds(order, attempt, other)
        elif other.held_minor:
            yield _authorized(attempt, other, other.payment_id)
        elif order.stray(other.payment_id) is not None:
            yield c.RecordVoided(attempt_id=attempt.id, payment_id=other.payment_id)


def _of_captures(
    attempt: Attempt, seen: Observed | ObservedPayment, payment_id: str
) -> Iterator[c.OrderCommand]:
    for capture in seen.captures:
        yield c.RecordCaptured(
            attempt_id=attempt.id,
            capture_id=capture.capture_id,
            payment_id=payment_id,
            processor_id=capture.processor_id,
            amount_minor=capture.amount_minor,
            currency=seen.currency,
            new_id=new_id("cap"),
            refund_id=new_id("ref"),
            remaining_expires_at=seen.capture_before if seen.held_minor else None,
            capture_before=seen.capture_before,
            fee_expected=capture.fee_expected,
        )


def _of_refunds(
    order: Order, attempt: Attempt, seen: Observed | ObservedPayment
) -> Iterator[c.OrderCommand]:
    for refund in seen.refunds:
        if refund.status == "succeeded":
            yield c.RecordRefunded(
                attempt_id=attempt.id,
                refund_id=refund.refund_id,
                processor_id=refund.processor_id,
                amount_minor=refund.amount_minor,
                currency=seen.currency,
                new_id=new_id("ref"),
                payment_id=seen.payment_id,
            )
        ours = refund.refund_id or next(
            (r.id for r in order.refunds if r.processor_id == refund.processor_id), None
        )
        if refund.status == "failed" and ours is not None and order.refund(ours) is not None:
            yield c.RecordRefundFailed(refund_id=ours, code=refund.code or "refund_failed")


def _of_disputes(attempt: Attempt, seen: Observed) -> Iterator[c.OrderCommand]:
    for dispute in seen.disputes:
        yield c.RecordDispute(
            dispute_id=new_id("dsp"),
            attempt_id=attempt.id,
            processor_id=dispute.processor_id,
            amount_minor=dispute.amount_minor,
            withdrawn_minor=dispute.withdrawn_minor,
            reinstated_minor=dispute.reinstated_minor,
            reason=dispute.reason,
            outcome=dispute.outcome,
        )


def _of_fees(attempt: Attempt, seen: Observed) -> Iterator[c.RecordFee]:
    """Return the fees that are known, each by the processor's id of what it is for."""
    said: list[tuple[FeeOf, str, Money | None, bool]] = [
        ("capture", capture.processor_id, capture.fee, False)
        for payment in (seen, *seen.others)
        for capture in payment.captures
    ]
    for dispute in seen.disputes:
        said.append(("dispute", dispute.processor_id, dispute.fee, False))
        said.append(("dispute", dispute.processor_id, dispute.fee_reversed, True))
    for of, reference, fee, came_back in said:
        if fee is not None:
            yield c.RecordFee(
                attempt_id=attempt.id, of=of, reference=reference, amount=fee, reversal=came_back
            )


def _of_ends(attempt: Attempt, seen: Observed, failover: Failover) -> Iterator[c.OrderCommand]:
    """Return what a hold's end means: given back, lapsed, or proof that it will never be."""
    if seen.status == "captured" and not seen.held_minor and attempt.status == "captured":
        # A kept remainder that is there no more; of one that is known to be gone, this is no news.
        yield c.RecordExpired(attempt_id=attempt.id, payment_id=seen.payment_id)
    if seen.status not in {"cancelled", "expired"}:
        return
    if seen.status == "expired" and attempt.held is not None:
        yield c.RecordExpired(attempt_id=attempt.id, payment_id=seen.payment_id)
    elif attempt.held is not None:
        yield c.RecordVoided(attempt_id=attempt.id, payment_id=seen.payment_id)
    else:
        yield c.RecordFenced(
            attempt_id=attempt.id,
            proof="cancelled_at_processor",
            code="cancelled_at_processor",
            failover=failover,
        )

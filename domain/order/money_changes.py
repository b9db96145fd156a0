"""What events make of an order's captures, refunds and disputes, and of what went astray."""

from typing import Any

from msgspec.structs import replace

from domain import events as e
from domain.metadata import Metadata, Sealed
from domain.money import Money
from domain.order.attempt_changes import change_attempt, changed, note_release
from domain.order.parts import Capture, Discrepancy, Dispute, Refund, Stray
from domain.order.state import Order


def change_capture(order: Order, capture_id: str, meta: Metadata, **change: Any) -> Order:
    """Replace fields of one capture."""
    captures = tuple(
        changed(c, meta, **change) if c.id == capture_id else c for c in order.captures
    )
    return replace(order, captures=captures)


def change_refund(order: Order, refund_id: str, meta: Metadata, **change: Any) -> Order:
    """Replace fields of one refund."""
    refunds = tuple(changed(r, meta, **change) if r.id == refund_id else r for r in order.refunds)
    return replace(order, refunds=refunds)


def change_dispute(order: Order, dispute_id: str, meta: Metadata, **change: Any) -> Order:
    """Replace fields of one dispute."""
    disputes = tuple(
        changed(d, meta, **change) if d.id == dispute_id else d for d in order.disputes
    )
    return replace(order, disputes=disputes)


def capture_requested(order: Order, event: e.CaptureRequested, meta: Metadata) -> Order:
    """Begin a capture."""
    return _with_capture(order, event, meta, event.remainder, event.idempotency_key)


def _with_capture(
    order: Order,
    event: e.CaptureRequested | e.OrderCaptured,
    meta: Metadata,
    remainder: e.Remainder,
    idempotency_key: str,
) -> Order:
    capture = Capture(
        id=event.capture_id,
        attempt_id=event.attempt_id,
        processor=event.processor,
        amount=event.amount,
        remainder=remainder,
        idempotency_key=idempotency_key,
        status="pending",
        created_at=meta.occurred_at,
        updated_at=meta.occurred_at,
    )
    return replace(order, captures=(*order.captures, capture))


def captured(order: Order, event: e.OrderCaptured, meta: Metadata) -> Order:
    """Money was taken; a capture that we did not ask for has no row yet and gets one."""
    if order.capture(event.capture_id) is None:
        order = _with_capture(order, event, meta, "released", "")
    done = {"status": "succeeded", "processor_id": event.processor_id, "amount": event.amount}
    done |= {"fee_expected": event.fee_expected}
    order = change_capture(order, event.capture_id, meta, **done)
    attempt = order.attempt(event.attempt_id)
    assert attempt is not None, "only what was held is captured"
    lapses_at = attempt.capture_before if event.remaining.minor else None
    return change_attempt(
        order,
        event.attempt_id,
        meta,
        status="captured",
        held=event.remaining,
        capture_before=event.remaining_expires_at or lapses_at,
        expiring_warned=False,
        doubt=None,
    )


def capture_failed(order: Order, event: e.CaptureFailed, meta: Metadata) -> Order:
    """A capture was refused; where the hold is gone with it, nothing is held any more."""
    change = {"status": "failed", "error_code": event.code, "error_message": event.message}
    order = change_capture(order, event.capture_id, meta, **change)
    if event.hold == "held":
        return order
    attempt = order.attempt(event.attempt_id)
    assert attempt is not None, "only what was held is captured"
    gone = Money(0, order.amount.currency)
    status = "captured" if attempt.status == "captured" else "expired"
    order = note_release(order, attempt, event.released or gone, meta, "expired")
    return change_attempt(order, event.attempt_id, meta, status=status, held=gone)


def refund_requested(order: Order, event: e.RefundRequested, meta: Metadata) -> Order:
    """Begin a refund."""
    return _with_refund(
        order, event, meta, event.payment_id, event.idempotency_key, reason=event.reason
    )


def _with_refund(
    order: Order,
    event: e.RefundRequested | e.OrderRefunded,
    meta: Metadata,
    payment_id: str,
    idempotency_key: str,
    *,
    reason: Sealed | None = None,
) -> Order:
    refund = Refund(
        id=event.refund_id,
        attempt_id=event.attempt_id,
        processor=event.processor,
        payment_id=payment_id,
        amount=event.amount,
        kind=event.kind,
        idempotency_key=idempotency_key,
        status="pending",
        created_at=meta.occurred_at,
        updated_at=meta.occurred_at,
        reason=reason,
    )
    return replace(order, refunds=(*order.refunds, refund))


def refunded(order: Order, event: e.OrderRefunded, meta: Metadata) -> Order:
    """Money went back; a refund that was made at the processor has no row yet and gets one."""
    if order.refund(event.refund_id) is None:
        attempt = order.attempt(event.attempt_id)
        assert attempt is not None, "only what was captured is refunded"
        payment_id = event.payment_id or attempt.payment_id or ""
        order = _with_refund(order, event, meta, payment_id, "")
    done = {"status": "succeeded", "processor_id": event.processor_id}
    return _strays_weighed(change_refund(order, event.refund_id, meta, **done))


def refund_failed(order: Order, event: e.RefundFailed, meta: Metadata) -> Order:
    """A refund was refused."""
    change = {"status": "failed", "error_code": event.code, "error_message": event.message}
    return change_refund(order, event.refund_id, meta, **change)


def refund_reversed(order: Order, event: e.RefundReversed, meta: Metadata) -> Order:
    """The money is back with us: a stray has to be sent again."""
    change = {"status": "failed", "error_code": event.code}
    return _strays_weighed(change_refund(order, event.refund_id, meta, **change))


def _strays_weighed(order: Order) -> Order:
    """A stray capture is open until all of it has gone back."""
    strays = tuple(
        replace(s, open=order.owed(s).minor > 0) if s.state == "captured" else s
        for s in order.strays
    )
    return replace(order, strays=strays)


def dispute_opened(order: Order, event: e.DisputeOpened, meta: Metadata) -> Order:
    """Begin a dispute, of which nothing is withdrawn yet."""
    dispute = Dispute(
        id=event.dispute_id,
        attempt_id=event.attempt_id,
        processor=event.processor,
        processor_id=event.processor_id,
        amount=event.amount,
        withdrawn=Money(0, event.amount.currency),
        status="open",
        created_at=meta.occurred_at,
        updated_at=meta.occurred_at,
    )
    return replace(order, disputes=(*order.disputes, dispute))


def funds_withdrawn(order: Order, event: e.DisputeFundsWithdrawn, meta: Metadata) -> Order:
    """The processor holds more of a dispute."""
    dispute = order.dispute(event.dispute_id)
    assert dispute is not None, "a dispute is opened before money moves"
    return change_dispute(order, dispute.id, meta, withdrawn=dispute.withdrawn + event.amount)


def funds_reinstated(order: Order, event: e.DisputeFundsReinstated, meta: Metadata) -> Order:
    """The processor gave some of a dispute back."""
    dispute = order.dispute(event.dispute_id)
    assert dispute is not None, "a dispute is opened before money moves"
    return change_dispute(
        order,
        dispute.id,
        meta,
        withdrawn=dispute.withdrawn - event.amount,
        reinstated_minor=dispute.reinstated_minor + event.amount.minor,
    )


def stray_found(order: Order, event: e.StrayPaymentFound) -> Order:
    """Add a stray; a stray hold that was captured is a stray capture from then on."""
    stray = Stray(
        attempt_id=event.attempt_id,
        processor=event.processor,
        payment_id=event.payment_id,
        state=event.state,
        amount=event.amount,
    )
    others = tuple(s for s in order.strays if s.payment_id != event.payment_id)
    return replace(order, strays=(*others, stray))


def discrepancy_found(order: Order, event: e.DiscrepancyFound, meta: Metadata) -> Order:
    """Add a discrepancy; an attempt that it is about is not continued, but closed."""
    found = Discrepancy(
        subject=event.subject,
        theirs_minor=event.theirs_minor,
        theirs_currency=event.theirs_currency,
    )
    order = replace(order, discrepancies=(*order.discrepancies, found))
    if event.subject != event.attempt_id or event.operation == "refund":
        return order
    return change_attempt(order, event.attempt_id, meta, mismatched=True)


def discrepancy_resolved(order: Order, event: e.DiscrepancyResolved) -> Order:
    """Settle what is open of a subject."""
    settled = tuple(
        replace(d, open=False) if d.subject == event.subject else d for d in order.discrepancies
    )
    return replace(order, discrepancies=settled)

"""The fold: what each event makes of an order. It decides nothing and refuses nothing."""

from collections.abc import Iterable
from typing import assert_never

from msgspec.structs import replace

from domain import events as e
from domain.metadata import Metadata
from domain.order import attempt_changes as attempts
from domain.order import money_changes as money
from domain.order.attempt_changes import change_attempt, changed
from domain.order.parts import Failure
from domain.order.rules import CREDENTIALS_DESTROYED
from domain.order.state import Order


def fold(rows: Iterable[e.Recorded]) -> Order | None:
    """Return the order that its stream's rows, in order, amount to; None without rows."""
    order: Order | None = None
    for row in rows:
        order = evolve(order, row.data, row.metadata, stream_id=row.stream_id)
    return order


def evolve(order: Order | None, event: e.AnyEvent, meta: Metadata, *, stream_id: str = "") -> Order:
    """Return the order after one event."""
    if order is None:
        assert isinstance(event, e.OrderCreated), "a stream begins with its creation"
        return _created(event, meta, stream_id)
    after = _apply(order, event, meta)  # type: ignore[arg-type]
    return replace(changed(after, meta), version=order.version + 1)


def _created(event: e.OrderCreated, meta: Metadata, stream_id: str) -> Order:
    assert meta.mode is not None, "an order is of one mode"
    return Order(
        id=stream_id,
        merchant_id=meta.merchant_id,
        mode=meta.mode,
        version=1,
        amount=event.amount,
        capture_method=event.capture_method,
        external_id=event.external_id,
        checkout_session_id=event.checkout_session_id,
        expires_at=event.expires_at,
        personal=event.personal,
        created_at=meta.occurred_at,
        updated_at=meta.occurred_at,
    )


def _apply(order: Order, event: e.OrderEvent, meta: Metadata) -> Order:  # noqa: C901, PLR0912 - one case per event
    match event:
        case e.OrderCreated():
            raise AssertionError("an order is created once")
        case e.OrderRouted():
            return attempts.routed(order, event, meta)
        case e.ProcessorReferenced():
            return change_attempt(order, event.attempt_id, meta, reference=event.reference)
        case e.OrderChallenged():
            return attempts.challenged(order, event, meta)
        case e.OrderAuthorized():
            return attempts.authorized(order, event, meta)
        case e.OrderDeclined():
            return attempts.declined(order, event, meta)
        case e.OutcomeUnknown():
            return _unknown(order, event, meta)
        case e.AttemptFenced():
            return attempts.fenced(order, event, meta)
        case e.CaptureRequested():
            return money.capture_requested(order, event, meta)
        case e.OrderCaptured():
            return money.captured(order, event, meta)
        case e.CaptureFailed():
            return money.capture_failed(order, event, meta)
        case e.VoidRequested():
            return change_attempt(order, event.attempt_id, meta, void_key=event.idempotency_key)
        case e.OrderVoided():
            return attempts.released(order, event, meta, "voided")
        case e.VoidFailed():
            return attempts.void_failed(order, event, meta)
        case e.AuthorizationExpiring():
            return change_attempt(order, event.attempt_id, meta, expiring_warned=True)
        case e.AuthorizationExpired():
            return attempts.released(order, event, meta, "expired")
        case e.CancelRequested():
            return replace(order, cancel_requested=True, cancel_reason=event.reason)
        case e.OrderFailed():
            return _failed(order, event)
        case e.OrderCancelled():
            return replace(order, ended="cancelled", cancel_reason=event.reason)
        case e.OrderExpired():
            return replace(order, ended="expired")
        case e.RefundRequested():
            return money.refund_requested(order, event, meta)
        case e.OrderRefunded():
            return money.refunded(order, event, meta)
        case e.RefundFailed():
            return money.refund_failed(order, event, meta)
        case e.RefundReversed():
            return money.refund_reversed(order, event, meta)
        case e.DisputeOpened():
            return money.dispute_opened(order, event, meta)
        case e.DisputeFundsWithdrawn():
            return money.funds_withdrawn(order, event, meta)
        case e.DisputeFundsReinstated():
            return money.funds_reinstated(order, event, meta)
        case e.DisputeClosed():
            # Money lost stays withdrawn: it must never be refunded on top.
            return money.change_dispute(order, event.dispute_id, meta, status=event.outcome)
        case e.FeeRecorded():
            return replace(order, fees=(*order.fees, (event.of, event.subject)))
        case e.StrayPaymentFound():
            return money.stray_found(order, event)
        case e.DiscrepancyFound():
            return money.discrepancy_found(order, event, meta)
        case e.DiscrepancyResolved():
            return money.discrepancy_resolved(order, event)
        case _:
            assert_never(event)


def _failed(order: Order, event: e.OrderFailed) -> Order:
    failure = Failure(
        code=event.code,
        retry_class=event.retry_class,
        message=event.message,
        processor_code=event.processor_code,
    )
    return replace(order, ended="failed", failure=failure)


def _unknown(order: Order, event: e.OutcomeUnknown, meta: Metadata) -> Order:
    if event.cause == CREDENTIALS_DESTROYED:
        order = replace(order, unasked=(*order.unasked, event.subject))
    match event.operation:
        case "authorize":
            change = {"status": "unknown", "doubt": "authorize"}
            return change_attempt(order, event.attempt_id, meta, **change)
        case "void":
            return change_attempt(order, event.attempt_id, meta, doubt="void")
        case "capture":
            return money.change_capture(order, event.subject, meta, status="unknown")
        case "refund":
            return money.change_refund(order, event.subject, meta, status="unknown")

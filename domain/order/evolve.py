"""The fold: what each event makes of an order. It decides nothing and refuses nothing."""

from collections.abc import Iterable
from typing import Any, TypeVar, assert_never

from msgspec.structs import replace

from domain import events as e
from domain.metadata import Metadata
from domain.money import Money
from domain.order.rules import CREDENTIALS_DESTROYED
from domain.order.state import (
    Attempt,
    Capture,
    Discrepancy,
    Dispute,
    Failure,
    Order,
    Refund,
    Release,
    Stray,
)

P = TypeVar("P", Order, Attempt, Capture, Refund, Dispute)


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
    return replace(_at(after, meta), version=order.version + 1)


def _at(part: P, meta: Metadata, **change: Any) -> P:
    """Change a part at an event's time; a processor's clock in whole seconds never sets it back."""
    return replace(part, **change, updated_at=max(part.updated_at, meta.occurred_at))


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
            return replace(order, attempts=(*order.attempts, _routed(event, meta)), failure=None)
        case e.ProcessorReferenced():
            return _attempt(order, event.attempt_id, meta, reference=event.reference)
        case e.OrderChallenged():
            change = {"status": "challenged", "doubt": None}
            change |= {"challenge": event.kind, "deadline": event.deadline}
            return _attempt(order, event.attempt_id, meta, **change)
        case e.OrderAuthorized():
            return _authorized(order, event, meta)
        case e.OrderDeclined():
            return _declined(order, event, meta)
        case e.OutcomeUnknown():
            return _unknown(order, event, meta)
        case e.AttemptFenced():
            return _fenced(order, event, meta)
        case e.CaptureRequested():
            return replace(order, captures=(*order.captures, _capture_requested(event, meta)))
        case e.OrderCaptured():
            return _captured(order, event, meta)
        case e.CaptureFailed():
            return _capture_failed(order, event, meta)
        case e.VoidRequested():
            return _attempt(order, event.attempt_id, meta, void_key=event.idempotency_key)
        case e.OrderVoided():
            return _released(order, event, meta, "voided")
        case e.VoidFailed():
            change = {"void_key": None, "void_failed": True, "doubt": None}
            return _attempt(order, event.attempt_id, meta, **change)
        case e.AuthorizationExpiring():
            return _attempt(order, event.attempt_id, meta, expiring_warned=True)
        case e.AuthorizationExpired():
            return _released(order, event, meta, "expired")
        case e.CancelRequested():
            return replace(order, cancel_requested=True, cancel_reason=event.reason)
        case e.OrderFailed():
            failure = Failure(
                code=event.code,
                retry_class=event.retry_class,
                message=event.message,
                processor_code=event.processor_code,
            )
            return replace(order, ended="failed", failure=failure)
        case e.OrderCancelled():
            return replace(order, ended="cancelled", cancel_reason=event.reason)
        case e.OrderExpired():
            return replace(order, ended="expired")
        case e.RefundRequested():
            return replace(order, refunds=(*order.refunds, _refund_requested(event, meta)))
        case e.OrderRefunded():
            return _refunded(order, event, meta)
        case e.RefundFailed():
            change = {"status": "failed", "error_code": event.code, "error_message": event.message}
            return _refund(order, event.refund_id, meta, **change)
        case e.RefundReversed():
            return _reversed(order, event, meta)
        case e.DisputeOpened():
            return replace(order, disputes=(*order.disputes, _dispute_opened(event, meta)))
        case e.DisputeFundsWithdrawn():
            return _dispute_moved(order, event.dispute_id, event.amount, meta)
        case e.DisputeFundsReinstated():
            return _reinstated(order, event, meta)
        case e.DisputeClosed():
            # Money lost stays withdrawn: it must never be refunded on top.
            return _dispute(order, event.dispute_id, meta, status=event.outcome)
        case e.FeeRecorded():
            return replace(order, fees=(*order.fees, (event.of, event.subject)))
        case e.StrayPaymentFound():
            return _stray_found(order, event)
        case e.DiscrepancyFound():
            return _discrepancy_found(order, event, meta)
        case e.DiscrepancyResolved():
            settled = tuple(
                replace(d, open=False) if d.subject == event.subject else d
                for d in order.discrepancies
            )
            return replace(order, discrepancies=settled)
        case _:
            assert_never(event)


def _attempt(order: Order, attempt_id: str, meta: Metadata, **change: Any) -> Order:
    """Replace fields of one attempt."""
    attempts = tuple(_at(a, meta, **change) if a.id == attempt_id else a for a in order.attempts)
    return replace(order, attempts=attempts)


def _capture(order: Order, capture_id: str, meta: Metadata, **change: Any) -> Order:
    captures = tuple(_at(c, meta, **change) if c.id == capture_id else c for c in order.captures)
    return replace(order, captures=captures)


def _refund(order: Order, refund_id: str, meta: Metadata, **change: Any) -> Order:
    refunds = tuple(_at(r, meta, **change) if r.id == refund_id else r for r in order.refunds)
    return replace(order, refunds=refunds)


def _dispute(order: Order, dispute_id: str, meta: Metadata, **change: Any) -> Order:
    disputes = tuple(_at(d, meta, **change) if d.id == dispute_id else d for d in order.disputes)
    return replace(order, disputes=disputes)


def _dispute_moved(order: Order, dispute_id: str, amount: Money, meta: Metadata) -> Order:
    dispute = order.dispute(dispute_id)
    assert dispute is not None, "a dispute is opened before money moves"
    return _dispute(order, dispute_id, meta, withdrawn=dispute.withdrawn + amount)


def _reinstated(order: Order, event: e.DisputeFundsReinstated, meta: Metadata) -> Order:
    back = Money(-event.amount.minor, event.amount.currency)
    order = _dispute_moved(order, event.dispute_id, back, meta)
    dispute = order.dispute(event.dispute_id)
    assert dispute is not None
    given = dispute.reinstated_minor + event.amount.minor
    return _dispute(order, event.dispute_id, meta, reinstated_minor=given)


def _routed(event: e.OrderRouted, meta: Metadata) -> Attempt:
    return Attempt(
        id=event.attempt_id,
        number=event.number,
        processor=event.processor,
        account=event.account,
        credential_version=event.credential_version,
        idempotency_key=event.idempotency_key,
        token=event.token,
        return_url=event.return_url,
        return_to=event.return_to,
        challenge_timeout_s=event.challenge_timeout_s,
        hosted=event.hosted,
        correlation_id=meta.correlation_id,
        status="in_flight",
        decision=event.decision,
        created_at=meta.occurred_at,
        updated_at=meta.occurred_at,
    )


def _authorized(order: Order, event: e.OrderAuthorized, meta: Metadata) -> Order:
    return _attempt(
        order,
        event.attempt_id,
        meta,
        status="authorized",
        payment_id=event.payment_id,
        authorized=event.amount,
        held=event.amount,
        capture_before=event.capture_before,
        failure=None,
        doubt=None,
        challenge=None,
        deadline=None,
    )


def _declined(order: Order, event: e.OrderDeclined, meta: Metadata) -> Order:
    failure = Failure(
        code=event.code,
        retry_class=event.retry_class,
        message=event.message or event.code,
        processor_code=event.processor_code,
    )
    change = {"status": "declined", "failure": failure, "closed": event.closed}
    change |= {"next": event.next, "doubt": None, "challenge": None, "deadline": None}
    return _attempt(order, event.attempt_id, meta, **change)


def _unknown(order: Order, event: e.OutcomeUnknown, meta: Metadata) -> Order:
    if event.cause == CREDENTIALS_DESTROYED:
        order = replace(order, unasked=(*order.unasked, event.subject))
    match event.operation:
        case "authorize":
            change = {"status": "unknown", "doubt": "authorize"}
            return _attempt(order, event.attempt_id, meta, **change)
        case "void":
            return _attempt(order, event.attempt_id, meta, doubt="void")
        case "capture":
            return _capture(order, event.subject, meta, status="unknown")
        case "refund":
            return _refund(order, event.subject, meta, status="unknown")


def _fenced(order: Order, event: e.AttemptFenced, meta: Metadata) -> Order:
    """A declined attempt keeps its status and its reason; it is only closed."""
    attempt = order.attempt(event.attempt_id)
    assert attempt is not None, "only what was routed is fenced"
    change: dict[str, Any] = {"proof": event.proof, "closed": True, "doubt": None}
    change |= {"challenge": None, "deadline": None}
    if attempt.status != "declined":
        change["status"] = "fenced"
    if event.next is not None:
        change["next"] = event.next
    return _attempt(order, event.attempt_id, meta, **change)


def _capture_requested(event: e.CaptureRequested, meta: Metadata) -> Capture:
    return Capture(
        id=event.capture_id,
        attempt_id=event.attempt_id,
        processor=event.processor,
        amount=event.amount,
        remainder=event.remainder,
        idempotency_key=event.idempotency_key,
        status="pending",
        created_at=meta.occurred_at,
        updated_at=meta.occurred_at,
    )


def _captured(order: Order, event: e.OrderCaptured, meta: Metadata) -> Order:
    """A capture that we did not ask for has no row yet and gets one."""
    done = {"status": "succeeded", "processor_id": event.processor_id, "amount": event.amount}
    done |= {"fee_expected": event.fee_expected}
    if order.capture(event.capture_id) is None:
        capture = Capture(
            id=event.capture_id,
            attempt_id=event.attempt_id,
            processor=event.processor,
            amount=event.amount,
            remainder="released",
            idempotency_key="",
            status="pending",
            created_at=meta.occurred_at,
            updated_at=meta.occurred_at,
        )
        order = replace(order, captures=(*order.captures, capture))
    order = _capture(order, event.capture_id, meta, **done)
    attempt = order.attempt(event.attempt_id)
    assert attempt is not None, "only what was held is captured"
    lapses_at = attempt.capture_before if event.remaining.minor else None
    return _attempt(
        order,
        event.attempt_id,
        meta,
        status="captured",
        held=event.remaining,
        capture_before=event.remaining_expires_at or lapses_at,
        expiring_warned=False,
        doubt=None,
    )


def _capture_failed(order: Order, event: e.CaptureFailed, meta: Metadata) -> Order:
    change = {"status": "failed", "error_code": event.code, "error_message": event.message}
    order = _capture(order, event.capture_id, meta, **change)
    if event.hold == "held":
        return order
    attempt = order.attempt(event.attempt_id)
    assert attempt is not None
    gone = Money(0, order.amount.currency)
    status = "captured" if attempt.status == "captured" else "expired"
    order = _release(order, attempt, event.released or gone, meta, "expired")
    return _attempt(order, event.attempt_id, meta, status=status, held=gone)


def _released(
    order: Order, event: e.OrderVoided | e.AuthorizationExpired, meta: Metadata, cause: Any
) -> Order:
    """A hold, or a kept remainder, went back; a stray's changes nothing else."""
    attempt = order.attempt(event.attempt_id)
    assert attempt is not None, "only what was held is released"
    if event.payment_id is not None:
        strays = tuple(
            replace(s, open=False) if s.payment_id == event.payment_id else s for s in order.strays
        )
        return replace(order, strays=strays)
    order = _release(order, attempt, event.amount, meta, cause)
    change: dict[str, Any] = {"held": Money(0, order.amount.currency), "void_key": None}
    change |= {"doubt": None}
    if attempt.status == "authorized":
        change["status"] = cause
    return _attempt(order, attempt.id, meta, **change)


def _release(order: Order, attempt: Attempt, amount: Money, meta: Metadata, cause: Any) -> Order:
    release = Release(
        attempt_id=attempt.id,
        processor=attempt.processor,
        amount=amount,
        created_at=meta.occurred_at,
        cause=cause,
    )
    return replace(order, releases=(*order.releases, release))


def _refund_requested(event: e.RefundRequested, meta: Metadata) -> Refund:
    return Refund(
        id=event.refund_id,
        attempt_id=event.attempt_id,
        processor=event.processor,
        payment_id=event.payment_id,
        amount=event.amount,
        kind=event.kind,
        idempotency_key=event.idempotency_key,
        status="pending",
        created_at=meta.occurred_at,
        updated_at=meta.occurred_at,
        reason=event.reason,
    )


def _refunded(order: Order, event: e.OrderRefunded, meta: Metadata) -> Order:
    """A refund that was made at the processor has no row yet and gets one."""
    if order.refund(event.refund_id) is None:
        attempt = order.attempt(event.attempt_id)
        assert attempt is not None, "only what was captured is refunded"
        refund = Refund(
            id=event.refund_id,
            attempt_id=event.attempt_id,
            processor=event.processor,
            payment_id=event.payment_id or attempt.payment_id or "",
            amount=event.amount,
            kind=event.kind,
            idempotency_key="",
            status="pending",
            created_at=meta.occurred_at,
            updated_at=meta.occurred_at,
        )
        order = replace(order, refunds=(*order.refunds, refund))
    order = _refund(
        order, event.refund_id, meta, status="succeeded", processor_id=event.processor_id
    )
    return _strays_weighed(order)


def _reversed(order: Order, event: e.RefundReversed, meta: Metadata) -> Order:
    """The money is back with us: a stray has to be sent again."""
    order = _refund(order, event.refund_id, meta, status="failed", error_code=event.code)
    return _strays_weighed(order)


def _strays_weighed(order: Order) -> Order:
    """A stray capture is open until all of it has gone back."""
    strays = tuple(
        replace(s, open=order.owed(s).minor > 0) if s.state == "captured" else s
        for s in order.strays
    )
    return replace(order, strays=strays)


def _stray_found(order: Order, event: e.StrayPaymentFound) -> Order:
    """A stray hold that was captured is a stray capture from then on."""
    stray = Stray(
        attempt_id=event.attempt_id,
        processor=event.processor,
        payment_id=event.payment_id,
        state=event.state,
        amount=event.amount,
    )
    others = tuple(s for s in order.strays if s.payment_id != event.payment_id)
    return replace(order, strays=(*others, stray))


def _discrepancy_found(order: Order, event: e.DiscrepancyFound, meta: Metadata) -> Order:
    found = Discrepancy(
        subject=event.subject,
        theirs_minor=event.theirs_minor,
        theirs_currency=event.theirs_currency,
    )
    order = replace(order, discrepancies=(*order.discrepancies, found))
    if event.subject != event.attempt_id or event.operation == "refund":
        return order
    return _attempt(order, event.attempt_id, meta, mismatched=True)


def _dispute_opened(event: e.DisputeOpened, meta: Metadata) -> Dispute:
    return Dispute(
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

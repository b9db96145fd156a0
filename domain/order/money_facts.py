"""What processors report of money: captured, refunded, disputed, charged. Never refused."""

from domain import events as e
from domain.money import EXPONENTS, Money
from domain.order import commands as c
from domain.order.parts import Attempt, Capture, Dispute, Stray
from domain.order.rules import (
    Events,
    authorization,
    closed_by_stray,
    discrepancy,
    is_settled,
    stray_refund,
)
from domain.order.state import Order


def record_captured(order: Order, command: c.RecordCaptured) -> Events:
    """Take a capture that was asked for or fits the order; other money is stray, goes back."""
    attempt = order.attempt(command.attempt_id)
    assert attempt is not None, "facts go to the attempt that owns the payment"
    asked = _asked_capture(order, attempt, command)
    if asked is not None and asked.status == "succeeded":
        return ()
    pending = asked is not None and asked.status in {"pending", "unknown"}
    if not pending and any(
        x.processor_id == command.processor_id and x.status == "succeeded" for x in order.captures
    ):
        return ()
    if not pending and not _takes_capture(order, attempt, command.payment_id):
        if attempt.status != "captured" or attempt.payment_id != command.payment_id:
            return _stray_capture(order, attempt, command)
        if asked is None:
            return _captured_beyond(order, attempt, command)
    return _own_capture(order, attempt, asked, command)


def _asked_capture(order: Order, attempt: Attempt, command: c.RecordCaptured) -> Capture | None:
    """Return the capture of this very payment that the fact answers."""
    if attempt.payment_id != command.payment_id:
        return None
    asked = order.capture(command.capture_id) if command.capture_id else None
    if asked is None:
        # Captured without our id, or under one that a restored log has lost.
        if any(x.processor_id == command.processor_id for x in order.captures):
            return None
        asked = order.pending_capture
    return asked if asked is not None and asked.attempt_id == attempt.id else None


def _takes_capture(order: Order, attempt: Attempt, payment_id: str) -> bool:
    """Whether a capture that we did not ask for is nevertheless the order's own."""
    return (
        order.ended is None
        and not order.cancel_requested
        and attempt is order.live
        and attempt.payment_id in {None, payment_id}
        and (attempt.can_take_money or bool(attempt.held and attempt.held.minor))
    )


def _own_capture(
    order: Order, attempt: Attempt, asked: Capture | None, command: c.RecordCaptured
) -> Events:
    first: Events = ()
    held = attempt.held or Money(0, order.amount.currency)
    if attempt.status not in {"authorized", "captured"}:
        first, held = (authorization(attempt, order, command),), order.amount
    wanted = asked.amount if asked else Money(min(command.amount_minor, held.minor), held.currency)
    subject = asked.id if asked else attempt.id
    theirs = (command.amount_minor, command.currency)
    settled = is_settled(order, subject, *theirs)
    if wanted.minor > held.minor:
        if settled and asked is not None:
            gone = c.RecordCaptureFailed(capture_id=asked.id, code="exceeds_authorization")
            return record_capture_failed(order, gone)
        return discrepancy(order, attempt, "capture", subject, (held, *theirs))
    if theirs != (wanted.minor, wanted.currency) and not settled:
        return discrepancy(order, attempt, "capture", subject, (wanted, *theirs))
    lapses_at = command.remaining_expires_at
    kept = asked.remainder == "kept" if asked else lapses_at is not None
    rest, nothing = held - wanted, Money(0, held.currency)
    captured = e.OrderCaptured(
        attempt_id=attempt.id,
        capture_id=asked.id if asked else command.new_id,
        processor=attempt.processor,
        processor_id=command.processor_id,
        amount=wanted,
        released=nothing if kept else rest,
        remaining=rest if kept else nothing,
        remaining_expires_at=lapses_at if kept and rest.minor else None,
        fee_expected=command.fee_expected,
    )
    return (*first, captured, *_overtaken(order, attempt, captured))


def _overtaken(order: Order, attempt: Attempt, captured: e.OrderCaptured) -> Events:
    """Return the no to a capture that is awaited and for which the hold does not suffice now."""
    pending = order.pending_capture
    if pending is None or pending.id == captured.capture_id or pending.attempt_id != attempt.id:
        return ()
    if pending.amount.minor <= captured.remaining.minor:
        return ()
    failed = e.CaptureFailed(
        attempt_id=attempt.id,
        capture_id=pending.id,
        processor=attempt.processor,
        code="already_captured",
        hold="held",
    )
    return (failed,)


def _captured_beyond(order: Order, attempt: Attempt, command: c.RecordCaptured) -> Events:
    """Our own payment was captured already: said again in other words, or more than it can be."""
    ours = Money(order.amount_captured, order.amount.currency)
    if command.amount_minor <= ours.minor and command.currency == ours.currency:
        return ()
    sides = (ours, command.amount_minor, command.currency)
    return discrepancy(order, attempt, "capture", attempt.id, sides)


def _stray_capture(order: Order, attempt: Attempt, command: c.RecordCaptured) -> Events:
    """Money taken against our will goes back at once; the merchant cannot stop it."""
    known = order.stray(command.payment_id)
    if known is not None and known.state == "captured":
        return ()
    if command.currency not in EXPONENTS:
        sides = (order.amount, command.amount_minor, command.currency)
        return discrepancy(order, attempt, "capture", command.payment_id, sides)
    stray = e.StrayPaymentFound(
        attempt_id=attempt.id,
        processor=attempt.processor,
        payment_id=command.payment_id,
        state="captured",
        amount=Money(command.amount_minor, command.currency),
    )
    refund = stray_refund(stray, command.refund_id, stray.amount)
    return (*closed_by_stray(order, attempt, command.payment_id), stray, refund)


def record_capture_failed(order: Order, command: c.RecordCaptureFailed) -> Events:
    """Take a definite no; where the hold is gone too, the order expires."""
    capture = order.capture(command.capture_id)
    assert capture is not None, "only what was asked for fails"
    if capture.status not in {"pending", "unknown"}:
        return ()
    attempt = order.attempt(capture.attempt_id)
    assert attempt is not None, "a capture has an attempt"
    gone = command.hold == "expired"
    failed = e.CaptureFailed(
        attempt_id=attempt.id,
        capture_id=capture.id,
        processor=attempt.processor,
        code=command.code,
        hold=command.hold,
        released=attempt.held if gone else None,
        message=command.message,
    )
    if gone and not order.amount_captured:
        return (failed, e.OrderExpired(cause="authorization"))
    return (failed,)


def record_refunded(order: Order, command: c.RecordRefunded) -> Events:
    """Take a refund, asked for or made at the processor; impossible totals are discrepant."""
    attempt = order.attempt(command.attempt_id)
    assert attempt is not None, "facts go to the attempt that owns the payment"
    asked = order.refund(command.refund_id) if command.refund_id else None
    if asked is not None and asked.status == "succeeded":
        return ()
    if any(r.processor_id == command.processor_id for r in order.refunds):
        return ()
    stray = _stray_refunded(order, attempt, command) if asked is None else None
    left = order.owed(stray) if stray else _not_refunded(order)
    ours = asked.amount if asked else Money(min(command.amount_minor, left.minor), left.currency)
    subject = asked.id if asked else stray.payment_id if stray else attempt.id
    theirs = (command.amount_minor, command.currency)
    if theirs != (ours.minor, ours.currency) and not (
        asked and is_settled(order, subject, *theirs)
    ):  # fmt: skip
        return discrepancy(order, attempt, "refund", subject, (ours, *theirs))
    refunded = e.OrderRefunded(
        refund_id=asked.id if asked else command.new_id,
        attempt_id=asked.attempt_id if asked else attempt.id,
        processor=asked.processor if asked else attempt.processor,
        processor_id=command.processor_id,
        amount=ours,
        kind=asked.kind if asked else "stray" if stray else "merchant",
        payment_id=stray.payment_id if stray else None,
    )
    if asked is None:
        return (refunded,)
    sent_back = order.stray(asked.payment_id) if asked.kind == "stray" else None
    left = order.owed(sent_back) if sent_back else _not_refunded(order)
    if ours.minor <= left.minor:
        return (refunded,)
    # It did happen, and more went back than had been taken.
    return (refunded, *discrepancy(order, attempt, "refund", subject, (left, *theirs)))


def _not_refunded(order: Order) -> Money:
    return Money(order.amount_captured - order.amount_refunded, order.amount.currency)


def _stray_refunded(order: Order, attempt: Attempt, command: c.RecordRefunded) -> Stray | None:
    """Return the stray capture that a refund without our id sent back."""
    if command.payment_id is not None:
        stray = order.stray(command.payment_id)
        return stray if stray is not None and stray.state == "captured" else None
    if attempt.status == "captured":
        return None
    taken = [s for s in order.strays if s.attempt_id == attempt.id and s.state == "captured"]
    return taken[0] if len(taken) == 1 else None


def record_refund_failed(order: Order, command: c.RecordRefundFailed) -> Events:
    """Take a definite no, or the return of a refund that had succeeded."""
    refund = order.refund(command.refund_id)
    assert refund is not None, "only what was asked for fails"
    if refund.status == "failed":
        return ()
    if refund.status == "succeeded":
        came_back = e.RefundReversed(
            refund_id=refund.id,
            processor=refund.processor,
            amount=refund.amount,
            kind=refund.kind,
            code=command.code,
        )
        return (came_back,)
    return (e.RefundFailed(refund_id=refund.id, code=command.code, message=command.message),)


def record_dispute(order: Order, command: c.RecordDispute) -> Events:
    """Bring a dispute to what the processor shows now: opened, moved, closed."""
    attempt = order.attempt(command.attempt_id)
    assert attempt is not None, "facts go to the attempt that owns the payment"
    currency = order.amount.currency
    known = order.dispute(command.dispute_id) or next(
        (d for d in order.disputes if d.processor_id == command.processor_id), None
    )
    dispute_id = known.id if known else command.dispute_id
    processor = known.processor if known else attempt.processor
    events: list[e.OrderEvent] = []
    if known is None:
        opened = e.DisputeOpened(
            dispute_id=dispute_id,
            attempt_id=attempt.id,
            processor=processor,
            processor_id=command.processor_id,
            amount=Money(command.amount_minor, currency),
            reason=command.reason,
        )
        events.append(opened)
    elif known.status == "lost":
        return ()
    for moved in _dispute_moves(known, command):
        kind = e.DisputeFundsWithdrawn if moved > 0 else e.DisputeFundsReinstated
        amount = Money(abs(moved), currency)
        events.append(kind(dispute_id=dispute_id, processor=processor, amount=amount))
    if command.outcome != "open" and (known is None or known.status == "open"):
        lost = Money(command.withdrawn_minor, currency) if command.outcome == "lost" else None
        closed = e.DisputeClosed(
            dispute_id=dispute_id,
            processor=processor,
            outcome=command.outcome,
            lost_amount=lost,
        )
        events.append(closed)
    return tuple(events)


def _dispute_moves(known: Dispute | None, command: c.RecordDispute) -> tuple[int, ...]:
    """Return what moved since we looked, out above zero: both ways, if it did both meanwhile."""
    held = known.withdrawn.minor if known else 0
    given_back = known.reinstated_minor if known else 0
    back = command.reinstated_minor - given_back
    out = command.withdrawn_minor - held + back
    if back < 0 or out < 0:
        # What was given back is not told, or has become less: only what is held counts.
        back, out = max(held - command.withdrawn_minor, 0), max(command.withdrawn_minor - held, 0)
    return tuple(moved for moved in (out, -back) if moved)


def record_fee(order: Order, command: c.RecordFee) -> Events:
    """Note a fee, once per kind and subject."""
    attempt = order.attempt(command.attempt_id)
    assert attempt is not None, "a fee belongs to an attempt"
    found = command.subject or _subject_of(order, command)
    if found is None or command.amount.minor == 0:
        return ()
    subject = f"{found}:reversed" if command.reversal else found
    if (command.of, subject) in order.fees:
        return ()
    recorded = e.FeeRecorded(
        processor=attempt.processor,
        of=command.of,
        subject=subject,
        amount=command.amount,
    )
    return (recorded,)


def _subject_of(order: Order, command: c.RecordFee) -> str | None:
    """Return our id of what the processor charges for."""
    match command.of:
        case "capture":
            taken = [x for x in order.captures if x.status == "succeeded"]
            found = next((x.id for x in taken if x.processor_id == command.reference), None)
            stray = order.stray(command.reference)
            return found or (stray.payment_id if stray and stray.state == "captured" else None)
        case "refund":
            back = (x.id for x in order.refunds if x.processor_id == command.reference)
            return next(back, None)
        case "dispute":
            disputes = (x.id for x in order.disputes if x.processor_id == command.reference)
            return next(disputes, None)

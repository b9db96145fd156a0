"""The rules: which events a command gives, or why it is refused. Pure; facts are never refused."""

from typing import TypeAlias, assert_never

from domain import events as e
from domain.errors import Rejected
from domain.money import AMOUNT_MAX, Money
from domain.order import commands as c
from domain.order.state import Attempt, Order
from domain.routing import Decision, Failover

Events: TypeAlias = tuple[e.OrderEvent, ...]

ATTEMPTS_MAX = 10
"""How often a customer may try to pay one order."""


def decide(order: Order | None, command: c.OrderCommand) -> Events:  # noqa: C901, PLR0912 - one case per command
    """Return the events that the command gives in this state, none when nothing new is said.

    Raises:
        Rejected: `invalid_status`, `order_quarantined`, `no_processor`,
            `partial_capture_unsupported`, `capture_exceeds_authorization`,
            `refund_exceeds_captured`.
    """
    if isinstance(command, c.CreateOrder):
        assert order is None, "an order is created once"
        return _create(command)
    assert order is not None, "only an order that exists takes commands"
    match command:
        case c.Pay():
            return _pay(order, command)
        case c.FailOver():
            return _fail_over(order, command)
        case c.RequestCapture():
            return _request_capture(order, command)
        case c.Cancel():
            return _cancel(order, command)
        case c.RequestRefund():
            return _request_refund(order, command)
        case c.WarnExpiring():
            return _warn_expiring(order, command)
        case c.ExpireSession():
            return _expire_session(order)
        case c.ResolveDiscrepancy():
            return _resolve(order, command)
        case c.RecordReference():
            return _reference(order, command)
        case c.RecordChallenge():
            return _challenge(order, command)
        case c.RecordAuthorized():
            return _authorized(order, command)
        case c.RecordDeclined():
            return _declined(order, command)
        case c.RecordUnknown():
            return _unknown(order, command)
        case c.RecordFenced():
            return _fenced(order, command)
        case c.RecordCaptured():
            return _captured(order, command)
        case c.RecordCaptureFailed():
            return _capture_failed(order, command)
        case c.RecordVoided():
            return _voided(order, command)
        case c.RecordVoidFailed():
            return _void_failed(order, command)
        case c.RecordExpired():
            return _expired(order, command)
        case c.RecordRefunded():
            return _refunded(order, command)
        case c.RecordRefundFailed():
            return _refund_failed(order, command)
        case c.RecordDispute():
            return _dispute(order, command)
        case c.RecordFee():
            return _fee(order, command)
        case _:
            assert_never(command)


def may_fail_over(order: Order, failover: Failover, retry_class: str) -> bool:
    """Tell whether a closed no of this class may be followed by another processor."""
    live = order.live
    assert live is not None, "only an attempt fails over"
    hops = len(order.attempts) - 1
    return (
        failover.enabled
        and retry_class in failover.classes
        and hops < failover.hops_max
        and live.decision.inputs.explicit is None
        and not order.cancel_requested
        and not order.quarantine
        and not order.ended
    )


def _create(command: c.CreateOrder) -> Events:
    assert 1 <= command.amount.minor <= AMOUNT_MAX, "checked where it came in"

    created = e.OrderCreated(
        amount=command.amount,
        capture_method=command.capture_method,
        external_id=command.external_id,
        checkout_session_id=command.checkout_session_id,
        expires_at=command.expires_at,
        personal=command.personal,
    )
    return (created,)


def _pay(order: Order, command: c.Pay) -> Events:
    if order.status != "pending" and not order.awaits_customer:
        raise _invalid(order, "paid")
    if order.cancel_requested:
        raise _invalid(order, "paid")
    if order.quarantine:
        raise _quarantined()
    if len(order.attempts) >= ATTEMPTS_MAX:
        raise Rejected("invalid_status", f"This order was tried {ATTEMPTS_MAX} times already.")
    if command.decision.chosen is None:
        raise _no_processor(command.decision)
    assert not any(a.can_take_money for a in order.attempts), "earlier attempts are closed"

    return (_routed(order, command, command.decision),)


def _routed(order: Order, command: c.Pay | c.FailOver, decision: Decision) -> e.OrderRouted:
    assert decision.chosen is not None, "checked by the caller"
    assert order.amount_captured == 0, "captured money comes from one attempt"
    attempt_id = command.attempt_id
    return e.OrderRouted(
        attempt_id=attempt_id,
        number=len(order.attempts) + 1,
        processor=decision.chosen,
        account=command.account,
        credential_version=command.credential_version,
        idempotency_key=f"pay:{attempt_id}",
        amount=order.amount,
        decision=decision,
        token=command.token,
        return_url=command.return_url,
        return_to=command.return_to,
        challenge_timeout_s=command.challenge_timeout_s,
    )


def _fail_over(order: Order, command: c.FailOver) -> Events:
    live = order.live
    if live is None or order.ended or live.can_take_money or not goes_on(order):
        return ()
    if command.decision is not None and command.decision.chosen is not None:
        return (_routed(order, command, command.decision),)
    return _finish(order, live, may_go_on=False)


def goes_on(order: Order) -> bool:
    """Whether the live attempt is closed without money and it is open what comes next."""
    live = order.live
    return (
        live is not None
        and order.ended is None
        and live.status in {"declined", "fenced"}
        and not live.can_take_money
        and not order.awaits_customer
        and order.amount_captured == 0
    )


def _finish(order: Order, attempt: Attempt, *, may_go_on: bool) -> Events:
    """Return what ends an order whose last attempt is closed without money."""
    if order.ended or order.amount_captured:
        return ()
    if order.cancel_requested:
        return (e.OrderCancelled(reason=order.cancel_reason),)
    if may_go_on:
        return ()
    failure = attempt.failure
    if failure is None:
        code = "authentication_timeout" if attempt.challenge else "processor_unavailable"
        return (_failed(code),)
    failed = e.OrderFailed(
        code=failure.code,
        retry_class=failure.retry_class,
        message=failure.message,
        processor_code=failure.processor_code,
    )
    return (failed,)


_MESSAGES = {
    "authentication_timeout": "The customer did not finish the authentication in time.",
    "processor_unavailable": "No processor could be reached.",
    "cancelled_at_processor": "The payment was cancelled at the processor.",
}


def _failed(code: str) -> e.OrderFailed:
    retry_class = "failover" if code == "processor_unavailable" else "authenticate"
    return e.OrderFailed(code=code, retry_class=retry_class, message=_MESSAGES.get(code, code))


def _request_capture(order: Order, command: c.RequestCapture) -> Events:
    live = order.live
    held = (
        live.held.minor if live and live.held and live.status in {"authorized", "captured"} else 0
    )
    amount = held if command.amount_minor is None else command.amount_minor
    if live is None or held == 0 or order.cancel_requested or order.pending_capture:
        raise _invalid(order, "captured")
    if live.void_key or order.ended:
        raise _invalid(order, "captured")
    if order.quarantine:
        raise _quarantined()
    if amount > held:
        raise Rejected(
            "capture_exceeds_authorization", f"At most {held} can be captured, not {amount}."
        )
    if amount < held and not command.partial:
        raise Rejected(
            "partial_capture_unsupported", f"{live.processor} captures the whole amount only."
        )
    if not command.final and not command.several:
        raise Rejected(
            "partial_capture_unsupported", f"{live.processor} captures an authorization once only."
        )
    assert amount >= 1, "checked where it came in"

    return (_capture_intent(order, live, command.capture_id, amount, final=command.final),)


def _capture_intent(
    order: Order, attempt: Attempt, capture_id: str, minor: int, *, final: bool = True
) -> e.CaptureRequested:
    """Grant the one capture permission."""
    others = [a for a in order.attempts if a.id != attempt.id]
    assert not any(a.can_take_money for a in others), "every other attempt is closed"
    assert all(a.status != "captured" for a in others), "one attempt captures"
    assert not order.cancel_requested, "nothing captures after a cancel"
    assert order.ended is None, "nothing captures after the end"
    return e.CaptureRequested(
        attempt_id=attempt.id,
        capture_id=capture_id,
        processor=attempt.processor,
        amount=Money(minor, order.amount.currency),
        remainder="released" if final else "kept",
        idempotency_key=f"capture:{capture_id}",
    )


def _cancel(order: Order, command: c.Cancel) -> Events:
    live = order.live
    if order.ended == "cancelled" or order.cancel_requested:
        return ()
    if order.ended or order.amount_captured or order.pending_capture:
        raise _invalid(order, "cancelled")
    if order.quarantine:
        raise _quarantined()

    cancelled = e.OrderCancelled(reason=command.reason)
    requested = e.CancelRequested(reason=command.reason)
    if live is None:
        return (cancelled,)
    if not live.can_take_money:
        return (requested, cancelled)
    if live.status == "in_flight" and live.reference is None:
        # Authorization starts only after the reference is committed: no money can ever move.
        return (requested, e.AttemptFenced(attempt_id=live.id, proof="not_sent"), cancelled)
    if live.status == "authorized":
        if command.can_void:
            return (requested, _void_intent(live))
        fenced = e.AttemptFenced(attempt_id=live.id, proof="capture_withheld")
        return (requested, fenced, cancelled)
    return (requested,)


def _void_intent(attempt: Attempt, amount: Money | None = None) -> e.VoidRequested:
    held = amount or attempt.held
    assert held is not None, "only what is held is voided"
    return e.VoidRequested(
        attempt_id=attempt.id,
        processor=attempt.processor,
        amount=held,
        idempotency_key=f"void:{attempt.id}",
    )


def _request_refund(order: Order, command: c.RequestRefund) -> Events:
    live = order.live
    if live is None or order.amount_captured == 0:
        raise _invalid(order, "refunded")
    if order.quarantine:
        raise _quarantined()
    amount = order.refundable if command.amount_minor is None else command.amount_minor
    if amount > order.refundable or amount < 1:
        raise Rejected(
            "refund_exceeds_captured",
            f"At most {max(order.refundable, 0)} can be refunded, not {max(amount, 0)}.",
        )
    attempt = next(a for a in order.attempts if a.status == "captured")
    assert attempt.payment_id is not None, "captured money has a payment"

    requested = e.RefundRequested(
        refund_id=command.refund_id,
        attempt_id=attempt.id,
        processor=attempt.processor,
        payment_id=attempt.payment_id,
        amount=Money(amount, order.amount.currency),
        kind="merchant",
        idempotency_key=f"refund:{command.refund_id}",
        reason=command.reason,
    )
    return (requested,)


def _warn_expiring(order: Order, command: c.WarnExpiring) -> Events:
    attempt = order.attempt(command.attempt_id)
    if attempt is None or attempt.status != "authorized" or attempt.expiring_warned:
        return ()
    if attempt.capture_before is None or order.cancel_requested:
        return ()
    warned = e.AuthorizationExpiring(attempt_id=attempt.id, capture_before=attempt.capture_before)
    return (warned,)


def _expire_session(order: Order) -> Events:
    if order.ended or (order.status != "pending" and not order.awaits_customer):
        return ()
    return (e.OrderExpired(cause="session"),)


def _resolve(order: Order, command: c.ResolveDiscrepancy) -> Events:
    if command.subject not in order.quarantine:
        raise Rejected("invalid_status", "There is no open discrepancy of that subject.")
    resolved = e.DiscrepancyResolved(
        subject=command.subject, how=command.how, evidence=command.evidence
    )
    live = order.live
    last = order.quarantine == (command.subject,)
    if last and live and live.status == "authorized" and order.pending_capture is None:
        return (resolved, *_after_authorization(order, live, command.capture_id))
    return (resolved,)


def _reference(order: Order, command: c.RecordReference) -> Events:
    attempt = order.attempt(command.attempt_id)
    if attempt is None or attempt.status != "in_flight" or attempt.reference is not None:
        return ()
    referenced = e.ProcessorReferenced(
        attempt_id=attempt.id, processor=attempt.processor, reference=command.reference
    )
    return (referenced,)


def _challenge(order: Order, command: c.RecordChallenge) -> Events:
    attempt = order.attempt(command.attempt_id)
    if attempt is None or attempt.status not in {"in_flight", "unknown"} or order.ended:
        return ()
    challenged = e.OrderChallenged(
        attempt_id=attempt.id, kind=command.kind, deadline=command.deadline
    )
    return (challenged,)


def _authorized(order: Order, command: c.RecordAuthorized) -> Events:
    attempt = order.attempt(command.attempt_id)
    assert attempt is not None, "facts go to the attempt that owns the payment"
    known = {attempt.payment_id, *(s.payment_id for s in order.strays)}
    if command.payment_id in known:
        return ()
    if not _takes_authorization(order, attempt):
        return _stray_hold(attempt, command)
    if (command.amount_minor, command.currency) != (order.amount.minor, order.amount.currency):
        return _discrepancy(
            order,
            attempt,
            "authorize",
            attempt.id,
            (order.amount, command.amount_minor, command.currency),
        )
    return (
        _authorization(attempt, order, command),
        *_after_authorization(order, attempt, command.capture_id),
    )


def _takes_authorization(order: Order, attempt: Attempt) -> bool:
    """Whether an authorization of this attempt is wanted: live, open, and nothing ended."""
    return (
        order.ended is None
        and attempt is order.live
        and attempt.can_take_money
        and attempt.status != "authorized"
    )


def _authorization(
    attempt: Attempt, order: Order, command: c.RecordAuthorized | c.RecordCaptured
) -> e.OrderAuthorized:
    return e.OrderAuthorized(
        attempt_id=attempt.id,
        processor=attempt.processor,
        payment_id=command.payment_id,
        amount=order.amount,
        capture_before=command.capture_before,
    )


def _after_authorization(order: Order, attempt: Attempt, capture_id: str) -> Events:
    """Return what follows a fresh hold at once: void, capture, or leave it to the merchant."""
    if order.quarantine:
        return ()
    if order.cancel_requested:
        return (_void_intent(attempt, order.amount),)
    if order.capture_method == "manual":
        return ()
    return (_capture_intent(order, attempt, capture_id, order.amount.minor),)


def _stray_hold(attempt: Attempt, command: c.RecordAuthorized) -> Events:
    stray = e.StrayPaymentFound(
        attempt_id=attempt.id,
        processor=attempt.processor,
        payment_id=command.payment_id,
        state="held",
        amount=Money(command.amount_minor, command.currency),
    )
    return (stray,)


def _discrepancy(
    order: Order,
    attempt: Attempt,
    operation: e.Operation,
    subject: str,
    sides: tuple[Money, int, str],
) -> Events:
    if subject in order.quarantine:
        return ()
    ours, theirs_minor, theirs_currency = sides
    found = e.DiscrepancyFound(
        attempt_id=attempt.id,
        operation=operation,
        subject=subject,
        ours=ours,
        theirs_minor=theirs_minor,
        theirs_currency=theirs_currency,
    )
    return (found,)


def _declined(order: Order, command: c.RecordDeclined) -> Events:
    attempt = order.attempt(command.attempt_id)
    assert attempt is not None, "facts go to the attempt that owns the payment"
    if attempt.status not in {"in_flight", "challenged", "unknown"} or order.ended:
        return ()
    following = _following(order, command)
    declined = e.OrderDeclined(
        attempt_id=attempt.id,
        processor=attempt.processor,
        code=command.code,
        retry_class=command.retry_class,
        next=following,
        closed=command.closed,
        processor_code=command.processor_code,
        message=command.message,
    )
    if not command.closed:
        return (declined,)
    if order.cancel_requested:
        return (declined, e.OrderCancelled(reason=order.cancel_reason))
    if following != "end":
        return (declined,)
    failed = e.OrderFailed(
        code=command.code,
        retry_class=command.retry_class,
        message=command.message or command.code,
        processor_code=command.processor_code,
    )
    return (declined, failed)


def _following(order: Order, command: c.RecordDeclined) -> e.Next:
    """Return what a decline leads to: another processor, the customer, or the end."""
    if may_fail_over(order, command.failover, command.retry_class):
        return "failover"
    hosted = order.checkout_session_id is not None
    if hosted and command.retry_class != "stop" and len(order.attempts) < ATTEMPTS_MAX:
        return "customer"
    return "end"


def _unknown(order: Order, command: c.RecordUnknown) -> Events:
    attempt = order.attempt(command.attempt_id)
    assert attempt is not None, "only what was routed can be in doubt"
    capture, refund = order.capture(command.subject), order.refund(command.subject)
    waiting = {
        "authorize": attempt.status == "in_flight",
        "void": attempt.void_key is not None and attempt.doubt != "void",
        "capture": capture is not None and capture.status == "pending",
        "refund": refund is not None and refund.status == "pending",
    }
    if not waiting[command.operation]:
        return ()
    unknown = e.OutcomeUnknown(
        subject=command.subject,
        attempt_id=attempt.id,
        operation=command.operation,
        cause=command.cause,
    )
    return (unknown,)


def _fenced(order: Order, command: c.RecordFenced) -> Events:
    attempt = order.attempt(command.attempt_id)
    assert attempt is not None, "only what was routed is fenced"
    if not attempt.can_take_money or order.pending_capture:
        # A hold whose capture was requested is decided by that capture's own lookup.
        return ()
    if attempt.status == "authorized" and command.proof == "cancelled_at_processor":
        return _voided(order, c.RecordVoided(attempt_id=attempt.id))
    if attempt.status == "in_flight" and command.proof == "not_sent":
        assert not attempt.doubt, "what is in doubt may have been sent"
    fenced = e.AttemptFenced(attempt_id=attempt.id, proof=command.proof)
    if attempt.status == "declined":
        return (fenced, *_finish(order, attempt, may_go_on=attempt.next != "end"))
    may_go_on = (
        command.code == "processor_unavailable"
        and may_fail_over(order, command.failover, "failover")
    )  # fmt: skip
    if order.cancel_requested:
        return (fenced, e.OrderCancelled(reason=order.cancel_reason))
    return (fenced,) if may_go_on else (fenced, _failed(command.code))


def _captured(order: Order, command: c.RecordCaptured) -> Events:
    attempt = order.attempt(command.attempt_id)
    assert attempt is not None, "facts go to the attempt that owns the payment"
    if any(
        x.processor_id == command.processor_id and x.status == "succeeded" for x in order.captures
    ):
        return ()
    asked = order.capture(command.capture_id) if command.capture_id else order.pending_capture
    if asked is not None and asked.status == "succeeded":
        return ()
    if asked is None and not _takes_capture(order, attempt):
        return _stray_capture(order, attempt, command)
    first: Events = ()
    held = attempt.held or Money(0, order.amount.currency)
    if attempt.status not in {"authorized", "captured"}:
        first, held = (_authorization(attempt, order, command),), order.amount
    wanted = asked.amount if asked else Money(min(command.amount_minor, held.minor), held.currency)
    if (command.amount_minor, command.currency) != (wanted.minor, wanted.currency):
        subject = asked.id if asked else attempt.id
        sides = (wanted, command.amount_minor, command.currency)
        return (*first, *_discrepancy(order, attempt, "capture", subject, sides))
    kept = asked is not None and asked.remainder == "kept"
    rest, nothing = held - wanted, Money(0, held.currency)
    captured = e.OrderCaptured(
        attempt_id=attempt.id,
        capture_id=asked.id if asked else command.new_id,
        processor=attempt.processor,
        processor_id=command.processor_id,
        amount=wanted,
        released=nothing if kept else rest,
        remaining=rest if kept else nothing,
        remaining_expires_at=command.remaining_expires_at if kept and rest.minor else None,
    )
    return (*first, captured)


def _takes_capture(order: Order, attempt: Attempt) -> bool:
    """Whether a capture that we did not ask for is nevertheless the order's own."""
    return (
        order.ended is None
        and not order.cancel_requested
        and attempt is order.live
        and (attempt.can_take_money or bool(attempt.held and attempt.held.minor))
    )


def _stray_capture(order: Order, attempt: Attempt, command: c.RecordCaptured) -> Events:
    """Money taken against our will goes back at once; the merchant cannot stop it."""
    if any(s.payment_id == command.payment_id and s.state == "captured" for s in order.strays):
        return ()
    amount = Money(command.amount_minor, command.currency)
    stray = e.StrayPaymentFound(
        attempt_id=attempt.id,
        processor=attempt.processor,
        payment_id=command.payment_id,
        state="captured",
        amount=amount,
    )
    refund = e.RefundRequested(
        refund_id=command.refund_id,
        attempt_id=attempt.id,
        processor=attempt.processor,
        payment_id=command.payment_id,
        amount=amount,
        kind="stray",
        idempotency_key=f"refund:{command.refund_id}",
    )
    return (stray, refund)


def _capture_failed(order: Order, command: c.RecordCaptureFailed) -> Events:
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
        code=command.code,
        hold=command.hold,
        released=attempt.held if gone else None,
        message=command.message,
    )
    if gone and not order.amount_captured:
        return (failed, e.OrderExpired(cause="authorization"))
    return (failed,)


def _voided(order: Order, command: c.RecordVoided) -> Events:
    attempt = order.attempt(command.attempt_id)
    assert attempt is not None, "only what was routed is voided"
    if order.pending_capture and order.pending_capture.attempt_id == attempt.id:
        return ()
    stray = next((s for s in order.strays if s.attempt_id == attempt.id and s.open), None)
    amount = stray.amount if stray and stray.state == "held" else attempt.held
    if amount is None or amount.minor == 0:
        fenced = c.RecordFenced(
            attempt_id=attempt.id, proof="cancelled_at_processor", code="cancelled_at_processor"
        )
        return _fenced(order, fenced)
    voided = e.OrderVoided(attempt_id=attempt.id, processor=attempt.processor, amount=amount)
    if attempt.status == "authorized" and not order.ended:
        return (voided, e.OrderCancelled(reason=order.cancel_reason))
    return (voided,)


def _void_failed(order: Order, command: c.RecordVoidFailed) -> Events:
    """A hold that cannot be given back is never captured instead: it lapses by itself."""
    attempt = order.attempt(command.attempt_id)
    assert attempt is not None, "only what was routed is voided"
    if attempt.void_key is None:
        return ()
    failed = e.VoidFailed(attempt_id=attempt.id, code=command.code, message=command.message)
    if order.ended or attempt.status != "authorized":
        return (failed,)
    fenced = e.AttemptFenced(attempt_id=attempt.id, proof="capture_withheld")
    return (failed, fenced, e.OrderCancelled(reason=order.cancel_reason))


def _expired(order: Order, command: c.RecordExpired) -> Events:
    attempt = order.attempt(command.attempt_id)
    assert attempt is not None, "only what was routed expires"
    if attempt.held is None or attempt.held.minor == 0 or order.pending_capture:
        return ()
    lapsed = e.AuthorizationExpired(
        attempt_id=attempt.id, processor=attempt.processor, amount=attempt.held
    )
    if attempt.status != "authorized" or order.ended or order.amount_captured:
        return (lapsed,)
    if order.cancel_requested:
        return (lapsed, e.OrderCancelled(reason=order.cancel_reason))
    return (lapsed, e.OrderExpired(cause="authorization"))


def _refunded(order: Order, command: c.RecordRefunded) -> Events:
    attempt = order.attempt(command.attempt_id)
    assert attempt is not None, "facts go to the attempt that owns the payment"
    asked = order.refund(command.refund_id) if command.refund_id else None
    if asked is not None and asked.status == "succeeded":
        return ()
    if any(r.processor_id == command.processor_id for r in order.refunds):
        return ()
    left = order.amount_captured - order.amount_refunded
    ours = asked.amount if asked else Money(min(command.amount_minor, left), order.amount.currency)
    if (command.amount_minor, command.currency) != (ours.minor, ours.currency):
        subject = asked.id if asked else attempt.id
        sides = (ours, command.amount_minor, command.currency)
        return _discrepancy(order, attempt, "refund", subject, sides)
    refunded = e.OrderRefunded(
        refund_id=asked.id if asked else command.new_id,
        attempt_id=attempt.id,
        processor=attempt.processor,
        processor_id=command.processor_id,
        amount=ours,
        kind=asked.kind if asked else "merchant",
    )
    return (refunded,)


def _refund_failed(order: Order, command: c.RecordRefundFailed) -> Events:
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


def _dispute(order: Order, command: c.RecordDispute) -> Events:
    attempt = order.attempt(command.attempt_id)
    assert attempt is not None, "facts go to the attempt that owns the payment"
    currency, processor = order.amount.currency, attempt.processor
    known = order.dispute(command.dispute_id)
    events: list[e.OrderEvent] = []
    if known is None:
        opened = e.DisputeOpened(
            dispute_id=command.dispute_id,
            attempt_id=attempt.id,
            processor=processor,
            processor_id=command.processor_id,
            amount=Money(command.amount_minor, currency),
            reason=command.reason,
        )
        events.append(opened)
    elif known.status != "open":
        return ()
    moved = command.withdrawn_minor - (known.withdrawn.minor if known else 0)
    if moved:
        kind = e.DisputeFundsWithdrawn if moved > 0 else e.DisputeFundsReinstated
        amount = Money(abs(moved), currency)
        events.append(kind(dispute_id=command.dispute_id, processor=processor, amount=amount))
    if command.outcome != "open":
        lost = Money(command.withdrawn_minor, currency) if command.outcome == "lost" else None
        closed = e.DisputeClosed(
            dispute_id=command.dispute_id,
            processor=processor,
            outcome=command.outcome,
            lost_amount=lost,
        )
        events.append(closed)
    return tuple(events)


def _fee(order: Order, command: c.RecordFee) -> Events:
    attempt = order.attempt(command.attempt_id)
    assert attempt is not None, "a fee belongs to an attempt"
    recorded = e.FeeRecorded(
        processor=attempt.processor,
        of=command.of,
        subject=command.subject,
        amount=command.amount,
    )
    return (recorded,)


def _invalid(order: Order, verb: str) -> Rejected:
    return Rejected("invalid_status", f"An order that is {order.status} cannot be {verb}.")


def _quarantined() -> Rejected:
    return Rejected(
        "order_quarantined", "The processor's amount differs from ours; an operator has to look."
    )


def _no_processor(decision: Decision) -> Rejected:
    candidates = [{"processor": c.processor, "reason": c.reason} for c in decision.candidates]
    return Rejected("no_processor", "No processor can take this order.", candidates=candidates)

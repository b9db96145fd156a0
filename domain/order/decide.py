"""The rules: which events a command gives, or why it is refused. Pure; facts are never refused."""

from typing import TypeAlias, assert_never

from msgspec.structs import replace

from domain import events as e
from domain.errors import Rejected
from domain.money import AMOUNT_MAX, EXPONENTS, Money
from domain.order import commands as c
from domain.order.state import Attempt, Capture, Order, Stray
from domain.routing import Decision, Failover

Events: TypeAlias = tuple[e.OrderEvent, ...]

ATTEMPTS_MAX = 10
"""How often a customer may try to pay one order."""

STRAY_REFUNDS_MAX = 5
"""How often stray money is sent back before a person has to look."""


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
        case c.RefundStray():
            return _refund_stray(order, command)
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
        and hops < min(failover.hops_max, ATTEMPTS_MAX - 1)
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
    if live is None or not goes_on(order) or order.quarantine:
        return ()
    if command.decision is None or command.decision.chosen is None or order.cancel_requested:
        return _finish(order, live, may_go_on=False)
    return (_routed(order, command, command.decision),)


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


def _refund_stray(order: Order, command: c.RefundStray) -> Events:
    stray = order.stray(command.payment_id)
    if stray is None or stray.state != "captured" or not stray.open:
        return ()
    if any(r.status in {"pending", "unknown"} for r in order.stray_refunds(stray)):
        return ()
    return (_stray_refund(stray, command.refund_id, order.owed(stray)),)


def _stray_refund(
    stray: Stray | e.StrayPaymentFound, refund_id: str, amount: Money
) -> e.RefundRequested:
    return e.RefundRequested(
        refund_id=refund_id,
        attempt_id=stray.attempt_id,
        processor=stray.processor,
        payment_id=stray.payment_id,
        amount=amount,
        kind="stray",
        idempotency_key=f"refund:{refund_id}",
    )


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
    if live is None or live.status != "authorized" or set(order.quarantine) != {command.subject}:
        return (resolved,)
    if live.void_key is not None or any(x.attempt_id == live.id for x in order.captures):
        return (resolved,)
    # The hold came while nothing might move: what it waited for follows now.
    settled = replace(order, discrepancies=())
    return (resolved, *_after_authorization(settled, live, command.capture_id))


def _reference(order: Order, command: c.RecordReference) -> Events:
    attempt = order.attempt(command.attempt_id)
    if attempt is None or attempt.reference is not None:
        return ()
    if attempt.status not in {"in_flight", "unknown"}:
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
        return _stray_hold(order, attempt, command)
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


def _stray_hold(order: Order, attempt: Attempt, command: c.RecordAuthorized) -> Events:
    if command.currency not in EXPONENTS:
        sides = (order.amount, command.amount_minor, command.currency)
        return _discrepancy(order, attempt, "authorize", command.payment_id, sides)
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
    ours, theirs_minor, theirs_currency = sides
    if subject in order.quarantine or _settled(order, subject, theirs_minor, theirs_currency):
        return ()
    found = e.DiscrepancyFound(
        attempt_id=attempt.id,
        operation=operation,
        subject=subject,
        ours=ours,
        theirs_minor=theirs_minor,
        theirs_currency=theirs_currency,
    )
    return (found,)


def _settled(order: Order, subject: str, minor: int, currency: str) -> bool:
    """Whether an operator has settled that the processor says just this: ours stands."""
    return any(
        (d.subject, d.theirs_minor, d.theirs_currency, d.open) == (subject, minor, currency, False)
        for d in order.discrepancies
    )


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
    if command.proof == "not_sent" and not _never_sent(attempt):
        # Whoever says so had not seen that another one did send it.
        return ()
    if attempt.status == "authorized" and command.proof == "cancelled_at_processor":
        return _voided(order, c.RecordVoided(attempt_id=attempt.id))
    if attempt.status == "authorized" and not order.cancel_requested:
        # Decided before the authorization came: the hold is wanted now.
        return ()
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


def _never_sent(attempt: Attempt) -> bool:
    """Whether it can be that no authorization was sent: none is before the reference is known."""
    unreferenced = attempt.status == "unknown" and attempt.reference is None
    return attempt.status == "in_flight" or unreferenced


def _captured(order: Order, command: c.RecordCaptured) -> Events:
    attempt = order.attempt(command.attempt_id)
    assert attempt is not None, "facts go to the attempt that owns the payment"
    asked = _asked_capture(order, attempt, command)
    if asked is not None and asked.status == "succeeded":
        return ()
    if asked is None and any(
        x.processor_id == command.processor_id and x.status == "succeeded" for x in order.captures
    ):
        return ()
    pending = asked is not None and asked.status in {"pending", "unknown"}
    if not pending and not _takes_capture(order, attempt, command.payment_id):
        if attempt.status == "captured" and attempt.payment_id == command.payment_id:
            return _captured_beyond(order, attempt, command)
        return _stray_capture(order, attempt, command)
    return _own_capture(order, attempt, asked, command)


def _asked_capture(order: Order, attempt: Attempt, command: c.RecordCaptured) -> Capture | None:
    """Return the capture of this very payment that the fact answers."""
    if attempt.payment_id != command.payment_id:
        return None
    if command.capture_id is not None:
        asked = order.capture(command.capture_id)
    elif any(x.processor_id == command.processor_id for x in order.captures):
        return None
    else:
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
        first, held = (_authorization(attempt, order, command),), order.amount
    wanted = asked.amount if asked else Money(min(command.amount_minor, held.minor), held.currency)
    subject = asked.id if asked else attempt.id
    theirs = (command.amount_minor, command.currency)
    settled = _settled(order, subject, *theirs)
    if wanted.minor > held.minor:
        if settled and asked is not None:
            gone = c.RecordCaptureFailed(capture_id=asked.id, code="exceeds_authorization")
            return _capture_failed(order, gone)
        return _discrepancy(order, attempt, "capture", subject, (held, *theirs))
    if theirs != (wanted.minor, wanted.currency) and not settled:
        return _discrepancy(order, attempt, "capture", subject, (wanted, *theirs))
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
    )
    return (*first, captured)


def _captured_beyond(order: Order, attempt: Attempt, command: c.RecordCaptured) -> Events:
    """Our own payment was captured already: said again in other words, or more than it can be."""
    ours = Money(order.amount_captured, order.amount.currency)
    if command.amount_minor <= ours.minor and command.currency == ours.currency:
        return ()
    sides = (ours, command.amount_minor, command.currency)
    return _discrepancy(order, attempt, "capture", attempt.id, sides)


def _stray_capture(order: Order, attempt: Attempt, command: c.RecordCaptured) -> Events:
    """Money taken against our will goes back at once; the merchant cannot stop it."""
    known = order.stray(command.payment_id)
    if known is not None and known.state == "captured":
        return ()
    if command.currency not in EXPONENTS:
        sides = (order.amount, command.amount_minor, command.currency)
        return _discrepancy(order, attempt, "capture", command.payment_id, sides)
    stray = e.StrayPaymentFound(
        attempt_id=attempt.id,
        processor=attempt.processor,
        payment_id=command.payment_id,
        state="captured",
        amount=Money(command.amount_minor, command.currency),
    )
    refund = _stray_refund(stray, command.refund_id, stray.amount)
    return (*_closed_by_stray(order, attempt, command.payment_id), stray, refund)


def _closed_by_stray(order: Order, attempt: Attempt, payment_id: str) -> Events:
    """Return what a stray capture ends: the hold that it was made of, an attempt under cancel."""
    if attempt.payment_id == payment_id and attempt.held and attempt.held.minor:
        return _hold_gone(order, attempt, attempt.held)
    if not attempt.can_take_money or attempt.status == "authorized" or order.ended:
        return ()
    fenced = e.AttemptFenced(attempt_id=attempt.id, proof="capture_withheld")
    return (fenced, *_finish(order, attempt, may_go_on=False))


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
    stray = _stray_held(order, attempt, command.payment_id)
    if stray is not None:
        voided = e.OrderVoided(
            attempt_id=attempt.id,
            processor=attempt.processor,
            amount=stray.amount,
            payment_id=stray.payment_id,
        )
        return (voided,) if stray.open else ()
    if command.payment_id is not None and attempt.payment_id not in {None, command.payment_id}:
        return ()
    if order.pending_capture and order.pending_capture.attempt_id == attempt.id:
        return ()
    if attempt.held is None or attempt.held.minor == 0:
        fenced = c.RecordFenced(
            attempt_id=attempt.id, proof="cancelled_at_processor", code="cancelled_at_processor"
        )
        return _fenced(order, fenced)
    return _hold_gone(order, attempt, attempt.held)


def _stray_held(order: Order, attempt: Attempt, payment_id: str | None) -> Stray | None:
    """Return the stray hold that is meant; unnamed, the only one where nothing else is held."""
    if payment_id is not None:
        stray = order.stray(payment_id)
        return stray if stray is not None and stray.state == "held" else None
    if attempt.can_take_money or (attempt.held and attempt.held.minor):
        return None
    held = [s for s in order.strays if s.attempt_id == attempt.id and s.state == "held" and s.open]
    return held[0] if len(held) == 1 else None


def _hold_gone(order: Order, attempt: Attempt, held: Money) -> Events:
    voided = e.OrderVoided(attempt_id=attempt.id, processor=attempt.processor, amount=held)
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
    stray = _stray_held(order, attempt, command.payment_id)
    if stray is not None:
        lapsed = e.AuthorizationExpired(
            attempt_id=attempt.id,
            processor=attempt.processor,
            amount=stray.amount,
            payment_id=stray.payment_id,
        )
        return (lapsed,) if stray.open else ()
    if command.payment_id not in {None, attempt.payment_id}:
        return ()
    if attempt.held is None or attempt.held.minor == 0:
        return ()
    if order.pending_capture and order.pending_capture.attempt_id == attempt.id:
        # That capture's own lookup tells what became of the hold.
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
    stray = _stray_refunded(order, attempt, command) if asked is None else None
    left = order.owed(stray) if stray else _not_refunded(order)
    ours = asked.amount if asked else Money(min(command.amount_minor, left.minor), left.currency)
    subject = asked.id if asked else stray.payment_id if stray else attempt.id
    theirs = (command.amount_minor, command.currency)
    if theirs != (ours.minor, ours.currency) and not (
        asked and _settled(order, subject, *theirs)
    ):  # fmt: skip
        return _discrepancy(order, attempt, "refund", subject, (ours, *theirs))
    refunded = e.OrderRefunded(
        refund_id=asked.id if asked else command.new_id,
        attempt_id=asked.attempt_id if asked else attempt.id,
        processor=attempt.processor,
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
    return (refunded, *_discrepancy(order, attempt, "refund", subject, (left, *theirs)))


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
    known = order.dispute(command.dispute_id) or next(
        (d for d in order.disputes if d.processor_id == command.processor_id), None
    )
    dispute_id = known.id if known else command.dispute_id
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
    moved = command.withdrawn_minor - (known.withdrawn.minor if known else 0)
    if moved:
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


def _fee(order: Order, command: c.RecordFee) -> Events:
    attempt = order.attempt(command.attempt_id)
    assert attempt is not None, "a fee belongs to an attempt"
    if (command.of, command.subject) in order.fees:
        return ()
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

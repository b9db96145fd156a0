"""What processors report of attempts: authorized, declined, fenced, voided. Never refused."""

from msgspec.structs import replace

from domain import events as e
from domain.money import EXPONENTS, Money
from domain.order import commands as c
from domain.order.parts import Attempt, Stray
from domain.order.rules import (
    CREDENTIALS_DESTROYED,
    Events,
    after_authorization,
    authorization,
    discrepancy,
    failed_with,
    finish,
    hold_gone,
    may_ask_again,
    may_fail_over,
)
from domain.order.state import Order


def record_reference(order: Order, command: c.RecordReference) -> Events:
    """Note the processor's object, once; it moves no money."""
    attempt = order.attempt(command.attempt_id)
    if attempt is None or attempt.reference is not None:
        return ()
    if attempt.status not in {"in_flight", "unknown"}:
        return ()
    referenced = e.ProcessorReferenced(
        attempt_id=attempt.id, processor=attempt.processor, reference=command.reference
    )
    return (referenced,)


def record_challenge(order: Order, command: c.RecordChallenge) -> Events:
    """Wait for the customer until the deadline; only an attempt that is still under way can."""
    attempt = order.attempt(command.attempt_id)
    if attempt is None or attempt.status not in {"in_flight", "unknown"} or order.ended:
        return ()
    challenged = e.OrderChallenged(
        attempt_id=attempt.id, kind=command.kind, deadline=command.deadline
    )
    return (challenged,)


def record_authorized(order: Order, command: c.RecordAuthorized) -> Events:
    """Take a hold that is wanted and ours; any other is stray, another amount a discrepancy."""
    attempt = order.attempt(command.attempt_id)
    assert attempt is not None, "facts go to the attempt that owns the payment"
    known = {attempt.payment_id, *(s.payment_id for s in order.strays)}
    if command.payment_id in known:
        return ()
    if not _takes_authorization(order, attempt):
        return _stray_hold(order, attempt, command)
    if (command.amount_minor, command.currency) != (order.amount.minor, order.amount.currency):
        return discrepancy(
            order,
            attempt,
            "authorize",
            attempt.id,
            (order.amount, command.amount_minor, command.currency),
        )
    return (
        authorization(attempt, order, command),
        *after_authorization(order, attempt, command.capture_id),
    )


def _takes_authorization(order: Order, attempt: Attempt) -> bool:
    """Whether an authorization of this attempt is wanted: live, open, and nothing ended."""
    return (
        order.ended is None
        and attempt is order.live
        and attempt.can_take_money
        and attempt.status != "authorized"
    )


def _stray_hold(order: Order, attempt: Attempt, command: c.RecordAuthorized) -> Events:
    if command.currency not in EXPONENTS:
        sides = (order.amount, command.amount_minor, command.currency)
        return discrepancy(order, attempt, "authorize", command.payment_id, sides)
    stray = e.StrayPaymentFound(
        attempt_id=attempt.id,
        processor=attempt.processor,
        payment_id=command.payment_id,
        state="held",
        amount=Money(command.amount_minor, command.currency),
    )
    return (stray,)


def record_declined(order: Order, command: c.RecordDeclined) -> Events:
    """Take a definite no and say what comes next; the order ends only if the attempt is closed."""
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
    return "customer" if may_ask_again(order, command.retry_class) else "end"


def record_unknown(order: Order, command: c.RecordUnknown) -> Events:
    """Write a doubt down, once, while the operation is still waited for.

    Once more where the processor cannot be asked any more: nothing but a person ends that.
    """
    attempt = order.attempt(command.attempt_id)
    assert attempt is not None, "only what was routed can be in doubt"
    capture, refund = order.capture(command.subject), order.refund(command.subject)
    waiting = {
        "authorize": attempt.status == "in_flight",
        "void": attempt.void_key is not None and attempt.doubt != "void",
        "capture": capture is not None and capture.status == "pending",
        "refund": refund is not None and refund.status == "pending",
    }
    if command.cause == CREDENTIALS_DESTROYED and command.subject not in order.unasked:
        waiting = {
            "authorize": attempt.status in {"in_flight", "challenged", "unknown"},
            "void": attempt.void_key is not None,
            "capture": capture is not None and capture.status in {"pending", "unknown"},
            "refund": refund is not None and refund.status in {"pending", "unknown"},
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


def record_fenced(order: Order, command: c.RecordFenced) -> Events:
    """Close an attempt for ever; a hold whose capture was requested is not closed by this."""
    attempt = order.attempt(command.attempt_id)
    assert attempt is not None, "only what was routed is fenced"
    if not attempt.can_take_money or order.pending_capture:
        # A hold whose capture was requested is decided by that capture's own lookup.
        return ()
    if command.proof == "not_sent" and not _never_sent(attempt):
        # Whoever says so had not seen that another one did send it.
        return ()
    if attempt.status == "authorized" and command.proof == "cancelled_at_processor":
        return record_voided(order, c.RecordVoided(attempt_id=attempt.id))
    if attempt.status == "authorized" and not order.cancel_requested:
        # Decided before the authorization came: the hold is wanted now.
        return ()
    fenced = e.AttemptFenced(attempt_id=attempt.id, proof=command.proof, evidence=command.evidence)
    if attempt.status == "declined":
        return (fenced, *finish(order, attempt, may_go_on=attempt.next != "end"))
    may_go_on = (
        command.code == "processor_unavailable"
        and may_fail_over(order, command.failover, "failover")
    )  # fmt: skip
    if order.cancel_requested:
        return (fenced, e.OrderCancelled(reason=order.cancel_reason))
    if may_go_on:
        return (fenced,)
    if _asks_again(order, command.code):
        return (replace(fenced, next="customer"),)
    return (fenced, failed_with(command.code))


def _asks_again(order: Order, code: str) -> bool:
    """Whether an attempt that came to nothing leads back to the customer.

    Who did not finish in time has the time of the session, where there is one.
    """
    in_time = code == "processor_unavailable" or (
        code == "authentication_timeout" and order.checkout_session_id is not None
    )
    return in_time and may_ask_again(order, "failover")


def _never_sent(attempt: Attempt) -> bool:
    """Whether it can be that no authorization was sent: none is before the reference is known."""
    unreferenced = attempt.status == "unknown" and attempt.reference is None
    return attempt.status == "in_flight" or unreferenced


def record_voided(order: Order, command: c.RecordVoided) -> Events:
    """Give back what was held: the order's own hold, or a stray one."""
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
        return record_fenced(order, fenced)
    return hold_gone(order, attempt, attempt.held)


def _stray_held(order: Order, attempt: Attempt, payment_id: str | None) -> Stray | None:
    """Return the stray hold that is meant; unnamed, the only one where nothing else is held."""
    if payment_id is not None:
        stray = order.stray(payment_id)
        return stray if stray is not None and stray.state == "held" else None
    if attempt.can_take_money or (attempt.held and attempt.held.minor):
        return None
    held = [s for s in order.strays if s.attempt_id == attempt.id and s.state == "held" and s.open]
    return held[0] if len(held) == 1 else None


def record_void_failed(order: Order, command: c.RecordVoidFailed) -> Events:
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


def record_expired(order: Order, command: c.RecordExpired) -> Events:
    """See a hold lapse; a capture that is under way decides by its own lookup."""
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

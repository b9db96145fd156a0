"""What several rules share: intents, ends, discrepancies, and the words of a refusal."""

from typing import Final, TypeAlias

from domain import events as e
from domain.errors import Rejected
from domain.money import Money
from domain.order import commands as c
from domain.order.parts import Attempt, Stray
from domain.order.state import Order
from domain.routing import Decision, Failover

Events: TypeAlias = tuple[e.OrderEvent, ...]

ATTEMPTS_MAX: Final = 10
"""Attempts of one order, failovers among them."""

STRAY_REFUNDS_MAX: Final = 5
"""How often stray money is sent back before a person has to look."""

CREDENTIALS_DESTROYED: Final = "credentials_destroyed"
"""Cause of a doubt that no lookup can end: whoever could ask the processor was removed by force."""


def may_fail_over(order: Order, failover: Failover, retry_class: str) -> bool:
    """Tell whether a closed no of this class may be followed by another processor."""
    live = order.live
    assert live is not None, "only an attempt fails over"
    hops = len(order.round) - 1
    return (
        failover.enabled
        and retry_class in failover.classes
        and hops < failover.hops_max
        and len(order.attempts) < ATTEMPTS_MAX
        and live.decision.inputs.explicit is None
        and not order.cancel_requested
        and not order.quarantine
        and not order.ended
    )


def may_ask_again(order: Order, retry_class: str) -> bool:
    """Tell whether a no of this class leads back to the customer, on a page that is open."""
    return (
        order.page_open
        and retry_class != "stop"
        and len(order.attempts) < ATTEMPTS_MAX
        and not order.cancel_requested
        and not order.quarantine
        and not order.ended
    )


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


def finish(order: Order, attempt: Attempt, *, may_go_on: bool) -> Events:
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
        return (failed_with(code),)
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
    "closed_by_operator": "The payment was closed by hand: no money was taken.",
}


def failed_with(code: str) -> e.OrderFailed:
    """Return the end of an order that no processor declined."""
    retry_class = "failover" if code == "processor_unavailable" else "authenticate"
    return e.OrderFailed(code=code, retry_class=retry_class, message=_MESSAGES.get(code, code))


def capture_intent(
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


def void_intent(attempt: Attempt, amount: Money | None = None) -> e.VoidRequested:
    """Return the intent to give back what is held."""
    held = amount or attempt.held
    assert held is not None, "only what is held is voided"
    return e.VoidRequested(
        attempt_id=attempt.id,
        processor=attempt.processor,
        amount=held,
        idempotency_key=f"void:{attempt.id}",
    )


def stray_refund(
    stray: Stray | e.StrayPaymentFound, refund_id: str, amount: Money
) -> e.RefundRequested:
    """Return the intent to send stray money back."""
    return e.RefundRequested(
        refund_id=refund_id,
        attempt_id=stray.attempt_id,
        processor=stray.processor,
        payment_id=stray.payment_id,
        amount=amount,
        kind="stray",
        idempotency_key=f"refund:{refund_id}",
    )


def authorization(
    attempt: Attempt, order: Order, command: c.RecordAuthorized | c.RecordCaptured
) -> e.OrderAuthorized:
    """Return the hold that a fact tells of."""
    return e.OrderAuthorized(
        attempt_id=attempt.id,
        processor=attempt.processor,
        payment_id=command.payment_id,
        amount=order.amount,
        capture_before=command.capture_before,
    )


def after_authorization(order: Order, attempt: Attempt, capture_id: str) -> Events:
    """Return what follows a fresh hold at once: void, capture, or leave it to the merchant."""
    if order.quarantine:
        return ()
    if order.cancel_requested:
        return (void_intent(attempt, order.amount),)
    if order.capture_method == "manual":
        return ()
    return (capture_intent(order, attempt, capture_id, order.amount.minor),)


def discrepancy(
    order: Order,
    attempt: Attempt,
    operation: e.Operation,
    subject: str,
    sides: tuple[Money, int, str],
) -> Events:
    """Return the two sides of an amount or currency that is not ours, once per subject."""
    ours, theirs_minor, theirs_currency = sides
    if subject in order.quarantine or is_settled(order, subject, theirs_minor, theirs_currency):
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


def is_settled(order: Order, subject: str, minor: int, currency: str) -> bool:
    """Whether an operator has settled that the processor says just this: ours stands."""
    return any(
        (d.subject, d.theirs_minor, d.theirs_currency, d.open) == (subject, minor, currency, False)
        for d in order.discrepancies
    )


def closed_by_stray(order: Order, attempt: Attempt, payment_id: str) -> Events:
    """Return what a stray capture ends: the hold that it was made of, an attempt under cancel."""
    if attempt.payment_id == payment_id and attempt.held and attempt.held.minor:
        return hold_gone(order, attempt, attempt.held)
    if not attempt.can_take_money or attempt.status == "authorized" or order.ended:
        return ()
    fenced = e.AttemptFenced(attempt_id=attempt.id, proof="capture_withheld")
    return (fenced, *finish(order, attempt, may_go_on=False))


def hold_gone(order: Order, attempt: Attempt, held: Money) -> Events:
    """Return what follows when the order's own hold is given back."""
    voided = e.OrderVoided(attempt_id=attempt.id, processor=attempt.processor, amount=held)
    if attempt.status == "authorized" and not order.ended:
        return (voided, e.OrderCancelled(reason=order.cancel_reason))
    return (voided,)


def invalid_status(order: Order, verb: str) -> Rejected:
    """Return the refusal of a verb in this status."""
    return Rejected("invalid_status", f"An order that is {order.status} cannot be {verb}.")


def order_quarantined() -> Rejected:
    """Return the refusal of what would move money under a discrepancy."""
    return Rejected(
        "order_quarantined", "The processor's amount differs from ours; an operator has to look."
    )


def no_processor(decision: Decision) -> Rejected:
    """Return the refusal, with every candidate's reason."""
    candidates = [{"processor": c.processor, "reason": c.reason} for c in decision.candidates]
    return Rejected("no_processor", "No processor can take this order.", candidates=candidates)

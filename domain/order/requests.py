"""The rules of what is asked of an order: by merchants, by operators, by the saga itself."""

from msgspec.structs import replace

from domain import events as e
from domain.errors import Rejected
from domain.money import AMOUNT_MAX, Money
from domain.order import commands as c
from domain.order.rules import (
    ATTEMPTS_MAX,
    Events,
    after_authorization,
    capture_intent,
    failed_with,
    finish,
    goes_on,
    invalid_status,
    may_ask_again,
    no_processor,
    order_quarantined,
    stray_refund,
    void_intent,
)
from domain.order.state import Order
from domain.routing import Decision


def create(command: c.CreateOrder) -> Events:
    """Accept an order whose amount was checked where it came in."""
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


def pay(order: Order, command: c.Pay) -> Events:
    """Try a processor; refused by status, quarantine, too many tries and without a candidate."""
    check_payable(order)
    if command.decision.chosen is None:
        raise no_processor(command.decision)
    assert not any(a.can_take_money for a in order.attempts), "earlier attempts are closed"

    return (_routed(order, command, command.decision),)


def check_payable(order: Order) -> None:
    """Refuse to pay an order by status, quarantine and too many tries, in this order."""
    if order.status != "pending" and not order.awaits_customer:
        raise invalid_status(order, "paid")
    if order.cancel_requested:
        raise invalid_status(order, "paid")
    if order.quarantine:
        raise order_quarantined()
    if len(order.attempts) >= ATTEMPTS_MAX:
        raise Rejected("invalid_status", f"This order was tried {ATTEMPTS_MAX} times already.")


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
        hosted=command.hosted if isinstance(command, c.Pay) else order.page_open,
    )


def fail_over(order: Order, command: c.FailOver) -> Events:
    """Go on after a closed attempt, to the routed processor or to the end."""
    live = order.live
    if live is None or not goes_on(order) or order.quarantine:
        return ()
    if command.decision is None or command.decision.chosen is None or order.cancel_requested:
        retry_class = live.failure.retry_class if live.failure else "failover"
        if may_ask_again(order, retry_class):
            proof = live.proof or "cancelled_at_processor"
            return (e.AttemptFenced(attempt_id=live.id, proof=proof, next="customer"),)
        return finish(order, live, may_go_on=False)
    return (_routed(order, command, command.decision),)


def request_capture(order: Order, command: c.RequestCapture) -> Events:
    """Grant the capture; refused by status, quarantine, amount and ability, in this order."""
    live = order.live
    held = (
        live.held.minor if live and live.held and live.status in {"authorized", "captured"} else 0
    )
    amount = held if command.amount_minor is None else command.amount_minor
    if live is None or held == 0 or order.cancel_requested or order.pending_capture:
        raise invalid_status(order, "captured")
    if live.void_key or order.ended:
        raise invalid_status(order, "captured")
    if order.quarantine:
        raise order_quarantined()
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

    return (capture_intent(order, live, command.capture_id, amount, final=command.final),)


def cancel(order: Order, command: c.Cancel) -> Events:
    """End the order, or see to it that nothing captures from here on; repeating it says nothing."""
    live = order.live
    if order.ended == "cancelled" or order.cancel_requested:
        return ()
    if order.ended or order.amount_captured or order.pending_capture:
        raise invalid_status(order, "cancelled")
    if order.quarantine:
        raise order_quarantined()

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
            return (requested, void_intent(live))
        fenced = e.AttemptFenced(attempt_id=live.id, proof="capture_withheld")
        return (requested, fenced, cancelled)
    return (requested,)


def request_refund(order: Order, command: c.RequestRefund) -> Events:
    """Send captured money back; refused by status, quarantine and what is left, in this order."""
    live = order.live
    if live is None or order.amount_captured == 0:
        raise invalid_status(order, "refunded")
    if order.quarantine:
        raise order_quarantined()
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


def refund_stray(order: Order, command: c.RefundStray) -> Events:
    """Send stray money back again whose refund came to nothing."""
    stray = order.stray(command.payment_id)
    if stray is None or stray.state != "captured" or not stray.open:
        return ()
    if any(r.status in {"pending", "unknown"} for r in order.stray_refunds(stray)):
        return ()
    return (stray_refund(stray, command.refund_id, order.owed(stray)),)


def warn_expiring(order: Order, command: c.WarnExpiring) -> Events:
    """Tell the merchant once that a hold lapses soon."""
    attempt = order.attempt(command.attempt_id)
    if attempt is None or attempt.status != "authorized" or attempt.expiring_warned:
        return ()
    if attempt.capture_before is None or order.cancel_requested:
        return ()
    warned = e.AuthorizationExpiring(attempt_id=attempt.id, capture_before=attempt.capture_before)
    return (warned,)


def expire_session(order: Order) -> Events:
    """End an order that nobody paid in time."""
    if order.ended or (order.status != "pending" and not order.awaits_customer):
        return ()
    if order.expires_at is None:
        return (failed_with("authentication_timeout"),) if order.awaits_customer else ()
    return (e.OrderExpired(cause="session"),)


def resolve(order: Order, command: c.ResolveDiscrepancy) -> Events:
    """Settle a discrepancy; with the last one the order goes on where it stood."""
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
    return (resolved, *after_authorization(settled, live, command.capture_id))

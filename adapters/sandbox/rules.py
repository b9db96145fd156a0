"""The bank's rules: what a request does to a payment and what is answered; no I/O, no clock."""

from typing import TypeAlias

from msgspec.structs import replace

from adapters.sandbox.objects import Answer, Capture, Payment, Refund, Result, View
from adapters.sandbox.tokens import PENDING_LOOKS, script_of

Change: TypeAlias = tuple[View, Answer]


def as_of(view: View, now_us: int) -> View:
    """Let time pass: a hold lapses at its end, and a pending authorization is looked at."""
    payment = view.payment
    if payment.held and payment.capture_before_us and now_us >= payment.capture_before_us:
        return _with(view, _lapsed(payment, now_us))
    if payment.status != "processing":
        return view
    if payment.looks >= PENDING_LOOKS:
        return _with(view, _authorized(payment, now_us))
    return _with(view, replace(payment, looks=payment.looks + 1))


def looked_at(view: View, now_us: int) -> View:
    """Let a lookup find what only takes time one step further."""
    payment = view.payment
    if payment.status == "challenged" and script_of(payment.token).challenge_auto:
        view = _with(view, _answered_challenge(payment, now_us, approve=True))
    refunds = tuple(_refund_later(refund, now_us) for refund in view.refunds)
    return replace(view, refunds=refunds)


def confirm(view: View, now_us: int, *, repeated: bool) -> Change:
    """Hold the money, ask for a challenge, or decline. `repeated`: it was pending before."""
    payment = view.payment
    if payment.status in {"cancelled", "expired"}:
        return view, refused(payment, now_us, f"payment_{payment.status}")
    if payment.authorized and not repeated:
        return view, refused(payment, now_us, "already_authorized")
    if payment.status in {"open", "declined"}:
        payment = _tried(payment, now_us)
        view = _with(view, payment)
    return view, _confirmed(payment, now_us)


def challenge(view: View, now_us: int, *, approve: bool) -> Change:
    """Let the customer approve or fail the authentication."""
    if view.payment.status != "challenged":
        return view, refused(view.payment, now_us, "not_challenged")
    payment = _answered_challenge(view.payment, now_us, approve=approve)
    return _with(view, payment), _confirmed(payment, now_us)


def capture(view: View, new: Capture, currency: str, *, final: bool) -> Change:
    """Take held money; `final` releases the rest of the hold."""
    payment, now_us = view.payment, new.at_us
    if script_of(payment.token).lapses and payment.held:
        payment = _lapsed(payment, now_us)
        view = _with(view, payment)
    code = _why_no_capture(view, new.amount, currency)
    if code:
        gone = payment.status in {"cancelled", "expired"} or code in {
            "hold_lapsed",
            "hold_released",
        }
        return view, refused(payment, now_us, code, hold_gone=gone)
    left = 0 if final else payment.held - new.amount
    payment = replace(payment, status="captured", held=left, changed_us=now_us)
    view = replace(view, payment=payment, captures=(*view.captures, new))
    return view, ok(payment, now_us, object_id=new.id, amount=new.amount)


def _why_no_capture(view: View, amount: int, currency: str) -> str | None:
    payment = view.payment
    if payment.status in {"cancelled", "expired"}:
        return f"payment_{payment.status}"
    if not payment.authorized:
        return "not_authorized"
    if currency != payment.currency:
        return "currency_mismatch"
    if amount < 1:
        return "invalid_amount"
    if amount > payment.held:
        return _why_too_much(view)
    return script_of(payment.token).capture


def _why_too_much(view: View) -> str:
    """Tell money that was taken from a rest that lapsed or was released."""
    payment = view.payment
    if not payment.held and payment.lapsed_us is not None:
        return "hold_lapsed"
    if not payment.held and payment.cancelled_us is not None:
        return "hold_released"
    return "already_captured" if view.captures else "amount_too_large"


def cancel(view: View, now_us: int) -> Change:
    """Release what is held; without captures the payment is closed for ever."""
    payment = view.payment
    if payment.status in {"cancelled", "expired"}:
        code = f"payment_{payment.status}"
        return view, refused(payment, now_us, code, hold_gone=True)
    if payment.status == "processing":
        return view, _answer("pending", payment, now_us)
    if payment.status == "captured" and not payment.held:
        return view, refused(payment, now_us, "already_captured")
    code = script_of(payment.token).cancel if payment.held else None
    if code:
        return view, refused(payment, now_us, code)
    status = "captured" if view.captures else "cancelled"
    closed = replace(payment, status=status, held=0, cancelled_us=now_us, changed_us=now_us)
    return _with(view, closed), ok(closed, now_us, amount=payment.held)


def refund(view: View, new: Refund, currency: str, *, by_merchant: bool) -> Change:
    """Send captured money back, up to what was captured."""
    payment, now_us, script = view.payment, new.at_us, script_of(view.payment.token)
    code = _why_no_refund(view, new.amount, currency)
    if code is None and by_merchant:
        code = script.refund
    if code:
        return view, refused(payment, now_us, code)
    if script.refund_pending and by_merchant:
        new = replace(new, status="pending", looks=1)
    payment = replace(payment, changed_us=now_us)
    view = replace(view, payment=payment, refunds=(*view.refunds, new))
    return view, _refunded(payment, new)


def _why_no_refund(view: View, amount: int, currency: str) -> str | None:
    if not view.captures:
        return "not_captured"
    if currency != view.payment.currency:
        return "currency_mismatch"
    if amount < 1:
        return "invalid_amount"
    if amount > view.refundable:
        return "already_refunded" if view.refundable == 0 else "refund_exceeds_captured"
    return None


def refund_again(view: View, refund_id: str, now_us: int) -> Change:
    """Look at a refund that was pending when it was asked for."""
    refunds = tuple(
        _refund_later(refund, now_us) if refund.id == refund_id else refund
        for refund in view.refunds
    )
    known = next(refund for refund in refunds if refund.id == refund_id)
    return replace(view, refunds=refunds), _refunded(view.payment, known)


def refund_fails(view: View, refund_id: str, now_us: int, code: str) -> Change:
    """Let a refund that had succeeded come back."""
    failed = next((r for r in view.refunds if (r.id, r.status) == (refund_id, "succeeded")), None)
    if failed is None:
        return view, refused(view.payment, now_us, "refund_not_succeeded")
    failed = replace(failed, status="failed", code=code, at_us=now_us)
    refunds = tuple(failed if refund.id == refund_id else refund for refund in view.refunds)
    payment = replace(view.payment, changed_us=now_us)
    view = replace(view, payment=payment, refunds=refunds)
    return view, ok(payment, now_us, object_id=refund_id, amount=failed.amount)


def ok(payment: Payment, now_us: int, *, object_id: str | None = None, amount: int = 0) -> Answer:
    """Answer that it was done."""
    return _answer("ok", payment, now_us, object_id=object_id, amount=amount)


def refused(payment: Payment, now_us: int, code: str, *, hold_gone: bool = False) -> Answer:
    """Answer a definite no."""
    return replace(_answer("refused", payment, now_us), code=code, hold_gone=hold_gone)


def _answer(
    result: Result, payment: Payment, now_us: int, *, object_id: str | None = None, amount: int = 0
) -> Answer:
    return Answer(
        result=result,
        at_us=now_us,
        reference=payment.reference,
        object_id=object_id or payment.reference,
        token=payment.token,
        amount=amount,
        currency=payment.currency,
    )


def _with(view: View, payment: Payment) -> View:
    return replace(view, payment=payment)


def _tried(payment: Payment, now_us: int) -> Payment:
    """Ask the card's own bank: the token says what it answers."""
    script = script_of(payment.token)
    if script.challenge:
        return replace(payment, status="challenged", challenge_approved=None, changed_us=now_us)
    if script.pending:
        return replace(payment, status="processing", looks=1, changed_us=now_us)
    return _decided(payment, now_us, script.decline)


def _answered_challenge(payment: Payment, now_us: int, *, approve: bool) -> Payment:
    payment = replace(payment, challenge_approved=approve)
    code = script_of(payment.token).decline if approve else "authentication_failed"
    return _decided(payment, now_us, code)


def _decided(payment: Payment, now_us: int, decline_code: str | None) -> Payment:
    if decline_code is None:
        return _authorized(payment, now_us)
    return replace(payment, status="declined", decline_code=decline_code, changed_us=now_us)


def _authorized(payment: Payment, now_us: int) -> Payment:
    assert payment.status in {"open", "declined", "challenged", "processing"}
    amount = payment.amount
    if script_of(payment.token).wrong_amount:
        amount = amount - 1 or 2
    return replace(
        payment,
        status="authorized",
        authorized=amount,
        held=amount,
        decline_code=None,
        authorized_us=now_us,
        capture_before_us=now_us + payment.hold_us,
        changed_us=now_us,
    )


def _lapsed(payment: Payment, now_us: int) -> Payment:
    status = "captured" if payment.status == "captured" else "expired"
    return replace(payment, status=status, held=0, lapsed_us=now_us, changed_us=now_us)


def _confirmed(payment: Payment, now_us: int) -> Answer:
    """Say how an authorization stands."""
    match payment.status:
        case "processing":
            return _answer("pending", payment, now_us)
        case "challenged":
            return _answer("challenged", payment, now_us)
        case "declined":
            return refused(payment, now_us, payment.decline_code or "generic_decline")
        case _:
            answer = ok(payment, payment.authorized_us or now_us, amount=payment.authorized)
            return replace(answer, capture_before_us=payment.capture_before_us)


def _refund_later(refund: Refund, now_us: int) -> Refund:
    if refund.status != "pending":
        return refund
    if refund.looks >= PENDING_LOOKS:
        return replace(refund, status="succeeded", at_us=now_us)
    return replace(refund, looks=refund.looks + 1)


def _refunded(payment: Payment, refund: Refund) -> Answer:
    if refund.status == "failed":
        return refused(payment, refund.at_us, refund.code or "refund_failed")
    result = "ok" if refund.status == "succeeded" else "pending"
    return _answer(result, payment, refund.at_us, object_id=refund.id, amount=refund.amount)

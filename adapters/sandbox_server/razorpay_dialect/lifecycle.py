"""How Razorpay's payments go on: authorized, captured, failed, late, and refunded by themselves."""

from typing import Any, Final

from adapters.sandbox_server.box import Call
from adapters.sandbox_server.ids import razorpay_id
from adapters.sandbox_server.outcomes import SETTLE_S, of_amount
from adapters.sandbox_server.razorpay_dialect import entities, events
from adapters.sandbox_server.razorpay_dialect.entities import ORDER, PAYMENT, REFUND
from adapters.sandbox_server.razorpay_dialect.errors import OF_AMOUNTS
from adapters.sandbox_server.razorpay_dialect.instruments import PENDING, SUCCESS
from adapters.sandbox_server.wire import Json

TIMEOUT_S: Final = 600
DISPUTE_S: Final = 1
_DAY_S: Final = 86_400


def begin(call: Call, payment: Json, order: Json | None) -> None:
    """Store a payment that the customer has begun; it times out if nothing comes of it."""
    call.store.add(PAYMENT, payment, account=call.account, parent=payment["order_id"])
    if order:
        order["attempts"] += 1
        order["status"] = "attempted"
        call.store.save(ORDER, order)
    money(call, payment, "opened", payment["amount"])
    call.box.schedule("razorpay.timeout", call, payment["id"], TIMEOUT_S)


def go_on(call: Call, payment: Json) -> None:
    """Do what instrument and amount say once the customer has done everything."""
    outcome = of_amount(payment["amount"])
    named = payment["_outcome"]
    if named in (PENDING, "payment_timed_out"):
        return
    if named != SUCCESS:
        fail(call, payment, named)
    elif outcome.decline or outcome.challenge == "decline":
        fail(call, payment, OF_AMOUNTS[outcome.decline or "generic_decline"])
    elif outcome.settles:
        call.store.save(PAYMENT, payment)
        call.box.schedule("razorpay.settle", call, payment["id"], SETTLE_S)
    elif outcome.late_s:
        fail(call, payment, "payment_timed_out")
        call.box.schedule("razorpay.late", call, payment["id"], outcome.late_s)
    else:
        authorize(call, payment, late=False)


def needs_customer(payment: Json) -> bool:
    """Tell whether the customer has to authenticate first."""
    return of_amount(payment["amount"]).challenge is not None and not payment["_authenticated"]


def authorize(call: Call, payment: Json, *, late: bool) -> None:
    """Hold the money; of two on one order the later one goes back at once."""
    order = _order(call, payment)
    taken = order is not None and is_taken(call, order)
    payment.update(status="authorized", late_authorized=late)
    payment["acquirer_data"] = {"auth_code": "123456"}
    for name in ("code", "description", "source", "step", "reason"):
        payment[f"error_{name}"] = None
    call.store.save(PAYMENT, payment)
    call.box.unschedule("razorpay.timeout", payment["id"])
    money(call, payment, "authorized", payment["amount"])
    events.emit(call, "payment.authorized", payment)
    if taken:
        give_back(call, payment)
    elif _captures_itself(call, payment, order, late=late):
        capture(call, payment)
    else:
        call.box.schedule("razorpay.expire", call, payment["id"], _waits_s(call, payment, order))


def is_taken(call: Call, order: Json) -> bool:
    """Tell whether an order is paid or has an authorized payment, and takes no other."""
    if order["status"] == "paid":
        return True
    others = call.store.children(PAYMENT, order["id"])
    return any(one["status"] in ("authorized", "captured") for one in others)


def capture(call: Call, payment: Json) -> None:
    """Take the held money."""
    fee = payment["amount"] * 236 // 10_000
    payment.update(status="captured", captured=True, fee=fee, tax=fee * 18 // 118)
    call.store.save(PAYMENT, payment)
    call.box.unschedule("razorpay.expire", payment["id"])
    money(call, payment, "captured", payment["amount"])
    events.emit(call, "payment.captured", payment)
    order = _order(call, payment)
    if order:
        order.update(status="paid", amount_paid=payment["amount"], amount_due=0)
        call.store.save(ORDER, order)
        events.emit(call, "order.paid", payment, order=order)
    dispute = of_amount(payment["amount"]).dispute
    if dispute:
        call.box.schedule("razorpay.dispute", call, payment["id"], DISPUTE_S, how=dispute)


def fail(call: Call, payment: Json, reason: str) -> None:
    """Let a payment fail; it may be authorized all the same, later."""
    entities.failed(payment, reason)
    call.store.save(PAYMENT, payment)
    call.box.unschedule("razorpay.timeout", payment["id"])
    events.emit(call, "payment.failed", payment)


def give_back(call: Call, payment: Json) -> None:
    """Refund a payment that was never captured: Razorpay does it of itself."""
    refund = new_refund(call, payment, payment["amount"], speed="normal", receipt=None, notes=[])
    refund["status"] = "processed"
    call.store.add(REFUND, refund, account=call.account, parent=payment["id"])
    payment.update(status="refunded", refund_status="full", amount_refunded=payment["amount"])
    call.store.save(PAYMENT, payment)
    money(call, payment, "released", payment["amount"])
    money(call, payment, "voided", 0)
    events.emit(call, "refund.created", payment, refund=refund)
    events.emit(call, "refund.processed", payment, refund=refund)


def new_refund(
    call: Call, payment: Json, amount: int, *, speed: str, receipt: str | None, notes: Any
) -> Json:
    """Give a refund that has not been stored."""
    return {
        "id": razorpay_id("rfnd_"),
        "entity": "refund",
        "amount": amount,
        "currency": payment["currency"],
        "payment_id": payment["id"],
        "notes": notes,
        "receipt": receipt,
        "acquirer_data": {"arn": None},
        "created_at": call.now,
        "batch_id": None,
        "status": "pending",
        "speed_processed": "normal",
        "speed_requested": speed,
    }


def money(call: Call, payment: Json, op: str, amount: int) -> None:
    """Write a movement into the books."""
    call.money("razorpay", op, payment["id"], payment["_order_ref"], amount, payment["currency"])


def times_out(call: Call, _: Json) -> None:
    """Fail a payment that nothing came of (timer)."""
    payment = _payment(call)
    if payment["status"] == "created":
        fail(call, payment, "payment_timed_out")


def settles(call: Call, _: Json) -> None:
    """End the processing (timer)."""
    payment = _payment(call)
    if payment["status"] != "created":
        return
    if of_amount(payment["amount"]).settles == "fails":
        fail(call, payment, "payment_failed")
    else:
        authorize(call, payment, late=False)


def comes_late(call: Call, _: Json) -> None:
    """Authorize a payment that had failed or is still open (timer)."""
    payment = _payment(call)
    if payment["status"] in ("failed", "created"):
        authorize(call, payment, late=True)


def expires(call: Call, _: Json) -> None:
    """Give back what nobody captured in time (timer)."""
    payment = _payment(call)
    if payment["status"] == "authorized":
        give_back(call, payment)


def _payment(call: Call) -> Json:
    found = call.store.get(PAYMENT, call.id)
    assert found is not None, call.id
    return found


def _order(call: Call, payment: Json) -> Json | None:
    return call.store.get(ORDER, payment["order_id"]) if payment["order_id"] else None


def _captures_itself(call: Call, payment: Json, order: Json | None, *, late: bool) -> bool:
    if late and call.box.option("razorpay_late_capture"):
        return True
    if order is None or order["_capture"]["how"] != "automatic":
        return False
    limit_s = order["_capture"]["automatic_s"] or 3 * _DAY_S
    return bool(call.now <= payment["created_at"] + limit_s)


def _waits_s(call: Call, payment: Json, order: Json | None) -> int:
    coded = of_amount(payment["amount"]).expires_s
    asked = order["_capture"]["manual_s"] if order else None
    days: int = call.box.option("razorpay_auto_refund_days")
    return coded or asked or days * _DAY_S

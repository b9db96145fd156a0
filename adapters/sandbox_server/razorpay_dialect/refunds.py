"""`/v1/payments/:id/refund` and `/v1/refunds`: each key once, if the option lets it."""

import hashlib
import re
from typing import Any, Final

import msgspec

from adapters.sandbox_server.box import Call, spoil, strike
from adapters.sandbox_server.outcomes import PLAIN, SETTLE_S, of_amount
from adapters.sandbox_server.razorpay_dialect import events, lifecycle
from adapters.sandbox_server.razorpay_dialect.entities import PAYMENT, REFUND, public
from adapters.sandbox_server.razorpay_dialect.errors import RazorpayError, failure, invalid
from adapters.sandbox_server.razorpay_dialect.fields import (
    collection,
    load,
    notes_of,
    page,
)
from adapters.sandbox_server.razorpay_dialect.payments import amount_asked
from adapters.sandbox_server.wire import Answer, Json, json_answer

_KEY: Final = re.compile(r"[A-Za-z0-9_-]{10,}")
_SPEEDS: Final = ("normal", "optimum")
SLOW_AMOUNT: Final = 2468
"""Razorpay's own test amount: the instant refund does not work and becomes a normal one."""


def create(call: Call) -> Answer:
    """Answer `POST /v1/payments/:id/refund`."""
    key = call.headers.get("x-refund-idempotency")
    if not key or not call.box.option("razorpay_refund_idempotency"):
        return _create(call)
    if not _KEY.fullmatch(key):
        raise invalid("The idempotency key has at least 10 characters of A-Z a-z 0-9 - _.")
    asked = msgspec.json.encode([call.id, call.params], order="sorted")
    fingerprint = hashlib.sha256(asked).digest()
    scope = f"razorpay {call.account}"
    row = call.store.db.execute(
        "SELECT fingerprint, answer FROM keys WHERE scope = ? AND key = ?", (scope, key)
    ).fetchone()
    if row and row["fingerprint"] != fingerprint:
        raise _conflict(call)
    if row:
        kept: Any = msgspec.msgpack.decode(row["answer"])
        answer = json_answer(kept["status"], msgspec.Raw(kept["body"]))
        answer.replayed = True
        return answer
    answer = _create(call)
    stored = msgspec.msgpack.encode({"status": answer.status, "body": answer.body})
    call.store.db.execute(
        "INSERT INTO keys VALUES (?, ?, ?, ?, ?)",
        (scope, key, fingerprint, stored, call.box.clock.now()),
    )
    return answer


def make(
    call: Call, payment: Json, amount: int, *, speed: str, receipt: str | None, notes: Any
) -> Json:
    """Refund captured money without asking; the amount of the payment says how it goes."""
    refund = lifecycle.new_refund(call, payment, amount, speed=speed, receipt=receipt, notes=notes)
    fate = of_amount(payment["amount"]).refund
    refund["status"] = "pending" if fate == "pending" else "processed"
    instant = speed == "optimum" and amount != SLOW_AMOUNT
    refund["speed_processed"] = "instant" if instant else "normal"
    call.store.add(REFUND, refund, account=call.account, parent=payment["id"])
    payment["amount_refunded"] += amount
    _sum_up(call, payment)
    lifecycle.money(call, payment, "refunded", amount)
    events.emit(call, "refund.created", payment, refund=refund)
    if speed == "optimum" and not instant:
        events.emit(call, "refund.speed_changed", payment, refund=refund)
    if refund["status"] == "processed":
        events.emit(call, "refund.processed", payment, refund=refund)
    if fate:
        call.box.schedule("razorpay.refund", call, refund["id"], SETTLE_S)
    return refund


def settles(call: Call, _: Json) -> None:
    """End a refund as the amount says (timer)."""
    refund = load(call, REFUND)
    payment = load(call, PAYMENT, refund["payment_id"])
    if refund["status"] == "pending":
        refund["status"] = "processed"
        call.store.save(REFUND, refund)
        events.emit(call, "refund.processed", payment, refund=refund)
    else:
        fails(call, refund)


def fails(call: Call, refund: Json) -> None:
    """Let a refund come back; one that has failed stays failed."""
    if refund["status"] == "failed":
        return
    payment = load(call, PAYMENT, refund["payment_id"])
    refund["status"] = "failed"
    call.store.save(REFUND, refund)
    payment["amount_refunded"] -= refund["amount"]
    _sum_up(call, payment)
    lifecycle.money(call, payment, "refund_failed", refund["amount"])
    events.emit(call, "refund.failed", payment, refund=refund)


def retrieve(call: Call) -> Json:
    """Answer `GET /v1/refunds/:id`."""
    return load(call, REFUND)


def update(call: Call) -> Json:
    """Answer `PATCH /v1/refunds/:id`: the notes."""
    refund = load(call, REFUND)
    refund["notes"] = notes_of(call.params)
    call.store.save(REFUND, refund)
    return refund


def listed(call: Call) -> Json:
    """Answer `GET /v1/refunds`."""
    return page(call, REFUND)


def of_payment(call: Call) -> Json:
    """Answer `GET /v1/payments/:id/refunds`, newest first."""
    load(call, PAYMENT)
    return collection(call.store.children(REFUND, call.id)[::-1])


def of_payment_one(call: Call) -> Json:
    """Answer `GET /v1/payments/:id/refunds/:id`."""
    return load(call, REFUND, call.rest)


def _create(call: Call) -> Answer:
    payment = load(call, PAYMENT)
    speed = call.params.get("speed") or "normal"
    if speed not in _SPEEDS:
        raise invalid("The speed is normal or optimum.", field="speed")
    notes = notes_of(call.params)
    if not payment["captured"]:
        raise invalid("The payment status should be captured for action to be taken")
    left = payment["amount"] - payment["amount_refunded"]
    if left == 0:
        raise invalid("The payment has been fully refunded already")
    amount = amount_asked(call, left)
    if amount < 1:
        raise invalid("The amount must be at least 1.", field="amount")
    if amount > left:
        raise invalid("The total refund amount is greater than the refund payment amount",
                      field="amount")  # fmt: skip
    coded = of_amount(amount) if amount != payment["amount"] else PLAIN
    stored = strike(call, coded, f"refund {payment['id']} {amount}", failure)
    if stored:
        return stored
    receipt = call.params.get("receipt")
    refund = make(call, payment, amount, speed=speed, receipt=receipt, notes=notes)
    return spoil(coded, json_answer(200, public(refund)), failure)


def _sum_up(call: Call, payment: Json) -> None:
    back, whole = payment["amount_refunded"], payment["amount"]
    payment["refund_status"] = "full" if back == whole else "partial" if back else None
    payment["status"] = "refunded" if back == whole else "captured"
    call.store.save(PAYMENT, payment)


def _conflict(call: Call) -> RazorpayError:
    status: int = call.box.option("razorpay_refund_key_conflict")
    return invalid("Different request body for the same idempotency key.", status=status)

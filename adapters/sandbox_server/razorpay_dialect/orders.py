"""`/v1/orders`."""

from typing import Any, Final

from adapters.sandbox_server.box import Call
from adapters.sandbox_server.ids import razorpay_id
from adapters.sandbox_server.razorpay_dialect.entities import ORDER, PAYMENT
from adapters.sandbox_server.razorpay_dialect.errors import invalid
from adapters.sandbox_server.razorpay_dialect.fields import (
    amount_of,
    collection,
    load,
    notes_of,
    page,
    whole,
)
from adapters.sandbox_server.wire import Json

RECEIPT_MAX: Final = 40
EXPIRY_MIN: Final = 12
EXPIRY_MAX: Final = 7200
"""Minutes."""


def create(call: Call) -> Json:
    """Answer `POST /v1/orders`; with `unique_receipt` the same receipt gives the same order."""
    params = call.params
    amount, currency = amount_of(params)
    receipt = params.get("receipt")
    if receipt is not None and (not isinstance(receipt, str) or len(receipt) > RECEIPT_MAX):
        raise invalid("The receipt may not be greater than 40 characters.", field="receipt")
    notes = notes_of(params)
    capture = _capture(params)
    if params.get("unique_receipt") in (True, "true", 1) and receipt:
        known = _of_receipt(call, receipt)
        if known:
            return _again(call, known, amount, currency)
    order: Json = {
        "id": razorpay_id("order_"),
        "entity": "order",
        "amount": amount,
        "amount_paid": 0,
        "amount_due": amount,
        "currency": currency,
        "receipt": receipt,
        "offer_id": None,
        "status": "created",
        "attempts": 0,
        "notes": notes,
        "created_at": call.now,
        "_key_id": call.headers["_key_id"],
        "_capture": capture,
    }
    call.store.add(ORDER, order, account=call.account, parent=receipt)
    return order


def retrieve(call: Call) -> Json:
    """Answer `GET /v1/orders/:id`."""
    return load(call, ORDER)


def update(call: Call) -> Json:
    """Answer `PATCH /v1/orders/:id`: the notes."""
    order = load(call, ORDER)
    order["notes"] = notes_of(call.params)
    call.store.save(ORDER, order)
    return order


def listed(call: Call) -> Json:
    """Answer `GET /v1/orders`: by `receipt` if asked, with `expand[]=payments` whole."""
    receipt = call.params.get("receipt")
    found = page(call, ORDER, parent=receipt)
    if call.params.get("expand[]") != "payments":
        return found
    for order in found["items"]:
        order["payments"] = collection(call.store.children(PAYMENT, order["id"])[::-1])
    return found


def payments(call: Call) -> Json:
    """Answer `GET /v1/orders/:id/payments`, newest first."""
    load(call, ORDER)
    return collection(call.store.children(PAYMENT, call.id)[::-1])


def _of_receipt(call: Call, receipt: str) -> Json | None:
    found = call.store.newest(ORDER, call.account, where="AND parent = ?", values=(receipt,))
    return next(found, None)


def _again(call: Call, known: Json, amount: int, currency: str) -> Json:
    """Give the order of this receipt; other money is a conflict, by option or the same order."""
    same = (known["amount"], known["currency"]) == (amount, currency)
    if not same and call.box.option("razorpay_unique_receipt_conflict") == "error":
        raise invalid("An order with this receipt exists with other values.", field="receipt")
    return known


def _capture(params: Json) -> Json:
    """Give when payments are captured, in seconds after they were made."""
    payment = params.get("payment") or {}
    if not isinstance(payment, dict):
        raise invalid("The payment must be an object.", field="payment")
    options = payment.get("capture_options") or {}
    if not isinstance(options, dict):
        raise invalid("The capture options must be an object.", field="payment.capture_options")
    how = payment.get("capture")
    legacy = params.get("payment_capture")
    if how is None:
        how = "automatic" if legacy in (1, "1", True) else "manual"
    if how not in ("automatic", "manual"):
        raise invalid("The capture is automatic or manual.", field="payment.capture")
    return {
        "how": how,
        "automatic_s": _minutes(options, "automatic_expiry_period"),
        "manual_s": _minutes(options, "manual_expiry_period"),
    }


def _minutes(options: Any, name: str) -> int | None:
    value = whole(options, name)
    if value is None:
        return None
    if not EXPIRY_MIN <= value <= EXPIRY_MAX:
        raise invalid(f"The {name} is 12 to 7200 minutes.", field=name)
    return value * 60

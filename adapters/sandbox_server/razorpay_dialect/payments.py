"""`/v1/payments`: reading, capturing, and paying from the merchant's server (S2S)."""

import hashlib
import hmac
import re
from typing import Final

from adapters.sandbox_server.box import Call, spoil, strike
from adapters.sandbox_server.outcomes import CODES, PLAIN, of_amount
from adapters.sandbox_server.razorpay_dialect import entities, instruments, lifecycle
from adapters.sandbox_server.razorpay_dialect.entities import ORDER, PAYMENT, public
from adapters.sandbox_server.razorpay_dialect.errors import failure, invalid, of_payment
from adapters.sandbox_server.razorpay_dialect.fields import (
    amount_of,
    load,
    notes_of,
    page,
    whole,
)
from adapters.sandbox_server.razorpay_dialect.instruments import Instrument
from adapters.sandbox_server.wire import Answer, Json, json_answer

_OTP: Final = re.compile(r"\d{4,10}")


def retrieve(call: Call) -> Json:
    """Answer `GET /v1/payments/:id`."""
    return load(call, PAYMENT)


def listed(call: Call) -> Json:
    """Answer `GET /v1/payments`."""
    return page(call, PAYMENT)


def update(call: Call) -> Json:
    """Answer `PATCH /v1/payments/:id`: the notes."""
    payment = load(call, PAYMENT)
    payment["notes"] = notes_of(call.params)
    call.store.save(PAYMENT, payment)
    return payment


def card(call: Call) -> Json:
    """Answer `GET /v1/payments/:id/card`."""
    payment = load(call, PAYMENT)
    if "card" not in payment:
        raise invalid("The payment was not made with a card.")
    found: Json = payment["card"]
    return found


def capture(call: Call) -> Answer:
    """Answer `POST /v1/payments/:id/capture`: the whole amount, once."""
    payment = load(call, PAYMENT)
    amount, currency = amount_of({"currency": payment["currency"], **call.params})
    if payment["captured"]:
        raise invalid("This payment has already been captured")
    if payment["status"] != "authorized":
        raise invalid("Only payments which have been authorized and not yet captured can be "
                      "captured")  # fmt: skip
    if amount != payment["amount"]:
        raise invalid("Capture amount must be equal to the amount authorized", field="amount")
    if currency != payment["currency"]:
        raise invalid("The currency must be the payment's.", field="currency")
    coded = PLAIN if payment["_s2s"] else of_amount(amount)
    stored = strike(call, coded, f"capture {payment['id']}", failure)
    if stored:
        return stored
    lifecycle.capture(call, payment)
    return spoil(coded, json_answer(200, public(payment)), failure)


def create(call: Call) -> Answer:
    """Answer `POST /v1/payments/create/json`: cards are then authenticated, tokens pay at once."""
    fields = dict(call.params)
    instrument = instruments.of_fields(fields)
    for name in ("order_id", "callback_url"):
        if not isinstance(fields.get(name) or "", str):
            raise invalid(f"The {name} must be a string.", field=name)
    order = load(call, ORDER, fields["order_id"]) if fields.get("order_id") else None
    amount, currency = amount_of(fields)
    if order and (amount, currency) != (order["amount"], order["currency"]):
        raise invalid("Payment amount is different from your order amount. To pay successfully, "
                      "please try using right amount.", field="amount")  # fmt: skip
    fields |= {"notes": notes_of(fields), "amount": amount, "_key_id": call.headers["_key_id"]}
    check_open(call, order)
    coded = of_amount(amount) if instrument.silent else PLAIN
    stored = strike(call, coded, f"create {fields.get('order_id')} {amount % CODES}", failure)
    if stored:
        return stored
    payment = begun(call, order, fields, instrument, s2s=True)
    if not instrument.silent:
        return json_answer(200, _going_on(call, payment))
    return spoil(coded, ended(call, payment), failure)


def check_open(call: Call, order: Json | None) -> None:
    """Refuse another payment on an order that takes none.

    Raises:
        RazorpayError: it is paid, being paid, or has no attempts left.
    """
    if order is None:
        return
    if lifecycle.is_taken(call, order):
        raise invalid("Payment already done for this order.")
    limit: int = call.box.option("razorpay_attempts_per_order")
    if limit and order["attempts"] >= limit:
        raise invalid("The order has no attempts left.")


def begun(
    call: Call, order: Json | None, fields: Json, instrument: Instrument, *, s2s: bool
) -> Json:
    """Begin a payment; give it."""
    payment = entities.payment(call, order, fields, instrument)
    payment.update(_s2s=s2s, _authenticated=s2s and instrument.silent)
    lifecycle.begin(call, payment, order)
    return payment


def ended(call: Call, payment: Json) -> Answer:
    """Go on with a payment; answer with the signed triple, an error or what is next."""
    if lifecycle.needs_customer(payment):
        return json_answer(200, _going_on(call, payment))
    lifecycle.go_on(call, payment)
    if payment["status"] == "failed":
        return json_answer(400, {"error": of_payment(payment)})
    if payment["status"] == "created":
        return json_answer(200, {"razorpay_payment_id": payment["id"], "status": "created"})
    return json_answer(200, triple(call, payment))


def triple(call: Call, payment: Json) -> Json:
    """Give the signed triple with which the checkout ends."""
    answer: Json = {"razorpay_payment_id": payment["id"]}
    if payment["order_id"]:
        key = call.store.get("razorpay.key", payment["_key_id"])
        assert key is not None, payment["_key_id"]
        text = f"{payment['order_id']}|{payment['id']}".encode()
        sign = hmac.new(key["secret"].encode(), text, hashlib.sha256).hexdigest()
        answer |= {"razorpay_order_id": payment["order_id"], "razorpay_signature": sign}
    return answer


def otp_generate(call: Call) -> Json:
    """Answer `POST /v1/payments/:id/otp_generate` and `…/otp/resend`."""
    payment = _open(call)
    base = f"{call.box.base_url}/razorpay/v1/payments/{payment['id']}/otp"
    steps = [{"action": f"otp_{verb}", "url": f"{base}/{verb}"} for verb in ("submit", "resend")]
    return {"razorpay_payment_id": payment["id"], "next": steps}


def otp_submit(call: Call) -> Answer:
    """Answer `POST /v1/payments/:id/otp/submit`: four to ten digits are right."""
    payment = _open(call)
    if not _OTP.fullmatch(str(call.params.get("otp", ""))):
        error = invalid("Entered OTP was incorrect. Re-enter to proceed.", field="otp").error
        error |= {"reason": "invalid_otp", "step": "payment_authentication"}
        return json_answer(400, {"error": error, "next": ["otp_submit", "otp_resend"]})
    coded = of_amount(payment["amount"])
    stored = strike(call, coded, f"otp {payment['id']}", failure)
    if stored:
        return stored
    payment["_authenticated"] = coded.challenge != "never"
    return spoil(coded, ended(call, payment), failure)


def _open(call: Call) -> Json:
    payment = load(call, PAYMENT)
    if payment["status"] != "created":
        raise invalid("The payment has already been processed.")
    return payment


def _going_on(call: Call, payment: Json) -> Json:
    base = f"{call.box.base_url}/razorpay/v1/payments/{payment['id']}"
    steps = [
        {"action": "redirect", "url": f"{base}/authenticate"},
        {"action": "otp_generate", "url": f"{base}/otp_generate"},
    ]
    return {"razorpay_payment_id": payment["id"], "next": steps}


def amount_asked(call: Call, left: int) -> int:
    """Give the amount of a refund; none is all that is left."""
    asked = whole(call.params, "amount")
    return left if asked is None else asked

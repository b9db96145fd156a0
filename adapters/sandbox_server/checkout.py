"""Razorpay's checkout page, and the page on which the customer authenticates a payment."""

from html import escape
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from adapters.sandbox_server.box import Box, Call
from adapters.sandbox_server.outcomes import of_amount
from adapters.sandbox_server.razorpay_dialect import instruments, lifecycle, payments
from adapters.sandbox_server.razorpay_dialect.entities import ORDER, PAYMENT
from adapters.sandbox_server.razorpay_dialect.errors import REASONS, RazorpayError, envelope
from adapters.sandbox_server.razorpay_dialect.fields import load
from adapters.sandbox_server.wire import Answer, Json, Request, html_answer, json_answer

_ERROR_SAID = ("code", "description", "reason")


def fields_of(request: Request) -> Json:
    """Give what a form, a JSON body or the query says."""
    if "json" in request.headers.get("content-type", "") and request.body:
        try:
            value: Any = msgspec.json.decode(request.body)
        except msgspec.DecodeError:
            value = None
        return value if isinstance(value, dict) else {}
    text = request.body.decode("utf-8", "replace") if request.method == "POST" else ""
    return dict(parse_qsl(request.query)) | dict(parse_qsl(text))


def answer(box: Box, request: Request, fields: Json) -> Answer:
    """Answer a customer's request: `/checkout/:order_id[/pay]`, `/v1/payments/:id/authenticate`."""
    steps = request.path.strip("/").split("/")
    if len(steps) < 2:  # noqa: PLR2004 - every page is of something; browsers ask for icons, too
        return json_answer(404, {"error": "no such page"})
    try:
        if steps[0] == "checkout":
            return _checkout(box, request, steps, fields)
        return _authenticate(box, request, steps[-2], fields)
    except RazorpayError as error:
        return envelope(error)


def _checkout(box: Box, request: Request, steps: list[str], fields: Json) -> Answer:
    order_id = steps[1]
    call = Call(box=box, account=box.store.account_of(ORDER, order_id), id=order_id)
    order = load(call, ORDER)
    if request.method == "GET":
        return html_answer(200, _checkout_page(order))
    payments.check_open(call, order)
    instrument = instruments.of_fields(fields)
    payment = payments.begun(call, order, fields, instrument, s2s=False)
    return _told(request, payment, payments.ended(call, payment))


def _authenticate(box: Box, request: Request, payment_id: str, fields: Json) -> Answer:
    call = Call(box=box, account=box.store.account_of(PAYMENT, payment_id), id=payment_id)
    payment = load(call, PAYMENT)
    if request.method == "GET":
        return html_answer(200, _authenticate_page(payment))
    if payment["status"] == "created":
        if fields.get("outcome", "approve") == "fail":
            lifecycle.fail(call, payment, "authentication_failed")
        elif of_amount(payment["amount"]).challenge != "never":
            payment["_authenticated"] = True
            return _told(request, payment, payments.ended(call, payment))
    if payment["status"] in ("authorized", "captured"):
        return _told(request, payment, json_answer(200, payments.triple(call, payment)))
    said = json_answer(400, {"status": payment["status"], "reason": payment["error_reason"]})
    return _told(request, payment, said)


def is_browser(request: Request) -> bool:
    """Tell whether the answer is shown to a customer."""
    return "html" in request.headers.get("accept", "")


def _told(request: Request, payment: Json, said: Answer) -> Answer:
    """Bring the browser to the bank, or back with the triple or the error; others get the JSON.

    What is brought back is a form that posts itself.
    """
    back = payment["_callback_url"]
    if not back or not is_browser(request):
        return said
    told = msgspec.json.decode(said.body)
    if "next" in told:
        return Answer(status=303, headers={"location": told["next"][0]["url"]})
    if error := told.pop("error", None) or ({"reason": told["reason"]} if "reason" in told else {}):
        told = {f"error[{name}]": str(error.get(name, "")) for name in _ERROR_SAID}
    inputs = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in told.items()
    )
    return html_answer(
        200,
        f'<!doctype html><title>Back to the shop</title><form method="post" '
        f'action="{escape(back)}">{inputs}<button>Go on</button></form>'
        "<script>document.forms[0].submit()</script>",
    )


def _checkout_page(order: Json) -> str:
    options = "".join(f"<option>{name}</option>" for name in ("success", "pending", *REASONS))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Checkout</title>'
        f"<h1>Checkout</h1><p>{order['amount']} {escape(order['currency'])}, {order['status']}.</p>"
        f'<form method="post" action="/checkout/{order["id"]}/pay">'
        f'<select name="outcome">{options}</select><button>Pay</button></form></html>'
    )


def _authenticate_page(payment: Json) -> str:
    buttons = "".join(
        f'<button name="outcome" value="{deed}">{deed.capitalize()}</button>'
        for deed in ("approve", "fail")
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Authentication</title>'
        f"<h1>Authentication</h1><p>{payment['amount']} {escape(payment['currency'])}</p>"
        f'<form method="post">{buttons}</form></html>'
    )

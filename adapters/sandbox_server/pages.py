"""What the customer sees: Stripe's 3-D Secure and payment pages, Razorpay's checkout."""

from html import escape
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from adapters.sandbox_server import checkout
from adapters.sandbox_server.box import Box, Call
from adapters.sandbox_server.stripe_dialect import authorize, intents, methods
from adapters.sandbox_server.stripe_dialect.errors import StripeError, envelope
from adapters.sandbox_server.stripe_dialect.objects import public
from adapters.sandbox_server.wire import Answer, Json, Request, html_answer, json_answer

_PAGES: Final = ("/3ds/", "/pay/", "/checkout/")
PAYABLE: Final = ("requires_payment_method", "requires_confirmation")


def is_page(path: str) -> bool:
    """Tell whether a path is the customer's and needs no key."""
    return path.startswith(_PAGES) or path.endswith("/authenticate")


async def answer(box: Box, request: Request) -> Answer:
    """Answer a customer's request."""
    fields = checkout.fields_of(request)
    try:
        with box.store.transaction():
            if request.path.startswith("/3ds/"):
                return _three_d_secure(box, request, fields)
            if request.path.startswith("/pay/"):
                return _pay(box, request, fields)
            return checkout.answer(box, request, fields)
    except StripeError as error:
        return envelope(error.status, error.error)


def _intent(box: Box, intent_id: str, fields: Json) -> tuple[Call, Json]:
    """Give the PaymentIntent whose client secret the customer has."""
    call = Call(box=box, account=box.store.account_of(intents.KIND, intent_id))
    pi = intents.load(call, intent_id)
    if fields.get("client_secret") not in (None, pi["client_secret"]):
        return call, intents.load(call, "")
    return call, pi


def _three_d_secure(box: Box, request: Request, fields: Json) -> Answer:
    steps = request.path.split("/")
    call, pi = _intent(box, steps[2], fields)
    deed = steps[3] if len(steps) > 3 else fields.get("outcome", "")  # noqa: PLR2004 - /3ds/:id/…
    if request.method == "GET":
        return html_answer(200, _challenge_page(pi))
    if pi["status"] != "requires_action":
        return _back(pi)
    coded = authorize.outcome_of(pi, call.store.get(methods.KIND, pi["payment_method"]) or {})
    if deed == "approve" and coded.challenge != "never":
        authorize.challenged(call, pi, approved=True)
    elif deed == "fail":
        authorize.challenged(call, pi, approved=False)
    return _back(pi)


def _back(pi: Json) -> Answer:
    """Send the browser back to the shop; who gave up, or has nowhere to go, hears how it stands."""
    shown = {"id": pi["id"], "status": pi["status"]}
    if not pi["_return_url"] or pi["status"] == "requires_action":
        return json_answer(200, shown)
    parts = urlsplit(pi["_return_url"])
    failed = pi["status"] == "requires_payment_method"
    added = {
        "payment_intent": pi["id"],
        "payment_intent_client_secret": pi["client_secret"],
        "redirect_status": "failed" if failed else "succeeded",
    }
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *added.items()])
    found = json_answer(303, shown)
    found.headers["location"] = urlunsplit(parts._replace(query=query))
    return found


def _pay(box: Box, request: Request, fields: Json) -> Answer:
    """Let the customer pay an open PaymentIntent, also one that was declined: the old tab."""
    call, pi = _intent(box, request.path.split("/")[2], fields)
    if request.method == "GET":
        return html_answer(200, _pay_page(pi))
    if pi["status"] not in PAYABLE:
        raise intents.unexpected(pi, "confirmed", PAYABLE)
    token = fields.get("payment_method") or "pm_card_visa"
    method = methods.resolve(call, token, param="payment_method")
    pi["_return_url"] = fields.get("return_url") or pi["_return_url"]
    error = authorize.authorize(call, pi, method)
    if checkout.is_browser(request) and pi["_return_url"]:
        # What Stripe's script does in the browser: on to the bank, or back to the shop.
        if pi["status"] != "requires_action":
            return _back(pi)
        url = pi["next_action"]["redirect_to_url"]["url"]
        return Answer(status=303, headers={"location": url})
    shown = public(pi)
    return envelope(402, error | {"payment_intent": shown}) if error else json_answer(200, shown)


def _challenge_page(pi: Json) -> str:
    buttons = "".join(
        f'<form method="post" action="/3ds/{pi["id"]}/{deed}">'
        f'<input type="hidden" name="client_secret" value="{pi["client_secret"]}">'
        f"<button>{deed.capitalize()}</button></form>"
        for deed in ("approve", "fail", "abandon")
    )
    return _page("3-D Secure", f"<p>{_sum(pi)} at the sandbox.</p>{buttons}")


def _pay_page(pi: Json) -> str:
    options = "".join(f"<option>{name}</option>" for name in methods.CARDS)
    return _page(
        "Pay",
        f'<p>{_sum(pi)}, {pi["status"]}.</p><form method="post" action="/pay/{pi["id"]}">'
        f'<input type="hidden" name="client_secret" value="{pi["client_secret"]}">'
        f'<select name="payment_method">{options}</select><button>Pay</button></form>',
    )


def _sum(pi: Json) -> str:
    return escape(f"{pi['amount']} {pi['currency'].upper()}")


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<h1>{title}</h1>{body}</html>"
    )

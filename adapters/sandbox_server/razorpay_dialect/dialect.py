"""Razorpay's dialect: who asks and which call it is."""

from base64 import b64decode
from collections.abc import Callable
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

import msgspec

from adapters.sandbox_server.box import Box, Call, Struck
from adapters.sandbox_server.nesting import nested
from adapters.sandbox_server.razorpay_dialect import (
    disputes,
    errors,
    lifecycle,
    orders,
    payments,
    refunds,
    settlements,
)
from adapters.sandbox_server.razorpay_dialect.entities import public
from adapters.sandbox_server.razorpay_dialect.errors import (
    RazorpayError,
    envelope,
    invalid,
    unauthenticated,
)
from adapters.sandbox_server.wire import Answer, Json, Request, json_answer

_Handler: TypeAlias = Callable[[Call], Json | Answer]
failure: Final = errors.failure
KEY: Final = "razorpay.key"

ROUTES: Final[dict[str, _Handler]] = {
    "POST orders": orders.create,
    "GET orders": orders.listed,
    "GET orders/*": orders.retrieve,
    "PATCH orders/*": orders.update,
    "GET orders/*/payments": orders.payments,
    "POST payments/create/json": payments.create,
    "GET payments": payments.listed,
    "GET payments/*": payments.retrieve,
    "PATCH payments/*": payments.update,
    "GET payments/*/card": payments.card,
    "POST payments/*/capture": payments.capture,
    "POST payments/*/otp_generate": payments.otp_generate,
    "POST payments/*/otp/resend": payments.otp_generate,
    "POST payments/*/otp/submit": payments.otp_submit,
    "POST payments/*/refund": refunds.create,
    "GET payments/*/refunds": refunds.of_payment,
    "GET payments/*/refunds/*": refunds.of_payment_one,
    "GET refunds": refunds.listed,
    "GET refunds/*": refunds.retrieve,
    "PATCH refunds/*": refunds.update,
    "GET settlements": settlements.listed,
    "GET settlements/*": settlements.retrieve,
    "GET settlements/recon/combined": settlements.recon,
    "GET disputes": disputes.listed,
    "GET disputes/*": disputes.retrieve,
    "POST disputes/*/accept": disputes.accept,
    "PATCH disputes/*/contest": disputes.contest,
}
"""Every call; `*` is an id."""

JOBS: Final = {
    "razorpay.timeout": lifecycle.times_out,
    "razorpay.settle": lifecycle.settles,
    "razorpay.late": lifecycle.comes_late,
    "razorpay.expire": lifecycle.expires,
    "razorpay.refund": refunds.settles,
    "razorpay.dispute": disputes.opens,
    "razorpay.dispute_ends": disputes.ends,
}


def key_of(request: Request) -> str | None:
    """Give what a request must not run beside: its account and refund key."""
    key = request.headers.get("x-refund-idempotency")
    return f"razorpay {request.headers.get('authorization')} {key}" if key else None


def busy(_: Request) -> Answer:
    """Give the answer to a key whose first request has not ended."""
    return failure(409)


def execute(box: Box, request: Request, *, waited: bool = False) -> tuple[Answer, str]:
    """Do what a request asks, inside a database transaction; give the answer and the account."""
    account = ""
    try:
        key_id, account = _authenticated(box, request)
        handler, call = _call(box, request, account, key_id)
        call.waited = waited
        result = handler(call)
        answer = result if isinstance(result, Answer) else json_answer(200, public(result))
        answer.deliver_first = tuple(dict.fromkeys(call.touched))
    except Struck as struck:
        answer = struck.answer
        if answer.damage and answer.damage.html:
            answer = failure(answer.status, html=True)
    except RazorpayError as error:
        answer = envelope(error)
    return answer, account


def account_of(key_id: str) -> str:
    """Give the account of a key: two keys `rzp_test_shop_…` are of one account."""
    return "acc_" + key_id.removeprefix("rzp_test_").partition("_")[0]


def _authenticated(box: Box, request: Request) -> tuple[str, str]:
    """Give key id and account; a key's first use says what its secret is.

    Raises:
        RazorpayError: 401.
    """
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    try:
        key_id, _, secret = b64decode(value).decode().partition(":")
    except ValueError:
        raise unauthenticated() from None
    if scheme.lower() != "basic" or not secret:
        raise unauthenticated()
    if key_id.startswith("rzp_live_"):
        raise unauthenticated("The sandbox takes no live keys: this one is compromised, roll it")
    if not key_id.startswith("rzp_test_") or len(key_id) == len("rzp_test_"):
        raise unauthenticated()
    known = box.store.get(KEY, key_id)
    if known is None:
        box.store.add(KEY, {"id": key_id, "secret": secret}, account=account_of(key_id))
    elif known["secret"] != secret:
        raise unauthenticated()
    return key_id, account_of(key_id)


def _call(box: Box, request: Request, account: str, key_id: str) -> tuple[_Handler, Call]:
    steps = request.path.removeprefix("/v1/").strip("/").split("/")
    literal = "/".join(steps)
    object_id = steps[1] if len(steps) > 1 else ""
    rest = steps[3] if steps[2:3] == ["refunds"] and len(steps) > 3 else ""  # noqa: PLR2004
    starred = "/".join([steps[0], *(["*"] if object_id else []), *steps[2:]])
    if rest:
        starred = f"{steps[0]}/*/{steps[2]}/*"
    handler = ROUTES.get(f"{request.method} {literal}") or ROUTES.get(f"{request.method} {starred}")
    if handler is None:
        raise invalid("The requested URL was not found on the server.", status=404)
    params = _params(request)
    headers = request.headers | {"_key_id": key_id}
    call = Call(box=box, account=account, id=object_id, rest=rest, params=params, headers=headers)
    return handler, call


def _params(request: Request) -> Json:
    if request.method == "GET":
        return dict(parse_qsl(request.query, keep_blank_values=True))
    if not request.body:
        return {}
    value: Any
    try:
        if "json" in request.headers.get("content-type", "json"):
            value = msgspec.json.decode(request.body)
        else:
            value = nested(request.body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise invalid("The request body is no valid JSON and no valid form.") from None
    if not isinstance(value, dict):
        raise invalid("The request body must be an object.")
    return value

"""Stripe's dialect: who asks, which call it is, and each key once."""

import hashlib
import hmac
from base64 import b64decode
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec

from adapters.sandbox_server.box import KEEP_KEYS_S, Box, Call, Struck
from adapters.sandbox_server.ids import stripe_id
from adapters.sandbox_server.stripe_dialect import (
    accounts,
    authorize,
    disputes,
    errors,
    events,
    forms,
    holdings,
    intents,
    methods,
    payments,
    payouts,
    refunds,
)
from adapters.sandbox_server.stripe_dialect.errors import StripeError, envelope, invalid
from adapters.sandbox_server.stripe_dialect.expand import rendered
from adapters.sandbox_server.stripe_dialect.lists import Lister
from adapters.sandbox_server.wire import Answer, Json, Request, json_answer

NAME: Final = "stripe"
KEY_MAX: Final = 255
_Handler: TypeAlias = Callable[[Call], Json | Answer]

_intents: Final = Lister(
    intents.KIND, "payment_intent", "/v1/payment_intents", ("customer", "status")
)
_refunds: Final = Lister(
    refunds.KIND,
    "refund",
    "/v1/refunds",
    ("payment_intent", "charge"),
    parent="payment_intent",
)
_charges: Final = Lister(
    intents.CHARGE,
    "charge",
    "/v1/charges",
    ("payment_intent", "customer"),
    parent="payment_intent",
)
_disputes: Final = Lister(
    disputes.KIND, "dispute", "/v1/disputes", ("payment_intent", "charge"), parent="charge"
)
_events: Final = Lister("stripe.event", "event", "/v1/events", ("type",))
_moved: Final = Lister(
    "stripe.txn",
    "balance transaction",
    "/v1/balance_transactions",
    ("source", "type", "currency", "payout"),
    parent="source",
)
_payouts: Final = Lister(payouts.KIND, "payout", "/v1/payouts", ("status",))
_customers: Final = Lister(accounts.CUSTOMER, "customer", "/v1/customers", ("email",))
_endpoints: Final = Lister(events.ENDPOINT, "webhook endpoint", "/v1/webhook_endpoints")

ROUTES: Final[dict[str, _Handler]] = {
    "POST payment_intents": payments.create,
    "GET payment_intents": _intents,
    "GET payment_intents/*": payments.retrieve,
    "POST payment_intents/*": payments.update,
    "POST payment_intents/*/confirm": payments.confirm,
    "POST payment_intents/*/capture": payments.capture,
    "POST payment_intents/*/cancel": payments.cancel,
    "POST refunds": refunds.create,
    "GET refunds": _refunds,
    "GET refunds/*": refunds.load,
    "POST refunds/*": refunds.update,
    "POST refunds/*/cancel": refunds.cancel,
    "GET charges": _charges,
    "GET charges/*": _charges.retrieve,
    "POST charges/*": holdings.update_charge,
    "GET disputes": _disputes,
    "GET disputes/*": disputes.load,
    "POST disputes/*": disputes.update,
    "POST disputes/*/close": disputes.close,
    "GET events": _events,
    "GET events/*": _events.retrieve,
    "POST payment_methods": methods.create,
    "GET payment_methods": accounts.METHODS,
    "GET payment_methods/*": methods.retrieve,
    "POST payment_methods/*": methods.update,
    "POST payment_methods/*/detach": methods.detach,
    "POST payment_methods/*/attach": methods.attach,
    "GET balance_transactions": _moved,
    "GET balance_transactions/*": _moved.retrieve,
    "GET payouts": _payouts,
    "GET payouts/*": _payouts.retrieve,
    "POST customers": accounts.create_customer,
    "GET customers": _customers,
    "GET customers/*": accounts.retrieve_customer,
    "GET customers/*/payment_methods": accounts.customers_methods,
    "GET customers/*/payment_methods/*": accounts.customers_method,
    "POST customers/*": accounts.update_customer,
    "DELETE customers/*": accounts.delete_customer,
    "POST webhook_endpoints": accounts.create_endpoint,
    "GET webhook_endpoints": _endpoints,
    "GET webhook_endpoints/*": _endpoints.retrieve,
    "POST webhook_endpoints/*": accounts.update_endpoint,
    "DELETE webhook_endpoints/*": accounts.delete_endpoint,
    "GET account": holdings.account,
    "GET balance": holdings.balance,
}
"""Every call; `*` is an id."""

JOBS: Final = {
    "stripe.expire": intents.expire,
    "stripe.settle": authorize.settle,
    "stripe.balance": intents.moved,
    "stripe.refund": refunds.settle,
    "stripe.dispute": disputes.opens,
    "stripe.dispute_ends": disputes.ends,
}


def account_of(request: Request) -> str:
    """Give the account of a secret key: two keys `sk_test_shop_…` are of one account.

    Raises:
        StripeError: 401 or 403.
    """
    key = _secret_key(request.headers.get("authorization", ""))
    if key.startswith("rk_test_"):
        error = envelope_of(403)
        raise StripeError(403, error)
    if not key.startswith("sk_test_") or len(key) == len("sk_test_"):
        kept = key[:8] if key.startswith(("sk_", "pk_")) else ""
        message = f"Invalid API Key provided: {kept}{'*' * 8}"
        if key.startswith(("sk_live_", "rk_live_")):
            message = "The sandbox takes no live keys: this one is compromised now, roll it."
        raise invalid(message, status=401)
    return "acct_" + key.removeprefix("sk_test_").partition("_")[0]


def envelope_of(status: int) -> Json:
    """Give the error object of a status."""
    error: Json = msgspec.json.decode(errors.failure(status).body)["error"]
    return error


def key_of(request: Request) -> str | None:
    """Give what a request must not run beside: its account and idempotency key."""
    key = request.headers.get("idempotency-key")
    if not key or request.method != "POST":
        return None
    return f"stripe {_secret_key(request.headers.get('authorization', ''))} {key}"


def busy(request: Request) -> Answer:
    """Give the answer to a key whose first request has not ended."""
    error = errors.key_in_use(request.headers.get("idempotency-key", ""))
    answer = envelope(error.status, error.error)
    answer.headers["stripe-should-retry"] = "true"
    return finished(request, answer)


def execute(box: Box, request: Request, *, waited: bool = False) -> tuple[Answer, str]:
    """Do what a request asks, inside a database transaction; give the answer and the account."""
    headers = request.headers | {"request-id": stripe_id("req_")[:18]}
    account = ""
    try:
        account = account_of(request)
        handler, call = _call(box, request, account, headers)
        call.waited = waited
        answer = _once(call, handler, request)
        answer.deliver_first = tuple(dict.fromkeys(call.touched))
    except Struck as struck:
        answer = struck.answer
        if answer.damage and answer.damage.html:
            answer = errors.failure(answer.status, html=True)
    except StripeError as error:
        answer = envelope(error.status, error.error)
    answer.headers.setdefault("request-id", headers["request-id"])
    return finished(request, answer), account


def finished(request: Request, answer: Answer) -> Answer:
    """Give an answer the headers that every one has."""
    answer.headers["stripe-version"] = request.headers.get("stripe-version", events.API_VERSION)
    answer.headers.setdefault("request-id", stripe_id("req_")[:18])
    key = request.headers.get("idempotency-key")
    if key:
        answer.headers["idempotency-key"] = key
    return answer


def _call(
    box: Box, request: Request, account: str, headers: dict[str, str]
) -> tuple[_Handler, Call]:
    steps = request.path.removeprefix("/v1/").strip("/").split("/")
    # customers/cus_1/payment_methods/pm_1
    steps += [""] * (4 - len(steps))
    object_id, rest = steps[1], steps[3]
    starred = ["*" if name and place % 2 else name for place, name in enumerate(steps)]
    route = "/".join(starred).rstrip("/")
    handler = ROUTES.get(f"{request.method} {route}")
    if handler is None:
        message = f"Unrecognized request URL ({request.method}: {request.path})."
        raise invalid(message, status=404)
    text = request.query if request.method != "POST" else request.body.decode("utf-8", "replace")
    params = forms.parse(text)
    return handler, Call(
        box=box, account=account, id=object_id, rest=rest, params=params, headers=headers
    )


def _once(call: Call, handler: _Handler, request: Request) -> Answer:
    """Do it, or give what was answered to this key before."""
    key = request.headers.get("idempotency-key")
    if not key or request.method != "POST":
        return _do(call, handler)
    if len(key) > KEY_MAX:
        raise invalid("Idempotency keys can be at most 255 characters.")
    scope = f"stripe {call.account}"
    asked = msgspec.json.encode([request.path, call.params], order="sorted")
    fingerprint = hashlib.sha256(asked).digest()
    row = call.store.db.execute(
        "SELECT fingerprint, answer, at FROM keys WHERE scope = ? AND key = ?", (scope, key)
    ).fetchone()
    now = call.box.clock.now()
    if row and row["at"] > now - KEEP_KEYS_S:
        if not hmac.compare_digest(row["fingerprint"], fingerprint):
            raise errors.key_reused(key)
        return _replayed(row["answer"])
    try:
        answer = _do(call, handler)
    except StripeError as error:
        if not error.stored:
            raise
        answer = envelope(error.status, error.error)
    first = call.headers["request-id"]
    kept = {"status": answer.status, "body": answer.body, "first": first}
    call.store.db.execute(
        "INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?)",
        (scope, key, fingerprint, msgspec.msgpack.encode(kept), now),
    )
    return answer


def _do(call: Call, handler: _Handler) -> Answer:
    result = handler(call)
    return result if isinstance(result, Answer) else json_answer(200, rendered(call, result))


def _replayed(stored: bytes) -> Answer:
    kept: Any = msgspec.msgpack.decode(stored)
    headers = {
        "content-type": "application/json",
        "idempotent-replayed": "true",
        "original-request": kept["first"],
    }
    return Answer(status=kept["status"], body=kept["body"], headers=headers, replayed=True)


def _secret_key(header: str) -> str:
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "basic":
        try:
            return b64decode(value).decode().partition(":")[0]
        except ValueError:
            return ""
    return value.strip() if scheme.lower() == "bearer" else ""

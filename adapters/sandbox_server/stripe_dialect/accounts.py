"""Customers and webhook endpoints of a Stripe account."""

from typing import Any, Final

from adapters.sandbox_server.box import Call
from adapters.sandbox_server.ids import stripe_id
from adapters.sandbox_server.stripe_dialect import methods
from adapters.sandbox_server.stripe_dialect.errors import invalid, missing
from adapters.sandbox_server.stripe_dialect.events import ENDPOINT
from adapters.sandbox_server.stripe_dialect.forms import boolean, known, metadata, nested, text
from adapters.sandbox_server.stripe_dialect.lists import Lister
from adapters.sandbox_server.wire import Json

CUSTOMER: Final = "stripe.customer"
DELETED: Final = "stripe.deleted_customer"
_CUSTOMER: Final = ("name", "email", "phone", "description", "address", "shipping")
ENDPOINTS_MAX: Final = 16
METHODS: Final = Lister(methods.KIND, "PaymentMethod", "/v1/payment_methods", ("customer", "type"))


def create_customer(call: Call) -> Json:
    """Answer `POST /v1/customers`."""
    known(call.params, (*_CUSTOMER, "metadata", "payment_method", "invoice_settings"))
    made: Json = {
        "id": stripe_id("cus_")[:18],
        "object": "customer",
        "balance": 0,
        "created": call.now,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "invoice_settings": {"default_payment_method": None} | _invoicing(call),
        "livemode": False,
        "metadata": metadata(call.params),
        **{name: call.params.get(name) for name in _CUSTOMER},
    }
    call.store.add(CUSTOMER, made, account=call.account)
    if call.params.get("payment_method"):
        methods.belongs_to(call, text(call.params, "payment_method") or "", made["id"])
    return made


def retrieve_customer(call: Call) -> Json:
    """Answer `GET /v1/customers/:id`; of one that was deleted there is that."""
    gone = call.store.get(DELETED, call.id, call.account)
    return gone or _load(call, CUSTOMER, "customer")


def update_customer(call: Call) -> Json:
    """Answer `POST /v1/customers/:id`."""
    known(call.params, (*_CUSTOMER, "metadata", "invoice_settings"))
    found = _load(call, CUSTOMER, "customer")
    found["invoice_settings"] |= _invoicing(call)
    found["metadata"] = metadata(call.params, found["metadata"])
    found.update({name: call.params[name] for name in _CUSTOMER if name in call.params})
    call.store.save(CUSTOMER, found)
    return found


def delete_customer(call: Call) -> Json:
    """Answer `DELETE /v1/customers/:id`."""
    found = _load(call, CUSTOMER, "customer")
    call.store.remove(CUSTOMER, found["id"])
    gone: Json = {"id": found["id"], "object": "customer", "deleted": True}
    call.store.add(DELETED, gone, account=call.account)
    return gone


def customers_methods(call: Call) -> Json:
    """Answer `GET /v1/customers/:id/payment_methods`."""
    customer = _load(call, CUSTOMER, "customer")
    return METHODS.page(call, customer=customer["id"])


def customers_method(call: Call) -> Json:
    """Answer `GET /v1/customers/:id/payment_methods/:id`."""
    found = call.store.get(methods.KIND, call.rest, call.account)
    if found is None or found["customer"] != call.id:
        raise missing("PaymentMethod", call.rest, param="payment_method")
    return found


def _invoicing(call: Call) -> Json:
    """Give the payment method that is to be the customer's usual one, if the call names one."""
    name = "default_payment_method"
    settings = nested(call.params, "invoice_settings")
    return {name: text(settings, name)} if name in settings else {}


def create_endpoint(call: Call) -> Json:
    """Answer `POST /v1/webhook_endpoints`: the only time that the secret is shown."""
    known(call.params, ("url", "enabled_events", "api_version", "description", "metadata"))
    url = str(call.params.get("url", ""))
    if not url.startswith(("http://", "https://")):
        raise invalid("Invalid URL: An explicit scheme (such as https) must be provided.",
                      param="url")  # fmt: skip
    wanted = call.params.get("enabled_events")
    if not isinstance(wanted, list) or not all(isinstance(kind, str) for kind in wanted):
        message = "Missing required param: enabled_events."
        raise invalid(message, code="parameter_missing", param="enabled_events")
    if len(list(call.store.newest(ENDPOINT, call.account))) >= ENDPOINTS_MAX:
        raise invalid("You have reached the maximum of 16 test webhook endpoints.")
    secret = stripe_id("whsec_")
    made = endpoint(call, url, [secret], wanted, version=call.params.get("api_version"))
    made["description"] = call.params.get("description")
    made["metadata"] = metadata(call.params)
    call.store.add(ENDPOINT, made, account=call.account)
    return made | {"secret": secret}


def endpoint(
    call: Call, url: str, secrets: list[str], wanted: list[str], *, version: Any = None
) -> Json:
    """Give a new endpoint; the newest secret comes first."""
    return {
        "id": stripe_id("we_"),
        "object": "webhook_endpoint",
        "api_version": version,
        "application": None,
        "created": call.now,
        "description": None,
        "enabled_events": wanted,
        "livemode": False,
        "metadata": {},
        "status": "enabled",
        "url": url,
        "_secrets": secrets,
    }


def update_endpoint(call: Call) -> Json:
    """Answer `POST /v1/webhook_endpoints/:id`."""
    known(call.params, ("url", "enabled_events", "description", "disabled", "metadata"))
    found = _load(call, ENDPOINT, "webhook endpoint")
    for name in ("url", "description"):
        found[name] = text(call.params, name) or found[name]
    wanted = call.params.get("enabled_events")
    if isinstance(wanted, list) and all(isinstance(kind, str) for kind in wanted):
        found["enabled_events"] = wanted
    if "disabled" in call.params:
        found["status"] = "disabled" if boolean(call.params, "disabled") else "enabled"
    found["metadata"] = metadata(call.params, found["metadata"])
    call.store.save(ENDPOINT, found)
    return found


def delete_endpoint(call: Call) -> Json:
    """Answer `DELETE /v1/webhook_endpoints/:id`."""
    found = _load(call, ENDPOINT, "webhook endpoint")
    call.store.remove(ENDPOINT, found["id"])
    return {"id": found["id"], "object": "webhook_endpoint", "deleted": True}


def _load(call: Call, kind: str, what: str) -> Json:
    found = call.store.get(kind, call.id, call.account)
    if found is None:
        raise missing(what, call.id, param="id")
    return found

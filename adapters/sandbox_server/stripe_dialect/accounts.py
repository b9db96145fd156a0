"""Customers and webhook endpoints of a Stripe account."""

from typing import Any, Final

from adapters.sandbox_server.box import Call
from adapters.sandbox_server.ids import stripe_id
from adapters.sandbox_server.stripe_dialect.errors import invalid, missing
from adapters.sandbox_server.stripe_dialect.events import ENDPOINT
from adapters.sandbox_server.stripe_dialect.forms import boolean, known, metadata
from adapters.sandbox_server.wire import Json

CUSTOMER: Final = "stripe.customer"
_CUSTOMER: Final = ("name", "email", "phone", "description")
ENDPOINTS_MAX: Final = 16


def create_customer(call: Call) -> Json:
    """Answer `POST /v1/customers`."""
    known(call.params, (*_CUSTOMER, "metadata", "payment_method", "address", "shipping"))
    made: Json = {
        "id": stripe_id("cus_")[:18],
        "object": "customer",
        "balance": 0,
        "created": call.now,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "invoice_settings": {"default_payment_method": None},
        "livemode": False,
        "metadata": metadata(call.params),
        **{name: call.params.get(name) for name in _CUSTOMER},
    }
    call.store.add(CUSTOMER, made, account=call.account)
    return made


def update_customer(call: Call) -> Json:
    """Answer `POST /v1/customers/:id`."""
    known(call.params, (*_CUSTOMER, "metadata"))
    found = _load(call, CUSTOMER, "customer")
    found["metadata"] = metadata(call.params, found["metadata"])
    found.update({name: call.params[name] for name in _CUSTOMER if name in call.params})
    call.store.save(CUSTOMER, found)
    return found


def delete_customer(call: Call) -> Json:
    """Answer `DELETE /v1/customers/:id`."""
    found = _load(call, CUSTOMER, "customer")
    call.store.remove(CUSTOMER, found["id"])
    return {"id": found["id"], "object": "customer", "deleted": True}


def create_endpoint(call: Call) -> Json:
    """Answer `POST /v1/webhook_endpoints`: the only time that the secret is shown."""
    known(call.params, ("url", "enabled_events", "api_version", "description", "metadata"))
    url = str(call.params.get("url", ""))
    if not url.startswith(("http://", "https://")):
        raise invalid("Invalid URL: An explicit scheme (such as https) must be provided.",
                      param="url")  # fmt: skip
    wanted = call.params.get("enabled_events")
    if not isinstance(wanted, list) or not wanted:
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
    for name in ("url", "enabled_events", "description"):
        found[name] = call.params.get(name, found[name])
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

"""Stripe's events: kept for `GET /v1/events` and queued for the webhook endpoints."""

from typing import Final

import msgspec

from adapters.sandbox_server import outbox
from adapters.sandbox_server.box import Call
from adapters.sandbox_server.ids import stripe_id
from adapters.sandbox_server.outcomes import Delivery
from adapters.sandbox_server.stripe_dialect.objects import public
from adapters.sandbox_server.wire import Json

API_VERSION: Final = "2026-10-28.endive"
ENDPOINT: Final = "stripe.endpoint"


def emit(
    call: Call, kind: str, thing: Json, *, payment: str, delivery: Delivery | None = None
) -> None:
    """Make an event of a change and queue it; `payment` is the PaymentIntent it belongs to."""
    for _ in range(2 if delivery == "two_events" else 1):
        endpoints = outbox.endpoints(call, ENDPOINT, kind)
        event: Json = {
            "id": stripe_id("evt_"),
            "object": "event",
            "api_version": API_VERSION,
            "created": call.now,
            "data": {"object": public(thing)},
            "livemode": False,
            "pending_webhooks": len(endpoints),
            "request": {
                "id": call.headers.get("request-id"),
                "idempotency_key": call.headers.get("idempotency-key"),
            },
            "type": kind,
        }
        call.store.add("stripe.event", event, account=call.account, parent=payment)
        outgoing = outbox.Outgoing(event=kind, event_id=event["id"], payment=payment, mode=delivery)
        for endpoint in endpoints:
            version = endpoint["api_version"] or API_VERSION
            body = msgspec.json.encode(event | {"api_version": version})
            outbox.queue(call, endpoint, outgoing, body)

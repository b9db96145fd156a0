"""Razorpay's events: queued for the webhook endpoints; there is no list of them to read."""

import msgspec

from adapters.sandbox_server import outbox
from adapters.sandbox_server.box import Call
from adapters.sandbox_server.ids import razorpay_id
from adapters.sandbox_server.outcomes import of_amount
from adapters.sandbox_server.razorpay_dialect.entities import public
from adapters.sandbox_server.wire import Json


def emit(call: Call, kind: str, payment: Json, **others: Json) -> None:
    """Make an event about a payment and whatever else it carries, and queue it."""
    things = {"payment": payment, **others}
    delivery = of_amount(payment["amount"]).delivery
    event: Json = {
        "entity": "event",
        "account_id": call.account,
        "event": kind,
        "contains": list(things),
        "payload": {name: {"entity": public(thing)} for name, thing in things.items()},
        "created_at": call.now,
    }
    body = msgspec.json.encode(event)
    for _ in range(2 if delivery == "two_events" else 1):
        outgoing = outbox.Outgoing(
            event=kind, event_id=razorpay_id(""), payment=payment["id"], mode=delivery
        )
        for endpoint in outbox.endpoints(call, "razorpay.endpoint", kind):
            outbox.queue(call, endpoint, outgoing, body)

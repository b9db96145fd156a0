"""The `webhooks` of the OpenAPI document: what a merchant's own server is sent."""

from typing import Final, get_args

from domain.public_events import EventType
from gateway.openapi_shapes import Json
from gateway.operation import JSON
from gateway.webhook_views import ENDPOINT, EVENT

_OF_ENDPOINTS: Final = ("endpoint.disabled", "test.ping")
_HEADERS: Final = {
    "webhook-id": "The event's id: the same in every attempt.",
    "webhook-timestamp": "Seconds since 1970, of this attempt.",
    "webhook-signature": "Standard Webhooks: `v1,` and base64, several separated by spaces.",
    "X-Loop-Event-Id": "The event's id.",
    "X-Loop-Timestamp": "Milliseconds since 1970, of this attempt.",
    "X-Loop-Signature": '`t=<ms>,v1=<hex HMAC-SHA256(secret, "<t>.<body>")>`, newest secret.',
    "X-Loop-Checkpoint": "Size and root (base64) of the newest signed head of the log.",
    "X-Correlation-ID": "Of the request that made the event.",
}


def webhooks(event_schema: Json) -> Json:
    """Return the section; `event_schema` is that of an event."""
    return {kind: {"post": _operation(kind, event_schema)} for kind in get_args(EventType)}


def _operation(kind: str, schema: Json) -> Json:
    return {
        "operationId": f"on.{kind}",
        "tags": ["Webhooks"],
        "summary": f"`{kind}`",
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": name != "X-Loop-Checkpoint",
                "description": text,
                "schema": {"type": "string"},
            }
            for name, text in _HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": schema, "example": example(kind)}},
        },
        "responses": {
            "2XX": {"description": "Delivered. Everything else is tried again."},
            "410": {"description": "Never again: the endpoint is disabled."},
        },
    }


def example(kind: str) -> Json:
    """Return an event of a type."""
    named = {**EVENT, "type": kind, "eventType": kind}
    if kind not in _OF_ENDPOINTS:
        return named
    none = ("orderId", "externalId", "amount", "currency", "status", "processor", "sequence")
    endpoint = {**ENDPOINT, "status": "disabled"} if kind == "endpoint.disabled" else ENDPOINT
    of_endpoint = {"data": {"object": endpoint}, "payload": endpoint}
    return {**named, **dict.fromkeys(none), **of_endpoint}

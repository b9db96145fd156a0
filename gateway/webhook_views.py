"""What answers say of webhooks, and the examples of it."""

from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from adapters.delivery_lists import Delivery, DeliveryStatus
from domain.public_events import EventType
from gateway import examples
from gateway.pagination import PaginationView
from gateway.views import Time, View, iso
from projections.event_view import EndpointView, EventView


class EndpointsView(View, frozen=True, kw_only=True):
    """A page of endpoints, newest first."""

    data: list[EndpointView]
    has_more: bool
    next_cursor: str | None


class DeliveryAttemptView(View, frozen=True, kw_only=True):
    """One attempt; `status` is HTTP's, null where nobody answered."""

    at: Time
    status: int | None
    duration_ms: int
    error: str | UnsetType = UNSET
    response_prefix: str | UnsetType = UNSET


class DeliveryView(View, frozen=True, kw_only=True):
    """One event to one endpoint; the newest 50 attempts are kept."""

    id: str
    endpoint_id: str
    event_id: str
    event_type: EventType
    order_id: str | None
    sequence: int | None
    status: DeliveryStatus
    attempts: list[DeliveryAttemptView]
    next_attempt_at: Time | None
    delivered_at: Time | None
    livemode: bool
    created_at: Time


class DeliveriesView(View, frozen=True, kw_only=True):
    """A page of deliveries, newest first."""

    data: list[DeliveryView]
    has_more: bool
    next_cursor: str | None


class WebhookView(View, frozen=True, kw_only=True):
    """One delivery as the dashboard lists it."""

    id: str
    order_id: str | None
    event_type: EventType
    endpoint_id: str
    status: DeliveryStatus
    attempts: int
    last_attempt_at: Time | None
    next_attempt_at: Time | None
    delivered_at: Time | None
    livemode: bool
    created_at: Time


class WebhooksPageView(View, frozen=True, kw_only=True):
    """A numbered page of deliveries, newest first."""

    data: list[WebhookView]
    pagination: PaginationView


class RecoveredView(View, frozen=True, kw_only=True):
    """How many deliveries were scheduled."""

    scheduled: int


class EventsView(View, frozen=True, kw_only=True):
    """A page of events, oldest first, each in exactly the bytes of its webhook."""

    data: list[EventView]
    has_more: bool
    next_cursor: str | None


def events_answer(bodies: list[bytes], *, next_cursor: str | None) -> bytes:
    """Return a page of events that are rendered already."""
    cursor = msgspec.json.encode(next_cursor)
    has_more = b"true" if next_cursor else b"false"
    joined = b",".join(bodies)
    return b'{"data":[%b],"hasMore":%b,"nextCursor":%b}' % (joined, has_more, cursor)


def delivery_view(delivery: Delivery) -> DeliveryView:
    """Render a delivery."""
    return DeliveryView(
        id=delivery.delivery_id,
        endpoint_id=delivery.endpoint_id,
        event_id=delivery.event_id,
        event_type=delivery.event_type,
        order_id=delivery.order_id,
        sequence=delivery.sequence,
        status=delivery.status,
        attempts=msgspec.convert(delivery.attempts, list[DeliveryAttemptView]),
        next_attempt_at=iso(delivery.due_at) if delivery.due_at else None,
        delivered_at=iso(delivery.delivered_at) if delivery.delivered_at else None,
        livemode=delivery.mode == "live",
        created_at=iso(delivery.created_at),
    )


def webhook_view(delivery: Delivery) -> WebhookView:
    """Render a delivery for the dashboard."""
    return WebhookView(
        id=delivery.delivery_id,
        order_id=delivery.order_id,
        event_type=delivery.event_type,
        endpoint_id=delivery.endpoint_id,
        status=delivery.status,
        attempts=len(delivery.attempts),
        last_attempt_at=iso(delivery.last_at) if delivery.last_at else None,
        next_attempt_at=iso(delivery.due_at) if delivery.due_at else None,
        delivered_at=iso(delivery.delivered_at) if delivery.delivered_at else None,
        livemode=delivery.mode == "live",
        created_at=iso(delivery.created_at),
    )


_AT: Final = "2026-11-20T10:00:02.345Z"
ENDPOINT: Final[dict[str, Any]] = {
    "id": "whe_01jd3v7q4rf9s2t5w8x1y4z7b0",
    "url": "https://shop.example/hooks",
    "events": ["payment.captured", "payment.failed"],
    "apiVersion": "2026-11-01",
    "status": "enabled",
    "livemode": False,
    "createdAt": _AT,
}
NEW_ENDPOINT: Final[dict[str, Any]] = {
    **ENDPOINT,
    "secret": "whsec_cGxlYXNlIGRvIG5vdCB1c2UgdGhpcyBvbmU=",
}
ENDPOINT_BODY: Final[dict[str, Any]] = {
    "url": "https://shop.example/hooks",
    "events": ["payment.captured", "payment.failed"],
}
DELIVERY: Final[dict[str, Any]] = {
    "id": "whd_01jd3v9d2k6m9p3r7t0w4x8yzb",
    "endpointId": ENDPOINT["id"],
    "eventId": "evt_01jd3v9c7xk2m5n8p1q4r7s0tz",
    "eventType": "payment.captured",
    "orderId": examples.ORDER_ID,
    "sequence": 4,
    "status": "delivered",
    "attempts": [{"at": _AT, "status": 200, "durationMs": 41, "responsePrefix": "ok"}],
    "nextAttemptAt": None,
    "deliveredAt": _AT,
    "livemode": False,
    "createdAt": _AT,
}
WEBHOOK: Final[dict[str, Any]] = {
    "id": DELIVERY["id"],
    "orderId": examples.ORDER_ID,
    "eventType": "payment.captured",
    "endpointId": ENDPOINT["id"],
    "status": "delivered",
    "attempts": 1,
    "lastAttemptAt": _AT,
    "nextAttemptAt": None,
    "deliveredAt": _AT,
    "livemode": False,
    "createdAt": _AT,
}
EVENT: Final[dict[str, Any]] = {
    "id": DELIVERY["eventId"],
    "type": "payment.captured",
    "eventType": "payment.captured",
    "createdAt": _AT,
    "orderId": examples.ORDER_ID,
    "externalId": examples.PAID_ORDER["externalId"],
    "amount": examples.PAID_ORDER["amount"],
    "currency": examples.PAID_ORDER["currency"],
    "status": "captured",
    "processor": "stripe",
    "sequence": 4,
    "livemode": False,
    "data": {"object": examples.PAID_ORDER},
    "payload": examples.PAID_ORDER,
}


def page_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return the example of a page with one row."""
    return {"data": [row], "hasMore": False, "nextCursor": None}

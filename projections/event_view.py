"""The bodies of webhooks: one rendering of an event, the same bytes whenever it is made."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from domain.endpoints import API_VERSIONS, Endpoint, EndpointStatus
from domain.metadata import Metadata
from domain.order.state import Order, OrderStatus
from domain.personal import Personal
from domain.public_events import EventType
from projections.order_view import MinorUnits, Time, View, iso, order_view

_SHAPES: Final = {
    "anyOf": [
        {"$ref": "#/components/schemas/OrderView"},
        {"$ref": "#/components/schemas/EndpointView"},
    ]
}


class EndpointView(View, frozen=True, kw_only=True):
    """A webhook endpoint; `secret` is shown at creation and rotation, and null when replayed."""

    id: str
    url: str | None
    description: str | UnsetType = UNSET
    events: list[str]
    api_version: str
    status: EndpointStatus
    disabled_reason: str | UnsetType = UNSET
    secret: str | UnsetType | None = UNSET
    livemode: bool
    created_at: Time


class EventDataView(View, frozen=True, kw_only=True):
    """What the event is about, as it was right after it."""

    object: Annotated[Any, Meta(extra_json_schema=_SHAPES)]


class EventView(View, frozen=True, kw_only=True):
    """An event as webhooks carry it; what belongs to no order has null in the order's members.

    `nextAction` is always null in it: what a customer has to do is read from the order.
    """

    id: str
    type: EventType
    event_type: EventType
    created_at: Time
    order_id: str | None
    external_id: str | None
    amount: MinorUnits | None
    currency: str | None
    status: OrderStatus | None
    processor: str | None
    sequence: int | None
    livemode: bool
    data: EventDataView
    payload: Annotated[Any, Meta(extra_json_schema=_SHAPES)]


_json: Final = msgspec.json.Encoder().encode


def _order_object(order: Order, personal: Personal) -> bytes:
    return _json(order_view(order, personal, None))


_ORDER_OBJECTS: Final[Mapping[str, Callable[[Order, Personal], bytes]]] = {
    "2026-11-01": _order_object,
}
"""By version of the API; a version's bytes never change, a golden file sees to it."""

assert tuple(_ORDER_OBJECTS) == API_VERSIONS, "every version renders orders"


def order_event(
    meta: Metadata,
    kind: EventType,
    sequence: int,
    order: Order,
    personal: Personal,
    *,
    api_version: str = API_VERSIONS[-1],
) -> bytes:
    """Return the body of an order's event; `order` is folded up to it."""
    rendered = msgspec.Raw(_ORDER_OBJECTS[api_version](order, personal))
    body = EventView(
        id=meta.event_id,
        type=kind,
        event_type=kind,
        created_at=iso(meta.occurred_at),
        order_id=order.id,
        external_id=order.external_id,
        amount=order.amount.minor,
        currency=order.amount.currency,
        status=order.status,
        processor=order.live.processor if order.live else None,
        sequence=sequence,
        livemode=order.mode == "live",
        data=EventDataView(object=rendered),
        payload=rendered,
    )
    return _json(body)


def endpoint_event(meta: Metadata, kind: EventType, endpoint: EndpointView) -> bytes:
    """Return the body of an endpoint's event; all versions of the API write it alike."""
    rendered = msgspec.Raw(_json(endpoint))
    body = EventView(
        id=meta.event_id,
        type=kind,
        event_type=kind,
        created_at=iso(meta.occurred_at),
        order_id=None,
        external_id=None,
        amount=None,
        currency=None,
        status=None,
        processor=None,
        sequence=None,
        livemode=endpoint.livemode,
        data=EventDataView(object=rendered),
        payload=rendered,
    )
    return _json(body)


def endpoint_view(
    endpoint: Endpoint,
    *,
    url: str | None,
    description: str | None,
    secret: str | UnsetType | None = UNSET,
) -> EndpointView:
    """Render an endpoint with its opened parts."""
    return EndpointView(
        id=endpoint.id,
        url=url,
        description=description or UNSET,
        events=list(endpoint.events),
        api_version=endpoint.api_version,
        status=endpoint.status,
        disabled_reason=endpoint.disabled_reason or UNSET,
        secret=secret,
        livemode=endpoint.mode == "live",
        created_at=iso(endpoint.created_at),
    )

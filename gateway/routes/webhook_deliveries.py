"""Deliveries of webhooks, and the events that they carry."""

from typing import Any

from litestar import Request, Response, get, post
from litestar.params import FromPath

from gateway import webhook_views as views
from gateway.auth import authenticated, deps_of
from gateway.decode import query
from gateway.operation import JSON, Operation, answer
from gateway.pagination import pagination
from gateway.read_command import read_command
from gateway.routes.webhook_endpoints import TAG, reached
from gateway.webhook_bodies import (
    DeliveriesQueryString,
    EventsQueryString,
    NothingRequest,
    WebhooksQueryString,
)

EVENTS = Operation(
    id="listEvents",
    tag=TAG,
    summary="Everything that webhooks tell, to catch up by pulling",
    description=(
        "Oldest first, behind the event `after`: the same ids in the same order, each in exactly "
        "the bytes of its webhook. Go on with the last event that you have."
    ),
    scope="payments:read",
    answer=views.EventsView,
    example=views.page_of(views.EVENT),
    query=EventsQueryString,
    codes=("not_found",),
)
DELIVERIES = Operation(
    id="listWebhookDeliveries",
    tag=TAG,
    summary="What an endpoint was sent, newest first",
    scope="webhooks:write",
    answer=views.DeliveriesView,
    example=views.page_of(views.DELIVERY),
    query=DeliveriesQueryString,
)
REDELIVER = Operation(
    id="redeliverWebhook",
    tag=TAG,
    summary="Send a delivery again",
    description="Now, and if that fails by its schedule: the same id, the same bytes.",
    scope="webhooks:write",
    answer=views.DeliveryView,
    example=views.DELIVERY,
    body=NothingRequest,
    body_example={},
    headers=("Idempotency-Key",),
    codes=("endpoint_disabled",),
)
LIST = Operation(
    id="listWebhooks",
    tag=TAG,
    summary="All deliveries, as the dashboard lists them",
    scope="webhooks:write",
    answer=views.WebhooksPageView,
    example={
        "data": [views.WEBHOOK],
        "pagination": {"page": 1, "limit": 25, "total": 1, "totalPages": 1},
    },
    query=WebhooksQueryString,
)
RETRY = Operation(
    id="retryWebhook",
    tag=TAG,
    summary="Send a delivery again, as the dashboard does",
    scope="webhooks:write",
    answer=views.WebhookView,
    example=views.WEBHOOK,
    body=NothingRequest,
    body_example={},
    headers=("Idempotency-Key",),
    codes=("endpoint_disabled",),
)


@get("/v1/events", opt={"operation": EVENTS})
async def events(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer one page of events."""
    caller = await authenticated(request, "payments:read")
    asked = query(request, EventsQueryString)
    bodies, cursor = await deps_of(request).webhooks.events(
        caller.merchant_id, caller.mode, after=asked.after, limit=asked.limit
    )
    return Response(views.events_answer(bodies, next_cursor=cursor), media_type=JSON)


@get("/v1/webhook-endpoints/{endpoint_id:str}/deliveries", opt={"operation": DELIVERIES})
async def deliveries(
    request: Request[Any, Any, Any], endpoint_id: FromPath[str]
) -> Response[bytes]:
    """Answer one page of an endpoint's deliveries."""
    caller, _, endpoint = await reached(request, endpoint_id)
    asked = query(request, DeliveriesQueryString)
    rows, has_more = await deps_of(request).webhooks.deliveries(
        caller.merchant_id,
        endpoint,
        status=asked.status,
        after=asked.after,
        before=asked.before,
        limit=asked.limit,
    )
    backwards = asked.before is not None and asked.after is None
    last = rows[0 if backwards else -1].delivery_id if has_more and rows else None
    view = views.DeliveriesView(
        data=[views.delivery_view(row) for row in rows], has_more=has_more, next_cursor=last
    )
    return answer(view)


@post(
    "/v1/webhook-endpoints/{endpoint_id:str}/deliveries/{delivery_id:str}/redeliver",
    opt={"operation": REDELIVER},
    status_code=200,
)
async def redeliver(
    request: Request[Any, Any, Any], endpoint_id: FromPath[str], delivery_id: FromPath[str]
) -> Response[bytes]:
    """Send a delivery again."""
    caller, _, endpoint = await reached(request, endpoint_id)
    _, once = await read_command(request, caller, NothingRequest, required=False)
    again = await deps_of(request).webhooks.send_again(
        caller, endpoint.mode, delivery_id, once, endpoint_id=endpoint.id
    )
    return answer(views.delivery_view(again.delivery), replayed=again.replayed)


@get("/api/webhooks", opt={"operation": LIST})
async def list_webhooks(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer one page of all deliveries in a mode."""
    caller = await authenticated(request, "webhooks:write")
    asked = query(request, WebhooksQueryString)
    rows, total = await deps_of(request).webhooks.numbered(
        caller.merchant_id,
        caller.mode,
        status=asked.status,
        limit=asked.limit,
        offset=asked.offset,
    )
    data = [views.webhook_view(row) for row in rows]
    return answer(views.WebhooksPageView(data=data, pagination=pagination(asked, total)))


@post("/api/webhooks/{delivery_id:str}/retry", opt={"operation": RETRY}, status_code=200)
async def retry(request: Request[Any, Any, Any], delivery_id: FromPath[str]) -> Response[bytes]:
    """Send a delivery again."""
    caller = await authenticated(request, "webhooks:write")
    _, once = await read_command(request, caller, NothingRequest, required=False)
    again = await deps_of(request).webhooks.send_again(caller, caller.mode, delivery_id, once)
    return answer(views.webhook_view(again.delivery), replayed=again.replayed)


ROUTES = (events, deliveries, redeliver, list_webhooks, retry)

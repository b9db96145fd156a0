"""Webhook endpoints: their life, and sending again what they have missed."""

from typing import Any

from litestar import Request, Response, delete, get, patch, post
from litestar.params import FromPath
from msgspec import UNSET

from commands.add_endpoint import NewEndpoint, ShownEndpoint, add_endpoint
from commands.caller import Caller
from commands.change_endpoint import EndpointChange, change_endpoint
from commands.ping_endpoint import ping_endpoint
from commands.ports import Ports
from commands.read_endpoint import list_endpoints, open_endpoint, read_endpoint
from commands.remove_endpoint import remove_endpoint
from commands.rotate_secret import rotate_secret
from domain.endpoints import Endpoint
from domain.metadata import Mode
from gateway import webhook_views as views
from gateway.auth import authenticated, deps_of, reaches
from gateway.decode import as_struct, json_body, no_query, query
from gateway.errors import invalid
from gateway.operation import Operation, answer
from gateway.read_command import read_command
from gateway.webhook_bodies import (
    EndpointPatch,
    EndpointRequest,
    EndpointsQueryString,
    NothingRequest,
    RecoverRequest,
)
from projections.event_view import EndpointView, endpoint_view

TAG = "Webhooks"
CREATE = Operation(
    id="createWebhookEndpoint",
    tag=TAG,
    summary="Make a webhook endpoint",
    description=(
        "The secret is shown here and after a rotation, and nowhere else; a repetition with the "
        "same `Idempotency-Key` gets `null`. A URL that may not be reached is refused, here and at "
        "every attempt."
    ),
    scope="webhooks:write",
    status=201,
    answer=EndpointView,
    example=views.NEW_ENDPOINT,
    body=EndpointRequest,
    body_required=True,
    body_example=views.ENDPOINT_BODY,
    headers=("Idempotency-Key",),
    codes=("url_not_allowed", "endpoint_limit"),
    gives="endpoint_id",
)
LIST = Operation(
    id="listWebhookEndpoints",
    tag=TAG,
    summary="List webhook endpoints",
    description="Of both modes, newest first.",
    scope="webhooks:write",
    answer=views.EndpointsView,
    example=views.page_of(views.ENDPOINT),
    query=EndpointsQueryString,
)
READ = Operation(
    id="getWebhookEndpoint",
    tag=TAG,
    summary="Read a webhook endpoint",
    scope="webhooks:write",
    answer=EndpointView,
    example=views.ENDPOINT,
)
CHANGE = Operation(
    id="changeWebhookEndpoint",
    tag=TAG,
    summary="Change a webhook endpoint",
    description="What was disabled gets nothing; enabled again, it gets what comes from then on.",
    scope="webhooks:write",
    answer=EndpointView,
    example=views.ENDPOINT,
    body=EndpointPatch,
    body_required=True,
    body_example={"events": ["*"]},
    codes=("url_not_allowed", "concurrent_change"),
)
REMOVE = Operation(
    id="removeWebhookEndpoint",
    tag=TAG,
    summary="Remove a webhook endpoint",
    scope="webhooks:write",
    status=204,
    codes=("concurrent_change",),
)
ROTATE = Operation(
    id="rotateWebhookSecret",
    tag=TAG,
    summary="Sign with a new secret",
    description="The new one signs within a second, and for 24 hours the old one beside it.",
    scope="webhooks:write",
    answer=EndpointView,
    example=views.NEW_ENDPOINT,
    body=NothingRequest,
    body_example={},
    headers=("Idempotency-Key",),
)
TEST = Operation(
    id="testWebhookEndpoint",
    tag=TAG,
    summary="Send a `test.ping`",
    description="It is delivered like every other event, whatever the endpoint asks for.",
    scope="webhooks:write",
    status=202,
    answer=EndpointView,
    example=views.ENDPOINT,
    body=NothingRequest,
    body_example={},
    headers=("Idempotency-Key",),
    codes=("endpoint_disabled",),
)
RECOVER = Operation(
    id="recoverWebhookEndpoint",
    tag=TAG,
    summary="Send again what was missed",
    description=(
        "Schedules every event of a time that the endpoint asks for and has not got: dead and "
        "failed deliveries, and of the last 30 days those that were never made because it was "
        "disabled; older ones can be pulled. At most 100 000 at once; repeat it for more."
    ),
    scope="webhooks:write",
    answer=views.RecoveredView,
    example={"scheduled": 12},
    body=RecoverRequest,
    body_required=True,
    body_example={"since": "2026-11-20T00:00:00.000Z"},
    headers=("Idempotency-Key",),
    codes=("endpoint_disabled",),
)


async def _shown(ports: Ports, shown: ShownEndpoint) -> EndpointView:
    opened = await open_endpoint(ports, shown.endpoint)
    return endpoint_view(
        shown.endpoint, url=opened.url, description=opened.description, secret=shown.secret
    )


async def reached(
    request: Request[Any, Any, Any], endpoint_id: str
) -> tuple[Caller, Ports, Endpoint]:
    """Return who asks and the endpoint, if it may be changed by them."""
    caller = await authenticated(request, "webhooks:write")
    ports = deps_of(request).ports
    endpoint = await read_endpoint(ports, caller, endpoint_id)
    reaches(caller, endpoint.mode)
    return caller, ports, endpoint


@post("/v1/webhook-endpoints", opt={"operation": CREATE})
async def create(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Make an endpoint and show its secret, once."""
    caller = await authenticated(request, "webhooks:write")
    body, once = await read_command(request, caller, EndpointRequest, required=True)
    mode: Mode = caller.mode
    if body.test_mode is not None:
        mode = "test" if body.test_mode else "live"
    reaches(caller, mode)
    wanted = NewEndpoint(
        url=body.url,
        events=tuple(dict.fromkeys(body.events)),
        description=body.description,
        mode=mode,
        api_version=body.api_version,
    )
    ports = deps_of(request).ports
    made = await add_endpoint(ports, caller, wanted, once)
    return answer(await _shown(ports, made), status=201, replayed=made.replayed)


@get("/v1/webhook-endpoints", opt={"operation": LIST})
async def list_all(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer one page."""
    caller = await authenticated(request, "webhooks:write")
    asked = query(request, EndpointsQueryString)
    ports = deps_of(request).ports
    found = list(reversed(await list_endpoints(ports, caller)))
    if asked.after:
        found = [x for x in found if x.id < asked.after]
    if asked.before:
        found = [x for x in found if x.id > asked.before]
    backwards = asked.before is not None and asked.after is None
    kept = found[-asked.limit :] if backwards else found[: asked.limit]
    has_more = len(found) > len(kept)
    end = kept[0 if backwards else -1].id if has_more and kept else None
    data = [await _shown(ports, ShownEndpoint(endpoint=x)) for x in kept]
    return answer(views.EndpointsView(data=data, has_more=has_more, next_cursor=end))


@get("/v1/webhook-endpoints/{endpoint_id:str}", opt={"operation": READ})
async def read(request: Request[Any, Any, Any], endpoint_id: FromPath[str]) -> Response[bytes]:
    """Answer an endpoint, without its secret."""
    caller = await authenticated(request, "webhooks:write")
    no_query(request)
    ports = deps_of(request).ports
    endpoint = await read_endpoint(ports, caller, endpoint_id)
    return answer(await _shown(ports, ShownEndpoint(endpoint=endpoint)))


@patch("/v1/webhook-endpoints/{endpoint_id:str}", opt={"operation": CHANGE})
async def change(request: Request[Any, Any, Any], endpoint_id: FromPath[str]) -> Response[bytes]:
    """Change what is said, and answer the endpoint."""
    caller, ports, endpoint = await reached(request, endpoint_id)
    no_query(request)
    body = as_struct(await json_body(request, required=True), EndpointPatch)
    wanted = EndpointChange(
        url=body.url,
        events=tuple(dict.fromkeys(body.events)) if body.events is not None else None,
        description=body.description,
        enabled=None if body.status is None else body.status == "enabled",
    )
    changed = await change_endpoint(ports, caller, endpoint.id, wanted)
    return answer(await _shown(ports, ShownEndpoint(endpoint=changed)))


@delete("/v1/webhook-endpoints/{endpoint_id:str}", opt={"operation": REMOVE})
async def remove(request: Request[Any, Any, Any], endpoint_id: FromPath[str]) -> Response[None]:
    """Remove an endpoint."""
    caller, ports, endpoint = await reached(request, endpoint_id)
    no_query(request)
    await remove_endpoint(ports, caller, endpoint.id)
    return Response(None, status_code=204)


@post(
    "/v1/webhook-endpoints/{endpoint_id:str}/rotate-secret",
    opt={"operation": ROTATE},
    status_code=200,
)
async def rotate(request: Request[Any, Any, Any], endpoint_id: FromPath[str]) -> Response[bytes]:
    """Make a new secret and show it, once."""
    caller, ports, endpoint = await reached(request, endpoint_id)
    _, once = await read_command(request, caller, NothingRequest, required=False)
    rotated = await rotate_secret(ports, caller, endpoint.id, once)
    return answer(await _shown(ports, rotated), replayed=rotated.replayed)


@post("/v1/webhook-endpoints/{endpoint_id:str}/test", opt={"operation": TEST}, status_code=202)
async def test(request: Request[Any, Any, Any], endpoint_id: FromPath[str]) -> Response[bytes]:
    """Send a ping."""
    caller, ports, endpoint = await reached(request, endpoint_id)
    _, once = await read_command(request, caller, NothingRequest, required=False)
    pinged = await ping_endpoint(ports, caller, endpoint.id, once)
    shown = ShownEndpoint(endpoint=pinged.endpoint, secret=UNSET)
    return answer(await _shown(ports, shown), status=202, replayed=pinged.replayed)


@post(
    "/v1/webhook-endpoints/{endpoint_id:str}/recover", opt={"operation": RECOVER}, status_code=200
)
async def recover(request: Request[Any, Any, Any], endpoint_id: FromPath[str]) -> Response[bytes]:
    """Send again what was missed of a time."""
    caller, _, endpoint = await reached(request, endpoint_id)
    body, once = await read_command(request, caller, RecoverRequest, required=True)
    if body.until is not None and body.until <= body.since:
        raise invalid("until", "is not after since")
    recovered = await deps_of(request).webhooks.recover(
        caller, endpoint, once, since=body.since, until=body.until
    )
    view = views.RecoveredView(scheduled=recovered.scheduled)
    return answer(view, replayed=recovered.replayed)


ROUTES = (create, list_all, read, change, remove, rotate, test, recover)

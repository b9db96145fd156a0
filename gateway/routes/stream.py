"""Server-sent events: the orders of a merchant, as they change."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from litestar import Request, get
from litestar.response import Stream

from commands.append import KeyRevoked
from commands.caller import Caller
from domain.errors import Unavailable
from domain.order.evolve import fold
from gateway.auth import authenticated, deps_of
from gateway.decode import no_query
from gateway.errors import Refused
from gateway.operation import Operation
from gateway.views import as_json, render_orders

EVENT_STREAM: Final = "text/event-stream"
ASKED_S: Final = 3600.0
UNASKED_S: Final = 10.0
"""Who does not accept `text/event-stream` by name gets a short one, which ends by itself."""

TICK_S: Final = 0.5
"""How soon a stream notices that the server is going down."""

HEARTBEAT_S: Final = 3.0
ORDERS_MAX: Final = 50
"""Orders that are read and sent at a time."""

STREAM = Operation(
    id="streamEvents",
    tag="Dashboard",
    summary="Follow your orders live",
    description=(
        "Server-sent events. `order` carries an order as it is now. `ready` says that changes are "
        "followed from here on, for the first time or anew: read the list (again). "
        "Lines with a colon alone keep the connection open. Send `Accept: text/event-stream`; "
        "without it the stream ends after 10 seconds. It ends after an hour, when the credentials "
        "end, and when the server goes down: connect again. For webhooks and accounting use "
        "`GET /v1/events`, which misses nothing."
    ),
    scope="payments:read",
    media=EVENT_STREAM,
    example='event: order\ndata: {"id": "ord_01jd3v8x2sfy3t6q9m4n7p0r5w", …}\n\n',
)


@get("/api/events/stream", opt={"operation": STREAM})
async def stream(request: Request[Any, Any, Any]) -> Stream:
    """Answer with a stream that lives as long as both sides want it."""
    caller = await authenticated(request, "payments:read")
    no_query(request)
    if deps_of(request).changes.full:
        raise Unavailable("overloaded", "Too many streams are open; try again.")
    asked = EVENT_STREAM in request.headers.get("accept", "")
    lifetime_s = 0.0 if request.scope["state"]["head"] else ASKED_S if asked else UNASKED_S
    lines = _lines(request, caller, lifetime_s)
    return Stream(lines, media_type=EVENT_STREAM, headers={"X-Accel-Buffering": "no"})


async def _lines(
    request: Request[Any, Any, Any], caller: Caller, lifetime_s: float
) -> AsyncIterator[bytes]:
    """Yield events until the time is up, the server goes down or the caller may read no more."""
    stopping: asyncio.Event = request.app.state.stopping
    ends = time.monotonic() + lifetime_s
    checked = time.monotonic()
    async with deps_of(request).changes.orders(caller.merchant_id, caller.mode) as changes:
        while not stopping.is_set() and time.monotonic() < ends:
            changed = await changes.next(TICK_S)
            try:
                if time.monotonic() - checked > HEARTBEAT_S:
                    checked = time.monotonic()
                    await authenticated(request, "payments:read")
                    yield b":\n\n"
                if changes.began():
                    yield _event("ready", {})
                for start in range(0, len(changed), ORDERS_MAX):
                    for view in await _orders(request, caller, changed[start : start + ORDERS_MAX]):
                        yield _event("order", view)
            except (Refused, KeyRevoked, Unavailable):
                return


async def _orders(
    request: Request[Any, Any, Any], caller: Caller, order_ids: tuple[str, ...]
) -> list[msgspec.Struct]:
    """Return orders as they are now; the log decides what the bus only told of."""
    ports = deps_of(request).ports
    found = await ports.store.load(order_ids, caller_key=caller.key_id)
    orders = [order for order_id in order_ids if (order := fold(found[order_id]))]
    mine = [order for order in orders if order.merchant_id == caller.merchant_id]
    return list(await render_orders(ports, mine))


def _event(name: str, data: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), as_json(data))


ROUTES = (stream,)

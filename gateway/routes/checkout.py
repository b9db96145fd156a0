"""Where a customer comes back to from a processor's page; no credentials, the id is the secret."""

from html import escape
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec
from litestar import Request, Response, get
from litestar.params import FromPath

from commands.caller import Caller
from commands.confirm_order import confirm_order
from commands.execute import not_found
from commands.ports import Ports
from commands.read_order import open_personal
from domain.ids import is_id
from domain.metadata import Actor
from domain.order.evolve import fold
from domain.order.state import Order
from gateway.auth import deps_of
from gateway.edge import ids_of
from gateway.operation import HTML, Operation
from gateway.pages import page

WAIT_S = 3.0
RETURN = Operation(
    id="returnFromProcessor",
    tag="Checkout",
    summary="Where every 3-D Secure page sends the customer back to",
    description=(
        "Looks the payment up, then goes on to `returnUrl?orderId=…&status=…`, or shows a short "
        "page where the merchant named none."
    ),
    media=HTML,
    example="<!doctype html>…",
    also={303: (None, None)},
    codes=("not_found", "invalid_status", "overloaded", "database_unavailable"),
)


@get("/checkout/{order_id:str}/return", opt={"operation": RETURN})
async def returned(request: Request[Any, Any, Any], order_id: FromPath[str]) -> Response[bytes]:
    """Look the payment up and send the customer on; processors add parameters of their own."""
    ports = deps_of(request).ports
    order = fold((await ports.store.load([order_id]))[order_id]) if is_id(order_id, "ord") else None
    if order is None:
        raise not_found()
    ids = ids_of(request.scope)
    caller = Caller(
        actor=Actor(kind="saga", id="checkout"),
        merchant_id=order.merchant_id,
        mode=order.mode,
        correlation_id=ids.correlation_id,
        trace=ids.trace,
    )
    done = await confirm_order(ports, caller, order_id, wait_s=WAIT_S)
    url = await _return_url(ports, done.order)
    if url is None:
        text = f"The payment is {escape(done.order.status.replace('_', ' '))}."
        body = f'<h1>{text}</h1><p class="soft">You can close this page.</p>'
        return page(text, body, narrow=True)
    location = with_result(url, order_id=order_id, status=done.order.status)
    return Response(b"", status_code=303, headers={"Location": location}, media_type=HTML)


async def _return_url(ports: Ports, order: Order) -> str | None:
    """Return the URL of the payment, else of the order."""
    live = order.live
    if live is not None and live.return_to is not None:
        (raw,) = await ports.vault.open([live.return_to])
        if raw is not None:
            return msgspec.json.decode(raw, type=str)
    (personal,) = await open_personal(ports, [order])
    return personal.return_url


def with_result(url: str, *, order_id: str, status: str) -> str:
    """Return a merchant's URL with the result behind its own query parameters."""
    parts = urlsplit(url)
    result = urlencode({"orderId": order_id, "status": status})
    return urlunsplit(parts._replace(query=f"{parts.query}&{result}" if parts.query else result))


ROUTES = (returned,)

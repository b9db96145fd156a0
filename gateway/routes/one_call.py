"""Payments: an order that is created and paid in one call and one append."""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath
from msgspec import UNSET, UnsetType

from commands.create_payment import create_payment
from commands.ports import Ports
from commands.read_order import read_order
from domain.order.state import Order
from gateway import checkout_examples as examples
from gateway.auth import authenticated, deps_of
from gateway.bodies import OrdersQueryString, PaymentRequest
from gateway.decode import no_query, query
from gateway.errors import Refused
from gateway.headers import preferred_wait_s
from gateway.operation import Operation, answer
from gateway.read_command import read_command
from gateway.routes.orders import new_order, page_of
from gateway.routes.payments import as_pay_order
from gateway.views import OrderView, View, render_orders


class PaymentOrderView(OrderView, frozen=True, kw_only=True):
    """An order with what the answer of `/pay` has beside it."""

    order_id: str
    redirect_url: str | UnsetType = UNSET
    client_secret: str | UnsetType = UNSET


class PaymentOrdersView(View, frozen=True, kw_only=True):
    """A page of payments, newest first; the read model has seen the log up to `asOfPosition`."""

    data: list[PaymentOrderView]
    has_more: bool
    next_cursor: str | None
    as_of_position: int


CREATE = Operation(
    id="createPayment",
    tag="Payments",
    summary="Create and pay an order in one call",
    description=(
        "Order and payment are committed together, or not at all where no processor can take it. "
        "Needs an `Idempotency-Key` or an `externalId`, so that a repetition pays nothing twice. "
        "Waits for the outcome as long as `Prefer: wait=N` says, then answers `processing`."
    ),
    scope="payments:write",
    status=201,
    answer=PaymentOrderView,
    example=examples.PAYMENT_ORDER,
    body=PaymentRequest,
    body_required=True,
    body_example=examples.PAYMENT_REQUEST,
    headers=("Idempotency-Key", "Prefer"),
    gives="order_id",
    codes=("idempotency_key_required", "external_id_exists", "no_processor", "reconciling"),
)
READ = Operation(
    id="getPayment",
    tag="Payments",
    summary="Read a payment; its id is the order's",
    scope="payments:read",
    answer=PaymentOrderView,
    example=examples.PAYMENT_ORDER,
)
LIST = Operation(
    id="listPayments",
    tag="Payments",
    summary="List orders that somebody tried to pay, newest first",
    scope="payments:read",
    answer=PaymentOrdersView,
    example=examples.PAYMENTS,
    query=OrdersQueryString,
)


@post("/v1/payments", opt={"operation": CREATE})
async def create(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Accept, route and pay."""
    caller = await authenticated(request, "payments:write")
    wait_s = preferred_wait_s(request)
    body, once = await read_command(request, caller, PaymentRequest, required=True)
    if once is None and body.external_id is None:
        raise Refused("idempotency_key_required")
    ports = deps_of(request).ports
    asked = as_pay_order(body.processor, body.payment_method)
    done = await create_payment(ports, caller, new_order(body), asked, once, wait_s=wait_s)
    (view,) = await _render(ports, [done.order])
    return answer(view, status=done.status, replayed=done.replayed)


@get("/v1/payments/{order_id:str}", opt={"operation": READ})
async def read(request: Request[Any, Any, Any], order_id: FromPath[str]) -> Response[bytes]:
    """Answer the order, folded from its stream."""
    caller = await authenticated(request, "payments:read")
    no_query(request)
    ports = deps_of(request).ports
    (view,) = await _render(ports, [await read_order(ports, caller, order_id)])
    return answer(view)


@get("/v1/payments", opt={"operation": LIST})
async def list_payments(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer one page from the read model."""
    caller = await authenticated(request, "payments:read")
    deps = deps_of(request)
    page = await page_of(deps, caller, query(request, OrdersQueryString), paid=True)
    view = PaymentOrdersView(
        data=await _render(deps.ports, page.orders),
        has_more=page.has_more,
        next_cursor=page.next_cursor,
        as_of_position=page.as_of_position,
    )
    return answer(view)


async def _render(ports: Ports, orders: Sequence[Order]) -> list[PaymentOrderView]:
    return [_payment(view) for view in await render_orders(ports, orders)]


def _payment(view: OrderView) -> PaymentOrderView:
    action = view.next_action
    return PaymentOrderView(
        **msgspec.structs.asdict(view),
        order_id=view.id,
        redirect_url=action.redirect_url if action else UNSET,
        client_secret=action.client_secret if action else UNSET,
    )


ROUTES = (create, read, list_payments)

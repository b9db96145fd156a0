"""Orders: create, read, list."""

from datetime import datetime
from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath

from commands.caller import Caller
from commands.create_order import NewOrder, create_order
from commands.execute import not_found
from commands.ports import Ports
from commands.read_order import read_order
from domain.money import EXPONENTS
from domain.order.evolve import fold
from domain.order.state import Order
from domain.personal import Personal
from gateway import examples
from gateway.auth import authenticated, deps_of
from gateway.bodies import OrderQueryString, OrderRequest, OrdersQueryString
from gateway.cursor import as_cursor, cursor_text
from gateway.decode import query
from gateway.deps import Deps
from gateway.errors import invalid
from gateway.operation import Operation, answer
from gateway.read_command import read_command
from gateway.views import OrdersView, OrderView, order_view, render_orders
from projections.order_view import whole_ms
from projections.orders import Cursor, Filters

CREATE = Operation(
    id="createOrder",
    tag="Orders",
    summary="Create an order",
    scope="payments:write",
    status=201,
    answer=OrderView,
    example=examples.ORDER,
    body=OrderRequest,
    body_required=True,
    body_example=examples.NEW_ORDER,
    headers=("Idempotency-Key",),
    gives="order_id",
    codes=("external_id_exists",),
)
READ = Operation(
    id="getOrder",
    tag="Orders",
    summary="Read an order",
    description="As it is now, or as it was at a position or time.",
    scope="payments:read",
    answer=OrderView,
    example=examples.PAID_ORDER,
    query=OrderQueryString,
)
LIST = Operation(
    id="listOrders",
    tag="Orders",
    summary="List orders",
    description=(
        "Newest first. Go on with `after` = `nextCursor` while `hasMore`; `after` and `before` "
        "together give what is between."
    ),
    scope="payments:read",
    answer=OrdersView,
    example=examples.ORDERS,
    query=OrdersQueryString,
)


def currency_of(given: str) -> str:
    """Return the upper-case code of a currency that money comes in.

    Raises:
        Refused: 400 for any other code.
    """
    code = given.upper()
    if code not in EXPONENTS:
        raise invalid("currency", "is no ISO 4217 code of a currency that money comes in")
    return code


@post("/v1/orders", opt={"operation": CREATE})
async def create(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Accept an order; it is `pending` until it is paid."""
    caller = await authenticated(request, "payments:write", cached=True)
    body, once = await read_command(request, caller, OrderRequest, required=True)
    new = new_order(body)
    ports = deps_of(request).ports
    done = await create_order(ports, caller, new, once)
    if done.replayed:
        (view,) = await render_orders(ports, [done.order])
    else:
        view = order_view(done.order, _personal(new), None)
    return answer(view, status=done.status, replayed=done.replayed)


def new_order(body: OrderRequest) -> NewOrder:
    """Return what the command takes.

    Raises:
        Refused: 400 for a currency that money does not come in.
    """
    return NewOrder(
        amount_minor=body.amount,
        currency=currency_of(body.currency),
        external_id=body.external_id,
        customer_id=body.customer_id,
        customer_email=body.customer_email,
        description=body.description,
        metadata=body.metadata,
        return_url=body.return_url,
        cancel_url=body.cancel_url,
        capture_method=body.capture_method,
    )


def _personal(new: NewOrder) -> Personal:
    """Return what was just sealed, so that a new order is answered without opening it."""
    return Personal(
        customer_id=new.customer_id,
        customer_email=new.customer_email,
        description=new.description,
        metadata=new.metadata,
        return_url=new.return_url,
        cancel_url=new.cancel_url,
    )


@get("/v1/orders/{order_id:str}", opt={"operation": READ})
async def read(request: Request[Any, Any, Any], order_id: FromPath[str]) -> Response[bytes]:
    """Answer the order, folded from its stream: everybody reads their own writes."""
    caller = await authenticated(request, "payments:read", cached=True)
    asked = query(request, OrderQueryString)
    ports = deps_of(request).ports
    order = await read_order(ports, caller, order_id)
    if asked.as_of is not None:
        order = await _as_of(ports, caller, order, asked.as_of)
    (view,) = await render_orders(ports, [order])
    return answer(view)


async def _as_of(ports: Ports, caller: Caller, order: Order, as_of: datetime | int) -> Order:
    """Fold the rows up to a position or a commit time; before the order's creation it is 404."""
    rows = (await ports.store.load([order.id], caller_key=caller.key_id))[order.id]
    if isinstance(as_of, int):
        then = fold(row for row in rows if row.position <= as_of)
    else:
        then = fold(row for row in rows if row.recorded_at <= whole_ms(as_of))
    if then is None:
        raise not_found()
    return then


@get("/v1/orders", opt={"operation": LIST})
async def list_orders(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer one page from the read model."""
    caller = await authenticated(request, "payments:read")
    deps = deps_of(request)
    page = await page_of(deps, caller, query(request, OrdersQueryString))
    view = OrdersView(
        data=await render_orders(deps.ports, page.orders),
        has_more=page.has_more,
        next_cursor=page.next_cursor,
        as_of_position=page.as_of_position,
    )
    return answer(view)


class OrdersPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the read model, with the cursor of the next one."""

    orders: list[Order]
    has_more: bool
    next_cursor: str | None
    as_of_position: int


async def page_of(
    deps: Deps, caller: Caller, asked: OrdersQueryString, *, paid: bool = False
) -> OrdersPage:
    """Return the page that was asked for; `paid` narrows to orders that were tried to be paid."""
    after, before = as_cursor(asked.after), as_cursor(asked.before)
    page = await deps.read_models.orders_page(
        merchant_id=caller.merchant_id,
        mode=caller.mode,
        filters=_filters(asked, paid=paid),
        after=after,
        before=None if after else before,
        limit=asked.limit,
    )
    rows, has_more = page.rows, page.has_more
    if after and before:
        rows = tuple(row for row in rows if _place(row.cursor) > _place(before))
        has_more = has_more and len(rows) == len(page.rows)
    last = rows[0 if before and not after else -1] if has_more and rows else None
    return OrdersPage(
        orders=[row.order for row in rows],
        has_more=has_more,
        next_cursor=cursor_text(last.cursor) if last else None,
        as_of_position=page.as_of_position,
    )


def _filters(asked: OrdersQueryString, *, paid: bool) -> Filters:
    return Filters(
        status=asked.status,
        processor=asked.processor,
        currency=currency_of(asked.currency) if asked.currency else None,
        external_id=asked.external_id,
        created_from=asked.created_from,
        created_to=asked.created_to,
        paid=paid,
    )


def _place(cursor: Cursor) -> tuple[datetime, str]:
    return cursor.created_at, cursor.order_id


ROUTES = (create, read, list_orders)

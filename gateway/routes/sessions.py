"""Checkout sessions: a hosted page for an amount, with an end."""

from datetime import datetime, timedelta
from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.params import FromPath

from commands.create_order import NewOrder, create_order
from commands.execute import owned
from domain.errors import NotFound
from domain.ids import is_id, sibling
from domain.personal import LineItem
from gateway import checkout_examples as examples
from gateway.auth import authenticated, deps_of
from gateway.bodies import CheckoutSessionRequest, SessionsQueryString
from gateway.decode import no_query, query
from gateway.errors import invalid
from gateway.operation import Operation, answer
from gateway.read_command import read_command
from gateway.routes.orders import currency_of
from gateway.session_views import (
    NewSessionView,
    SessionsView,
    SessionView,
    new_session_view,
    session_of,
    session_views,
)

LIFE: Final = timedelta(hours=24)
LIFE_MIN: Final = timedelta(minutes=5)
LIFE_MAX: Final = timedelta(days=30)

CREATE = Operation(
    id="createCheckoutSession",
    tag="Checkout",
    summary="Open a checkout session",
    description=(
        "Send the customer to `url`. After the payment the customer goes on to "
        "`successUrl?orderId=…&status=…`. A session that nobody paid until `expiresAt` ends its "
        "order as `expired`; a payment that is under way by then is waited for."
    ),
    scope="payments:write",
    status=201,
    answer=NewSessionView,
    example=examples.NEW_SESSION,
    body=CheckoutSessionRequest,
    body_required=True,
    body_example=examples.SESSION_REQUEST,
    headers=("Idempotency-Key",),
    gives="session_id",
    codes=("external_id_exists",),
)
READ = Operation(
    id="getCheckoutSession",
    tag="Checkout",
    summary="Read a checkout session",
    scope="payments:read",
    answer=SessionView,
    example=examples.SESSION,
)
LIST = Operation(
    id="listCheckoutSessions",
    tag="Checkout",
    summary="List checkout sessions, newest first",
    scope="payments:read",
    answer=SessionsView,
    example=examples.SESSIONS,
    query=SessionsQueryString,
)


@post("/v1/checkout/sessions", opt={"operation": CREATE})
async def create(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Accept an order that its customer pays on our page."""
    caller = await authenticated(request, "payments:write")
    body, once = await read_command(request, caller, CheckoutSessionRequest, required=True)
    ports = deps_of(request).ports
    new = _new_order(body, ports.now())
    done = await create_order(ports, caller, new, once)
    view = new_session_view(done.order, ports.public_url)
    return answer(view, status=done.status, replayed=done.replayed)


def _new_order(body: CheckoutSessionRequest, now: datetime) -> NewOrder:
    items = None
    if body.line_items is not None:
        items = tuple(
            LineItem(name=item.name, amount=item.amount, quantity=item.quantity)
            for item in body.line_items
        )
        total = sum(item.amount * item.quantity for item in items)
        if total != body.amount:
            raise invalid("lineItems", f"add up to {total}, and amount is {body.amount}")
    expires_at = body.expires_at or now + LIFE
    if not now + LIFE_MIN <= expires_at <= now + LIFE_MAX:
        raise invalid("expiresAt", "has to be from 5 minutes to 30 days ahead")
    return NewOrder(
        amount_minor=body.amount,
        currency=currency_of(body.currency),
        external_id=body.external_id,
        customer_id=body.customer_id,
        customer_email=body.customer_email,
        description=body.description,
        metadata=body.metadata,
        return_url=body.success_url,
        cancel_url=body.cancel_url,
        capture_method=body.capture_method,
        session=True,
        expires_at=expires_at,
        line_items=items,
    )


@get("/v1/checkout/sessions/{session_id:str}", opt={"operation": READ})
async def read(request: Request[Any, Any, Any], session_id: FromPath[str]) -> Response[bytes]:
    """Answer the session, folded from its order's stream."""
    caller = await authenticated(request, "payments:read")
    no_query(request)
    ports = deps_of(request).ports
    if not is_id(session_id, "cs"):
        raise _not_found()
    order_id = sibling(session_id, "ord")
    rows = (await ports.store.load([order_id], caller_key=caller.key_id))[order_id]
    session = session_of(rows)
    if session is None or session.order.checkout_session_id != session_id:
        raise _not_found()
    try:
        owned(session.order, caller)
    except NotFound:  # says the same as of one that nobody has
        raise _not_found() from None
    (view,) = await session_views(ports, [session])
    return answer(view)


@get("/v1/checkout/sessions", opt={"operation": LIST})
async def list_sessions(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer one page, each session as it is now."""
    caller = await authenticated(request, "payments:read")
    asked = query(request, SessionsQueryString)
    deps = deps_of(request)
    ids, has_more = await deps.sessions.page(
        caller.merchant_id,
        caller.mode,
        after=asked.after,
        before=None if asked.after else asked.before,
        limit=asked.limit,
    )
    if asked.after and asked.before:
        between = tuple(found for found in ids if found > asked.before)
        has_more = has_more and len(between) == len(ids)
        ids = between
    orders = [sibling(found, "ord") for found in ids]
    streams = await deps.ports.store.load(orders, caller_key=caller.key_id) if orders else {}
    sessions = [session_of(streams[order_id]) for order_id in orders]
    last = ids[0 if asked.before and not asked.after else -1] if has_more else None
    view = SessionsView(
        data=await session_views(deps.ports, [s for s in sessions if s is not None]),
        has_more=has_more,
        next_cursor=last,
    )
    return answer(view)


def _not_found() -> NotFound:
    return NotFound("not_found", "There is no such checkout session.")


ROUTES = (create, read, list_sessions)

"""Money that goes back, and the list of everything that happened to an order's money."""

from typing import Any

from litestar import Request, Response, get, post
from litestar.params import FromPath

from commands.read_order import open_reasons, read_order
from commands.refund_order import refund_order
from gateway import examples
from gateway.auth import authenticated, deps_of
from gateway.bodies import RefundRequest
from gateway.decode import no_query
from gateway.movement_views import (
    NewRefundView,
    RefundView,
    TransactionView,
    new_refund_view,
    refund_view,
    transaction_view,
)
from gateway.operation import Operation, answer
from gateway.read_command import read_command
from projections.movements import transactions

REFUND = Operation(
    id="refundOrder",
    tag="Refunds",
    summary="Refund captured money, all of it or a part",
    scope="payments:write",
    status=201,
    answer=NewRefundView,
    example=examples.NEW_REFUND,
    body=RefundRequest,
    body_example={"amount": 1500, "reason": "one item returned"},
    headers=("Idempotency-Key",),
    codes=(
        "invalid_status",
        "order_quarantined",
        "refund_exceeds_captured",
        "amount_not_representable",
    ),
)
REFUNDS = Operation(
    id="listRefunds",
    tag="Refunds",
    summary="An order's refunds, newest first",
    scope="payments:read",
    answer=list[RefundView],
    example=examples.REFUNDS,
)
TRANSACTIONS = Operation(
    id="listTransactions",
    tag="Refunds",
    summary="What happened to an order's money, newest first",
    scope="payments:read",
    answer=list[TransactionView],
    example=examples.TRANSACTIONS,
)


@post("/v1/orders/{order_id:str}/refund", opt={"operation": REFUND}, status_code=201)
async def refund(request: Request[Any, Any, Any], order_id: FromPath[str]) -> Response[bytes]:
    """Ask for a refund; it is `pending` until the processor has sent the money."""
    caller = await authenticated(request, "payments:write", cached=True)
    body, once = await read_command(request, caller, RefundRequest, required=False)
    ports = deps_of(request).ports
    done = await refund_order(
        ports, caller, order_id, amount_minor=body.amount, reason=body.reason, idempotency=once
    )
    made = done.order.refund(done.subject or "")
    assert made is not None, "an accepted refund is in its order"
    view = new_refund_view(made, order_id, body.reason)
    return answer(view, status=done.status, replayed=done.replayed)


@get("/v1/orders/{order_id:str}/refunds", opt={"operation": REFUNDS})
async def refunds(request: Request[Any, Any, Any], order_id: FromPath[str]) -> Response[bytes]:
    """List the merchant's refunds; strays that were sent back are not among them."""
    caller = await authenticated(request, "payments:read")
    no_query(request)
    ports = deps_of(request).ports
    order = await read_order(ports, caller, order_id)
    found = [r for r in reversed(order.refunds) if r.kind == "merchant"]
    reasons = await open_reasons(ports, found)
    return answer([refund_view(r, order.id, why) for r, why in zip(found, reasons, strict=True)])


@get("/v1/orders/{order_id:str}/transactions", opt={"operation": TRANSACTIONS})
async def list_transactions(
    request: Request[Any, Any, Any], order_id: FromPath[str]
) -> Response[bytes]:
    """List authorizations, captures, refunds, voids and disputes."""
    caller = await authenticated(request, "payments:read")
    no_query(request)
    order = await read_order(deps_of(request).ports, caller, order_id)
    return answer([transaction_view(row) for row in transactions(order)])


ROUTES = (refund, refunds, list_transactions)

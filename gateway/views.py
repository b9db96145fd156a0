"""What answers say: closed structs in camelCase, rendered from the fold of an order."""

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from commands.ports import Ports
from commands.read_order import OpenChallenge, open_challenge, open_personal
from domain.order.state import Order
from projections.order_view import (
    FailureView,
    MinorUnits,
    NextActionView,
    OrderView,
    Time,
    View,
    failure_view,
    iso,
    order_view,
)

__all__ = [
    "MinorUnits",
    "OrderView",
    "OrdersView",
    "PaymentView",
    "Time",
    "View",
    "as_json",
    "iso",
    "order_view",
    "render_orders",
    "render_payment",
]


class OrdersView(View, frozen=True, kw_only=True):
    """A page of orders, newest first; the read model has seen the log up to `asOfPosition`."""

    data: list[OrderView]
    has_more: bool
    next_cursor: str | None
    as_of_position: int


class PaymentView(View, frozen=True, kw_only=True):
    """What a payment came to so far."""

    order_id: str
    status: Literal[
        "processing", "requires_action", "authorized", "captured", "partially_refunded", "refunded",
        "failed", "cancelled", "expired",
    ]  # fmt: skip
    processor: str | None
    redirect_url: str | UnsetType = UNSET
    next_action: NextActionView | UnsetType = UNSET
    client_secret: str | UnsetType = UNSET
    failure: FailureView | UnsetType = UNSET


def next_action_view(order: Order, challenge: OpenChallenge) -> NextActionView:
    """Render what the customer has to do."""
    live = order.live
    razorpay = challenge.kind == "razorpay_checkout"
    reference = live.reference if live else None
    return NextActionView(
        type=challenge.kind,
        redirect_url=challenge.redirect_url,
        expires_at=iso(challenge.expires_at),
        client_secret=challenge.client_secret or UNSET,
        publishable_key=challenge.publishable_key or UNSET,
        key_id=challenge.key_id or UNSET,
        order_id=(reference or UNSET) if razorpay else UNSET,
        amount=order.amount.minor if razorpay else UNSET,
        currency=order.amount.currency if razorpay else UNSET,
    )


def back_with_customer(order: Order, public_url: str) -> NextActionView:
    """Render the hosted page, where a customer whose payment was declined may try again."""
    until = order.customer_deadline
    return NextActionView(
        type="collect_payment_method",
        redirect_url=f"{public_url}/checkout/{order.id}",
        expires_at=iso(until) if until else None,
    )


async def next_action(ports: Ports, order: Order) -> NextActionView | None:
    """Return what the customer has to do, None where it is not the customer's turn."""
    if order.status != "requires_action":
        return None
    challenge = await open_challenge(ports, order)
    if challenge is None:
        return back_with_customer(order, ports.public_url)
    return next_action_view(order, challenge)


async def render_orders(ports: Ports, orders: Sequence[Order]) -> list[OrderView]:
    """Open and render orders as they are now."""
    opened = await open_personal(ports, orders)
    actions = await asyncio.gather(*(next_action(ports, order) for order in orders))
    return list(map(order_view, orders, opened, actions))


async def render_payment(ports: Ports, order: Order) -> PaymentView:
    """Render the answer of `/pay`, which is never `pending`."""
    assert order.status != "pending", "a paid order has an attempt"
    action = await next_action(ports, order)
    return PaymentView(
        order_id=order.id,
        status=order.status,
        processor=order.live.processor if order.live else None,
        redirect_url=action.redirect_url if action else UNSET,
        next_action=action or UNSET,
        client_secret=action.client_secret if action else UNSET,
        failure=failure_view(order.failure) if order.failure else UNSET,
    )


def as_json(answer: Any) -> bytes:
    """Encode an answer."""
    return msgspec.json.encode(answer)

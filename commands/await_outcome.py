"""Waiting for what the workers make of an order, bounded by what the caller prefers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec.structs import replace

from commands.caller import Caller, Done
from commands.execute import load_order
from commands.ports import Ports
from domain.errors import Conflict
from domain.order.state import Order

POLL_S: Final = 0.5
"""The order is read again at least this often, should the watch have missed something."""


def is_settled(order: Order) -> bool:
    """Tell whether nothing is under way that the caller would wait for."""
    if order.ended or order.quarantine:
        return True
    closing = order.cancel_requested or order.pending_capture is not None
    return order.status != "processing" and not closing


def answered(done: Done, order: Order) -> Done:
    """Return the answer of a verb that has waited.

    Raises:
        Conflict: `idempotency_in_progress`, an equal request is still being worked on.
    """
    if done.replayed and not is_settled(order):
        raise Conflict("idempotency_in_progress", "The first request is still being answered.")
    return replace(done, order=order)


async def await_outcome(
    ports: Ports,
    caller: Caller,
    order: Order,
    changed: Callable[[float], Awaitable[None]],
    *,
    wait_s: float,
    settled: Callable[[Order], bool] = is_settled,
) -> Order:
    """Return the order once it is settled, or as it is after `wait_s` seconds."""
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    while not settled(order) and (left := until - loop.time()) > 0:
        await changed(min(left, POLL_S))
        order = await load_order(ports, caller, order.id)
    return order

"""Razorpay's deliveries that go wrong, by their amount codes: only a webhook tells of a payment."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from domain.order.state import Order
from tests.commands.door import Door
from tests.commands.outcomes import check_ledger

BASE = 10_000
HEARD = (7001, 7003, 7008)
"""Three times, before the answer, two events for one change."""
LATE = (7002, 7004)
"""The last one first, which takes a moment; ten minutes late."""
LOST = (7005, 7006, 7007)
"""Never, wrongly signed, signed with another secret."""


async def authorized(door: Door, codes: Sequence[int], orders: Sequence[Order]) -> set[int]:
    found = [await door.market.shop.read(order.id) for order in orders]
    return {n for n, one in zip(codes, found, strict=True) if one.status == "authorized"}


async def test_what_is_heard_wakes_the_order_and_the_rest_is_found_by_looking(door: Door) -> None:
    market = door.market
    codes = (*HEARD, *LATE, *LOST)
    orders = await market.round([await market.order(None, BASE + n, "INR") for n in codes])
    for order in orders:
        await asyncio.to_thread(market.pay, order)
    await door.apply()
    assert await authorized(door, codes, orders) == set(HEARD)

    market.now_s += 660
    await door.control("clock", advance="11m")
    await door.apply()
    assert await authorized(door, codes, orders) == {*HEARD, *LATE}

    await asyncio.to_thread(market.later, timedelta(minutes=5))
    orders = await market.settle(orders)
    await door.apply()
    assert {order.status for order in orders} == {"captured"}
    for order in orders:
        assert (await market.shop.events(order.id)).count("captured") == 1
        await check_ledger(market, order, market.book(order))
    assert await door.states() <= {"applied", "known"}

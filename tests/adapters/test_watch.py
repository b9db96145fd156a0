"""Whoever waits for an order hears of that order, and of no other."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from adapters.nats import Bus
from adapters.watch import BusWatch
from domain.ids import new_id
from tests.waiting import until

FOREVER_S = 60.0


async def _publish(bus: Bus, order_id: str) -> None:
    await (await bus.client()).publish(f"loop.test.mer_a.{order_id}.order-routed-v1", b"{}")


async def _poked(bus: Bus, order_id: str, changed: Callable[[float], Awaitable[None]]) -> None:
    """Publish until the watch has heard it: its subscription begins a moment after it."""
    heard = asyncio.ensure_future(changed(FOREVER_S))

    async def published() -> bool:
        await _publish(bus, order_id)
        return heard.done()

    await until(published)


async def _heard_all(bus: Bus) -> int:
    """Return how many messages came once all that was published before has come.

    `flush` is no such barrier: its PING overtakes publishes that the client still buffers.
    """
    client = await bus.client()
    inbox = client.new_inbox()
    last = await client.subscribe(inbox)
    await client.publish(inbox, b"")
    await last.next_msg(timeout=FOREVER_S)
    await last.unsubscribe()
    return client.stats["in_msgs"]


async def test_an_event_of_the_order_ends_the_wait(bus: Bus) -> None:
    order_id = new_id("ord")
    with BusWatch(bus).order(order_id) as changed:
        await _poked(bus, order_id, changed)


async def test_events_of_other_orders_are_not_even_sent_to_us(bus: Bus) -> None:
    watch, mine, other = BusWatch(bus), new_id("ord"), new_id("ord")
    with watch.order(mine) as changed:
        await _poked(bus, mine, changed)
        before = await _heard_all(bus)
        await _publish(bus, other)
        assert await _heard_all(bus) == before + 1, "the marker alone"


@pytest.mark.parametrize("order_id", ["*", ">", "ord_x y", "ord_x\r\nPUB a 0", ""])
async def test_what_is_no_order_id_is_not_subscribed_to(bus: Bus, order_id: str) -> None:
    client = await bus.client()
    before = client.stats["out_msgs"], len(client._subs)
    with BusWatch(bus).order(order_id) as changed:
        await changed(0)
        await client.flush()
        assert (client.stats["out_msgs"], len(client._subs)) == before


async def test_nothing_stays_subscribed_after_the_wait(bus: Bus) -> None:
    client = await bus.client()
    order_id, watch = new_id("ord"), BusWatch(bus)
    before = len(client._subs)
    with watch.order(order_id) as changed:
        await _poked(bus, order_id, changed)
    await until(lambda: len(client._subs) == before)


async def test_without_the_bus_the_caller_only_polls() -> None:
    async with Bus("nats://127.0.0.1:1", name="test-watch") as absent:
        with BusWatch(absent).order(new_id("ord")) as changed:
            await changed(0.01)

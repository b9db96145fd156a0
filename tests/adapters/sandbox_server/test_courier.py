import asyncio

import pytest

from adapters.sandbox_server.box import Box
from adapters.sandbox_server.clock import Clock
from adapters.sandbox_server.store import Store
from adapters.sandbox_server.webhooks import Courier

TICKS = range(6)
"""How many turns of the event loop lie between the wake and the cancellation."""


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize("ticks", TICKS)
async def test_the_courier_stops_though_it_was_just_woken(ticks: int) -> None:
    store = Store(None)
    box = Box(store)
    courier = Courier(box)
    running = asyncio.create_task(courier.run())
    await turns(5)

    box.changed()
    await turns(ticks)
    running.cancel()

    done, _ = await asyncio.wait({running}, timeout=60)
    running.cancel()
    await courier.close()
    store.close()
    assert done == {running}


@pytest.mark.parametrize("ticks", TICKS)
async def test_a_sleeper_stops_though_the_clock_just_moved(ticks: int) -> None:
    clock = Clock()
    sleeping = asyncio.create_task(clock.sleep(1000))
    await turns(5)

    clock.advance(1)
    await turns(ticks)
    sleeping.cancel()

    done, _ = await asyncio.wait({sleeping}, timeout=60)
    sleeping.cancel()
    assert done == {sleeping}

"""Watching orders: who waits for an order's events subscribes to them, and to nothing else."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from adapters.nats import Bus, Disconnected
from domain.ids import is_id


class BusWatch:
    """Live events from the bus, as pokes: what is missed only costs the caller's poll interval.

    A process that waits for nothing hears nothing: each message takes a client 30 us.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.contextmanager
    def order(self, order_id: str) -> Iterator[Callable[[float], Awaitable[None]]]:
        """See `commands.ports.Watch.order`."""
        poke = asyncio.Event()

        async def changed(timeout_s: float) -> None:
            try:
                async with asyncio.timeout(timeout_s):
                    await poke.wait()
            except TimeoutError:
                return
            poke.clear()

        following = asyncio.create_task(self._follow(order_id, poke))
        self._tasks.add(following)
        following.add_done_callback(self._tasks.discard)
        try:
            yield changed
        finally:
            following.cancel()

    async def _follow(self, order_id: str, poke: asyncio.Event) -> None:
        """Poke for every event of the order until cancelled; do nothing without the bus."""
        if not is_id(order_id, "ord"):
            return

        async def on_message(_: Msg) -> None:
            poke.set()

        try:
            client = await self._bus.client()
            subscription = await client.subscribe(f"loop.*.*.{order_id}.>", cb=on_message)
        except (Disconnected, NatsError, OSError):
            return
        try:
            # The client subscribes again by itself when it reconnects.
            await asyncio.get_running_loop().create_future()
        finally:
            with contextlib.suppress(NatsError, OSError):
                await subscription.unsubscribe()

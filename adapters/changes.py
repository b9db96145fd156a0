"""Changes of one merchant's orders, live from the bus: for pages that show them as they happen."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from adapters.nats import Bus, Disconnected
from adapters.waiting import end, set_within
from domain.ids import is_id
from domain.metadata import Mode

FOLLOWERS_MAX: Final = 256
"""Of one process; every one gets a copy of each message of its merchant."""

AGAIN_S: Final = 1.0


class OrderChanges:
    """Which orders changed since they were asked for last; each is named once, however often."""

    def __init__(self, bus: Bus, subject: str) -> None:
        self._bus = bus
        self._subject = subject
        self._orders: dict[str, None] = {}
        self._news = asyncio.Event()
        self._reconnects = -1
        self._subscribed = False

    async def next(self, timeout_s: float) -> tuple[str, ...]:
        """Return the ids of orders that changed, oldest change first; none after `timeout_s`."""
        await set_within(self._news, timeout_s)
        self._news.clear()
        found = tuple(self._orders)
        self._orders.clear()
        return found

    def began(self) -> bool:
        """Whether following began since the last call, for the first time or anew.

        What changed before is not told: whoever shows a list reads it (again).
        """
        if not self._subscribed:
            return False
        before, self._reconnects = self._reconnects, self._bus.reconnects
        return before != self._reconnects

    async def follow(self) -> None:
        """Listen until cancelled; the library subscribes again by itself when it reconnects."""
        while True:
            try:
                client = await self._bus.client()
                subscription = await client.subscribe(self._subject, cb=self._on_message)
                # A PING overtakes what the client still buffers; the second one does not.
                await client.flush()
                await client.flush()
                break
            except (Disconnected, NatsError, OSError, TimeoutError):
                await asyncio.sleep(AGAIN_S)
        self._subscribed = True
        self._news.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            with contextlib.suppress(NatsError, OSError):
                await subscription.unsubscribe()

    async def _on_message(self, message: Msg) -> None:
        stream_id = message.subject.split(".")[3]
        if is_id(stream_id, "ord"):
            self._orders[stream_id] = None
            self._news.set()


class BusChanges:
    """Lets readers follow the orders of a merchant."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._followers = 0

    @property
    def full(self) -> bool:
        """Whether this process has as many followers as it can serve."""
        return self._followers >= FOLLOWERS_MAX

    @contextlib.asynccontextmanager
    async def orders(self, merchant_id: str, mode: Mode) -> AsyncIterator[OrderChanges]:
        """Follow a merchant's orders inside the block; without the bus nothing comes."""
        assert is_id(merchant_id, "mer")
        changes = OrderChanges(self._bus, f"loop.{mode}.{merchant_id}.*.>")
        self._followers += 1
        task = asyncio.create_task(changes.follow())
        try:
            yield changes
        finally:
            self._followers -= 1
            await end(task)

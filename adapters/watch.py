"""Watching orders: one subscription of the process tells whoever waits for an order's events."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from adapters.nats import Bus, Disconnected

log = structlog.get_logger(__name__)

_STREAM_TOKEN: Final = 3
"""Which part of a subject names the stream."""


class BusWatch:
    """Live events from the bus, as pokes: what is missed only costs the caller's poll interval."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: dict[str, set[asyncio.Event]] = {}

    @contextmanager
    def order(self, order_id: str) -> Iterator[Callable[[float], Awaitable[None]]]:
        """See `commands.ports.Watch.order`."""
        poke = asyncio.Event()
        self._waiting.setdefault(order_id, set()).add(poke)

        async def changed(timeout_s: float) -> None:
            try:
                async with asyncio.timeout(timeout_s):
                    await poke.wait()
            except TimeoutError:
                return
            poke.clear()

        try:
            yield changed
        finally:
            waiting = self._waiting[order_id]
            waiting.discard(poke)
            if not waiting:
                del self._waiting[order_id]

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the bus until `stop`; an absent bus is asked for again and again."""
        while not stop.is_set():
            try:
                client = await self._bus.client()
                subscription = await client.subscribe("loop.>", cb=self._on_message)
            except (Disconnected, NatsError, OSError):
                continue
            # The client subscribes again by itself when it reconnects.
            await stop.wait()
            if self._bus.connected:
                await subscription.unsubscribe()

    async def _on_message(self, message: Msg) -> None:
        tokens = message.subject.split(".")
        if len(tokens) > _STREAM_TOKEN:
            for poke in self._waiting.get(tokens[_STREAM_TOKEN], ()):
                poke.set()

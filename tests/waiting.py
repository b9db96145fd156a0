"""Waiting for a condition with a deadline, for tests that watch something work."""

import asyncio
import contextlib
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol


async def until(
    condition: Callable[[], Awaitable[object] | object], deadline_s: float = 60.0
) -> None:
    """Return when the condition holds; fail when it does not within the deadline."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return
        assert time.monotonic() < end, "the condition did not come to hold"
        await asyncio.sleep(0.01)


class Runs(Protocol):
    def run(self, stop: asyncio.Event) -> Awaitable[Any]: ...


@contextlib.asynccontextmanager
async def running(*workers: Runs) -> AsyncIterator[None]:
    """Run workers for the length of the block; what one raises is raised at its end."""
    stop = asyncio.Event()
    tasks = [asyncio.ensure_future(worker.run(stop)) for worker in workers]
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(60):
            await asyncio.gather(*tasks)

"""Waiting for an event with a time-out, so that a cancellation is never lost.

`asyncio.wait_for` before Python 3.12 forgets a cancellation that comes together with the result.
"""

import asyncio
from typing import Any


async def set_within(event: asyncio.Event, timeout_s: float) -> bool:
    """Return whether the event was set within the time, at once if it is set already."""
    try:
        async with asyncio.timeout(timeout_s):
            return await event.wait()
    except TimeoutError:
        return False


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended; what it raised is dropped."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.5)
    if not task.cancelled():
        task.exception()

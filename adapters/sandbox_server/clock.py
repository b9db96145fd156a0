"""The virtual clock: the real time and an offset that only grows."""

import asyncio
import contextlib
import time
from collections.abc import Iterator


class Clock:
    """Seconds since 1970, UTC, of the sandbox.

    Args:
        offset: how far it is ahead of the real time, in seconds.
    """

    def __init__(self, offset: float = 0) -> None:
        self.offset = offset
        self._fixed: float | None = None
        self._moved = asyncio.Event()

    def now(self) -> float:
        """Give the virtual time."""
        return time.time() + self.offset if self._fixed is None else self._fixed

    def advance(self, seconds: float) -> None:
        """Go forward; whoever sleeps is woken to look again."""
        if seconds < 0:
            raise ValueError("the clock never goes back")
        self.offset += seconds
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    @contextlib.contextmanager
    def at(self, moment: float) -> Iterator[None]:
        """Let it be `moment` for what is done inside: a timer strikes when it was due."""
        self._fixed = moment
        try:
            yield
        finally:
            self._fixed = None

    async def sleep(self, seconds: float) -> None:
        """Sleep until so much virtual time has passed."""
        until = self.now() + seconds
        while (left := until - self.now()) > 0:
            moved = self._moved
            # Not `wait_for`: in Python 3.11 it loses a cancellation that meets the move.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await moved.wait()

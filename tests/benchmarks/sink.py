"""A merchant's server that takes webhooks as fast as they come: keep-alive, 200 at once."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import cast

from typing_extensions import override

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class _Connection(asyncio.Protocol):
    def __init__(self, took: Callable[[], None]) -> None:
        self._took = took
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            length = int(head.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            assert self._transport is not None, "data comes over a connection"
            self._transport.write(ANSWER)
            self._took()


class Sink:
    """Counts what it takes."""

    def __init__(self) -> None:
        self.port = 0
        self.taken = 0
        self._wanted = 0
        self._there = asyncio.Event()
        self.at = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def take(self) -> None:
        self.taken += 1
        self.at = time.perf_counter()
        if self.taken >= self._wanted:
            self._there.set()

    async def until(self, taken: int, deadline_s: float = 300.0) -> None:
        """Wait until that many were taken in all."""
        self._wanted = taken
        self._there.clear()
        if self.taken < taken:
            async with asyncio.timeout(deadline_s):
                await self._there.wait()


@contextlib.asynccontextmanager
async def sink() -> AsyncIterator[Sink]:
    """Run a sink on loopback until the end of the block."""
    made = Sink()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(made.take), "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()

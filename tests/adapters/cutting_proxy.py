"""A TCP proxy before Postgres that loses requests, acknowledgements, or delivers a request late."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Literal
from urllib.parse import urlsplit

What = Literal["request", "response", "late"]
READY = b"Z\x00\x00\x00\x05"


class CuttingProxy:
    """Passes everything on until it is armed; then it cuts the next exchange, once.

    `request` passes that many bytes of the request on and cuts; `response` passes the whole
    request and that many bytes of the answer (all but the last byte for -1); `late` cuts the
    client off and keeps the request until the client's repetition arrives on a new connection,
    then delivers it before that repetition.
    """

    def __init__(self, database_url: str) -> None:
        parts = urlsplit(database_url)
        assert parts.hostname
        assert parts.port
        self._server = (parts.hostname, parts.port)
        self._address = f"{parts.hostname}:{parts.port}"
        self._url = database_url
        self.url = ""
        self.cuts = 0
        self._armed: tuple[What, int] | None = None
        self._late: tuple[asyncio.StreamWriter, asyncio.StreamReader, bytes] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def arm(self, what: What, after: int = 0) -> None:
        self._armed = (what, after)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["CuttingProxy"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.url = self._url.replace(self._address, f"127.0.0.1:{port}")
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(*self._server)
        back = asyncio.ensure_future(self._pass_back(server, to_client))
        self._tasks.add(back)
        try:
            while data := await client.read(1 << 20):
                if self._armed is not None:
                    (what, after), self._armed = self._armed, None
                    self.cuts += 1
                    back.cancel()
                    await asyncio.gather(back, return_exceptions=True)
                    await self._cut(what, after, data, server, to_server, to_client)
                    return
                if self._late is not None and b"append_events" in data:
                    await self._deliver_late()
                to_server.write(data)
                await to_server.drain()
        finally:
            back.cancel()
            to_client.close()
            if self._late is None or self._late[0] is not to_server:
                to_server.close()

    @staticmethod
    async def _pass_back(server: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await server.read(1 << 20):
                to_client.write(data)
                await to_client.drain()
        to_client.close()

    async def _cut(
        self,
        what: What,
        after: int,
        data: bytes,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        to_client: asyncio.StreamWriter,
    ) -> None:
        if what == "late":
            self._late = (to_server, server, data)
            return
        to_server.write(data[:after] if what == "request" else data)
        await to_server.drain()
        if what == "response":
            answer = await _answer(server)
            to_client.write(answer[:after])
            await to_client.drain()

    async def _deliver_late(self) -> None:
        assert self._late is not None
        (to_server, server, data), self._late = self._late, None
        to_server.write(data)
        await to_server.drain()
        await _answer(server)
        to_server.close()


async def _answer(server: asyncio.StreamReader) -> bytes:
    """Read until the server is ready for the next request: what was asked is committed."""
    answer = b""
    while not answer[:-1].endswith(READY):
        data = await server.read(1 << 20)
        assert data, "the server answers"
        answer += data
    return answer

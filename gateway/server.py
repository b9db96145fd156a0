"""The HTTP server: uvicorn inside our own event loop, with our own signals."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final

import uvicorn
from litestar import Litestar
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

DRAIN_S: Final = 25
"""How long requests may take to finish once the server is told to stop; above the longest wait."""

BACKLOG: Final = 4096

HEAD_BYTES_MAX: Final = 64 * 1024
"""Request line and headers together; what comes with one read is taken all the same."""


class Gathered(asyncio.Transport):
    """A transport that sends what is written in one turn of the event loop in one piece.

    The framework writes an answer's head and body apart: two system calls, two packets and two
    wake-ups of the client, for a tenth of the gateway's time.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes | bytearray | memoryview] = []

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._parts:
            self._loop.call_soon(self._send)
        self._parts.append(data)

    def _send(self) -> None:
        parts = self._parts.copy()
        self._parts.clear()
        if parts and not self._transport.is_closing():
            self._transport.write(b"".join(parts))

    @override
    def close(self) -> None:
        self._send()
        self._transport.close()

    @override
    def abort(self) -> None:
        self._parts.clear()
        self._transport.abort()

    @override
    def is_closing(self) -> bool:
        return self._transport.is_closing()

    @override
    def pause_reading(self) -> None:
        self._transport.pause_reading()

    @override
    def resume_reading(self) -> None:
        self._transport.resume_reading()

    @override
    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    @override
    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)


class _Protocol(HttpToolsProtocol):
    """Gathers answers, and bounds what a request may say before its body: uvicorn keeps it all."""

    _head_bytes: int | None = 0

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[bad-override]
        super().connection_made(Gathered(transport, self.loop))

    @override
    def data_received(self, data: bytes) -> None:
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX + len(data):
                self.send_400_response("The request's head is too large.")
                return
        if not self.transport.is_closing():
            super().data_received(data)

    @override
    def on_message_begin(self) -> None:
        self._head_bytes = 0
        super().on_message_begin()

    @override
    def on_headers_complete(self) -> None:
        self._head_bytes = None
        super().on_headers_complete()


class _Server(uvicorn.Server):
    """A server that leaves the signals to whoever started it, and says when it accepts."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


async def serve(
    app: Litestar,
    host: str,
    port: int,
    stop: asyncio.Event,
    *,
    ready: Callable[[int], None] | None = None,
    share_port: bool = False,
) -> None:
    """Serve until `stop` is set, then accept nothing more and finish what was begun.

    `ready` is told the port once connections are accepted; port 0 takes a free one. `share_port`
    lets several processes serve one port. Run it in a uvloop event loop
    (`asyncio.Runner(loop_factory=uvloop.new_event_loop)`).

    Raises:
        OSError: the address is taken.
    """
    app.state.stopping = stop
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=DRAIN_S,
    )
    with socket.create_server(
        (host, port), family=family, backlog=BACKLOG, reuse_port=share_port
    ) as listener:
        # Accepted sockets inherit it; asyncio sets it only where the protocol number is given,
        # and without it every answer in two parts waits 40 ms for an acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound: int = listener.getsockname()[1]
        server = _Server(config, lambda: ready(bound) if ready else None)
        serving = asyncio.create_task(server.serve([listener]))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            server.should_exit = True
            await serving
        if not server.started:
            raise RuntimeError("the HTTP server did not start")

"""The HTTP server: uvicorn inside our own event loop, with our own signals."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import Callable, Iterator
from typing import Final

import uvicorn
from litestar import Litestar
from typing_extensions import override

from gateway.connection import Connection, Patience

DRAIN_S: Final = 25
"""How long requests may take to finish once the server is told to stop; above the longest wait."""

BACKLOG: Final = 4096

CONNECTIONS_MAX: Final = 10_000
"""Of one process, where it may have as many files open."""

FILES_KEPT: Final = 200
"""For the database, NATS, logs and libraries."""

ACCEPTED_AT_ONCE: Final = 8
"""Connections in one turn of the event loop, which takes one from each listener. A turn of a busy
process serves all its connections: the 200th new one waited for over a second."""

TICKS_PER_LOOK: Final = 10
"""uvicorn ticks ten times a second."""


class _Server(uvicorn.Server):
    """A server that leaves the signals to whoever started it, and says when it accepts.

    Once a second it looks at all connections, for clients that keep it waiting.
    """

    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], None], patience: Patience
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._patience = patience

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    @override
    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS_PER_LOOK == 0:
            for connection in list(self.server_state.connections):
                assert isinstance(connection, Connection), "there is one kind"
                connection.look(self._patience)
        return await super().on_tick(counter)


def connections_max() -> int:
    """Return how many connections a process can take."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return max(1, min(CONNECTIONS_MAX, files - FILES_KEPT))


async def serve(
    app: Litestar,
    host: str,
    port: int,
    stop: asyncio.Event,
    *,
    ready: Callable[[int], None] | None = None,
    share_port: bool = False,
    patience: Patience | None = None,
) -> None:
    """Serve until `stop` is set, then accept nothing more and finish what was begun.

    `ready` is told the port once connections are accepted; port 0 takes a free one. `share_port`
    lets several processes serve one port. `patience` is for clients that keep us waiting. Run it
    in a uvloop event loop (`asyncio.Runner(loop_factory=uvloop.new_event_loop)`).

    Raises:
        OSError: the address is taken.
    """
    app.state.stopping = stop
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        limit_concurrency=connections_max(),
        timeout_graceful_shutdown=DRAIN_S,
    )
    with socket.create_server(
        (host, port), family=family, backlog=BACKLOG, reuse_port=share_port
    ) as listener:
        # Accepted sockets inherit it; asyncio sets it only where the protocol number is given,
        # and without it every answer in two parts waits 40 ms for an acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound: int = listener.getsockname()[1]
        server = _Server(config, lambda: ready(bound) if ready else None, patience or Patience())
        listeners = [listener, *(listener.dup() for _ in range(ACCEPTED_AT_ONCE - 1))]
        serving = asyncio.create_task(server.serve(listeners))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            server.should_exit = True
            await serving
        if not server.started:
            raise RuntimeError("the HTTP server did not start")

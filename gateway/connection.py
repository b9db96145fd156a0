"""One connection: what a client may say on it, how long it may take, and how it hears of an end."""

import asyncio
from http import HTTPStatus
from typing import Any, Final, Literal

import httptools
import msgspec
import structlog
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from domain.ids import new_id
from gateway.edge import REQUESTS
from gateway.errors import CODES, PROBLEM_JSON, problem

HEAD_BYTES_MAX: Final = 64 * 1024
"""Request line and headers together; what came whole with one read is taken all the same."""

BODY_BYTES_MAX: Final = 4 * 1024 * 1024
"""With chunks' sizes and trailers; far above what is read of a body before it is answered."""

PIPELINED_MAX: Final = 64
"""Requests that wait for those before them."""

_UPGRADING: Final = frozenset({b"connection", b"upgrade", b"http2-settings"})
_MALFORMED: Final = "This is no request that HTTP/1.1 allows."
log = structlog.get_logger("gateway")


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long a client may keep us waiting, in seconds of a server that is not busy.

    Attributes:
        idle: until a request begins.
        head: from its first byte to the end of its headers.
        body: from there to the end of its body.
        taking: until it takes in what it was sent.
    """

    idle: int = 75
    head: int = 20
    body: int = 60
    taking: int = 60


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


class Connection(HttpToolsProtocol):
    """uvicorn's connection with bounds on time, sizes and number, and refusals like all others.

    The server looks at every connection once a second: no request pays for a timer.
    """

    _waits_for: Literal["idle", "head", "body"] | None = "idle"
    """What the client still owes; None while it waits for us."""

    _seconds: int = 0
    _bytes: int = 0
    _deaf: bool = False
    _asks_upgrade: bool = False

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[bad-override]
        super().connection_made(Gathered(transport, self.loop))
        # uvicorn would answer in plain text, and only once the request has come.
        most = self.limit_concurrency
        self.limit_concurrency = None
        if most is not None and len(self.connections) > most:
            self._refuse("overloaded")

    @override
    def data_received(self, data: bytes) -> None:
        if self._deaf or self.transport.is_closing():
            return
        self._bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_without_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self._refuse("invalid_request", _MALFORMED)
            return
        if (code := self._too_much()) is not None:
            self._refuse(code)

    def _too_much(self) -> str | None:
        """Return why nothing more is read, None if it is; a head that came whole may be long."""
        if self._waits_for in {"idle", "head"} and self._bytes > HEAD_BYTES_MAX:
            return "headers_too_large" if self.headers else "uri_too_long"
        if self._waits_for == "body" and self._bytes > BODY_BYTES_MAX:
            return "payload_too_large"
        return "overloaded" if len(self.pipeline) > PIPELINED_MAX else None

    def _read_without_upgrade(self, rest: bytes) -> None:
        """Read a request as if it asked for no other protocol, as RFC 9110 (7.8) allows.

        Clients that would rather speak HTTP/2 ask so with a body, which the parser takes for the
        other protocol.
        """
        self._asks_upgrade = False
        method = self.parser.get_method()
        lines = [method + b" " + self.url + b" HTTP/" + self.parser.get_http_version().encode()]
        for name, value in self.headers:
            if name == b"connection" and b"close" in value.lower():
                lines.append(b"connection: close")
            elif name not in _UPGRADING:
                lines.append(name + b": " + value)
        if method == b"CONNECT":
            self._refuse("invalid_request", _MALFORMED)
            return
        # The old one reads nothing behind `Connection: close`.
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"\r\n".join([*lines, b"", b""]) + rest)

    @override
    def on_message_begin(self) -> None:
        self._now_waits_for("head")
        super().on_message_begin()

    @override
    def on_headers_complete(self) -> None:
        self._asks_upgrade = self.parser.should_upgrade()
        if self._asks_upgrade:
            return
        self._check_headers()
        self._now_waits_for("body")
        super().on_headers_complete()
        # What follows a body in chunks is no header: nobody in front of us has looked at it.
        self.headers = []

    @override
    def on_message_complete(self) -> None:
        if self._asks_upgrade:
            return
        self._now_waits_for(None)
        super().on_message_complete()
        if self.cycle.response_complete:
            self._now_waits_for("idle")

    @override
    def on_response_complete(self) -> None:
        """Go on with the next request; as uvicorn's, without its timer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._waits_for is None:
            self._now_waits_for("idle")

    def look(self, patience: Patience) -> None:
        """End the connection if the client has kept us waiting for too long; once a second."""
        self._seconds += 1
        if self.transport.is_closing() or self.flow.write_paused:
            if self._seconds > patience.taking:
                self.transport.abort()
        elif self._waits_for is None or self.flow.read_paused:
            self._seconds = 0
        elif self._seconds > getattr(patience, self._waits_for):
            self._end_waiting()

    def _end_waiting(self) -> None:
        cycle = self.cycle
        answered = cycle is not None and self._waits_for == "body" and cycle.response_started
        if self._waits_for == "idle" or answered:
            self.transport.close()
            return
        if self._waits_for == "body":
            self.scope["state"]["late"] = True
        self._refuse("request_timeout")

    def _now_waits_for(self, what: Literal["idle", "head", "body"] | None) -> None:
        self._waits_for = what
        self._seconds = 0
        if what != "head":  # its first bytes came before it was seen to begin
            self._bytes = 0

    def _check_headers(self) -> None:
        """Refuse what two readers of one request could understand differently.

        Raises:
            ValueError: without or with several hosts, or with another coding than chunks.
        """
        names = [name for name, _ in self.headers]
        if names.count(b"host") != 1 and self.parser.get_http_version() != "1.0":
            raise ValueError("a request has one host")
        if b"transfer-encoding" in names:
            codings = [value for name, value in self.headers if name == b"transfer-encoding"]
            if [value.lower() for value in codings] != [b"chunked"]:
                raise ValueError("only chunks are read")

    def _refuse(self, code: str, message: str | None = None) -> None:
        """Answer a problem and close; requests that came whole before are answered first."""
        cycle = self.cycle
        self._deaf = True
        if self._waits_for != "body" and cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False
            self._now_waits_for(None)
            return
        broken = self._waits_for == "body" and cycle is not None
        if not (broken and (cycle.response_started or self.pipeline)):
            self.transport.write(self._problem(code, message))
        self.transport.close()
        if not broken:
            status = CODES[code][0]
            REQUESTS.labels("OTHER", "unmatched", str(status)).inc()
            log.info("request", method="OTHER", route="unmatched", status=status)

    def _problem(self, code: str, message: str | None) -> bytes:
        status, text = CODES[code]
        request_id = new_id("req")
        body = problem(
            status=status, code=code, message=message or text, instance="/", request_id=request_id
        )
        lines = [
            *(name + b": " + value for name, value in self.server_state.default_headers),
            b"content-type: " + PROBLEM_JSON.encode(),
            b"content-length: %d" % len(body),
            b"x-correlation-id: " + request_id.encode(),
            b"x-request-id: " + request_id.encode(),
            b"x-content-type-options: nosniff",
            b"cache-control: no-store",
            b"connection: close",
        ]
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            lines.append(b"retry-after: 1")
        return STATUS_LINE[status] + b"\r\n".join(lines) + b"\r\n\r\n" + body

"""One delivery over HTTP: signed twice, sent to a checked address, answered within its time."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import ssl
import time
from collections import OrderedDict
from collections.abc import AsyncIterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpcore
import msgspec

from adapters.address_guard import AddressGuard, GuardedBackend, NotAllowed, parsed, port_of

TIMEOUT_S: Final = 15.0
PREFIX_CHARS: Final = 200
READ_MAX: Final = 64 * 1024
"""What of an answer is read; behind it the connection is closed."""

KEEP_ALIVE_S: Final = 5.0
"""Idle connections end soon: a name that leads elsewhere now is followed."""

CLIENTS_MAX: Final = 512
USER_AGENT: Final = b"Loop-Webhooks/1.0"

Headers = list[tuple[bytes, bytes]]
_Got = tuple[int, Mapping[bytes, bytes], str]


class SigningKey(msgspec.Struct, frozen=True):
    """A signing secret: its text, `whsec_…`, and the bytes that stand in it."""

    text: str
    key: bytes

    def __repr__(self) -> str:
        return "SigningKey(***)"


def signing_key(text: str) -> SigningKey:
    """Read a secret; what follows `whsec_` is base64.

    Raises:
        ValueError: it is none.
    """
    try:
        return SigningKey(text, base64.b64decode(text.removeprefix("whsec_"), validate=True))
    except binascii.Error as error:
        raise ValueError("not a signing secret") from error


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one attempt.

    Attributes:
        status: of HTTP; None where nothing was answered, and `error` says why.
        prefix: how the answer's body begins.
        retry_after_s: what 429 or 503 asked for.
    """

    status: int | None
    duration_ms: int
    error: str | None = None
    prefix: str | None = None
    retry_after_s: float | None = None

    @property
    def delivered(self) -> bool:
        """Whether it counts: 2xx only."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004 - HTTP


def signatures(event_id: str, content: bytes, keys: Sequence[SigningKey], now_s: float) -> Headers:
    """Return the headers of Standard Webhooks, one signature per key, and those of older clients.

    `keys` are newest first; older clients know the newest only.
    """
    stamp, stamp_ms = str(int(now_s)), str(int(now_s * 1000))
    signed = b"%b.%b.%b" % (event_id.encode(), stamp.encode(), content)
    standard = b" ".join(
        b"v1," + base64.b64encode(hmac.digest(k.key, signed, hashlib.sha256)) for k in keys
    )
    older = hmac.digest(
        keys[0].text.encode(), stamp_ms.encode() + b"." + content, hashlib.sha256
    ).hex()
    return [
        (b"webhook-id", event_id.encode()),
        (b"webhook-timestamp", stamp.encode()),
        (b"webhook-signature", standard),
        (b"X-Loop-Event-Id", event_id.encode()),
        (b"X-Loop-Timestamp", stamp_ms.encode()),
        (b"X-Loop-Signature", f"t={stamp_ms},v1={older}".encode()),
    ]


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Read `Retry-After`: seconds or a date; None where it is absent or neither."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value.strip()[:9])
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # also a year or a zone beyond all numbers
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())


class Sender:
    """Sends; connections are kept per endpoint, so that none waits for another's."""

    def __init__(
        self, guard: AddressGuard, *, connections: int, tls: ssl.SSLContext | None = None
    ) -> None:
        self._backend = GuardedBackend(guard)
        self._room = connections
        self._tls = tls
        self._idle: OrderedDict[tuple[str, str], list[httpcore.AsyncHTTPConnection]] = OrderedDict()
        self._urls: dict[str, httpcore.URL] = {}

    async def aclose(self) -> None:
        """Close the connections that nothing is sent over."""
        while self._idle:
            for connection in self._idle.popitem()[1]:
                await connection.aclose()

    async def send(self, endpoint_id: str, url: str, headers: Headers, content: bytes) -> Answer:
        """Make one attempt; whatever goes wrong is in the answer."""
        start = time.perf_counter()

        def spent_ms() -> int:
            return int((time.perf_counter() - start) * 1000)

        try:
            async with asyncio.timeout(TIMEOUT_S):
                status, received, prefix = await self._sent(endpoint_id, url, headers, content)
        except NotAllowed as error:
            return Answer(status=None, duration_ms=spent_ms(), error=f"url_not_allowed: {error}")
        except TimeoutError:
            return Answer(status=None, duration_ms=spent_ms(), error="timeout")
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            return Answer(status=None, duration_ms=spent_ms(), error=_cause(error))
        after = received.get(b"retry-after") if status in {429, 503} else None
        return Answer(
            status=status,
            duration_ms=spent_ms(),
            prefix=prefix.replace("\0", "")[:PREFIX_CHARS] or None,
            retry_after_s=retry_after_s(after.decode("latin-1") if after else None, _now()),
        )

    async def _sent(self, endpoint_id: str, url: str, headers: Headers, content: bytes) -> _Got:
        request = self._request(url, headers, content)
        key = (endpoint_id, url)
        kept = await self._kept(key)
        if kept is not None:
            try:
                return await self._over(key, kept, request)
            except (httpcore.NetworkError, httpcore.RemoteProtocolError):
                # The other side closed it while we sent: that says nothing of the endpoint.
                request = self._request(url, headers, content)
        connection = httpcore.AsyncHTTPConnection(
            origin=request.url.origin,
            ssl_context=self._context() if url.startswith("https:") else None,
            keepalive_expiry=KEEP_ALIVE_S,
            network_backend=self._backend,
        )
        return await self._over(key, connection, request)

    async def _over(
        self,
        key: tuple[str, str],
        connection: httpcore.AsyncHTTPConnection,
        request: httpcore.Request,
    ) -> _Got:
        """Send over a connection, and keep it if it is good for more."""
        try:
            response = await connection.handle_async_request(request)
            received, prefix = 0, b""
            assert isinstance(response.stream, AsyncIterable), "it is an asynchronous connection"
            async for part in response.stream:
                prefix = prefix if len(prefix) >= 4 * PREFIX_CHARS else prefix + part
                received += len(part)
                if received > READ_MAX:
                    break
            await response.aclose()
        except BaseException:
            await connection.aclose()
            raise
        if connection.is_idle() and len(idle := self._idle.setdefault(key, [])) < self._room:
            idle.append(connection)
            self._idle.move_to_end(key)
        else:
            await connection.aclose()
        found = {name.lower(): value for name, value in response.headers}
        return response.status, found, prefix[: 4 * PREFIX_CHARS].decode("utf-8", "replace")

    async def _kept(self, key: tuple[str, str]) -> httpcore.AsyncHTTPConnection | None:
        """Return an idle connection of an endpoint; close what is not good any more."""
        for old in list(self._idle)[: max(0, len(self._idle) - CLIENTS_MAX)]:
            for connection in self._idle.pop(old):
                await connection.aclose()
        idle = self._idle.get(key, [])
        while idle:
            connection = idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return None

    def _request(self, url: str, headers: Headers, content: bytes) -> httpcore.Request:
        target = self._url(url)
        default = {b"http": 80, b"https": 443}[target.scheme]
        port = b"" if target.port in {None, default} else b":%d" % (target.port or default)
        host = b"[%b]" % target.host if b":" in target.host else target.host
        fixed = [
            (b"Host", host + port),
            (b"Content-Type", b"application/json"),
            (b"Content-Length", b"%d" % len(content)),
            (b"User-Agent", USER_AGENT),
        ]
        return httpcore.Request("POST", target, headers=[*fixed, *headers], content=content)

    def _context(self) -> ssl.SSLContext:
        """Return the one context of all: reading the certificates takes a while."""
        if self._tls is None:
            self._tls = httpcore.default_ssl_context()
        return self._tls

    def _url(self, url: str) -> httpcore.URL:
        known = self._urls.get(url)
        if known is None:
            if len(self._urls) >= CLIENTS_MAX:
                self._urls.clear()
            parts = parsed(url)
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            known = self._urls[url] = httpcore.URL(
                scheme=parts.scheme,
                host=parts.hostname or "",
                port=port_of(parts),
                target=target,
            )
        return known


def _now() -> datetime:
    return datetime.now(UTC)


def _cause(error: Exception) -> str:
    """Return why an attempt failed, without addresses of ours."""
    if isinstance(error, httpcore.ProtocolError):
        return "protocol_error"
    if isinstance(error, httpcore.ConnectError):
        return {"TLS failed": "tls_failed"}.get(str(error), "connect_failed")
    return "connection_lost"

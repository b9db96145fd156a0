"""One delivery over HTTP: signed twice, sent to a checked address, answered within its time."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import ssl
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
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
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())


class Sender:
    """Sends; connections are kept per endpoint, so that none waits for another's."""

    def __init__(
        self, guard: AddressGuard, *, connections: int, tls: ssl.SSLContext | None = None
    ) -> None:
        self._backend = GuardedBackend(guard)
        self._connections = connections
        self._tls = tls
        self._pools: OrderedDict[tuple[str, str], httpcore.AsyncConnectionPool] = OrderedDict()
        self._urls: dict[str, httpcore.URL] = {}

    async def aclose(self) -> None:
        """Close all connections."""
        while self._pools:
            await self._pools.popitem()[1].aclose()

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

    async def _sent(
        self, endpoint_id: str, url: str, headers: Headers, content: bytes
    ) -> tuple[int, Mapping[bytes, bytes], str]:
        target = self._url(url)
        pool = await self._pool(endpoint_id, url)
        sent = [(b"Content-Type", b"application/json"), (b"User-Agent", USER_AGENT), *headers]
        async with pool.stream("POST", target, headers=sent, content=content) as response:
            received, prefix = 0, b""
            async for part in response.aiter_stream():
                prefix = prefix if len(prefix) >= 4 * PREFIX_CHARS else prefix + part
                received += len(part)
                if received > READ_MAX:
                    break
            found = {name.lower(): value for name, value in response.headers}
            return response.status, found, prefix[: 4 * PREFIX_CHARS].decode("utf-8", "replace")

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

    async def _pool(self, endpoint_id: str, url: str) -> httpcore.AsyncConnectionPool:
        """Return the connections of an endpoint; those that were not used for longest go."""
        key = (endpoint_id, url)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = httpcore.AsyncConnectionPool(
                ssl_context=self._context() if url.startswith("https:") else None,
                max_connections=self._connections,
                keepalive_expiry=KEEP_ALIVE_S,
                network_backend=self._backend,
            )
        self._pools.move_to_end(key)
        for old in list(self._pools)[: max(0, len(self._pools) - CLIENTS_MAX)]:
            if not self._pools[old].connections:
                del self._pools[old]
        return pool


def _now() -> datetime:
    return datetime.now(UTC)


def _cause(error: Exception) -> str:
    """Return why an attempt failed, without addresses of ours."""
    if isinstance(error, httpcore.ProtocolError):
        return "protocol_error"
    if isinstance(error, httpcore.ConnectError):
        return {"TLS failed": "tls_failed"}.get(str(error), "connect_failed")
    return "connection_lost"

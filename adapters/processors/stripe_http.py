"""How the SDK's requests get to Stripe: over kept connections, each for one request at a time.

Imported when Stripe is first called. httpx's own pool looks at all of its connections several times
a request; at thirty at a time that was a third of the worker's time.
"""

import ssl
from collections.abc import Mapping
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
import stripe
from typing_extensions import override

CONNECT_S: Final = 3.0
IDLE_MAX: Final = 64
"""Connections that are kept for the next requests."""
KEEP_S: Final = 30.0


class Connections(stripe.HTTPClient):
    """Stripe's API behind one address.

    Args:
        read_s: longest silence of the server, in seconds.
    """

    name = "httpx"

    def __init__(self, base_url: str, read_s: float) -> None:
        super().__init__()
        timeout = httpx.Timeout(read_s, connect=CONNECT_S)
        self._extensions = {"timeout": timeout.as_dict()}
        self._tls = ssl.create_default_context(cafile=stripe.ca_bundle_path)
        self._through = _proxy_of(base_url)
        self._idle: list[httpx.AsyncHTTPTransport] = []

    @override
    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        content = (post_data or "").encode() if method == "post" else None
        request = httpx.Request(
            method, url, headers=dict(headers), content=content, extensions=self._extensions
        )
        transport = self._idle.pop() if self._idle else self._transport()
        try:
            reply = await transport.handle_async_request(request)
            try:
                body = await reply.aread()
            finally:
                await reply.aclose()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the SDK's to tell
            _fail(error)
        finally:
            await self._put_back(transport)
        return body, reply.status_code, reply.headers

    @override
    async def close_async(self) -> None:
        while self._idle:
            await self._idle.pop().aclose()

    def _transport(self) -> httpx.AsyncHTTPTransport:
        limits = httpx.Limits(max_connections=1, keepalive_expiry=KEEP_S)
        return httpx.AsyncHTTPTransport(verify=self._tls, limits=limits, proxy=self._through)

    async def _put_back(self, transport: httpx.AsyncHTTPTransport) -> None:
        if len(self._idle) < IDLE_MAX:
            self._idle.append(transport)
        else:
            await transport.aclose()


def _proxy_of(base_url: str) -> str | None:
    """Return the proxy that the environment names for the address."""
    parts = urlsplit(base_url)
    if proxy_bypass(parts.hostname or ""):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


def _fail(error: Exception) -> NoReturn:
    raise stripe.APIConnectionError(f"{type(error).__name__} was raised") from error

"""Which addresses a merchant's URL may lead to: the public internet, and what an operator allows.

A name is resolved, every address of it is checked, and the connection goes to a checked address.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import httpcore
from typing_extensions import override

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

RESOLVE_S: Final = 2.0
"""How long a name may take when an endpoint is made; an attempt has its own limit."""

REFUSED: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # Azure's host, which is metadata on a public address
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    )
)  # fmt: skip
"""IANA's special purposes; of IPv6 only `GLOBAL` is let through at all."""

GLOBAL: Final = ip_network("2000::/3")
"""Outside of it: loopback, link-local, unique local, multicast, mapped, NAT64, discard, …"""


_CHARACTER: Final = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})"
_URI: Final = re.compile(
    rf"[A-Za-z]+://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(:[0-9]*)?"
    rf"(/{_CHARACTER}*)?(\?({_CHARACTER}|\?)*)?(#({_CHARACTER}|\?)*)?"
)
"""RFC 3986, without credentials."""


class NotAllowed(Exception):
    """A URL may not be reached; the message says why, and holds no address of ours."""


def permitted(address: Address, allowed: Iterable[Network]) -> bool:
    """Tell whether a connection may go to an address."""
    if any(address in network for network in allowed):
        return True
    if isinstance(address, IPv6Address) and address not in GLOBAL:
        return False
    return not any(address in network for network in REFUSED)


def parsed(url: str) -> SplitResult:
    """Return the parts of a URL that can be asked at all.

    Raises:
        NotAllowed: it is not http or https, has credentials, no host, or is malformed.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise NotAllowed("it is malformed") from None
    if parts.scheme not in {"http", "https"}:
        raise NotAllowed("it is neither http nor https")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise NotAllowed("it has credentials in it")
    if not parts.hostname or port == 0 or not _URI.fullmatch(url):
        raise NotAllowed("it is malformed")
    return parts


def port_of(parts: SplitResult) -> int:
    """Return the port that a URL means."""
    return parts.port or (443 if parts.scheme == "https" else 80)


async def resolved(host: str, port: int) -> list[str]:
    """Return the addresses of a name, as the system resolves it."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class AddressGuard:
    """Checks where a URL leads; see `commands.ports.Outward`.

    Args:
        allowed: networks that are let through although they are not public.
        resolve: from a name to its addresses.
    """

    def __init__(self, allowed: Iterable[Network] = (), resolve: Resolver = resolved) -> None:
        self._allowed = tuple(allowed)
        self._resolve = resolve

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host, if a connection may go to each of them.

        Raises:
            NotAllowed: to one of them it may not.
            OSError: the name cannot be resolved.
        """
        try:
            found: Sequence[str] = [str(ip_address(host))]
        except ValueError:
            found = await self._resolve(host, port)
        if not found:
            raise OSError("the name has no address")
        for text in found:
            if not permitted(ip_address(text.partition("%")[0]), self._allowed):
                raise NotAllowed("it leads to an address that is not public")
        return list(found)

    async def refuses(self, url: str) -> str | None:
        """See `commands.ports.Outward.refuses`."""
        try:
            parts = parsed(url)
            async with asyncio.timeout(RESOLVE_S):
                await self.addresses(parts.hostname or "", port_of(parts))
        except NotAllowed as error:
            return str(error)
        except (OSError, UnicodeError):
            return None  # also a time-out
        return None


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to checked addresses only; TLS and `Host` go by the name all the same.

    Times are the caller's to limit, for all of a delivery together.
    """

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first of the host's addresses that answers.

        Raises:
            NotAllowed: one of them may not be reached.
            httpcore.ConnectError: none answers.
        """
        try:
            addresses = await self._guard.addresses(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("the name cannot be resolved") from error
        failed: OSError | None = None
        for address in addresses:
            try:
                return _Stream(*await asyncio.open_connection(address, port))
            except OSError as error:
                failed = error
        raise httpcore.ConnectError("nobody answers there") from failed


class _Stream(httpcore.AsyncNetworkStream):
    """A connection in asyncio's own streams, which cost half of what the library's cost."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @override
    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return await self._reader.read(max_bytes)
        except OSError as error:
            raise httpcore.ReadError("the connection broke") from error

    @override
    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            self._writer.write(buffer)
            await self._writer.drain()
        except (OSError, RuntimeError) as error:  # uvloop: the transport is closed
            raise httpcore.WriteError("the connection broke") from error

    @override
    async def aclose(self) -> None:
        self._writer.close()

    @override
    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        except OSError as error:
            self._writer.close()
            raise httpcore.ConnectError("TLS failed") from error
        return self

    @override
    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # an idle connection that the other side has closed
            return self._reader.at_eof() or self._writer.is_closing()
        return self._writer.get_extra_info(info)

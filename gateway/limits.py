"""Rate limits at the edge: who is counted, and what answers say about it."""

import contextlib
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Final, Protocol

import msgspec
import psycopg
from litestar import Request

from adapters.rate_limits import Limit, RateLimits, Taken
from domain.errors import Unavailable
from gateway.errors import Refused

Networks = tuple[IPv4Network | IPv6Network, ...]

LOGIN_WINDOW_S: Final = 60.0
HOPS_MAX: Final = 20
"""Entries of `X-Forwarded-For` that are looked at."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of this installation.

    Attributes:
        counted: None where nothing is counted.
        trusted: proxies whose `X-Forwarded-For` is believed.
    """

    counted: RateLimits | None = None
    per_key: Limit = Limit(name="key", rate=500)
    per_address: Limit = Limit(name="address", rate=100)
    per_login: Limit = Limit(name="login", rate=10, window_s=LOGIN_WINDOW_S, burst=20)
    trusted: Networks = ()


class Anybody(Protocol):
    """A request, to whichever route."""

    scope: Any


def count_key(request: Request[Any, Any, Any], limits: Limits, key_id: str) -> None:
    """Count a request under its key.

    Raises:
        Refused: `rate_limited`.
    """
    _count(request, limits, limits.per_key, key_id)


def count_address(request: Anybody, limits: Limits) -> None:
    """Count a request without credentials, or with bad ones, under its address.

    Raises:
        Refused: `rate_limited`.
    """
    _count(request, limits, limits.per_address, address_of(request.scope, limits.trusted))


def _count(request: Anybody, limits: Limits, limit: Limit, who: str) -> None:
    if limits.counted is None or limit.rate == 0:
        return
    taken = limits.counted.take(limit, who)
    request.scope["state"]["taken"] = taken
    if not taken.allowed:
        raise refused(taken)


def refused(taken: Taken) -> Refused:
    """Return the 429 that says when to come again."""
    return Refused("rate_limited", headers={"Retry-After": str(taken.retry_after_s)})


async def anonymous(request: Request[Any, Any, Any]) -> None:
    """Count the requests of routes that ask for no credentials, before each request.

    The framework would run a plain function in a thread, at 150 us a request, and copies the
    route's handler for a guard.

    Raises:
        Refused: `rate_limited`.
    """
    operation = request.route_handler.opt.get("operation")
    if operation is not None and operation.scope is None and operation.limited:
        count_address(request, request.app.state.deps.limits)


def address_of(scope: Any, trusted: Networks) -> str:
    """Return who sent a request: the peer, or what proxies that are trusted say of him.

    A host of IPv6 has a network of 64 bits to itself, and is counted as one.
    """
    client = scope.get("client")
    address: str = client[0] if client else ""
    if trusted and _within(address, trusted):
        for given in reversed(_forwarded(scope)[-HOPS_MAX:]):
            if not _known(given):
                break
            address = given
            if not _within(given, trusted):
                break
    return _counted(address)


def _forwarded(scope: Any) -> list[str]:
    lines = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return [part.strip() for part in b",".join(lines).decode("latin-1").split(",") if part.strip()]


@lru_cache(maxsize=4096)
def _within(address: str, networks: Networks) -> bool:
    return _known(address) and any(ip_address(address) in network for network in networks)


def _known(address: str) -> bool:
    try:
        ip_address(address)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def _counted(address: str) -> str:
    if not _known(address):
        return address
    ip = ip_address(address)
    if ip.version == 4:  # noqa: PLR2004 - of the Internet Protocol
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ip_network((int(ip), 64), strict=False))


async def count_login(request: Request[Any, Any, Any], limits: Limits, who: str) -> None:
    """Count a log-in before it is tried; where that cannot be done, nobody logs in.

    Raises:
        Refused: `rate_limited`.
        Unavailable: `database_unavailable`.
    """
    if limits.counted is None or limits.per_login.rate == 0:
        return
    try:
        taken = await limits.counted.take_surely(limits.per_login, who)
    except psycopg.Error as error:
        raise Unavailable("database_unavailable", "The database cannot be reached.") from error
    if not taken.allowed:
        request.scope["state"]["taken"] = taken
        raise refused(taken)


async def forgive_login(limits: Limits, who: str) -> None:
    """Count a log-in no more: it succeeded. Where that cannot be said, it stays counted."""
    if limits.counted is None or limits.per_login.rate == 0:
        return
    with contextlib.suppress(psycopg.Error):
        await limits.counted.give_back(limits.per_login, who)

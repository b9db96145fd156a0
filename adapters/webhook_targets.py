"""Where an endpoint's deliveries go and what signs them: the merchant's log and the vault, cached.

A change of an endpoint counts from at most `CACHE_S` later.
"""

import asyncio
import time
from typing import Final

import msgspec

from adapters.webhook_sender import SigningKey, signing_key
from commands.ports import Ports
from commands.read_endpoint import open_endpoint
from domain.endpoints import Endpoint
from domain.merchant import fold

CACHE_S: Final = 1.0
CACHE_MAX: Final = 1000
"""Merchants that are kept."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint that may be sent to, opened; `keys` are newest first."""

    endpoint: Endpoint
    url: str
    keys: tuple[SigningKey, ...]


class _Known(msgspec.Struct):
    at: float
    targets: dict[str, Target]


class Targets:
    """All endpoints of the merchants that something is sent to."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._known: dict[str, _Known] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, merchant_id: str, endpoint_id: str) -> Target | None:
        """Return an endpoint that may be sent to, None where it was removed or disabled.

        That an endpoint may not is never taken from the cache: it may have been made since.

        Raises:
            domain.errors.Unavailable: the database is away.
        """
        asked_at = time.monotonic()
        known = self._known.get(merchant_id)
        if known is not None and asked_at - known.at < CACHE_S:
            target = known.targets.get(endpoint_id)
            if target is not None:
                return target
        if len(self._locks) > CACHE_MAX:
            self._locks = {key: lock for key, lock in self._locks.items() if lock.locked()}
            self._known.clear()
        async with self._locks.setdefault(merchant_id, asyncio.Lock()):
            known = self._known.get(merchant_id)
            if known is None or known.at < asked_at:
                known = await self._load(merchant_id)
        return known.targets.get(endpoint_id)

    async def _load(self, merchant_id: str) -> _Known:
        at = time.monotonic()
        rows = (await self._ports.store.load([merchant_id]))[merchant_id]
        merchant = fold(rows)
        assert merchant is not None, "who is told something is registered"
        opened = [await self._target(merchant_id, endpoint) for endpoint in merchant.endpoints]
        targets = {target.endpoint.id: target for target in opened if target is not None}
        known = _Known(at=at, targets=targets)
        self._known[merchant_id] = known
        return known

    async def _target(self, merchant_id: str, endpoint: Endpoint) -> Target | None:
        if endpoint.status == "disabled":
            return None
        vault = self._ports.vault
        opened = await open_endpoint(self._ports, endpoint)
        names = endpoint.signing(self._ports.now())
        raw = [await vault.get_secret(endpoint.id, x, merchant_id=merchant_id) for x in names]
        keys = tuple(signing_key(secret.decode()) for secret in raw if secret)
        if opened.url is None or not keys:
            return None
        return Target(endpoint=endpoint, url=opened.url, keys=keys)

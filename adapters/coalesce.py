"""Coalesced reads: what concurrent callers ask for goes to Postgres in one query."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final, Generic, TypeVar

import psycopg
from psycopg import AsyncConnection

from adapters.migrations import OPTIONS
from domain.errors import Unavailable

log = logging.getLogger(__name__)

KEYS_MAX: Final = 256
"""Keys in one query; more wait for the next."""
TRIES_MAX: Final = 6

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Fetch = Callable[[AsyncConnection[Any], list[K]], Awaitable[dict[K, V]]]


class Coalesced(Generic[K, V]):
    """One connection that answers many callers at a time.

    A read always begins after it was asked for: a caller that joins while a query is under way
    gets the next one, so it sees everything that was committed before it asked.
    """

    def __init__(self, database_url: str, fetch: Fetch[K, V]) -> None:
        self._url = database_url
        self._fetch = fetch
        self._waiting: dict[K, asyncio.Future[V]] = {}
        self._wake = asyncio.Event()
        self._closing = False
        self._connection: AsyncConnection[Any] | None = None

    async def get(self, key: K) -> V:
        """Return the value of a key as it is now.

        Raises:
            Unavailable: `database_unavailable`.
        """
        if self._closing:
            raise Unavailable("database_unavailable", "The service is stopping.")
        future = self._waiting.get(key)
        if future is None:
            future = self._waiting[key] = asyncio.get_running_loop().create_future()
            self._wake.set()
        return await asyncio.shield(future)

    async def run(self) -> None:
        """Answer until `close`; whoever waits by then is still answered."""
        while not (self._closing and not self._waiting):
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._answer(self._take())
        if self._connection is not None:
            await self._connection.close()

    def close(self) -> None:
        """Take no more questions."""
        self._closing = True
        self._wake.set()

    def _take(self) -> dict[K, "asyncio.Future[V]"]:
        if len(self._waiting) <= KEYS_MAX:
            taken = dict(self._waiting)
            self._waiting.clear()
            return taken
        return {key: self._waiting.pop(key) for key in list(self._waiting)[:KEYS_MAX]}

    async def _answer(self, asked: dict[K, "asyncio.Future[V]"]) -> None:
        try:
            found = await self._query(list(asked))
        except Exception as error:
            log.exception("read failed", exc_info=error)
            unavailable = Unavailable("database_unavailable", "The database cannot be read.")
            for future in asked.values():
                if not future.done():
                    future.set_exception(unavailable)
                    future.exception()
            return
        for key, future in asked.items():
            if not future.done():
                future.set_result(found[key])

    async def _query(self, keys: list[K]) -> dict[K, V]:
        for attempt in range(TRIES_MAX):
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = await AsyncConnection.connect(
                        self._url,
                        autocommit=True,
                        prepare_threshold=0,
                        connect_timeout=5,
                        options=OPTIONS,
                    )
                return await self._fetch(self._connection, keys)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                if attempt == TRIES_MAX - 1:
                    raise
                if self._connection is not None:
                    await self._connection.close()
                await asyncio.sleep(0.05 * 2**attempt)
        raise AssertionError("the last try returns or raises")

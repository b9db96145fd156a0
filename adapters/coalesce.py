"""Coalesced reads: what concurrent callers ask for goes to Postgres in one query."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final, Generic, TypeVar

import psycopg
from psycopg import AsyncConnection

from adapters.connect import connect
from domain.errors import Rejected, Unavailable

log = logging.getLogger(__name__)

KEYS_MAX: Final = 256
"""Keys in one query; more wait for the next."""
WAITING_MAX: Final = 16_384
"""Keys that may wait; the next one is refused with 503."""
TRIES_MAX: Final = 6

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Fetch = Callable[[AsyncConnection[Any], list[K]], Awaitable[dict[K, V]]]


class Coalesced(Generic[K, V]):
    """One connection that answers many callers at a time; `fetch` returns a value for every key.

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
            Unavailable: `overloaded` or `database_unavailable`.
            Rejected: `unstorable_value`, a text that Postgres cannot hold.
        """
        if self._closing:
            raise Unavailable("database_unavailable", "The service is stopping.")
        future = self._waiting.get(key)
        if future is None:
            if len(self._waiting) >= WAITING_MAX:
                raise Unavailable("overloaded", "Too much is being read; try again.")
            future = self._waiting[key] = asyncio.get_running_loop().create_future()
            self._wake.set()
        return await asyncio.shield(future)

    async def run(self) -> None:
        """Answer until `close`; whoever waits by then is still answered.

        However it ends, nobody is left waiting.
        """
        asked: dict[K, asyncio.Future[V]] = {}
        try:
            while not (self._closing and not self._waiting):
                if not self._waiting:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                asked = self._take()
                await self._answer(asked)
        finally:
            self._closing = True
            for future in (*asked.values(), *self._waiting.values()):
                _fail(future, _unavailable())
            self._waiting.clear()
            if self._connection is not None:
                await self._connection.close()

    def close(self) -> None:
        """Take no more questions."""
        self._closing = True
        self._wake.set()

    def _take(self) -> "dict[K, asyncio.Future[V]]":
        if len(self._waiting) <= KEYS_MAX:
            taken = dict(self._waiting)
            self._waiting.clear()
            return taken
        return {key: self._waiting.pop(key) for key in list(self._waiting)[:KEYS_MAX]}

    async def _answer(self, asked: "dict[K, asyncio.Future[V]]") -> None:
        try:
            found = await self._query(list(asked))
        except (psycopg.DataError, UnicodeEncodeError):
            await self._apart(asked)
        except Exception as error:
            log.exception("read failed", exc_info=error)
            for future in asked.values():
                _fail(future, _unavailable())
        else:
            for key, future in asked.items():
                if not future.done():
                    future.set_result(found[key])

    async def _apart(self, asked: "dict[K, asyncio.Future[V]]") -> None:
        """One key is text that Postgres cannot hold: find it, answer the others."""
        items = list(asked.items())
        if len(items) > 1:
            half = len(items) // 2
            await self._answer(dict(items[:half]))
            await self._answer(dict(items[half:]))
            return
        for future in asked.values():
            _fail(future, Rejected("unstorable_value", "No stored text has such a character."))

    async def _query(self, keys: list[K]) -> dict[K, V]:
        for attempt in range(TRIES_MAX):
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = await connect(self._url, name="loop-read")
                return await self._fetch(self._connection, keys)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                if attempt == TRIES_MAX - 1:
                    raise
                if self._connection is not None:
                    await self._connection.close()
                await asyncio.sleep(0.05 * 2**attempt)
        raise AssertionError("the last try returns or raises")


def _fail(future: "asyncio.Future[Any]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # Nobody may be waiting any more.


def _unavailable() -> Unavailable:
    return Unavailable("database_unavailable", "The database cannot be read.")

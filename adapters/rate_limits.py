"""Rate limits that all processes share: counted here, added up in Postgres ten times a second.

A limit is a bucket that runs out at an even rate: each request puts one in, and a full bucket takes
no more. What is put in is counted in the process and told to Postgres once a window; Postgres
answers with what everybody has put in. So a request costs no query, and all processes together
let through more than the limit by at most what they take in within one window.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import timedelta
from math import ceil
from typing import Any, Final

import msgspec
import psycopg
from psycopg_pool import AsyncConnectionPool

log = logging.getLogger(__name__)

WINDOW_S: Final = 0.1
BUCKETS_MAX: Final = 50_000
"""Buckets that a process remembers; emptied ones are forgotten first."""
IDLE_S: Final = 60.0

_ADD: Final = """
    INSERT INTO rate_limits AS r (bucket, empty_at)
    SELECT bucket, now() + make_interval(secs => s)
    FROM unnest(%s::text[], %s::float8[]) AS n (bucket, s) ORDER BY bucket
    ON CONFLICT (bucket) DO UPDATE SET empty_at =
        greatest(r.empty_at, now()) + (excluded.empty_at - now())
    RETURNING bucket, extract(epoch FROM empty_at - now())::float8
"""
_TAKE: Final = """
    INSERT INTO rate_limits AS r (bucket, empty_at)
    VALUES (%(bucket)s, now() + %(each)s)
    ON CONFLICT (bucket) DO UPDATE SET
        empty_at = greatest(r.empty_at, now()) + %(each)s
        WHERE greatest(r.empty_at, now()) + %(each)s <= now() + %(full)s
    RETURNING extract(epoch FROM empty_at - now())::float8
"""
_LEVEL: Final = (
    "SELECT extract(epoch FROM empty_at - now())::float8 FROM rate_limits WHERE bucket = %s"
)
_GIVE_BACK: Final = "UPDATE rate_limits SET empty_at = empty_at - %s WHERE bucket = %s"
_FORGET: Final = "DELETE FROM rate_limits WHERE empty_at < now() - interval '1 hour'"


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """How much of something is allowed.

    Attributes:
        name: as the headers call it.
        rate: how many a window; 0 is no limit.
        window_s: the window's length.
        burst: how many at once, from nothing; as many as a window's unless said.
    """

    name: str
    rate: int
    window_s: float = 1.0
    burst: int = 0

    @property
    def each_s(self) -> float:
        """In how many seconds one runs out."""
        return self.window_s / self.rate

    @property
    def size(self) -> int:
        """How many the bucket holds."""
        return self.burst or self.rate


class Taken(msgspec.Struct, frozen=True):
    """What became of one request.

    Attributes:
        left: how many more would be taken now.
        wait_s: when one would be taken again; 0 where it was taken.
    """

    limit: Limit
    allowed: bool
    left: int
    wait_s: float = 0.0

    @property
    def retry_after_s(self) -> int:
        """Whole seconds to wait, at least 1."""
        return max(1, ceil(self.wait_s))


class _Bucket:
    """One bucket as this process knows it; `level_s` is in how many seconds it is empty."""

    __slots__ = ("each_s", "level_s", "seen_at", "unsaid")

    def __init__(self, each_s: float, now: float) -> None:
        self.each_s = each_s
        self.level_s = 0.0
        self.seen_at = now
        self.unsaid = 0

    def now(self, now: float) -> float:
        """Return the level at a moment."""
        return max(0.0, self.level_s - (now - self.seen_at))


class RateLimits:
    """Counts requests. Start it with `run`, which ends after `close`."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool
        self._buckets: dict[str, _Bucket] = {}
        self._wake = asyncio.Event()
        self._closing = False
        self._failing = False

    def take(self, limit: Limit, who: str) -> Taken:
        """Count a request of somebody, unless the limit is reached; never waits."""
        now = time.monotonic()
        name = f"{limit.name}:{who}"
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= BUCKETS_MAX:
                self._forget_idle(now)
            bucket = self._buckets[name] = _Bucket(limit.each_s, now)
        level, size_s = bucket.now(now), limit.size * limit.each_s
        if level + limit.each_s > size_s + 1e-9:
            return Taken(limit, allowed=False, left=0, wait_s=level + limit.each_s - size_s)
        bucket.level_s, bucket.seen_at = level + limit.each_s, now
        bucket.unsaid += 1
        self._wake.set()
        left = int((size_s - level - limit.each_s) / limit.each_s + 1e-9)
        return Taken(limit, allowed=True, left=left)

    async def take_surely(self, limit: Limit, who: str) -> Taken:
        """Count in Postgres before going on; who cannot ask lets nobody through.

        Raises:
            psycopg.Error: the database cannot be asked.
        """
        name, each = f"{limit.name}:{who}", timedelta(seconds=limit.each_s)
        full = timedelta(seconds=limit.size * limit.each_s + 1e-3)
        arguments = {"bucket": name, "each": each, "full": full}
        async with self._pool.connection() as db:
            row = await (await db.execute(_TAKE, arguments)).fetchone()
            if row is not None:
                left = int(limit.size - row[0] / limit.each_s + 1e-3)
                return Taken(limit, allowed=True, left=max(0, left))
            found = await (await db.execute(_LEVEL, (name,))).fetchone()
        level = found[0] if found else 0.0
        wait_s = max(0.0, level + limit.each_s - limit.size * limit.each_s)
        return Taken(limit, allowed=False, left=0, wait_s=wait_s)

    async def give_back(self, limit: Limit, who: str) -> None:
        """Take one out again that `take_surely` has put in.

        Raises:
            psycopg.Error: the database cannot be asked.
        """
        async with self._pool.connection() as db:
            each = timedelta(seconds=limit.each_s)
            await db.execute(_GIVE_BACK, (each, f"{limit.name}:{who}"))

    async def run(self) -> None:
        """Tell Postgres what was counted, once a window, until `close`."""
        while not self._closing:
            await self._wake.wait()
            self._wake.clear()
            await self._tell()
            if not self._closing:
                await asyncio.sleep(WINDOW_S)
        await self._tell()

    def close(self) -> None:
        """Count nothing more."""
        self._closing = True
        self._wake.set()

    async def _tell(self) -> None:
        """Add up with the others; without a database everybody counts alone."""
        unsaid = {name: b for name, b in self._buckets.items() if b.unsaid}
        if not unsaid:
            return
        counts = {name: b.unsaid for name, b in unsaid.items()}
        seconds = [count * unsaid[name].each_s for name, count in counts.items()]
        try:
            async with self._pool.connection() as db:
                rows = await (await db.execute(_ADD, (list(counts), seconds))).fetchall()
        except (psycopg.Error, TimeoutError) as error:
            for name, count in counts.items():
                self._buckets[name].unsaid -= count
            if not self._failing:
                log.warning("rate limits are counted per process: %s", type(error).__name__)
            self._failing = True
            return
        self._failing = False
        self._learn(rows, counts)

    def _learn(self, rows: Sequence[Any], counts: dict[str, int]) -> None:
        now = time.monotonic()
        for name, level_s in rows:
            bucket = self._buckets[name]
            bucket.unsaid -= counts[name]
            bucket.level_s = max(0.0, level_s) + bucket.unsaid * bucket.each_s
            bucket.seen_at = now

    def _forget_idle(self, now: float) -> None:
        idle = [n for n, b in self._buckets.items() if not b.unsaid and not b.now(now)]
        for name in idle or list(self._buckets)[: BUCKETS_MAX // 2]:
            if not self._buckets[name].unsaid:
                del self._buckets[name]


async def forget_empty(pool: AsyncConnectionPool) -> int:
    """Delete buckets that have been empty for an hour; return how many.

    Raises:
        psycopg.Error: nothing was deleted.
    """
    async with pool.connection() as db:
        return (await db.execute(_FORGET)).rowcount

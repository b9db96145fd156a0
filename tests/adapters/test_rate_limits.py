"""Rate limits of several processes over one database: what they let through together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from adapters.rate_limits import Limit, RateLimits, forget_empty
from tests.appends import opened
from tests.waiting import until

# So slow that nothing runs out while a test is at it, however slow the machine.
SLOW = Limit(name="slow", rate=10, window_s=36_000.0)
BURST = Limit(name="login", rate=10, window_s=36_000.0, burst=20)


@pytest.fixture
async def limits(pool: AsyncConnectionPool) -> AsyncIterator[RateLimits]:
    async with opened(RateLimits(pool)) as limits:
        yield limits


async def levels(pool: AsyncConnectionPool) -> dict[str, int]:
    """How many are in each bucket, as Postgres has it."""
    async with pool.connection() as db:
        rows = await db.execute(
            "SELECT bucket, extract(epoch FROM empty_at - now())::float8 FROM rate_limits"
        )
        return {name: round(s / SLOW.each_s) for name, s in await rows.fetchall()}


async def test_as_many_as_the_limit_are_taken_and_the_next_is_told_when(
    limits: RateLimits,
) -> None:
    taken = [limits.take(SLOW, "a") for _ in range(12)]
    assert [t.allowed for t in taken] == [True] * 10 + [False] * 2
    assert [t.left for t in taken] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0]
    assert 3500 < taken[-1].wait_s <= 3600
    assert taken[-1].retry_after_s in range(3500, 3601)
    assert limits.take(SLOW, "b").allowed


async def test_processes_share_what_was_taken(pool: AsyncConnectionPool) -> None:
    async with opened(RateLimits(pool)) as one, opened(RateLimits(pool)) as two:
        assert all(one.take(SLOW, "a").allowed for _ in range(6))
        await until(lambda: levels_are(pool, {"slow:a": 6}))
        # The second learns at its first window what the first has taken.
        assert two.take(SLOW, "a").allowed
        await until(lambda: two.take(SLOW, "a").left <= 3)
        while two.take(SLOW, "a").allowed:
            pass
        await until(lambda: levels_are(pool, {"slow:a": 10}))


async def levels_are(pool: AsyncConnectionPool, wanted: dict[str, int]) -> bool:
    return await levels(pool) == wanted


async def test_what_is_refused_is_not_counted(
    limits: RateLimits, pool: AsyncConnectionPool
) -> None:
    for _ in range(50):
        limits.take(SLOW, "a")
    await until(lambda: levels_are(pool, {"slow:a": 10}))
    for _ in range(50):
        limits.take(SLOW, "a")
    limits.take(SLOW, "b")
    await until(lambda: levels_are(pool, {"slow:a": 10, "slow:b": 1}))


async def test_a_bucket_runs_out_and_takes_again(limits: RateLimits) -> None:
    quick = Limit(name="quick", rate=20)
    while limits.take(quick, "a").allowed:
        pass
    await until(lambda: limits.take(quick, "a").allowed)


async def test_many_requests_of_one_window_are_one_statement(
    limits: RateLimits, pool: AsyncConnectionPool
) -> None:
    told: list[int] = []
    tell = limits._tell

    async def counting() -> None:
        count = sum(bucket.unsaid for bucket in limits._buckets.values())
        await tell()
        told.append(count)

    limits._tell = counting  # type: ignore[method-assign]
    wide = Limit(name="wide", rate=1_000_000, window_s=36_000.0)
    for n in range(3000):
        limits.take(wide, f"key-{n % 7}")
    await until(lambda: sum(told) >= 3000)
    assert max(told) == 3000
    assert len(await levels(pool)) == 7


async def test_surely_taken_is_exact_among_processes_at_once(pool: AsyncConnectionPool) -> None:
    processes = [RateLimits(pool) for _ in range(4)]
    taken = await asyncio.gather(*(processes[n % 4].take_surely(BURST, "who") for n in range(32)))
    assert sum(t.allowed for t in taken) == 20
    assert {t.left for t in taken if t.allowed} == set(range(20))
    refused = next(t for t in taken if not t.allowed)
    assert 3500 < refused.wait_s <= 3601
    await processes[0].give_back(BURST, "who")
    assert (await processes[1].take_surely(BURST, "who")).allowed
    assert not (await processes[2].take_surely(BURST, "who")).allowed


@asynccontextmanager
async def nowhere() -> AsyncIterator[AsyncConnectionPool]:
    """A pool whose database is not there."""
    pool = AsyncConnectionPool(
        "postgresql://127.0.0.1:1/none", min_size=0, max_size=1, timeout=0.05, open=False
    )
    async with pool:
        yield pool


async def test_s08_without_a_database_requests_are_counted_alone_and_log_ins_end() -> None:
    async with nowhere() as pool, opened(RateLimits(pool)) as limits:
        assert all(limits.take(SLOW, "a").allowed for _ in range(10))
        await until(lambda: limits._failing)
        assert not limits.take(SLOW, "a").allowed
        assert limits.take(SLOW, "b").allowed
        with pytest.raises(psycopg.OperationalError):
            await limits.take_surely(BURST, "who")


async def test_empty_buckets_are_forgotten(limits: RateLimits, pool: AsyncConnectionPool) -> None:
    limits.take(SLOW, "full")
    limits.take(SLOW, "empty")
    await until(lambda: levels_are(pool, {"slow:full": 1, "slow:empty": 1}))
    async with pool.connection() as db:
        query = "UPDATE rate_limits SET empty_at = now() - interval '2 h' WHERE bucket = %s"
        await db.execute(query, ["slow:empty"])
    assert await forget_empty(pool) == 1
    assert await levels(pool) == {"slow:full": 1}


async def test_a_process_remembers_only_so_many_buckets(
    limits: RateLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.rate_limits.BUCKETS_MAX", 4)
    for n in range(8):
        limits.take(SLOW, f"address-{n}")
        await until(lambda: not any(b.unsaid for b in limits._buckets.values()))
        assert len(limits._buckets) <= 4

"""The database comes back after a while: whoever asks then is served, not after a pause as long."""

import contextlib
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from adapters.embedded.postgres import EmbeddedPostgres
from adapters.migrations import migrate
from tests.places import in_memory
from tests.shop import Shop
from tests.waiting import until

ATTEMPTS = 7
PAUSE_MAX_S = 4.0
"""A pool whose pauses double pauses longer than that before so many attempts."""


@pytest.fixture
def own_postgres() -> Iterator[EmbeddedPostgres]:
    with (
        tempfile.TemporaryDirectory(prefix="loop-chaos-", dir=in_memory()) as data,
        EmbeddedPostgres(Path(data)) as server,
    ):
        migrate(server.url)
        yield server


@pytest.fixture
def database_url(own_postgres: EmbeddedPostgres) -> str:
    return own_postgres.url


async def ask(pool: AsyncConnectionPool, timeout_s: float) -> None:
    async with pool.connection(timeout=timeout_s) as connection:
        await connection.execute("SELECT 1")


def errors(pool: AsyncConnectionPool) -> int:
    return pool.get_stats().get("connections_errors", 0)


async def test_a_pool_serves_as_soon_as_its_server_is_back(
    shop: Shop, own_postgres: EmbeddedPostgres
) -> None:
    pool = shop.app.pool
    assert own_postgres.pid is not None
    os.kill(own_postgres.pid, signal.SIGKILL)
    await until(lambda: not own_postgres.alive())
    for _ in range(ATTEMPTS):
        before = errors(pool)

        async def tried_again(before: int = before) -> bool:
            with contextlib.suppress(PoolTimeout):
                await ask(pool, 0.2)
            return errors(pool) > before

        await until(tried_again, PAUSE_MAX_S)
    own_postgres.start()
    await ask(pool, PAUSE_MAX_S)

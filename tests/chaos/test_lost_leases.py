"""A worker that lives while its database is away: what it held is taken up at once, not in 90 s."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from msgspec.structs import replace

from adapters.embedded.postgres import EmbeddedPostgres
from adapters.settings import Settings
from tests.chaos.conftest import Log, WorkerProcess
from tests.shop import Shop
from tests.waiting import until


@pytest.fixture
def database_url(own_postgres: EmbeddedPostgres) -> str:
    return own_postgres.url


async def test_the_only_worker_goes_on_with_what_it_could_not_give_back(
    shop: Shop, settings: Settings, log: Log, own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    path = tmp_path / "worker.log"
    worker = WorkerProcess(replace(settings, lease_s=3600.0, sandbox_latency_s=0.3), path)
    orders = [await shop.order(wait_s=0) for _ in range(10)]
    worker.start()
    try:
        await until(log.acting, 90)
        assert own_postgres.pid is not None
        os.kill(own_postgres.pid, signal.SIGKILL)
        await until(lambda: not own_postgres.alive())
        await until(lambda: "saga_step_not_given_back" in path.read_text(), 60)
        own_postgres.start()
        for order in orders:
            await asyncio.wait_for(shop.until(order.id, lambda o: o.status == "captured"), 60)
    finally:
        worker.kill()
    assert shop.app.sandbox.bank.books().violations == ()

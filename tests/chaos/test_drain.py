"""A worker is told to end while a server that it needs is dead: it ends in order, exit code 0."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.embedded.nats import EmbeddedNats
from adapters.embedded.postgres import EmbeddedPostgres
from tests.chaos.conftest import Log, WorkerProcess
from tests.shop import Shop
from tests.waiting import until


@pytest.fixture
def own_nats(tmp_path: Path) -> Iterator[EmbeddedNats]:
    with EmbeddedNats(tmp_path / "nats") as server:
        yield server


@pytest.fixture
def nats_url(own_nats: EmbeddedNats) -> str:
    return own_nats.url


@pytest.fixture
def database_url(own_postgres: EmbeddedPostgres) -> str:
    return own_postgres.url


async def test_a_worker_ends_in_order_without_nats(
    shop: Shop, worker: WorkerProcess, own_nats: EmbeddedNats
) -> None:
    worker.start()
    assert (await shop.order(wait_s=20)).status == "captured"
    assert own_nats.pid is not None
    os.kill(own_nats.pid, signal.SIGKILL)
    await until(lambda: worker.said("nats_disconnected"))
    assert worker.stop() == 0


async def test_a_worker_ends_in_order_without_postgres(
    shop: Shop, worker: WorkerProcess, log: Log, own_postgres: EmbeddedPostgres
) -> None:
    worker.start()
    for _ in range(10):
        await shop.order(wait_s=0)
    await until(log.acting)
    assert own_postgres.pid is not None
    os.kill(own_postgres.pid, signal.SIGKILL)
    await until(lambda: worker.said("projector_begins_again"))
    assert worker.stop() == 0

"""NATS forgets everything in the middle of a run: only latency may change."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.embedded.nats import EmbeddedNats
from projections import PROJECTIONS
from replay.compare import compare
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


async def test_deleting_the_data_of_nats_during_a_run_changes_nothing_but_latency(
    shop: Shop, worker: WorkerProcess, log: Log, own_nats: EmbeddedNats, tmp_path: Path
) -> None:
    worker.start()
    before = await asyncio.gather(*(shop.order(wait_s=20) for _ in range(20)))
    assert [order.status for order in before] == ["captured"] * 20

    store = next((tmp_path / "nats").rglob("jetstream"))
    shutil.rmtree(store)
    during = await asyncio.gather(*(shop.order(wait_s=20) for _ in range(20)))
    own_nats.stop()
    away = [asyncio.ensure_future(shop.order(wait_s=30)) for _ in range(20)]
    shutil.rmtree(store, ignore_errors=True)
    await asyncio.sleep(0)
    own_nats.start()
    after = await asyncio.gather(*away, *(shop.order(wait_s=30) for _ in range(20)))
    assert {order.status for order in [*during, *after]} == {"captured"}

    assert shop.app.sandbox.bank.books().violations == ()
    (head,) = log.column("SELECT max(notification_id) FROM events")
    for projection in PROJECTIONS.values():

        def level(name: str = projection.name) -> bool:
            found = log.column(f"SELECT position FROM projection_positions WHERE name = '{name}'")  # noqa: S608
            return found == [head]

        await until(level, 30)
        assert (await compare(shop.app.settings.database_url, projection)).differences == ()

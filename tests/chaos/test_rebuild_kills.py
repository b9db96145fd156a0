"""Rebuilds that die by SIGKILL while orders flow: nothing is lost, nobody waits, all is equal."""

import asyncio
import contextlib
import json
import os
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from adapters.settings import Settings
from domain.events import AnyEvent
from projections import PROJECTIONS
from replay.compare import compare
from tests.chaos.conftest import Log, WorkerProcess
from tests.chaos.rebuilder import Rebuilder
from tests.history import History, life
from tests.waiting import until

SEED = 20
KILLS = 20
ORDERS_PER_S = int(os.environ.get("LOOP_CHAOS_ORDERS_PER_S", "25"))
"""Whole lives; with 100 it takes a minute on a machine of one's own."""
EVERY_S = 0.1
BEFORE = 200
"""Orders that are there when it begins: long enough to build that a kill falls inside."""

POSITIONS = "SELECT name || ' ' || version || ' ' || position FROM projection_positions"


@pytest.fixture
def rebuilder(settings: Settings, tmp_path: Path) -> Iterator[Rebuilder]:
    rebuilder = Rebuilder(settings.environment(), tmp_path / "rebuild.log")
    yield rebuilder
    rebuilder.kill()


@contextlib.asynccontextmanager
async def orders_flowing(history: History) -> AsyncIterator[list[int]]:
    """Append lives of orders all the time; the list grows with the head of the log.

    An append that took long is made up for by the next one: the rate is what it says.
    """
    heads: list[int] = []
    stop = asyncio.Event()

    async def flow() -> None:
        began, flowed = time.monotonic(), 0
        while not stop.is_set():
            owed = int((time.monotonic() - began) * ORDERS_PER_S) - flowed
            facts: Sequence[tuple[str, AnyEvent]] = [fact for _ in range(owed) for fact in life()]
            if facts:
                heads.append(await asyncio.to_thread(history.append, facts))
                flowed += owed
            await asyncio.sleep(EVERY_S)
        print(f"{flowed} orders in {time.monotonic() - began:.1f} s")

    task = asyncio.ensure_future(flow())
    try:
        yield heads
    finally:
        stop.set()
        await task


async def test_a_rebuild_killed_at_twenty_random_moments_while_orders_flow_changes_nothing(
    history: History, worker: WorkerProcess, rebuilder: Rebuilder, log: Log, settings: Settings
) -> None:
    rng = random.Random(SEED)
    history.append([fact for _ in range(BEFORE) for fact in life()])
    head = history.head
    worker.start()

    def level() -> bool:
        found = log.column("SELECT position FROM projection_positions WHERE live")
        return len(found) == len(PROJECTIONS) and min(found) >= head

    await until(level, 120)
    inside = 0
    async with orders_flowing(history) as heads:
        for _ in range(KILLS):
            before, flowed = log.column(POSITIONS), len(heads)
            rebuilder.start()
            await until(lambda b=before: moved(log, b) or rebuilder.exit_code is not None, 60)
            await asyncio.sleep(rng.uniform(0, 0.4))
            inside += rebuilder.exit_code is None
            rebuilder.kill()
            live = log.column("SELECT count(*) FROM projection_positions WHERE live")
            assert live == [len(PROJECTIONS)]
            await until(lambda f=flowed: len(heads) > f, 60)
        rebuilder.start()
        await until(lambda: rebuilder.exit_code is not None, 120)
        out = rebuilder.output.read_text()
        assert rebuilder.exit_code == 0, out
        reports = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    print(f"{inside} of {KILLS} kills fell into a rebuild")
    assert inside >= KILLS / 2
    assert {report["name"] for report in reports} == set(PROJECTIONS)
    assert {report["outcome"] for report in reports} == {"swapped"}

    head = history.head
    await until(level, 120)
    assert worker.stop() == 0
    for projection in PROJECTIONS.values():
        found = await compare(settings.database_url, projection)
        assert (found.position, found.parked, found.differences) == (head, 0, ())


def moved(log: Log, before: list[str]) -> bool:
    """Whether tables that are not live are further than before."""
    building = log.column(f"{POSITIONS} WHERE NOT live AND position > 0")
    return bool(set(building) - set(before))

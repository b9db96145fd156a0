"""Rebuilds that die by SIGKILL while orders flow: nothing is lost, nobody waits, all is equal."""

import asyncio
import contextlib
import json
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from adapters.settings import Settings
from domain.events import AnyEvent
from projections import PROJECTIONS
from replay.compare import compare
from tests.chaos.conftest import Log, WorkerProcess
from tests.history import History, life
from tests.waiting import until

SEED = 20
KILLS = 20
ORDERS_PER_S = 30
BEFORE = 800
"""Orders that are there when it begins: long enough to build that a kill falls inside."""

POSITIONS = "SELECT name || ' ' || version || ' ' || position FROM projection_positions"


@pytest.fixture
def history(database_url: str) -> Iterator[History]:
    history = History(database_url)
    yield history
    history.close()


class Rebuilding:
    """`loop projections rebuild --all` as a process."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self._settings = settings
        self._log = log
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> "subprocess.Popen[str]":
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway.cli", "projections", "rebuild", "--all", "--json"],
                env=self._settings.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        return self._process

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.communicate(timeout=20)
        self._process = None


@pytest.fixture
def rebuilding(settings: Settings, tmp_path: Path) -> Iterator[Rebuilding]:
    process = Rebuilding(settings, tmp_path / "rebuild.log")
    yield process
    process.kill()


@contextlib.asynccontextmanager
async def orders_flowing(history: History) -> AsyncIterator[list[int]]:
    """Append lives of orders all the time; the list grows with the head of the log."""
    heads: list[int] = []
    stop = asyncio.Event()

    async def flow() -> None:
        while not stop.is_set():
            facts: Sequence[tuple[str, AnyEvent]] = life()
            heads.append(await asyncio.to_thread(history.append, facts))
            await asyncio.sleep(1 / ORDERS_PER_S)

    task = asyncio.ensure_future(flow())
    try:
        yield heads
    finally:
        stop.set()
        await task


async def test_a_rebuild_killed_at_twenty_random_moments_while_orders_flow_changes_nothing(
    history: History, worker: WorkerProcess, rebuilding: Rebuilding, log: Log, settings: Settings
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
            process = rebuilding.start()
            await until(lambda b=before, p=process: moved(log, b) or p.poll() is not None, 60)
            await asyncio.sleep(rng.uniform(0, 0.4))
            inside += process.poll() is None
            rebuilding.kill()
            live = log.column("SELECT count(*) FROM projection_positions WHERE live")
            assert live == [len(PROJECTIONS)]
            assert len(heads) > flowed
        process = rebuilding.start()
        out, _ = await asyncio.to_thread(process.communicate, timeout=120)
        assert process.returncode == 0, out
        reports = [json.loads(line) for line in out.splitlines()]
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

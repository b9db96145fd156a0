"""Whole lives of orders against a four-step workflow of DBOS with eight workers.

A life: created, paid, authorized and captured at the in-process sandbox (latency 0), and shown as
captured by the read model. Webhooks out do not exist yet. The producer is this process, through the
commands, 64 orders at a time; one `loop work` does everything else. DBOS runs in one process of its
own: no HTTP, no bank, no read model.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from adapters.wiring import Application
from commands.create_order import NewOrder, create_order
from commands.pay_order import PayOrder, pay_order
from tests.benchmarks.measure import Bar, Outcome, Size, compared, interleaved
from tests.benchmarks.stack import Servers, Shop, level, query_until, shops, working

AT_A_TIME = 64
WARM_UP = 64
DEADLINE_S = 300


@dataclass
class Lives:
    """Plays lives on one database."""

    app: Application
    shop: Shop
    database_url: str
    played: int = 0

    async def rate(self, lives: int) -> float:
        """Return lives/s, from the first create until the last is in the read model."""
        start = time.perf_counter()
        slots = asyncio.Semaphore(AT_A_TIME)
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
            for _ in range(lives):
                await slots.acquire()
                tasks.create_task(self._one()).add_done_callback(lambda _: slots.release())
        self.played += lives
        await self._shown()
        return lives / (time.perf_counter() - start)

    async def _one(self) -> None:
        new = NewOrder(amount_minor=1999, currency="USD")
        done = await create_order(self.app.ports, self.shop.caller, new, None)
        await pay_order(
            self.app.ports,
            self.shop.caller,
            done.order.id,
            PayOrder(token="sbx_approve"),
            None,
            wait_s=DEADLINE_S,
        )

    async def _shown(self) -> None:
        """Wait until the read model shows all of them as captured."""
        query = "SELECT count(*) FROM orders WHERE status = 'captured'"
        await query_until(self.database_url, query, self.played)


@asynccontextmanager
async def ours(servers: Servers) -> AsyncIterator[Lives]:
    """Run a worker and play the first lives."""
    settings = servers.settings()
    async with shops(settings, 1) as (app, made), working(settings):
        await level(settings.database_url)
        lives = Lives(app, made[0], settings.database_url)
        await lives.rate(WARM_UP)
        yield lives


async def dbos(url: str, workflows: int) -> float:
    """Return workflows/s."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "ignore", "-m", "tests.benchmarks.dbos_life", url, str(workflows)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, "DBOS failed"
    return float(output.split()[-1])


async def run(servers: Servers, size: Size) -> Outcome:
    """Measure both in turn."""
    url = servers.database(migrated=False)
    async with ours(servers) as lives:
        a, b = await interleaved(
            size.pairs, lambda: lives.rate(size.lives), lambda: dbos(url, size.lives)
        )
    bar = Bar(kind="minimum", limit=2)
    line = compared(
        "whole life: create, pay, captured, in the read model (no webhooks yet)",
        a,
        "orders/s",
        "DBOS, four-step workflow, 8 workers",
        b,
        bar,
    )
    return Outcome(results=[line])

"""Whole lives of orders against a four-step workflow of DBOS with eight workers.

A life: created, paid, authorized and captured at the in-process sandbox (latency 0), shown as
captured by the read model, and told to the merchant's server by a webhook (`payment.captured`). The
producer and the merchant's server are this process, through the commands, 64 orders at a time; one
`loop work` does everything else. DBOS runs in one process of its own: no HTTP, no bank, no read
model, nobody told.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

from adapters.wiring import Application
from commands.add_endpoint import NewEndpoint, add_endpoint
from commands.create_order import NewOrder, create_order
from commands.pay_order import PayOrder, pay_order
from tests.benchmarks.measure import Bar, Outcome, Size, compared, interleaved
from tests.benchmarks.memory import family_cpu_s
from tests.benchmarks.sink import Sink, sink
from tests.benchmarks.stack import Servers, Shop, level, query_until, shops, working

AT_A_TIME = 64
WARM_UP = 64
DEADLINE_S = 300


class Measured(NamedTuple):
    """Lives/s, and the CPU time of one in all processes together."""

    rate: float
    cpu_ms: float


@dataclass
class Lives:
    """Plays lives on one database."""

    app: Application
    shop: Shop
    database_url: str
    pids: tuple[int, ...]
    told: Sink
    played: int = 0

    async def measured(self, lives: int) -> "Measured":
        """Play lives, from the first create until the last is in the read model."""
        before_s = family_cpu_s(self.pids) + time.process_time()
        start = time.perf_counter()
        slots = asyncio.Semaphore(AT_A_TIME)
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
            for _ in range(lives):
                await slots.acquire()
                tasks.create_task(self._one()).add_done_callback(lambda _: slots.release())
        self.played += lives
        await self._shown()
        rate = lives / (time.perf_counter() - start)
        used_s = family_cpu_s(self.pids) + time.process_time() - before_s
        return Measured(rate, used_s / lives * 1000)

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
        await self.told.until(self.played)


@asynccontextmanager
async def ours(servers: Servers) -> AsyncIterator[Lives]:
    """Run a worker and play the first lives."""
    settings = servers.settings()
    async with (
        shops(settings, 1) as (app, made),
        sink() as told,
        working(settings) as worker,
    ):
        wanted = NewEndpoint(url=told.url, events=("payment.captured",))
        await add_endpoint(app.ports, made[0].caller, wanted)
        await level(settings.database_url)
        lives = Lives(app, made[0], settings.database_url, (worker, *servers.pids), told)
        await lives.measured(WARM_UP)
        yield lives


async def dbos(servers: Servers, url: str, workflows: int) -> Measured:
    """Run workflows in a process of its own; PostgreSQL's share includes DBOS's own start."""
    before_s = family_cpu_s(servers.pids)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "ignore", "-m", "tests.benchmarks.dbos_life", url, str(workflows)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, "DBOS failed"
    rate, used_s = map(float, output.split()[-2:])
    used_s += family_cpu_s(servers.pids) - before_s
    return Measured(rate, used_s / workflows * 1000)


async def run(servers: Servers, size: Size) -> Outcome:
    """Measure both in turn."""
    url = servers.database(migrated=False)
    async with ours(servers) as lives:
        a, b = await interleaved(
            size.pairs,
            lambda: lives.measured(size.lives),
            lambda: dbos(servers, url, size.lives),
        )
    against = "DBOS, four-step workflow, 8 workers"
    rate = compared(
        "whole life: create, pay, captured, in the read model, webhook sent",
        [measured.rate for measured in a],
        "orders/s",
        against,
        [measured.rate for measured in b],
        Bar(kind="minimum", limit=2),
    )
    cpu = compared(
        "whole life, CPU time of all processes",
        [measured.cpu_ms for measured in a],
        "ms/order",
        against,
        [measured.cpu_ms for measured in b],
    )
    return Outcome(results=[rate, cpu])

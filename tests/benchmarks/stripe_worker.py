"""How many orders one worker drives through Stripe's adapter, and whether a second one helps.

An order: created and paid through the commands by this process, authorized and captured by `loop
work` through Stripe's own SDK over HTTP to the sandbox server, which keeps its file on disk. The
in-process sandbox has no part in it. Everything shares one machine.

Two workers are compared with one twice: with a sandbox that answers at once, where the machine's
two cores are all there is to share, and with one that takes as long as a processor far away.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from adapters.settings import Settings
from adapters.wiring import Application
from commands.configure_processor import ProcessorAccount, configure_processor
from commands.create_order import NewOrder, create_order
from commands.pay_order import PayOrder, pay_order
from commands.processor import Credentials
from gateway.verbs.sandbox_control import FOLDER, Control, healthy
from tests.benchmarks.measure import Bar, Outcome, Size, absolute, compared, interleaved
from tests.benchmarks.memory import family_cpu_s
from tests.benchmarks.stack import (
    Servers,
    Shop,
    free_port,
    level,
    process,
    query_until,
    shops,
    until,
    working,
)

AT_A_TIME = 64
WARM_UP = 48
DEADLINE_S = 600
BAR_PER_S = 60
SHARE = 0.4
"""Orders of one measurement, of the size's lives: they cost more."""
FAR_S = 0.3
"""How long each call of the far processor takes."""
FAR_PAIRS_MAX = 7
FAR_SHARE = 0.25
"""Orders of one measurement there: they take longer."""


@dataclass
class Drive:
    """Drives orders on one database; `cpu_ms` are of one order, by process."""

    app: Application
    shop: Shop
    settings: Settings
    pids: dict[str, int]
    control: Control
    driven: int = 0
    cpu_ms: dict[str, list[float]] = field(default_factory=dict)

    async def rate(self, orders: int, *, workers: int = 1) -> float:
        """Return orders a second, from the first creation until the last is captured."""
        if workers == 1:
            before = {name: family_cpu_s([pid]) for name, pid in self.pids.items()}
            seconds = await self._drive(orders)
            for name, pid in self.pids.items():
                used = (family_cpu_s([pid]) - before[name]) / orders * 1000
                self.cpu_ms.setdefault(name, []).append(used)
        else:
            async with working(self.settings):
                await self._drive(WARM_UP)
                seconds = await self._drive(orders)
        return orders / seconds

    async def _drive(self, orders: int) -> float:
        """Return the seconds that it took."""
        began = time.perf_counter()
        slots = asyncio.Semaphore(AT_A_TIME)
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
            for _ in range(orders):
                await slots.acquire()
                tasks.create_task(self._one()).add_done_callback(lambda _: slots.release())
        self.driven += orders
        query = "SELECT count(*) FROM orders WHERE status = 'captured'"
        await query_until(self.settings.database_url, query, self.driven)
        return time.perf_counter() - began

    async def _one(self) -> None:
        new = NewOrder(amount_minor=1999, currency="USD")
        done = await create_order(self.app.ports, self.shop.caller, new, None)
        await pay_order(
            self.app.ports,
            self.shop.caller,
            done.order.id,
            PayOrder(token="pm_card_visa"),
            None,
            wait_s=DEADLINE_S,
        )


@asynccontextmanager
async def drives(servers: Servers) -> AsyncIterator[Drive]:
    """Run the sandbox and one worker, and drive the first orders."""
    port = free_port()
    folder = servers.folder / f"sandbox-{port}"
    asked = msgspec.json.encode({"data": str(folder / FOLDER), "port": port}).decode()
    url = f"http://127.0.0.1:{port}"
    settings = msgspec.structs.replace(servers.settings(), stripe_base_url=f"{url}/stripe")
    async with process("adapters.sandbox_server", asked) as sandbox:

        async def up() -> bool:
            return await asyncio.to_thread(healthy, f"{url}/_sandbox")

        await until(up)
        async with shops(settings, 1) as (app, made), working(settings) as worker:
            await _configure(app, made[0])
            await level(settings.database_url)
            pids = {"worker": worker, "sandbox": sandbox.pid}
            drive = Drive(app, made[0], settings, pids, Control.of(folder))
            await drive.rate(WARM_UP)
            drive.cpu_ms.clear()
            yield drive


async def _configure(app: Application, shop: Shop) -> None:
    credentials = Credentials({"secret_key": "sk_test_bench"})
    account = ProcessorAccount(processor="stripe", credentials=credentials)
    await configure_processor(app.ports, shop.caller, account)


async def run(servers: Servers, size: Size) -> Outcome:
    """Measure one worker and two in turn."""
    orders = max(40, int(size.lives * SHARE))
    async with drives(servers) as drive:
        two, one = await interleaved(
            size.pairs,
            lambda: drive.rate(orders, workers=2),
            lambda: drive.rate(orders),
        )
        cpu_ms = {name: list(used) for name, used in drive.cpu_ms.items()}
        drive.control.ask("POST", "faults", do=f"delay:{FAR_S}")
        few = max(32, int(size.lives * FAR_SHARE))
        far_two, far_one = await interleaved(
            min(size.pairs, FAR_PAIRS_MAX),
            lambda: drive.rate(few, workers=2),
            lambda: drive.rate(few),
        )
    limit = Bar(kind="minimum", limit=BAR_PER_S)
    results = [
        absolute("one worker through Stripe's adapter to the sandbox", one, "orders/s", limit),
        compared("two workers", two, "orders/s", "one worker", one, Bar(kind="minimum", limit=1)),
        compared(
            f"two workers, each call takes {FAR_S * 1000:.0f} ms",
            far_two,
            "orders/s",
            "one worker",
            far_one,
            Bar(kind="minimum", limit=1),
        ),
        *(
            absolute(f"CPU time of the {name} for an order at Stripe", used, "ms", None)
            for name, used in cpu_ms.items()
        ),
    ]
    return Outcome(results=results)
